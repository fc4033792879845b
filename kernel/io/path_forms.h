// How paths of images are written, without NT types: also built and tested on the host.
#pragma once

#include <stddef.h>

namespace io {

// What to put before the path, and how much of the path's beginning to drop, to make it an NT path.
struct PathForm {
  const char16_t* prefix;
  size_t drop;  // characters
};

inline char16_t PathLower(char16_t c) {
  return c >= u'A' && c <= u'Z' ? static_cast<char16_t>(c + 32) : c;
}

inline bool PathBegins(const char16_t* path, size_t length, const char16_t* prefix) {
  size_t i = 0;
  for (; prefix[i] != 0; ++i) {
    if (i >= length || PathLower(path[i]) != PathLower(prefix[i])) return false;
  }
  return true;
}

// C:\x -> \??\C:\x; \\?\C:\x and \\.\x -> \??\...; %SystemRoot%\x -> \SystemRoot\x; \x (an NT path) as it is;
// System32\drivers\x.sys (relative to the system's folder) -> \SystemRoot\...
inline PathForm PathFormOf(const char16_t* path, size_t length) {
  if (PathBegins(path, length, u"\\\\?\\") || PathBegins(path, length, u"\\\\.\\")) return {u"\\??\\", 4};
  if (length >= 1 && path[0] == u'\\') return {u"", 0};
  if (length >= 2 && path[1] == u':') return {u"\\??\\", 0};
  if (PathBegins(path, length, u"%SystemRoot%\\")) return {u"\\SystemRoot\\", 13};
  return {u"\\SystemRoot\\", 0};
}

}  // namespace io
