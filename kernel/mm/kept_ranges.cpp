// A processor's stock of small ranges that were just unmapped: most frees of a few pages are followed by an
// allocation of as many, which takes the same addresses with the same pages again. Nobody else is asked then:
// no lock of the region or of the pages, no flush of other processors' TLBs. What a TLB may still hold for
// such an address is the very page that it gets again, with the same protection; between free and allocation
// the PTE is zero, as after any free.
#include "mm/kept_ranges.h"

#include "ke/ke.h"
#include "mm/short_lock.h"

namespace mm {
namespace {

constexpr ULONG kKinds = 2;  // protections: read-write, and with execute
constexpr ULONG kDepth = 8;

struct Kept {
  ULONG64 va;
  PFN_NUMBER first_page;  // chain through MMPFN.u1.Flink, the range's last page first
};
struct Stack {
  ShortLock lock;
  ULONG count;
  Kept entries[kDepth];
};
struct Stacks {
  Stack of[kKinds][kLargestKeptRange];
};

Stacks* g_stacks;  // g_processors
ULONG g_processors;

Stack& StackFor(Protection protection, ULONG64 pages) {
  const ULONG kind = protection == Protection::kExecuteReadWrite ? 1 : 0;
  // A thread that moves to another processor right afterwards uses this one's: the lock allows it.
  return g_stacks[KeCurrentProcessor() % g_processors].of[kind][pages - 1];
}

bool Push(Stack& stack, const Kept& range) {
  InterruptGuard guard(stack.lock);
  if (stack.count == kDepth) return false;
  stack.entries[stack.count++] = range;
  return true;
}

bool Pop(Stack& stack, Kept* range) {
  InterruptGuard guard(stack.lock);
  if (stack.count == 0) return false;
  *range = stack.entries[--stack.count];
  return true;
}

// An MDL of somebody who forgot it: such a page has its own way back.
bool AnyLocked(PFN_NUMBER page) {
  for (; page != kNoPage; page = MmPfnDatabase[page].u1.Flink) {
    if (MmPfnDatabase[page].u3.ReferenceCount != 1) return true;
  }
  return false;
}

}  // namespace

bool InitKeptRanges(ULONG processors) {
  const PFN_NUMBER pages = MmAllocateContiguousPages(PagesFor(processors * sizeof(Stacks)));
  if (pages == kNoPage) return false;
  g_processors = processors;
  g_stacks = static_cast<Stacks*>(PageAddress(pages));
  return true;
}

bool KeepRange(ULONG64 va, ULONG64 pages, Protection protection, PFN_NUMBER chain) {
  if (pages > kLargestKeptRange || g_stacks == nullptr || AnyLocked(chain)) return false;
  return Push(StackFor(protection, pages), {va, chain});
}

ULONG64 TakeKeptRange(ULONG64 pages, Protection protection, Zero zero) {
  Kept range;
  if (pages > kLargestKeptRange || g_stacks == nullptr || !Pop(StackFor(protection, pages), &range)) return 0;
  PFN_NUMBER page = range.first_page;
  for (ULONG64 i = pages; i-- > 0;) {
    const PFN_NUMBER next = MmPfnDatabase[page].u1.Flink;
    if (zero == Zero::kYes) ZeroPage(page);
    SetPageOwner(page, PteOf(range.va) + i, PageLocation::kActive);
    Store(PteOf(range.va) + i, ValidPte(page, protection));
    page = next;
  }
  return range.va;
}

bool DrainKeptRanges(void (*release)(ULONG64 va, ULONG64 pages, PFN_NUMBER chain)) {
  bool any = false;
  for (ULONG processor = 0; processor < g_processors; ++processor) {
    for (auto& kind : g_stacks[processor].of) {
      for (ULONG64 pages = 1; pages <= kLargestKeptRange; ++pages) {
        for (Kept range; Pop(kind[pages - 1], &range); any = true) release(range.va, pages, range.first_page);
      }
    }
  }
  return any;
}

}  // namespace mm
