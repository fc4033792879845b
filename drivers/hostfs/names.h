// Names and patterns. Pure; tested on the host. Characters are UTF-16 units of any 2-byte type.
#pragma once

#include <stddef.h>

namespace names {

// Whether a path component may name a file: 1 to 255 units, no control character, none of "*<>?|/\: and not .
// or ..
template <typename Ch>
bool IsValidComponent(const Ch* name, size_t length) {
  if (length == 0 || length > 255) return false;
  if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) return false;
  for (size_t i = 0; i < length; ++i) {
    const unsigned c = static_cast<unsigned short>(name[i]);
    if (c < 0x20 || c == '"' || c == '*' || c == '<' || c == '>' || c == '?' || c == '|' || c == '/' ||
        c == '\\' || c == ':') {
      return false;
    }
  }
  return true;
}

template <typename Ch>
bool HasWildcards(const Ch* name, size_t length) {
  for (size_t i = 0; i < length; ++i) {
    const unsigned c = static_cast<unsigned short>(name[i]);
    if (c == '*' || c == '?' || c == '<' || c == '>' || c == '"') return true;
  }
  return false;
}

// Whether a name matches a pattern as NT's file systems match: * any run, ? any one, < (DOS_STAR) any run up
// to the last dot, > (DOS_QM) any one or nothing before a dot or the end, " (DOS_DOT) a dot or nothing at the
// end. `fold` maps a unit to its upper-case form. Recursion is bounded by the number of stars in the pattern.
template <typename Ch, typename Fold>
bool Matches(const Ch* pattern, size_t pattern_length, const Ch* name, size_t name_length, Fold fold) {
  size_t p = 0;
  size_t n = 0;
  size_t star = static_cast<size_t>(-1);
  size_t star_name = 0;
  size_t last_dot = name_length;
  for (size_t i = 0; i < name_length; ++i) {
    if (name[i] == '.') last_dot = i;
  }
  for (;;) {
    if (p < pattern_length) {
      const unsigned c = static_cast<unsigned short>(pattern[p]);
      if (c == '*' || c == '<') {
        star = p++;
        star_name = n;
        continue;
      }
      if (c == '>' && (n == name_length || name[n] == '.')) {
        ++p;
        continue;
      }
      if (c == '"' && n == name_length) {
        ++p;
        continue;
      }
      if (n < name_length) {
        const bool one =
            c == '?' || c == '>' || (c == '"' && name[n] == '.') || fold(pattern[p]) == fold(name[n]);
        if (one) {
          ++p;
          ++n;
          continue;
        }
      }
    } else if (n == name_length) {
      return true;
    }
    // Give the last star one more character; DOS_STAR stops before the last dot.
    if (star == static_cast<size_t>(-1) || star_name >= name_length) return false;
    if (pattern[star] == '<' && star_name >= last_dot) return false;
    n = ++star_name;
    p = star + 1;
  }
}

}  // namespace names
