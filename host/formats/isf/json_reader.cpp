#include "formats/isf/json_reader.h"

#include <charconv>

namespace isf {

void JsonReader::Blanks() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t'))
    ++at_;
}

char JsonReader::Peek() {
  Blanks();
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::Take(char c) {
  if (!ok_ || Peek() != c || at_ >= text_.size()) return false;
  ++at_;
  return true;
}

bool JsonReader::TakeWord(std::string_view word) {
  Blanks();
  if (!text_.substr(at_).starts_with(word)) return false;
  at_ += word.size();
  return true;
}

std::string_view JsonReader::Unescape(std::string_view raw) {
  std::string out;
  for (size_t i = 0; i < raw.size(); ++i) {
    if (raw[i] != '\\' || i + 1 >= raw.size()) {
      out += raw[i];
      continue;
    }
    const char c = raw[++i];
    switch (c) {
      case 'n':
        out += '\n';
        break;
      case 't':
        out += '\t';
        break;
      case 'r':
        out += '\r';
        break;
      case 'b':
        out += '\b';
        break;
      case 'f':
        out += '\f';
        break;
      case 'u': {
        unsigned code = 0;
        if (i + 4 < raw.size()) std::from_chars(raw.data() + i + 1, raw.data() + i + 5, code, 16);
        i += 4;
        out += code < 0x80 ? static_cast<char>(code) : '?';
        break;
      }
      default:
        out += c;
    }
  }
  return unescaped_.emplace_back(std::move(out));
}

std::string_view JsonReader::String() {
  if (!Take('"')) return Fail(), std::string_view();
  const uint64_t start = at_;
  bool escaped = false;
  while (at_ < text_.size() && text_[at_] != '"') {
    if (text_[at_] == '\\') {
      escaped = true;
      ++at_;
    }
    ++at_;
  }
  if (at_ >= text_.size()) return Fail(), std::string_view();
  const std::string_view raw = text_.substr(start, at_ - start);
  ++at_;
  return escaped ? Unescape(raw) : raw;
}

int64_t JsonReader::Integer() {
  Blanks();
  const char* begin = text_.data() + at_;
  const char* end = text_.data() + text_.size();
  int64_t value = 0;
  auto result = std::from_chars(begin, end, value);
  if (result.ec == std::errc::result_out_of_range) {
    uint64_t large = 0;
    result = std::from_chars(begin, end, large);
    value = static_cast<int64_t>(large);
  }
  if (!ok_ || result.ec != std::errc()) return Fail(), 0;
  at_ += static_cast<uint64_t>(result.ptr - begin);
  // A fraction or exponent has no place in a symbol table; it is read over.
  while (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E' ||
                                text_[at_] == '+' || (text_[at_] >= '0' && text_[at_] <= '9'))) {
    ++at_;
  }
  return value;
}

bool JsonReader::Boolean() {
  if (TakeWord("true")) return true;
  if (!TakeWord("false")) Fail();
  return false;
}

void JsonReader::SkipAtDepth(int depth) {
  if (depth > 64) return Fail();
  switch (Peek()) {
    case '"':
      String();
      return;
    case '{':
      Object([&](std::string_view) { SkipAtDepth(depth + 1); });
      return;
    case '[':
      Take('[');
      if (Take(']')) return;
      do {
        SkipAtDepth(depth + 1);
      } while (ok_ && Take(','));
      if (!Take(']')) Fail();
      return;
    case 't':
    case 'f':
      Boolean();
      return;
    case 'n':
      if (!TakeWord("null")) Fail();
      return;
    default:
      Integer();
  }
}

}  // namespace isf
