#include "base/mapped_file.h"

#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/unique_fd.h"

namespace base {

Result<MappedFile> MappedFile::Open(const std::string& path) {
  // Not blocking: a named pipe is refused below, not waited for.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) return FailErrno(path, errno);
  return FromFd(fd.get(), Access::kReadOnly, path);
}

Result<MappedFile> MappedFile::FromFd(int fd, Access access, const std::string& name) {
  struct stat status;
  if (::fstat(fd, &status) != 0) return FailErrno(name, errno);
  if (!S_ISREG(status.st_mode)) return Fail(name + ": not a regular file");
  MappedFile file;
  if (status.st_size == 0) return file;
  const bool writable = access == Access::kSharedWritable;
  void* address =
      ::mmap(nullptr, status.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  if (address == MAP_FAILED) return FailErrno(name + ": mmap", errno);
  file.data_ = static_cast<std::byte*>(address);
  file.size_ = status.st_size;
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    Unmap();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

MappedFile::~MappedFile() {
  Unmap();
}

void MappedFile::Unmap() {
  if (data_ != nullptr) ::munmap(data_, size_);
  data_ = nullptr;
  size_ = 0;
}

Result<std::string> ReadWholeFile(const std::string& path) {
  MappedFile file = TRY(MappedFile::Open(path));
  const Bytes bytes = file.bytes();
  return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

}  // namespace base
