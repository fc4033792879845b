// A small forward reader of JSON, made for symbol tables of tens of megabytes: no tree, strings as views into
// the text.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace isf {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  bool ok() const { return ok_; }
  uint64_t at() const { return at_; }

  // Calls on_member(key) for each member of the object that follows; it must read or Skip() the value.
  template <typename OnMember>
  void Object(OnMember on_member) {
    if (!Take('{')) return Fail();
    if (Take('}')) return;
    do {
      const std::string_view key = String();
      if (!ok_ || !Take(':')) return Fail();
      on_member(key);
    } while (ok_ && Take(','));
    if (!Take('}')) Fail();
  }
  // The views stay valid as long as the reader and its text.
  std::string_view String();
  int64_t Integer();  // numbers above INT64_MAX come out as their two's complement
  bool Boolean();
  void Skip() { SkipAtDepth(0); }

 private:
  void Fail() { ok_ = false; }
  void Blanks();
  bool Take(char c);
  char Peek();
  bool TakeWord(std::string_view word);
  void SkipAtDepth(int depth);
  std::string_view Unescape(std::string_view raw);

  std::string_view text_;
  uint64_t at_ = 0;
  bool ok_ = true;
  std::deque<std::string> unescaped_;
};

}  // namespace isf
