// S-lists (ktl/sequenced_list.h; the pop is arch/x64/slist.S), and lists and sums under a spin lock.
#include "ex/ex.h"
#include "ke/lock_trace.h"
#include "ktl/plain_spin_lock.h"
#include "ktl/sequenced_list.h"
#include "nt/export.h"
#include "ob/ob.h"

namespace {

using List = ktl::SequencedList<KiSpinPolicy>;
static_assert(sizeof(ktl::SequencedHeader) == sizeof(SLIST_HEADER) && alignof(SLIST_HEADER) == 16);

ktl::SequencedHeader* HeaderOf(PSLIST_HEADER head) {
  return reinterpret_cast<ktl::SequencedHeader*>(head);
}
PSLIST_ENTRY EntryOf(ktl::SequencedEntry* entry) {
  return reinterpret_cast<PSLIST_ENTRY>(entry);
}

}  // namespace

/// Prepares an S-list: empty.
/// IRQL: any.
/// Differs from NT: none. A header that is not aligned to 16 bytes raises STATUS_DATATYPE_MISALIGNMENT, as
/// there.
/// Source: WDK wdm/ExInitializeSListHead.
NT_EXPORT(InitializeSListHead, nt::AnyIrql(), Full, "KernelEx.* ExSList.*");
#undef InitializeSListHead
extern "C" VOID InitializeSListHead(PSLIST_HEADER SListHead) {
  if ((reinterpret_cast<ULONG64>(SListHead) & 15) != 0) ExRaiseStatus(STATUS_DATATYPE_MISALIGNMENT);
  HeaderOf(SListHead)->low = 0;
  HeaderOf(SListHead)->high = 0;
}

/// Puts an entry at the head of an S-list; returns the entry that was there.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPushEntrySList.
NT_EXPORT(ExpInterlockedPushEntrySList, nt::AnyIrql(), Full, "KernelEx.* ExSList.* StressSList.*");
extern "C" PSLIST_ENTRY ExpInterlockedPushEntrySList(PSLIST_HEADER ListHead, PSLIST_ENTRY ListEntry) {
  return EntryOf(List::Push(HeaderOf(ListHead), reinterpret_cast<ktl::SequencedEntry*>(ListEntry)));
}

/// Takes the head of an S-list; 0 if it is empty. Another processor may free an entry that it popped while
/// this one reads it: the fault is survived.
/// IRQL: any; <= APC_LEVEL where the entries are pageable.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPopEntrySList.
NT_EXPORT(ExpInterlockedPopEntrySList, nt::AnyIrql(), Full, "KernelEx.* ExSList.* StressSList.*");

/// Takes all entries of an S-list, as a list.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedFlushSList.
NT_EXPORT(ExpInterlockedFlushSList, nt::AnyIrql(), Full, "KernelEx.* ExSList.* StressSList.*");
extern "C" PSLIST_ENTRY ExpInterlockedFlushSList(PSLIST_HEADER ListHead) {
  return EntryOf(List::Flush(HeaderOf(ListHead)));
}

/// How many entries an S-list has at the moment.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ExQueryDepthSList.
NT_EXPORT(ExQueryDepthSList, nt::AtMost(DISPATCH_LEVEL), Full, "KernelEx.* ExSList.*");
#undef ExQueryDepthSList
extern "C" USHORT ExQueryDepthSList(PSLIST_HEADER ListHead) {
  return List::Depth(HeaderOf(ListHead));
}

/// The first entry of an S-list, which stays there; 0 if it is empty. Of use only where nobody pops
/// meanwhile.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/FirstEntrySList.
NT_EXPORT(FirstEntrySList, nt::AnyIrql(), Full, "ExSList.First*");
extern "C" PSLIST_ENTRY FirstEntrySList(const SLIST_HEADER* ListHead) {
  return EntryOf(List::First(reinterpret_cast<const ktl::SequencedHeader*>(ListHead)));
}

/// FirstEntrySList by the name that the run-time library gives it.
/// IRQL: any.
/// Differs from NT: Windows exports this name from ntdll.dll only.
/// Source: winnt header: RtlFirstEntrySList.
NT_EXPORT(RtlFirstEntrySList, nt::AnyIrql(), Partial, "ExSList.First*");
extern "C" PSLIST_ENTRY NTAPI RtlFirstEntrySList(const SLIST_HEADER* ListHead) {
  return FirstEntrySList(ListHead);
}

namespace {

using Plain = ktl::PlainSpinLock<KiSpinPolicy>;

// The lock, with interrupts off: users may be at any IRQL, above DISPATCH_LEVEL too. Interrupts are as the
// caller has them while it waits, so that a processor that holds the lock can still have its IPIs answered.
class InterruptGuard {
 public:
  InterruptGuard(PKSPIN_LOCK lock, PVOID caller)
      : lock_(lock), enabled_((__readeflags() & kInterruptFlag) != 0) {
    Disable();
    if (Plain::TryAcquire(lock_)) {
      KiTraceAcquire(lock_, LockFamilyPlain, caller);
    } else {
      Wait(caller);
    }
  }
  ~InterruptGuard() {
    KiTraceRelease(lock_, LockFamilyPlain);
    Plain::Release(lock_);
    Restore();
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  static constexpr unsigned long long kInterruptFlag = 0x200;

  static void Disable() { __asm__ volatile("cli" ::: "memory"); }
  void Restore() const {
    if (enabled_) __asm__ volatile("sti" ::: "memory");
  }
  // Below DISPATCH_LEVEL the thread must not move to another processor while its record stands in this one's
  // trace.
  DECLSPEC_NOINLINE void Wait(PVOID caller) {
    const KIRQL irql = static_cast<KIRQL>(__readcr8());
    if (irql < DISPATCH_LEVEL) __writecr8(DISPATCH_LEVEL);
    KSPIN_RECORD record;
    KiBeginSpin(&record, lock_, LockFamilyPlain, caller, irql);
    do {
      Restore();
      for (unsigned round = 0; !Plain::IsFree(lock_); ++round) KiSpinPolicy::Relax(round);
      Disable();
    } while (!Plain::TryAcquire(lock_));
    KiEndSpin(&record);
    if (irql < DISPATCH_LEVEL) __writecr8(irql);
  }

  PKSPIN_LOCK lock_;
  bool enabled_;
};

constexpr unsigned kCorruptListEntry = 3;  // FAST_FAIL_CORRUPT_LIST_ENTRY

// Do the neighbours know each other?
FORCEINLINE void CheckLink(PLIST_ENTRY before, PLIST_ENTRY after) {
  if (before->Flink != after || after->Blink != before) __fastfail(kCorruptListEntry);
}

}  // namespace

/// Puts an entry at the head of a list, under its lock; returns what was first (0: the list was empty).
/// IRQL: any (interrupts are off meanwhile, as on Windows, so that every user of the lock may be at any
/// IRQL).
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedInsertHeadList.
NT_EXPORT(ExInterlockedInsertHeadList, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" PLIST_ENTRY FASTCALL ExInterlockedInsertHeadList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry,
                                                            PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  CheckLink(ListHead, ListHead->Flink);
  PLIST_ENTRY first = IsListEmpty(ListHead) ? nullptr : ListHead->Flink;
  InsertHeadList(ListHead, ListEntry);
  return first;
}

/// Puts an entry at the end of a list, under its lock; returns what was last (0: the list was empty).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedInsertTailList.
NT_EXPORT(ExInterlockedInsertTailList, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" PLIST_ENTRY FASTCALL ExInterlockedInsertTailList(PLIST_ENTRY ListHead, PLIST_ENTRY ListEntry,
                                                            PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  CheckLink(ListHead->Blink, ListHead);
  PLIST_ENTRY last = IsListEmpty(ListHead) ? nullptr : ListHead->Blink;
  InsertTailList(ListHead, ListEntry);
  return last;
}

/// Takes the first entry of a list, under its lock; 0 if it is empty.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedRemoveHeadList.
NT_EXPORT(ExInterlockedRemoveHeadList, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" PLIST_ENTRY FASTCALL ExInterlockedRemoveHeadList(PLIST_ENTRY ListHead, PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  CheckLink(ListHead, ListHead->Flink);
  if (IsListEmpty(ListHead)) return nullptr;
  CheckLink(ListHead->Flink, ListHead->Flink->Flink);
  return RemoveHeadList(ListHead);
}

/// Takes the first entry of a singly linked list, under its lock.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPopEntryList.
NT_EXPORT(ExInterlockedPopEntryList, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPopEntryList(PSINGLE_LIST_ENTRY ListHead,
                                                                 PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  PSINGLE_LIST_ENTRY first = ListHead->Next;
  if (first != nullptr) ListHead->Next = first->Next;
  return first;
}

/// Puts an entry at the head of a singly linked list, under its lock; returns what was first.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedPushEntryList.
NT_EXPORT(ExInterlockedPushEntryList, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" PSINGLE_LIST_ENTRY FASTCALL ExInterlockedPushEntryList(PSINGLE_LIST_ENTRY ListHead,
                                                                  PSINGLE_LIST_ENTRY ListEntry,
                                                                  PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  PSINGLE_LIST_ENTRY first = ListHead->Next;
  ListEntry->Next = first;
  ListHead->Next = ListEntry;
  return first;
}

/// Adds to a large integer under a lock; returns what it was.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedAddLargeInteger.
NT_EXPORT(ExInterlockedAddLargeInteger, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" LARGE_INTEGER NTAPI ExInterlockedAddLargeInteger(PLARGE_INTEGER Addend, LARGE_INTEGER Increment,
                                                            PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  const LARGE_INTEGER before = *Addend;
  Addend->QuadPart += Increment.QuadPart;
  return before;
}

/// Adds to a ULONG under a lock; returns what it was.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ExInterlockedAddUlong.
NT_EXPORT(ExInterlockedAddUlong, nt::AnyIrql(), Full, "KernelEx.* ExInterlocked.*");
extern "C" ULONG FASTCALL ExInterlockedAddUlong(PULONG Addend, ULONG Increment, PKSPIN_LOCK Lock) {
  InterruptGuard guard(Lock, __builtin_return_address(0));
  const ULONG before = *Addend;
  *Addend += Increment;
  return before;
}
