// S-lists (a 16-byte header, cmpxchg16b) and lists under a spin lock.
#include "ex/ex.h"
#include "nt/export.h"
#include "ob/ob.h"

extern "C" unsigned char _InterlockedCompareExchange128(LONG64 volatile*, LONG64, LONG64, LONG64*);
#pragma intrinsic(_InterlockedCompareExchange128)

namespace {

// The header: low word = depth (16 bits) and sequence, high word = first entry; bit 0 marks the 16-byte form.
struct alignas(16) Header {
  LONG64 low;
  LONG64 high;
};

PSLIST_ENTRY FirstOf(LONG64 high) {
  return reinterpret_cast<PSLIST_ENTRY>(high & ~LONG64{15});
}
LONG64 Next(LONG64 low, LONG64 depth) {
  return static_cast<LONG64>(((static_cast<ULONG64>(low) >> 16) + 1) << 16 | (depth & 0xFFFF));
}

bool Replace(PSLIST_HEADER head, Header* expected, LONG64 low, LONG64 high) {
  return _InterlockedCompareExchange128(reinterpret_cast<LONG64 volatile*>(head), high, low,
                                        &expected->low) != 0;
}

Header Read(PSLIST_HEADER head) {
  auto* words = reinterpret_cast<volatile LONG64*>(head);
  Header header;
  header.low = words[0];
  header.high = words[1];
  return header;
}

}  // namespace

/// Prepares an S-list.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInitializeSListHead.
NT_EXPORT(InitializeSListHead, nt::AnyIrql(), Full, "KernelEx.*");
#undef InitializeSListHead
extern "C" VOID InitializeSListHead(PSLIST_HEADER SListHead) {
  auto* words = reinterpret_cast<volatile LONG64*>(SListHead);
  words[0] = 0;
  words[1] = 1;
}

/// Puts an entry at the head of an S-list; returns the entry that was there.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPushEntrySList.
NT_EXPORT(ExpInterlockedPushEntrySList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER ListHead, PSLIST_ENTRY ListEntry) {
  Header expected = Read(ListHead);
  for (;;) {
    PSLIST_ENTRY first = FirstOf(expected.high);
    ListEntry->Next = reinterpret_cast<decltype(ListEntry->Next)>(first);
    if (Replace(ListHead, &expected, Next(expected.low, (expected.low & 0xFFFF) + 1),
                reinterpret_cast<LONG64>(ListEntry) | 1))
      return first;
  }
}

/// Takes the head of an S-list; 0 if it is empty.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPopEntrySList.
NT_EXPORT(ExpInterlockedPopEntrySList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER ListHead) {
  Header expected = Read(ListHead);
  for (;;) {
    PSLIST_ENTRY first = FirstOf(expected.high);
    if (first == nullptr) return nullptr;
    const auto next = reinterpret_cast<LONG64>(first->Next);
    if (Replace(ListHead, &expected, Next(expected.low, (expected.low & 0xFFFF) - 1), next | 1)) return first;
  }
}

/// Takes all entries of an S-list, as a list.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedFlushSList.
NT_EXPORT(ExpInterlockedFlushSList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER ListHead) {
  Header expected = Read(ListHead);
  for (;;) {
    PSLIST_ENTRY first = FirstOf(expected.high);
    if (first == nullptr) return nullptr;
    if (Replace(ListHead, &expected, Next(expected.low, 0), 1)) return first;
  }
}

/// How many entries an S-list has at the moment.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExQueryDepthSList.
NT_EXPORT(ExQueryDepthSList, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.*");
#undef ExQueryDepthSList
extern "C" USHORT ExQueryDepthSList(PSLIST_HEADER ListHead) {
  return static_cast<USHORT>(*reinterpret_cast<volatile LONG64*>(ListHead));
}

namespace {

// The lock's bit, with interrupts off: users may be at any IRQL, above DISPATCH_LEVEL too.
class InterruptGuard {
 public:
  explicit InterruptGuard(PKSPIN_LOCK lock) : lock_(lock), flags_(__readeflags()) {
    __asm__ volatile("cli" ::: "memory");
    while (_interlockedbittestandset64(reinterpret_cast<volatile LONG64*>(lock_), 0)) YieldProcessor();
  }
  ~InterruptGuard() {
    InterlockedAnd64(reinterpret_cast<volatile LONG64*>(lock_), 0);
    if (flags_ & 0x200) __asm__ volatile("sti" ::: "memory");
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  PKSPIN_LOCK lock_;
  unsigned long long flags_;
};

}  // namespace

/// Puts an entry at the head of a list, under its lock; returns what was first (0: the list was empty).
/// IRQL: any (interrupts are off meanwhile, as on Windows, so that every user of the lock may be at any
/// IRQL). Differs from NT: none. Source: WDK wdm/ExInterlockedInsertHeadList.
NT_EXPORT(ExInterlockedInsertHeadList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PLIST_ENTRY FASTCALL ExInterlockedInsertHeadList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry,
                                                            PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  PLIST_ENTRY first = IsListEmpty(ListHead) ? nullptr : ListHead->Flink;
  InsertHeadList(ListHead, ListEntry);
  return first;
}

/// Puts an entry at the end of a list, under its lock; returns what was last (0: the list was empty).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedInsertTailList.
NT_EXPORT(ExInterlockedInsertTailList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PLIST_ENTRY FASTCALL ExInterlockedInsertTailList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry,
                                                            PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  PLIST_ENTRY last = IsListEmpty(ListHead) ? nullptr : ListHead->Blink;
  InsertTailList(ListHead, ListEntry);
  return last;
}

/// Takes the first entry of a list, under its lock; 0 if it is empty.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedRemoveHeadList.
NT_EXPORT(ExInterlockedRemoveHeadList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PLIST_ENTRY FASTCALL ExInterlockedRemoveHeadList(PLIST_ENTRY ListHead, PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  return IsListEmpty(ListHead) ? nullptr : RemoveHeadList(ListHead);
}

/// Takes the first entry of a singly linked list, under its lock.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPopEntryList.
NT_EXPORT(ExInterlockedPopEntryList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY ListHead,
                                                                 PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  PSINGLE_LIST_ENTRY first = ListHead->Next;
  if (first != nullptr) ListHead->Next = first->Next;
  return first;
}

/// Puts an entry at the head of a singly linked list, under its lock; returns what was first.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPushEntryList.
NT_EXPORT(ExInterlockedPushEntryList, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY ListHead,
                                                                  PSINGLE_LIST_ENTRY ListEntry,
                                                                  PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  PSINGLE_LIST_ENTRY first = ListHead->Next;
  ListEntry->Next = first;
  ListHead->Next = ListEntry;
  return first;
}

/// Adds to a large integer under a lock; returns what it was.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedAddLargeInteger.
NT_EXPORT(ExInterlockedAddLargeInteger, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" LARGE_INTEGER NTAPI ExInterlockedAddLargeInteger(PLARGE_INTEGER Addend, LARGE_INTEGER Increment,
                                                            PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  const LARGE_INTEGER before = *Addend;
  Addend->QuadPart += Increment.QuadPart;
  return before;
}

/// Adds to a ULONG under a lock; returns what it was.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedAddUlong.
NT_EXPORT(ExInterlockedAddUlong, nt::AnyIrql(), Full, "KernelEx.*");
extern "C" ULONG FASTCALL ExInterlockedAddUlong(PULONG Addend, ULONG Increment, PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock);
  const ULONG before = *Addend;
  *Addend += Increment;
  return before;
}
