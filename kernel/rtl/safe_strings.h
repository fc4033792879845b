// The secure string functions of the C library, for both widths. Kernel mode has no invalid-parameter
// handler: an error is only returned, and the destination made empty.
#pragma once

#include "rtl/rtl.h"

namespace rtl {

inline constexpr int kInvalid = 22;     // EINVAL
inline constexpr int kOutOfRange = 34;  // ERANGE
inline constexpr int kTruncated = 80;   // STRUNCATE
inline constexpr size_t kTruncate = static_cast<size_t>(-1);

// Copies at most `count` units to to[used..size) and a terminator; kTruncate cuts off what does not fit.
template <typename Ch>
int PutSafely(Ch* to, size_t size, size_t used, const Ch* from, size_t count) {
  const bool truncate = count == kTruncate;
  for (; used < size; ++used, --count) {
    to[used] = count == 0 ? 0 : *from++;
    if (to[used] == 0) return 0;
  }
  to[truncate ? size - 1 : 0] = 0;
  return truncate ? kTruncated : kOutOfRange;
}

template <typename Ch>
int Reject(Ch* to) {
  to[0] = 0;
  return kInvalid;
}

// strcpy_s, wcscpy_s: all of it, or nothing.
template <typename Ch>
int CopySafely(Ch* to, size_t size, const Ch* from) {
  if (to == nullptr || size == 0) return kInvalid;
  return from == nullptr ? Reject(to) : PutSafely(to, size, 0, from, kTruncate - 1);
}

template <typename Ch>
int CopySafely(Ch* to, size_t size, const Ch* from, size_t count) {
  if (count == 0 && to == nullptr && size == 0) return 0;
  if (to == nullptr || size == 0) return kInvalid;
  if (count != 0 && from == nullptr) return Reject(to);
  return PutSafely(to, size, 0, from, count);
}

template <typename Ch>
int AppendSafely(Ch* to, size_t size, const Ch* from, size_t count) {
  if (count == 0 && to == nullptr && size == 0) return 0;
  if (to == nullptr || size == 0) return kInvalid;
  size_t used = 0;
  while (used < size && to[used] != 0) ++used;
  if (used == size || (count != 0 && from == nullptr)) return Reject(to);
  return PutSafely(to, size, used, from, count);
}

template <typename Ch>
int AppendSafely(Ch* to, size_t size, const Ch* from) {
  return AppendSafely(to, size, from, kTruncate - 1);
}

}  // namespace rtl
