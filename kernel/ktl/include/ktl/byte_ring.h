// One side of a boot::Ring: bytes through shared memory. The other side is another machine and is not
// trusted: its index is only used after it was checked against the ring's size. `T` has volatile u64 head and
// tail.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace ktl {

template <typename T>
class RingWriter {
 public:
  RingWriter() = default;
  RingWriter(T* ring, uint8_t* data, uint32_t size) : ring_(ring), data_(data), size_(size) {}

  size_t Free() const {
    const uint64_t used = ring_->head - __atomic_load_n(&ring_->tail, __ATOMIC_ACQUIRE);
    return used > size_ ? 0 : static_cast<size_t>(size_ - used);  // used > size: the reader broke the rules
  }
  // Stages bytes behind `offset` staged ones; the reader sees them at Publish. The caller asked Free() first.
  void Stage(size_t offset, const void* bytes, size_t length) {
    const uint64_t start = ring_->head + offset;
    const uint8_t* from = static_cast<const uint8_t*>(bytes);
    for (size_t i = 0; i < length; ++i) data_[(start + i) & (size_ - 1)] = from[i];
  }
  void Publish(size_t length) { __atomic_store_n(&ring_->head, ring_->head + length, __ATOMIC_RELEASE); }
  bool Write(const void* bytes, size_t length) {
    if (length > Free()) return false;
    Stage(0, bytes, length);
    Publish(length);
    return true;
  }

 private:
  T* ring_ = nullptr;
  uint8_t* data_ = nullptr;
  uint32_t size_ = 0;  // a power of two
};

template <typename T>
class RingReader {
 public:
  RingReader() = default;
  RingReader(T* ring, const uint8_t* data, uint32_t size) : ring_(ring), data_(data), size_(size) {}

  // Bytes ready; more than the ring holds means that the writer broke the rules.
  size_t Available() const {
    return static_cast<size_t>(__atomic_load_n(&ring_->head, __ATOMIC_ACQUIRE) - ring_->tail);
  }
  bool Broken() const { return Available() > size_; }
  void Peek(size_t offset, void* bytes, size_t length) const {
    const uint64_t start = ring_->tail + offset;
    uint8_t* to = static_cast<uint8_t*>(bytes);
    for (size_t i = 0; i < length; ++i) to[i] = data_[(start + i) & (size_ - 1)];
  }
  void Consume(size_t length) { __atomic_store_n(&ring_->tail, ring_->tail + length, __ATOMIC_RELEASE); }

 private:
  T* ring_ = nullptr;
  const uint8_t* data_ = nullptr;
  uint32_t size_ = 0;
};

}  // namespace ktl
