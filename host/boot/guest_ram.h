// The machine's RAM: one sealed memory file that the host and QEMU both map.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace boot {

inline constexpr uint64_t kPageSize = 4096;
inline constexpr uint64_t kLargePageSize = 2 * 1024 * 1024;
inline constexpr uint64_t kDeviceHoleBase = 0xC0000000;   // microvm keeps 3 GiB .. 4 GiB free of RAM
inline constexpr uint64_t kHighMemoryBase = 0x100000000;  // RAM beyond 3 GiB continues here
inline constexpr uint64_t kMinimumMemory = 32ull << 20;
inline constexpr uint64_t kMaximumMemory = 64ull << 30;

// A piece of RAM that is contiguous both in guest physical memory and in the file.
struct RamRange {
  uint64_t physical;
  uint64_t size;
  uint64_t file_offset;
};

class GuestRam {
 public:
  // `size` in bytes: a multiple of 2 MiB between kMinimumMemory and kMaximumMemory. Nothing is committed yet.
  static base::Result<GuestRam> Create(uint64_t size);
  // Maps an existing RAM file (from a machine's supervisor). `writable` false maps it read only.
  static base::Result<GuestRam> Adopt(base::UniqueFd fd, bool writable);

  GuestRam() = default;
  GuestRam(GuestRam&& other) noexcept;
  GuestRam& operator=(GuestRam&& other) noexcept;
  ~GuestRam();

  int fd() const { return fd_.get(); }
  uint64_t size() const { return size_; }
  // One range, or two when RAM reaches beyond the hole below 4 GiB.
  std::vector<RamRange> ranges() const;

  // Where [physical, physical + length) lies in the file; nothing when any byte is not RAM. Takes any
  // numbers.
  std::optional<uint64_t> FileOffset(uint64_t physical, uint64_t length) const;
  // The same bytes in memory.
  std::optional<std::span<std::byte>> At(uint64_t physical, uint64_t length) const;
  // As At for one T; null when it is not RAM or not aligned for T.
  template <typename T>
  T* Object(uint64_t physical) const {
    auto bytes = At(physical, sizeof(T));
    if (!bytes || physical % alignof(T) != 0) return nullptr;
    return reinterpret_cast<T*>(bytes->data());
  }
  std::byte* data() const { return data_; }

 private:
  base::Result<void> Map(bool writable);

  base::UniqueFd fd_;
  std::byte* data_ = nullptr;
  uint64_t size_ = 0;
};

}  // namespace boot
