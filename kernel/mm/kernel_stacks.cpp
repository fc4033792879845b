// Kernel stacks: pages above an unmapped guard page. A few small ones are kept for the next thread.
#include "mm/mm_internal.h"

namespace mm {
namespace {

constexpr ULONG64 kGuardPages = 1;
constexpr ULONG64 kSmallPages = kKernelStackSize / kPageSize;
constexpr ULONG64 kLargePages = kLargeKernelStackSize / kPageSize;
constexpr ULONG kCachedStacks = 16;

KSPIN_LOCK g_stack_lock;
ULONG64 g_cached[kCachedStacks];  // high ends
ULONG g_cached_count;

ULONG64 TakeCached() {
  ke::SpinGuard guard(&g_stack_lock);
  return g_cached_count == 0 ? 0 : g_cached[--g_cached_count];
}

bool PutCached(ULONG64 high) {
  ke::SpinGuard guard(&g_stack_lock);
  if (g_cached_count == kCachedStacks) return false;
  g_cached[g_cached_count++] = high;
  return true;
}

// Pages of a stack, up from its guard page.
ULONG64 StackPages(ULONG64 high) {
  ULONG64 pages = 0;
  while (pages < kLargePages && Load(PteOf(high - kPageSize * (pages + 1))).u.Hard.Valid != 0) ++pages;
  return pages;
}

void FreeStack(ULONG64 high, ULONG64 pages) {
  RetireRange(g_system_pte_region, high - (pages + kGuardPages) * kPageSize, pages + kGuardPages,
              FreePagesToo::kYes);
}

}  // namespace

void FlushStackCache() {
  while (const ULONG64 high = TakeCached()) FreeStack(high, kSmallPages);
}

}  // namespace mm

extern "C" {

PVOID MmCreateKernelStack(BOOLEAN Large) {
  using namespace mm;
  if (!Large) {
    if (const ULONG64 cached = TakeCached()) return reinterpret_cast<PVOID>(cached);
  }
  const ULONG64 pages = Large ? kLargePages : kSmallPages;
  ULONG64 va = g_system_pte_region.Reserve(pages + kGuardPages);
  if (va == 0 && DrainRetired()) va = g_system_pte_region.Reserve(pages + kGuardPages);
  if (va == 0) return nullptr;
  const ULONG64 low = va + kGuardPages * kPageSize;
  if (!EnsurePageTables(va, 1) || !MapFreshPages(low, pages, Protection::kReadWrite, Zero::kYes)) {
    g_system_pte_region.Release(va, pages + kGuardPages);
    return nullptr;
  }
  return reinterpret_cast<PVOID>(low + pages * kPageSize);
}

VOID MmDeleteKernelStack(PVOID StackBase) {
  using namespace mm;
  const ULONG64 high = Va(StackBase);
  if (!g_system_pte_region.IsReserved(high - kPageSize)) KeBugCheckEx(MEMORY_MANAGEMENT, 0x1239, high, 0, 0);
  const ULONG64 pages = StackPages(high);
  if (pages == kSmallPages && PutCached(high)) return;
  FreeStack(high, pages);
}

}  // extern "C"
