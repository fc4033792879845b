#include "boot/guest_ram.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

namespace boot {

base::Result<GuestRam> GuestRam::Create(uint64_t size) {
  if (size < kMinimumMemory) {
    return base::Fail(fmt::format("{} MiB of memory are too little: the machine needs at least {} MiB",
                                  size >> 20, kMinimumMemory >> 20));
  }
  if (size > kMaximumMemory) {
    return base::Fail(fmt::format("{} MiB of memory are too much: the machine takes at most {} MiB",
                                  size >> 20, kMaximumMemory >> 20));
  }
  if (size % kLargePageSize != 0) return base::Fail("the memory size must be a multiple of 2 MiB");
  GuestRam ram;
  ram.fd_.Reset(memfd_create("bugcheck-ram", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!ram.fd_) return base::FailErrno("cannot create the machine's memory", errno);
  if (ftruncate(ram.fd(), static_cast<off_t>(size)) != 0) {
    return base::FailErrno(fmt::format("cannot size the machine's memory to {} MiB", size >> 20), errno);
  }
  // Nobody may shrink the file under our mapping.
  if (fcntl(ram.fd(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return base::FailErrno("cannot seal the machine's memory", errno);
  }
  ram.size_ = size;
  TRY(ram.Map(true));
  return ram;
}

base::Result<GuestRam> GuestRam::Adopt(base::UniqueFd fd, bool writable) {
  struct stat status{};
  if (fstat(fd.get(), &status) != 0) return base::FailErrno("cannot look at the machine's memory", errno);
  GuestRam ram;
  ram.fd_ = std::move(fd);
  ram.size_ = static_cast<uint64_t>(status.st_size);
  if (ram.size_ < kMinimumMemory || ram.size_ % kLargePageSize != 0) {
    return base::Fail("the machine's memory file has an impossible size");
  }
  TRY(ram.Map(writable));
  return ram;
}

base::Result<void> GuestRam::Map(bool writable) {
  const int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
  void* address = mmap(nullptr, size_, protection, MAP_SHARED | MAP_NORESERVE, fd(), 0);
  if (address == MAP_FAILED) return base::FailErrno("cannot map the machine's memory", errno);
  data_ = static_cast<std::byte*>(address);
  return {};
}

GuestRam::GuestRam(GuestRam&& other) noexcept
    : fd_(std::move(other.fd_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

GuestRam& GuestRam::operator=(GuestRam&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) munmap(data_, size_);
    fd_ = std::move(other.fd_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

GuestRam::~GuestRam() {
  if (data_ != nullptr) munmap(data_, size_);
}

std::vector<RamRange> GuestRam::ranges() const {
  if (size_ <= kDeviceHoleBase) return {{0, size_, 0}};
  return {{0, kDeviceHoleBase, 0}, {kHighMemoryBase, size_ - kDeviceHoleBase, kDeviceHoleBase}};
}

std::optional<uint64_t> GuestRam::FileOffset(uint64_t physical, uint64_t length) const {
  for (const RamRange& range : ranges()) {
    if (physical < range.physical) continue;
    const uint64_t offset = physical - range.physical;
    if (offset <= range.size && length <= range.size - offset) return range.file_offset + offset;
  }
  return std::nullopt;
}

std::optional<std::span<std::byte>> GuestRam::At(uint64_t physical, uint64_t length) const {
  const auto offset = FileOffset(physical, length);
  if (!offset) return std::nullopt;
  return std::span(data_ + *offset, length);
}

}  // namespace boot
