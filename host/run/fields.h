// Payload fields of control messages: u32, u64, and strings (u32 length, bytes, padded to a multiple of 4).
#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "base/span_reader.h"

namespace run {

class FieldWriter {
 public:
  FieldWriter& U32(uint32_t value) { return Raw(&value, sizeof(value)); }
  FieldWriter& U64(uint64_t value) { return Raw(&value, sizeof(value)); }
  FieldWriter& String(std::string_view text) {
    U32(static_cast<uint32_t>(text.size()));
    payload_.append(text);
    payload_.append((4 - text.size() % 4) % 4, '\0');
    return *this;
  }
  const std::string& payload() const { return payload_; }

 private:
  FieldWriter& Raw(const void* bytes, size_t size) {
    payload_.append(static_cast<const char*>(bytes), size);
    return *this;
  }
  std::string payload_;
};

// Reads past the end yield nothing, for ever after.
class FieldReader {
 public:
  explicit FieldReader(std::string_view payload) : reader_(base::AsBytes(payload)) {}

  bool AtEnd() const { return offset_ >= reader_.size(); }
  std::optional<uint32_t> U32() { return Next<uint32_t>(); }
  std::optional<uint64_t> U64() { return Next<uint64_t>(); }
  std::optional<std::string> String() {
    const auto length = U32();
    if (!length) return std::nullopt;
    const auto bytes = reader_.Slice(offset_, *length);
    if (!bytes) {
      offset_ = reader_.size();
      return std::nullopt;
    }
    offset_ += (uint64_t{*length} + 3) & ~uint64_t{3};
    return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  }

 private:
  template <typename T>
  std::optional<T> Next() {
    const auto value = reader_.Get<T>(offset_);
    offset_ = value ? offset_ + sizeof(T) : reader_.size();
    return value;
  }
  base::SpanReader reader_;
  uint64_t offset_ = 0;
};

}  // namespace run
