#include "dump/dump_writer.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/unique_fd.h"

namespace dump {
namespace {

using boot::GuestRam;
using boot::kPageSize;

// Offsets in DUMP_HEADER64.
constexpr uint64_t kHeaderSize = 0x2000;
constexpr uint64_t kSignature = 0x34365544'45474150;  // "PAGEDU64"
constexpr uint64_t kRunCountAt = 0x88;
constexpr uint64_t kPageCountAt = 0x90;
constexpr uint64_t kRunsAt = 0x98;
constexpr uint64_t kDumpTypeAt = 0xF98;
constexpr uint64_t kRequiredSpaceAt = 0xFA0;
constexpr uint32_t kMaxRuns = 42;
constexpr uint64_t kMaxBlob = 16 << 20;
// The bitmap header that follows it in type 5.
constexpr uint64_t kBitmapHeaderSize = 0x38;
constexpr uint64_t kBitmapSignature = 0x504D5544'504D4446;  // "FDMPDUMP"
constexpr uint64_t kWriteWindow = 8 << 20;  // RAM mapped at a time: keeps our resident size small
constexpr uint64_t kLargePiece = 64 << 10;
constexpr char kZeros[64 << 10] = {};

template <typename T>
T Get(const std::vector<std::byte>& bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

template <typename T>
void Put(std::vector<std::byte>& bytes, uint64_t offset, T value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

struct PageRun {
  uint64_t base_page;
  uint64_t page_count;
};

// The pieces of the RAM file that hold data; the rest was never touched and reads as zero.
std::vector<std::pair<uint64_t, uint64_t>> DataExtents(const GuestRam& ram) {
  std::vector<std::pair<uint64_t, uint64_t>> extents;
  for (off_t at = 0;;) {
    const off_t data = lseek(ram.fd(), at, SEEK_DATA);
    if (data < 0) return extents;
    off_t hole = lseek(ram.fd(), data, SEEK_HOLE);
    if (hole < 0) hole = static_cast<off_t>(ram.size());
    extents.emplace_back(data, hole);
    at = hole;
  }
}

class Writer {
 public:
  Writer(const GuestRam& ram, base::UniqueFd file)
      : ram_(ram), file_(std::move(file)), extents_(DataExtents(ram)) {}

  int fd() const { return file_.get(); }
  base::Result<void> WriteBytes(const std::vector<std::byte>& bytes, uint64_t offset);
  // Appends the pages of `run` at the current place.
  base::Result<void> AppendRun(const PageRun& run);
  base::Result<void> Flush();
  void SetPosition(uint64_t position) { position_ = position; }
  uint64_t position() const { return position_; }

 private:
  base::Result<void> Queue(uint64_t ram_offset, uint64_t length, uint64_t file_offset);
  base::Result<void> SendLarge(uint64_t ram_offset, uint64_t length, uint64_t file_offset);

  const GuestRam& ram_;
  base::UniqueFd file_;
  std::vector<std::pair<uint64_t, uint64_t>> extents_;
  uint64_t position_ = 0;
  std::vector<iovec> queue_;
  uint64_t queue_offset_ = 0;
  uint64_t queue_bytes_ = 0;
};

base::Result<void> Writer::WriteBytes(const std::vector<std::byte>& bytes, uint64_t offset) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t wrote =
        pwrite(fd(), bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return base::FailErrno("writing", wrote == 0 ? ENOSPC : errno);
    done += wrote;
  }
  return {};
}

base::Result<void> Writer::Flush() {
  size_t first = 0;
  while (first < queue_.size()) {
    const int count = static_cast<int>(std::min<size_t>(queue_.size() - first, 1024));
    ssize_t wrote = pwritev(fd(), &queue_[first], count, static_cast<off_t>(queue_offset_));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return base::FailErrno("writing", wrote == 0 ? ENOSPC : errno);
    queue_offset_ += wrote;
    while (wrote > 0) {
      iovec& entry = queue_[first];
      const size_t part = std::min<size_t>(wrote, entry.iov_len);
      entry.iov_base = static_cast<char*>(entry.iov_base) + part;
      entry.iov_len -= part;
      wrote -= static_cast<ssize_t>(part);
      if (entry.iov_len == 0) first++;
    }
  }
  queue_.clear();
  if (queue_bytes_ != 0)
    madvise(ram_.data(), ram_.size(), MADV_DONTNEED);  // a shared file: only our mapping goes
  queue_bytes_ = 0;
  return {};
}

base::Result<void> Writer::Queue(uint64_t ram_offset, uint64_t length, uint64_t file_offset) {
  if (length >= kLargePiece) {
    TRY(Flush());
    return SendLarge(ram_offset, length, file_offset);
  }
  if (!queue_.empty() && queue_bytes_ + length > kWriteWindow) TRY(Flush());
  if (queue_.empty()) queue_offset_ = file_offset;
  const uint64_t gap = file_offset - queue_offset_ - queue_bytes_;
  if (gap > sizeof(kZeros)) {
    TRY(Flush());
    queue_offset_ = file_offset;
  } else if (gap != 0) {  // a few zeros cost less than another system call
    queue_.push_back({const_cast<char*>(kZeros), gap});
    queue_bytes_ += gap;
  }
  char* source = reinterpret_cast<char*>(ram_.data() + ram_offset);
  if (!queue_.empty() && static_cast<char*>(queue_.back().iov_base) + queue_.back().iov_len == source) {
    queue_.back().iov_len += length;
  } else {
    queue_.push_back({source, length});
  }
  queue_bytes_ += length;
  return {};
}

// From file to file inside the kernel: our mapping is not touched.
base::Result<void> Writer::SendLarge(uint64_t ram_offset, uint64_t length, uint64_t file_offset) {
  if (lseek(fd(), static_cast<off_t>(file_offset), SEEK_SET) < 0) return base::FailErrno("writing", errno);
  auto from = static_cast<off_t>(ram_offset);
  while (length != 0) {
    const ssize_t sent = sendfile(fd(), ram_.fd(), &from, length);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return base::FailErrno("writing", sent == 0 ? EIO : errno);
    length -= static_cast<uint64_t>(sent);
  }
  return {};
}

base::Result<void> Writer::AppendRun(const PageRun& run) {
  const uint64_t length = run.page_count * kPageSize;
  const auto begin = ram_.FileOffset(run.base_page * kPageSize, length);
  if (!begin) return base::Fail("a memory run of the dump is not RAM");
  const uint64_t end = *begin + length;
  auto extent = std::upper_bound(extents_.begin(), extents_.end(), *begin,
                                 [](uint64_t value, const auto& item) { return value < item.second; });
  for (; extent != extents_.end() && extent->first < end; ++extent) {
    const uint64_t from = std::max(extent->first, *begin);
    const uint64_t to = std::min(extent->second, end);
    TRY(Queue(from, to - from, position_ + (from - *begin)));
  }
  position_ += length;
  return {};
}

// The guest's own description of its memory, if it is sane; else all RAM.
std::vector<PageRun> HeaderRuns(const GuestRam& ram, std::vector<std::byte>& header) {
  const uint32_t count = Get<uint32_t>(header, kRunCountAt);
  std::vector<PageRun> runs;
  uint64_t total = 0;
  bool good = count >= 1 && count <= kMaxRuns;
  for (uint32_t i = 0; good && i < count; i++) {
    const auto run = Get<PageRun>(header, kRunsAt + i * sizeof(PageRun));
    good = run.page_count != 0 && run.base_page < UINT64_MAX / kPageSize &&
           run.page_count <= ram.size() / kPageSize &&
           ram.FileOffset(run.base_page * kPageSize, run.page_count * kPageSize).has_value() &&
           (runs.empty() || run.base_page >= runs.back().base_page + runs.back().page_count);
    total += run.page_count;
    runs.push_back(run);
  }
  if (good && total == Get<uint64_t>(header, kPageCountAt)) return runs;
  runs.clear();
  total = 0;
  for (const boot::RamRange& range : ram.ranges()) {
    Put(header, kRunsAt + runs.size() * sizeof(PageRun),
        PageRun{range.physical / kPageSize, range.size / kPageSize});
    runs.push_back({range.physical / kPageSize, range.size / kPageSize});
    total += range.size / kPageSize;
  }
  Put(header, kRunCountAt, static_cast<uint32_t>(runs.size()));
  Put(header, kPageCountAt, total);
  return runs;
}

// The guest's bitmap with the bits of pages that are not RAM taken out; empty when there is none or it is
// impossible.
std::vector<uint64_t> GuestBitmap(const GuestRam& ram, const boot::DumpDescription& description) {
  const uint64_t bits = description.bitmap_bits;
  if (bits == 0 || bits % 64 != 0 || bits / 8 > ram.size()) return {};
  const auto bytes = ram.At(description.bitmap_physical, bits / 8);
  if (!bytes) return {};
  const boot::RamRange last = ram.ranges().back();
  const uint64_t highest = (last.physical + last.size) / kPageSize;
  std::vector<uint64_t> words(std::min(bits, (highest + 63) / 64 * 64) / 64);
  std::memcpy(words.data(), bytes->data(), words.size() * sizeof(uint64_t));
  for (uint64_t word = 0; word < words.size(); word++) {
    if (words[word] == 0) continue;
    if (ram.FileOffset(word * 64 * kPageSize, 64 * kPageSize)) continue;
    for (int bit = 0; bit < 64; bit++) {
      if (!ram.FileOffset((word * 64 + bit) * kPageSize, kPageSize)) words[word] &= ~(1ull << bit);
    }
  }
  return words;
}

std::vector<PageRun> BitmapRuns(const std::vector<uint64_t>& words) {
  std::vector<PageRun> runs;
  for (uint64_t word = 0; word < words.size(); word++) {
    for (uint64_t left = words[word]; left != 0;) {
      const int start = std::countr_zero(left);
      const int length = std::countr_one(left >> start);
      const uint64_t page = word * 64 + start;
      if (!runs.empty() && runs.back().base_page + runs.back().page_count == page) {
        runs.back().page_count += length;
      } else {
        runs.push_back({page, static_cast<uint64_t>(length)});
      }
      left = start + length >= 64 ? 0 : left & (~0ull << (start + length));
    }
  }
  return runs;
}

uint64_t CountPages(const std::vector<PageRun>& runs) {
  uint64_t pages = 0;
  for (const PageRun& run : runs) pages += run.page_count;
  return pages;
}

std::vector<std::byte> BitmapHeader(const std::vector<uint64_t>& words, uint64_t first_page, uint64_t pages) {
  std::vector<std::byte> bytes(kBitmapHeaderSize + words.size() * 8);
  Put(bytes, 0, kBitmapSignature);
  Put(bytes, 0x20, first_page);
  Put(bytes, 0x28, pages);
  Put(bytes, 0x30, static_cast<uint64_t>(words.size() * 64));
  std::memcpy(bytes.data() + kBitmapHeaderSize, words.data(), words.size() * 8);
  return bytes;
}

base::Result<DumpStatistics> WriteInto(Writer& writer, const GuestRam& ram,
                                       const boot::DumpDescription& description, DumpType type) {
  const auto guest_header = ram.At(description.header_physical, kHeaderSize);
  if (!guest_header) return base::Fail("the machine's dump header is not in its memory");
  std::vector<std::byte> header(guest_header->begin(), guest_header->end());
  if (Get<uint64_t>(header, 0) != kSignature)
    return base::Fail("the machine's dump header has no PAGEDU64 signature");
  std::vector<PageRun> runs = HeaderRuns(ram, header);
  const std::vector<uint64_t> bitmap =
      type == DumpType::kKernel ? GuestBitmap(ram, description) : std::vector<uint64_t>();
  DumpStatistics statistics{.type = bitmap.empty() ? DumpType::kFull : DumpType::kKernel};
  uint64_t first_page = kHeaderSize;
  if (statistics.type == DumpType::kKernel) {
    runs = BitmapRuns(bitmap);
    // Readers want it page aligned.
    first_page =
        (kHeaderSize + kBitmapHeaderSize + bitmap.size() * 8 + kPageSize - 1) / kPageSize * kPageSize;
    TRY(writer.WriteBytes(BitmapHeader(bitmap, first_page, CountPages(runs)), kHeaderSize));
  }
  statistics.pages = CountPages(runs);
  statistics.bytes = first_page + statistics.pages * kPageSize;
  Put(header, kDumpTypeAt, static_cast<uint32_t>(statistics.type));
  Put(header, kRequiredSpaceAt, statistics.bytes);
  TRY(writer.WriteBytes(header, 0));
  writer.SetPosition(first_page);
  for (const PageRun& run : runs) TRY(writer.AppendRun(run));
  TRY(writer.Flush());
  // Tagged data of drivers follows the pages, as in Windows's files.
  const auto blob = ram.At(description.blob_physical, description.blob_bytes);
  if (description.blob_bytes != 0 && description.blob_bytes <= kMaxBlob && blob) {
    TRY(writer.WriteBytes(std::vector<std::byte>(blob->begin(), blob->end()), statistics.bytes));
    statistics.bytes += description.blob_bytes;
  }
  if (ftruncate(writer.fd(), static_cast<off_t>(statistics.bytes)) != 0)
    return base::FailErrno("writing", errno);
  return statistics;
}

// To a new file, sharing extents where the file system can. False with errno.
bool CopyFile(const std::string& from, const std::string& to) {
  base::UniqueFd source(open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!source) return false;
  base::UniqueFd target(open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  struct stat status{};
  if (!target || fstat(source.get(), &status) != 0) return false;
  if (ioctl(target.get(), FICLONE, source.get()) == 0) return true;
  for (off_t left = status.st_size; left != 0;) {
    const ssize_t part = sendfile(target.get(), source.get(), nullptr, static_cast<size_t>(left));
    if (part == 0) errno = EIO;  // the source became shorter
    if (part <= 0) return false;
    left -= part;
  }
  return true;
}

std::string TemporaryName(const std::string& path) {
  return fmt::format("{}.{}.partial", path, getpid());
}

}  // namespace

base::Result<DumpStatistics> WriteDump(const GuestRam& ram, const boot::DumpDescription& description,
                                       DumpType type, const std::string& path) {
  const std::string what = "cannot write the dump " + path;
  const std::string temporary = TemporaryName(path);
  base::UniqueFd file(open(temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!file) return base::FailErrno(what, errno);
  Writer writer(ram, std::move(file));
  auto statistics = WriteInto(writer, ram, description, type);
  if (!statistics) {
    unlink(temporary.c_str());
    return base::Wrap(what, statistics.error());
  }
  // An older dump goes first: to rename over a file makes file systems write the new one to the disk at once.
  unlink(path.c_str());
  if (rename(temporary.c_str(), path.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return base::FailErrno(what, error);
  }
  return statistics;
}

base::Result<void> DuplicateDump(const std::string& from, const std::string& to) {
  const std::string what = "cannot write the dump " + to;
  const std::string temporary = TemporaryName(to);
  unlink(temporary.c_str());
  const bool done = link(from.c_str(), temporary.c_str()) == 0 || CopyFile(from, temporary);
  if (done) unlink(to.c_str());  // as above
  if (!done || rename(temporary.c_str(), to.c_str()) != 0) {
    const int error = errno;
    unlink(temporary.c_str());
    return base::FailErrno(what, error);
  }
  unlink(temporary.c_str());  // rename of two links to one file leaves the old name in place
  return {};
}

}  // namespace dump
