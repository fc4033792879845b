#include "boot/page_allocator.h"

#include <algorithm>

namespace boot {
namespace {

constexpr uint64_t kLowMemoryTopPage = 0x9F;  // microvm's firmware keeps 0x9fc00 .. 1 MiB
constexpr uint64_t kOneMegabytePage = 0x100;

void Append(std::vector<MemoryDescriptor>& list, MemoryType type, uint64_t base, uint64_t count) {
  if (count == 0) return;
  if (!list.empty() && list.back().type == type && list.back().base_page + list.back().page_count == base) {
    list.back().page_count += count;
    return;
  }
  list.push_back({type, 0, base, count});
}

}  // namespace

base::Result<uint64_t> PageAllocator::Allocate(uint64_t pages, MemoryType type) {
  const uint64_t low_top = std::min(ram_.size(), kDeviceHoleBase);
  if (pages == 0 || pages > (low_top - next_) / kPageSize) {
    return base::Fail("the machine has too little memory for the kernel and its boot files");
  }
  const uint64_t physical = next_;
  next_ += pages * kPageSize;
  Append(used_, type, physical / kPageSize, pages);
  return physical;
}

std::vector<MemoryDescriptor> PageAllocator::Descriptors() const {
  std::vector<MemoryDescriptor> list;
  // Page 0 stays out of use, so that physical address 0 is never valid.
  Append(list, MemoryType::kFirmwarePermanent, 0, 1);
  Append(list, MemoryType::kFree, 1, kLowMemoryTopPage - 1);
  Append(list, MemoryType::kFirmwarePermanent, kLowMemoryTopPage, kOneMegabytePage - kLowMemoryTopPage);
  // The stub, its hand-off block and nothing else; free once the kernel runs on its own tables.
  Append(list, MemoryType::kFirmwareTemporary, kOneMegabytePage,
         kLoaderFirstPhysical / kPageSize - kOneMegabytePage);
  for (const MemoryDescriptor& used : used_) Append(list, used.type, used.base_page, used.page_count);
  const uint64_t next_page = next_ / kPageSize;
  for (const RamRange& range : ram_.ranges()) {
    const uint64_t end = (range.physical + range.size) / kPageSize;
    const uint64_t begin = std::max(range.physical / kPageSize, range.physical == 0 ? next_page : 0);
    Append(list, MemoryType::kFree, begin, end - begin);
  }
  return list;
}

}  // namespace boot
