// The one way to read untrusted bytes: every access is bounded, offsets and counts are 64-bit and checked for
// overflow. Little endian, as all formats here. Copies values out, so alignment does not matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/result.h"

namespace base {

using Bytes = std::span<const std::byte>;

inline Bytes AsBytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

class SpanReader {
 public:
  SpanReader() = default;
  explicit SpanReader(Bytes bytes) : bytes_(bytes) {}

  Bytes bytes() const { return bytes_; }
  uint64_t size() const { return bytes_.size(); }

  // Is [offset, offset + length) inside?
  bool Has(uint64_t offset, uint64_t length) const { return offset <= size() && length <= size() - offset; }

  // The bytes [offset, offset + length), or nothing.
  std::optional<Bytes> Slice(uint64_t offset, uint64_t length) const {
    if (!Has(offset, length)) return std::nullopt;
    return bytes_.subspan(offset, length);
  }
  // `count` records of `stride` bytes.
  std::optional<Bytes> Array(uint64_t offset, uint64_t count, uint64_t stride) const {
    if (stride != 0 && count > UINT64_MAX / stride) return std::nullopt;
    return Slice(offset, count * stride);
  }

  template <typename T>
  std::optional<T> Get(uint64_t offset) const {
    static_assert(std::is_trivially_copyable_v<T>);
    if (!Has(offset, sizeof(T))) return std::nullopt;
    T value;
    std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }

  // As Get, with an error that names `what`.
  template <typename T>
  Result<T> Read(uint64_t offset, const char* what) const {
    if (auto value = Get<T>(offset)) return *value;
    return Fail(std::string(what) + " lies beyond the end of the data");
  }

  // A zero-terminated string that ends within `limit` bytes and within the data.
  std::optional<std::string_view> CString(uint64_t offset, uint64_t limit = 4096) const {
    if (offset >= size()) return std::nullopt;
    const char* begin = reinterpret_cast<const char*>(bytes_.data() + offset);
    const uint64_t room = size() - offset < limit ? size() - offset : limit;
    const void* end = std::memchr(begin, 0, room);
    if (end == nullptr) return std::nullopt;
    return std::string_view(begin, static_cast<const char*>(end) - begin);
  }

 private:
  Bytes bytes_;
};

}  // namespace base
