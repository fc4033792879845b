// A file mapped into memory, read only or shared and writable.
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "base/result.h"
#include "base/span_reader.h"

namespace base {

class MappedFile {
 public:
  enum class Access { kReadOnly, kSharedWritable };

  // Maps a whole regular file. An empty file gives an empty span. Errors name the path.
  static Result<MappedFile> Open(const std::string& path);
  // Maps [0, fstat size) of `fd`, which the caller keeps and may close. Shared: others' stores are seen.
  static Result<MappedFile> FromFd(int fd, Access access, const std::string& name);

  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  Bytes bytes() const { return {data_, size_}; }
  // Only for kSharedWritable.
  std::span<std::byte> writable() { return {data_, size_}; }
  size_t size() const { return size_; }

 private:
  void Unmap();

  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// The whole file as a string.
Result<std::string> ReadWholeFile(const std::string& path);

}  // namespace base
