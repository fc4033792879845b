// Special pool: every allocation has a page of its own between pages that are never there, so that the first
// byte behind (or in front of) a block faults, and a freed block's page is gone at once: on the processor
// that freed it always, on the others too unless very many are freed one after the other.
//
// The addresses of a freed block are used again as late as possible: first come, first served.
#include "ex/pool_internal.h"
#include "hal/hal.h"

#pragma code_seg("POOLCODE")

extern "C" {
uint64_t MmSpecialPoolStart, MmSpecialPoolEnd;
PMI_SPECIAL_POOL_SLOT MiSpecialPoolSlots;
uint64_t MiSpecialPoolSlotCount, MiSpecialPoolPagedSlots;
ULONG MmSpecialPoolTag;
ULONG64 MiSpecialPagesInUse;
ULONG64 MiSpecialPagesPeak;
}

namespace ex {
namespace {

constexpr ULONG64 kBase = 0xFFFFAF00'00000000;
constexpr ULONG64 kSlotBytes = 2 * kPageSize;
constexpr ULONG64 kMostBytes = kPageSize - 16;
constexpr ULONG kNoSlot = ~0u;

constexpr ULONG kSpecialPoolCorruption = 0xC1;  // and its kinds:
constexpr ULONG kNotAllocatedThere = 0x20, kBadAddress = 0x21, kNearbyBytes = 0x23, kBytesBehind = 0x24,
                kFreeIrql = 0x31, kSingleBit = 0x32;

// Slots that nobody uses, the longest unused first. A ring of `count` indices.
struct SlotQueue {
  ULONG* ring;
  ULONG count;
  ULONG head;
  ULONG used;
  KSPIN_LOCK lock;

  ULONG Take() {
    ke::SpinGuard guard(&lock);
    if (used == 0) return kNoSlot;
    const ULONG slot = ring[head];
    head = (head + 1) % count;
    --used;
    return slot;
  }
  void Give(ULONG slot) {
    ke::SpinGuard guard(&lock);
    ring[(head + used++) % count] = slot;
  }
};
SlotQueue g_queues[2];  // nonpaged, paged

ULONG64 PageOf(ULONG slot) {
  return MmSpecialPoolStart + slot * kSlotBytes;
}

PVOID AllocateTable(ULONG64 bytes) {
  const PFN_NUMBER pages = MmAllocateContiguousPages(mm::PagesFor(bytes));
  return pages == mm::kNoPage ? nullptr : mm::PageAddress(pages);
}

bool InitQueue(SlotQueue& queue, ULONG first, ULONG count) {
  queue.ring = static_cast<ULONG*>(AllocateTable(count * sizeof(ULONG)));
  if (queue.ring == nullptr) return false;
  queue.count = count;
  for (ULONG i = 0; i < count; ++i) queue.Give(first + i);
  return true;
}

// At the first use: most machines never need the tables.
bool Init() {
  static volatile LONG state;  // 0 nothing, 1 on its way, 2 done, 3 no memory
  LONG seen = 0;
  if (!__atomic_compare_exchange_n(&state, &seen, 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    return seen == 2;
  }
  const ULONG64 wanted = MmNumberOfPhysicalPages / 4;
  const ULONG nonpaged = static_cast<ULONG>(wanted < 4096 ? 4096 : wanted > 65536 ? 65536 : wanted);
  const ULONG paged = nonpaged / 2;
  auto* slots = static_cast<PMI_SPECIAL_POOL_SLOT>(
      AllocateTable((static_cast<ULONG64>(nonpaged) + paged) * sizeof(MI_SPECIAL_POOL_SLOT)));
  // Slot 0 has no guard page in front.
  const bool done =
      slots != nullptr && InitQueue(g_queues[0], 1, nonpaged - 1) && InitQueue(g_queues[1], nonpaged, paged);
  if (done) {
    MiSpecialPoolSlots = slots;
    MiSpecialPoolPagedSlots = nonpaged;
    MiSpecialPoolSlotCount = static_cast<ULONG64>(nonpaged) + paged;
    MmSpecialPoolEnd = MmSpecialPoolStart + MiSpecialPoolSlotCount * kSlotBytes;
  }
  __atomic_store_n(&state, done ? 2 : 3, __ATOMIC_RELEASE);
  return done;
}

void Place(const PoolRequest& request, MI_SPECIAL_POOL_SLOT& slot) {
  const ULONG64 alignment = request.cache_aligned ? 64 : 16;
  slot.Underrun = request.special == SpecialPool::kUnderrun;
  slot.NumberOfBytes = static_cast<ULONG>(request.bytes);
  const ULONG64 room = request.bytes == 0 ? 16 : request.bytes;
  slot.Offset = slot.Underrun ? 0 : static_cast<ULONG>((kPageSize - room) & ~(alignment - 1));
  slot.Tag = request.tag;
  slot.PoolType = static_cast<uint8_t>(PoolOf(request.kind).paged);
  slot.AllocatorCaller = request.caller;
  slot.AllocatorThread = KeGetCurrentThread();
  slot.FreeCaller = slot.FreeThread = nullptr;
}

// The first byte of [from, to) of a page that does not hold the fill byte; kPageSize: all do.
ULONG64 FirstDifferent(const UCHAR* page, ULONG64 from, ULONG64 to, UCHAR fill) {
  for (ULONG64 i = from; i < to; ++i) {
    if (page[i] != fill) return i;
  }
  return kPageSize;
}

void CheckAround(const MI_SPECIAL_POOL_SLOT& slot, const UCHAR* page) {
  const ULONG64 block = Va(page) + slot.Offset;
  const ULONG64 end = slot.Offset + slot.NumberOfBytes;
  ULONG64 wrong = FirstDifferent(page, end, kPageSize, slot.FillByte);
  if (wrong != kPageSize) {
    KeBugCheckEx(kSpecialPoolCorruption, block, Va(page) + wrong, 0, kBytesBehind);
  }
  wrong = FirstDifferent(page, 0, slot.Offset, slot.FillByte);
  if (wrong == kPageSize) return;
  const unsigned bits = page[wrong] ^ slot.FillByte;
  const bool alone = FirstDifferent(page, wrong + 1, slot.Offset, slot.FillByte) == kPageSize;
  const bool one_bit = alone && (bits & (bits - 1)) == 0;
  KeBugCheckEx(kSpecialPoolCorruption, block, Va(page) + wrong, 0, one_bit ? kSingleBit : kNearbyBytes);
}

// Freed slots whose pages other processors may still have in their TLBs. A free flushes all of them at once,
// unless frees come so often that flushing would take most of the time: then they gather, kBatch at most.
constexpr ULONG kBatch = 64;
constexpr LONGLONG kMillisecond = hal::kPerformanceFrequency / 1000;
struct Departing {
  PFN_NUMBER page;
  ULONG slot;
};
Departing g_departing[kBatch];
ULONG g_departing_count;
ULONG g_flushes;        // on their way
LONGLONG g_next_flush;  // not before this time, unless the batch is full
KSPIN_LOCK g_departing_lock;

LONGLONG Now() {
  return KeQueryPerformanceCounter(nullptr).QuadPart;
}

// Moves the departing slots out for FinishDeparture; their number, 0 while the batch may still grow.
ULONG TakeDeparting(Departing* taken, bool now) {
  if (!now && g_departing_count < kBatch && (g_flushes != 0 || Now() < g_next_flush)) return 0;
  const ULONG count = g_departing_count;
  for (ULONG i = 0; i < count; ++i) taken[i] = g_departing[i];
  g_departing_count = 0;
  if (count != 0) ++g_flushes;
  return count;
}

void FinishDeparture(const Departing* taken, ULONG count) {
  if (count == 0) return;
  const LONGLONG start = Now();
  if (count == 1) {
    KeFlushSingleTb(reinterpret_cast<PVOID>(PageOf(taken[0].slot)));
  } else {
    KeFlushEntireTb(TRUE, TRUE);
  }
  for (ULONG i = 0; i < count; ++i) {
    mm::FreePage(taken[i].page);
    g_queues[taken[i].slot >= MiSpecialPoolPagedSlots ? 1 : 0].Give(taken[i].slot);
  }
  ke::SpinGuard guard(&g_departing_lock);
  --g_flushes;
  const LONGLONG end = Now();
  g_next_flush = end + kMillisecond + 8 * (end - start);
}

// Takes the page away; it and its addresses serve again when no processor can reach it any more.
void RemovePage(ULONG slot) {
  const ULONG64 va = PageOf(slot);
  const MMPTE old = mm::Exchange(mm::PteOf(va), MMPTE{});
  mm::FlushPage(va);
  const PFN_NUMBER page = old.u.Hard.Valid != 0 ? old.u.Hard.PageFrameNumber : old.u.Trans.PageFrameNumber;
  Departing taken[kBatch];
  ULONG count = 0;
  {
    ke::SpinGuard guard(&g_departing_lock);
    g_departing[g_departing_count++] = {page, slot};
    count = TakeDeparting(taken, false);
  }
  FinishDeparture(taken, count);
}

}  // namespace

void DrainSpecialPool() {
  Departing taken[kBatch];
  ULONG count = 0;
  {
    ke::SpinGuard guard(&g_departing_lock);
    count = TakeDeparting(taken, true);
  }
  FinishDeparture(taken, count);
}

bool InitSpecialPool() {
  MmSpecialPoolStart = MmSpecialPoolEnd = kBase;
  return mm::EnsureTopLevel(kBase);
}

}  // namespace ex

extern "C" {

PVOID MiAllocateSpecialPool(const ex::PoolRequest* Request) {
  using namespace ex;
  const PoolRequest& request = *Request;
  if (request.bytes > kMostBytes || request.quota || !Init()) return nullptr;
  const Pool& pool = PoolOf(request.kind);
  SlotQueue& queue = g_queues[pool.paged ? 1 : 0];
  const ULONG index = queue.Take();
  if (index == kNoSlot) return nullptr;
  const ULONG64 va = PageOf(index);
  if (!mm::MapFreshPages(va, 1, pool.protection, mm::Zero::kNo)) {
    queue.Give(index);
    return nullptr;
  }
  MI_SPECIAL_POOL_SLOT& slot = MiSpecialPoolSlots[index];
  Place(request, slot);
  slot.FillByte = static_cast<uint8_t>((ExpPoolCookie >> (index % 7 * 8)) | 1);
  auto* page = reinterpret_cast<PUCHAR>(va);
  RtlFillMemory(page, kPageSize, slot.FillByte);
  PUCHAR block = page + slot.Offset;
  if (request.zero == PoolZero::kYes) RtlZeroMemory(block, request.bytes);
  __atomic_store_n(&slot.State, uint8_t{MI_SPECIAL_POOL_ALLOCATED}, __ATOMIC_RELEASE);
  const ULONG64 in_use = __atomic_add_fetch(&MiSpecialPagesInUse, 1, __ATOMIC_RELAXED);
  if (in_use > MiSpecialPagesPeak) MiSpecialPagesPeak = in_use;
  g_tags.CountAllocation(KeCurrentProcessor(), request.tag, pool.paged, request.bytes);
  return block;
}

VOID MmFreeSpecialPool(PVOID P, ULONG Tag, PVOID Caller) {
  using namespace ex;
  const ULONG64 va = Va(P);
  const auto index = static_cast<ULONG>((va - MmSpecialPoolStart) / kSlotBytes);
  MI_SPECIAL_POOL_SLOT& slot = MiSpecialPoolSlots[index];
  const bool paged = index >= MiSpecialPoolPagedSlots;
  const ULONG64 block = PageOf(index) + slot.Offset;
  if (__atomic_load_n(&slot.State, __ATOMIC_ACQUIRE) != MI_SPECIAL_POOL_ALLOCATED)
    KeBugCheckEx(kSpecialPoolCorruption, va, slot.Tag, 0, kNotAllocatedThere);
  if (va != block) {
    KeBugCheckEx(kSpecialPoolCorruption, va, slot.NumberOfBytes, kPageSize - slot.Offset, kBadAddress);
  }
  const KIRQL irql = KeGetCurrentIrql();
  if (irql > (paged ? APC_LEVEL : DISPATCH_LEVEL))
    KeBugCheckEx(kSpecialPoolCorruption, irql, slot.PoolType, va, kFreeIrql);
  if (Tag != 0 && Tag != slot.Tag) KeBugCheckEx(BAD_POOL_CALLER, kWrongTag, va, slot.Tag, Tag);
  CheckAround(slot, reinterpret_cast<const UCHAR*>(PageOf(index)));
  uint8_t allocated = MI_SPECIAL_POOL_ALLOCATED;
  if (!__atomic_compare_exchange_n(&slot.State, &allocated, uint8_t{MI_SPECIAL_POOL_FREED}, false,
                                   __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    KeBugCheckEx(kSpecialPoolCorruption, va, slot.Tag, 0, kNotAllocatedThere);
  }
  slot.FreeCaller = Caller;
  slot.FreeThread = KeGetCurrentThread();
  __atomic_fetch_sub(&MiSpecialPagesInUse, 1, __ATOMIC_RELAXED);
  g_tags.CountFree(KeCurrentProcessor(), slot.Tag, paged, slot.NumberOfBytes);
  RemovePage(index);
}

MmSpecialPoolFault MmClassifySpecialPoolAddress(PVOID Address) {
  using namespace ex;
  const ULONG64 va = Va(Address);
  if (va < MmSpecialPoolStart || va >= MmSpecialPoolEnd) return MmNotSpecialPool;
  const bool guard = (va - MmSpecialPoolStart) % kSlotBytes >= kPageSize;
  return guard ? MmSpecialPoolGuard : MmSpecialPoolFreed;
}

SIZE_T MmSpecialPoolBlockSize(PVOID Address) {
  const auto index = (mm::Va(Address) - MmSpecialPoolStart) / ex::kSlotBytes;
  const MI_SPECIAL_POOL_SLOT& slot = MiSpecialPoolSlots[index];
  return slot.State == MI_SPECIAL_POOL_ALLOCATED ? slot.NumberOfBytes : 0;
}

}  // extern "C"
