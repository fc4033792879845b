// Names against wildcard expressions, the legal characters of names. Without NT types.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace fsrtl {

inline constexpr char16_t kDosStar = u'<';
inline constexpr char16_t kDosQm = u'>';
inline constexpr char16_t kDosDot = u'"';

template <typename Ch>
constexpr bool IsWild(Ch c) {
  return c == '*' || c == '?' || c == kDosStar || c == kDosQm || c == kDosDot;
}

// The set of places in an expression that a prefix of the name can have led to: one bit a place.
class PlaceSet {
 public:
  explicit PlaceSet(uint64_t* words) : words_(words) {}
  bool Has(size_t place) const { return (words_[place / 64] >> (place % 64)) & 1; }
  void Add(size_t place) { words_[place / 64] |= uint64_t{1} << (place % 64); }
  void Clear(size_t count) {
    for (size_t i = 0; i < count; ++i) words_[i] = 0;
  }

 private:
  uint64_t* words_;
};

// Whether `name` is in `expression`: * is any run, ? any one character, DOS_STAR any run without the name's
// last dot, DOS_QM any one character or nothing before a dot or the end, DOS_DOT a dot or nothing at the end.
// `words`: two sets of (expression_length + 64) / 64 words. `fold` is applied to the name's characters.
template <typename Ch, typename Fold>
bool NameInExpression(const Ch* expression, size_t expression_length, const Ch* name, size_t name_length,
                      Fold fold, uint64_t* words) {
  const size_t word_count = (expression_length + 64) / 64;
  PlaceSet now(words);
  PlaceSet next(words + word_count);
  size_t last_dot = name_length;
  for (size_t i = 0; i < name_length; ++i) {
    if (name[i] == '.') last_dot = i;
  }
  now.Clear(word_count);
  now.Add(0);
  for (size_t n = 0; n <= name_length; ++n) {
    const bool end = n == name_length;
    const bool dot = !end && name[n] == '.';
    next.Clear(word_count);
    for (size_t p = 0; p < expression_length; ++p) {
      if (!now.Has(p)) continue;
      const Ch c = expression[p];
      const bool skips = c == '*' || c == kDosStar || (c == kDosQm && (end || dot)) || (c == kDosDot && end);
      if (skips) now.Add(p + 1);
      if (end) continue;
      if (c == '*' || (c == kDosStar && n != last_dot)) {
        next.Add(p);
      } else if (c == '?' || (c == kDosQm && !dot) || (c == kDosDot && dot) ||
                 (!IsWild(c) && c == fold(name[n]))) {
        next.Add(p + 1);
      }
    }
    if (end) return now.Has(expression_length);
    const PlaceSet swapped = now;
    now = next;
    next = swapped;
  }
  return false;
}

// FSRTL_*_LEGAL and FSRTL_WILD_CHARACTER of a 7-bit character.
inline constexpr uint8_t kFatLegal = 0x01;
inline constexpr uint8_t kHpfsLegal = 0x02;
inline constexpr uint8_t kNtfsLegal = 0x04;
inline constexpr uint8_t kWildCharacter = 0x08;
inline constexpr uint8_t kOleLegal = 0x10;

constexpr uint8_t CharacterKinds(unsigned c) {
  if (c == 0 || c == '\\' || c == '/' || c == ':') return 0;
  if (c < 0x20 || c == '|') return kOleLegal;
  if (IsWild(static_cast<char>(c))) return kWildCharacter | kOleLegal;
  const bool fat = c != '+' && c != ',' && c != ';' && c != '=' && c != '[' && c != ']';
  return (fat ? kFatLegal : 0) | kHpfsLegal | kNtfsLegal | kOleLegal;
}

}  // namespace fsrtl
