// Altitudes of filters and callbacks: decimal numbers of any length with an optional fraction, as text.
#pragma once

#include <stddef.h>

namespace ktl {

// Whether the text is an altitude: digits, at most one dot, not empty.
template <typename Char>
bool IsAltitude(const Char* text, size_t length) {
  size_t dots = 0, digits = 0;
  for (size_t i = 0; i < length; ++i) {
    if (text[i] == Char('.')) {
      ++dots;
    } else if (text[i] >= Char('0') && text[i] <= Char('9')) {
      ++digits;
    } else {
      return false;
    }
  }
  return digits != 0 && dots <= 1;
}

// < 0, 0 or > 0 as the altitudes compare as numbers: "0320.50" is "320.5".
template <typename Char>
int CompareAltitudes(const Char* a, size_t a_length, const Char* b, size_t b_length) {
  struct Number {
    const Char* digits;
    size_t whole, length;
    Number(const Char* text, size_t size) : digits(text), whole(0), length(size) {
      while (length != 0 && digits[0] == Char('0')) ++digits, --length;
      while (whole < length && digits[whole] != Char('.')) ++whole;
    }
    Char At(size_t i) const { return i < length ? digits[i] : Char('0'); }
  };
  const Number x(a, a_length), y(b, b_length);
  if (x.whole != y.whole) return x.whole < y.whole ? -1 : 1;
  for (size_t i = 0; i < x.length || i < y.length; ++i) {
    if (i == x.whole) continue;  // the dot, if there is one
    if (x.At(i) != y.At(i)) return x.At(i) < y.At(i) ? -1 : 1;
  }
  return 0;
}

}  // namespace ktl
