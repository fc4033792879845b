// Payloads of the control rings: u32, u64 and strings (u32 length, UTF-8, padded to 4). Bounded; no NT, no
// allocation.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace ktl {

struct Text {
  const char* data = "";
  size_t length = 0;  // bytes; not zero-terminated
};

class PayloadReader {
 public:
  PayloadReader(const void* data, size_t size) : at_(static_cast<const uint8_t*>(data)), left_(size) {}
  uint32_t U32() { return Scalar<uint32_t>(); }
  uint64_t U64() { return Scalar<uint64_t>(); }
  // Points into the payload: valid while the request is.
  Text String() {
    const uint32_t length = U32();
    const size_t padded = (static_cast<size_t>(length) + 3) & ~size_t{3};
    if (failed_ || padded > left_) return Fail(), Text{};
    Text text{reinterpret_cast<const char*>(at_), length};
    Advance(padded);
    return text;
  }
  const uint8_t* Data() const { return at_; }
  size_t Remaining() const { return left_; }
  bool Failed() const { return failed_; }

 private:
  template <typename T>
  T Scalar() {
    if (failed_ || left_ < sizeof(T)) return Fail(), T{};
    T value;
    __builtin_memcpy(&value, at_, sizeof(T));
    Advance(sizeof(T));
    return value;
  }
  void Advance(size_t bytes) {
    at_ += bytes;
    left_ -= bytes;
  }
  void Fail() {
    failed_ = true;
    left_ = 0;
  }
  const uint8_t* at_;
  size_t left_;
  bool failed_ = false;
};

// Writes into the caller's buffer. What does not fit is left out whole, and Overflowed() says so.
class PayloadWriter {
 public:
  PayloadWriter(void* buffer, size_t capacity) : data_(static_cast<uint8_t*>(buffer)), capacity_(capacity) {}
  void U32(uint32_t value) { Append(&value, sizeof value); }
  void U64(uint64_t value) { Append(&value, sizeof value); }
  void String(const char* text, size_t length) {
    const size_t padded = (length + 3) & ~size_t{3};
    if (overflowed_ || capacity_ - size_ < 4 || capacity_ - size_ - 4 < padded) {
      overflowed_ = true;
      return;
    }
    U32(static_cast<uint32_t>(length));
    Append(text, length);
    static constexpr uint8_t kZero[4] = {};
    Append(kZero, padded - length);
  }
  void String(Text text) { String(text.data, text.length); }
  void String(const char* text) {
    size_t length = 0;
    while (text[length] != 0) ++length;
    String(text, length);
  }
  void Append(const void* bytes, size_t length) {
    if (overflowed_ || capacity_ - size_ < length) {
      overflowed_ = true;
      return;
    }
    for (size_t i = 0; i < length; ++i) data_[size_ + i] = static_cast<const uint8_t*>(bytes)[i];
    size_ += length;
  }
  // For a count that is known only at the end: the offset of a u32 written now, patched later.
  size_t ReserveU32() {
    const size_t at = size_;
    U32(0);
    return at;
  }
  void PatchU32(size_t at, uint32_t value) {
    if (at + sizeof value <= size_) __builtin_memcpy(data_ + at, &value, sizeof value);
  }
  const uint8_t* Data() const { return data_; }
  size_t Size() const { return size_; }
  bool Overflowed() const { return overflowed_; }

 private:
  uint8_t* data_;
  size_t capacity_;
  size_t size_ = 0;
  bool overflowed_ = false;
};

}  // namespace ktl
