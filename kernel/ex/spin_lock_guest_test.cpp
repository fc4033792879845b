// Reader-writer spin locks, S-lists and interlocked lists, as a driver sees them. Oracle: the WDK pages of
// the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

using nt_test::Thread;

namespace {

ULONG Processors() {
  return KeQueryActiveProcessorCount(nullptr);
}

class On {
 public:
  explicit On(ULONG processor) { KeSetSystemAffinityThread(KAFFINITY{1} << processor); }
  ~On() { KeRevertToUserAffinityThread(); }
};

}  // namespace

NT_TEST(ExSpinLock, ReadersShareAndWritersDoNot) {
  EX_SPIN_LOCK lock = 0;
  const KIRQL old = ExAcquireSpinLockShared(&lock);
  const KIRQL inside = KeGetCurrentIrql();
  const LOGICAL second_reader = ExTryAcquireSpinLockSharedAtDpcLevel(&lock);
  const LOGICAL writer = ExTryAcquireSpinLockExclusiveAtDpcLevel(&lock);
  if (second_reader) ExReleaseSpinLockSharedFromDpcLevel(&lock);
  ExReleaseSpinLockShared(&lock, old);
  NT_EXPECT_EQ(old, PASSIVE_LEVEL);
  NT_EXPECT_EQ(inside, DISPATCH_LEVEL);
  NT_EXPECT_TRUE(second_reader);
  NT_EXPECT_TRUE(!writer);
  NT_EXPECT_EQ(lock, 0);

  const KIRQL from = ExAcquireSpinLockExclusive(&lock);
  const LOGICAL reader = ExTryAcquireSpinLockSharedAtDpcLevel(&lock);
  const LOGICAL second_writer = ExTryAcquireSpinLockExclusiveAtDpcLevel(&lock);
  ExReleaseSpinLockExclusive(&lock, from);
  NT_EXPECT_TRUE(!reader);
  NT_EXPECT_TRUE(!second_writer);
  NT_EXPECT_EQ(KeGetCurrentIrql(), PASSIVE_LEVEL);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExSpinLock, AtDpcLevelLeavesTheIrqlAlone) {
  EX_SPIN_LOCK lock = 0;
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  ExAcquireSpinLockSharedAtDpcLevel(&lock);
  ExReleaseSpinLockSharedFromDpcLevel(&lock);
  ExAcquireSpinLockExclusiveAtDpcLevel(&lock);
  ExReleaseSpinLockExclusiveFromDpcLevel(&lock);
  const KIRQL after = KeGetCurrentIrql();
  KeLowerIrql(old);
  NT_EXPECT_EQ(after, DISPATCH_LEVEL);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExSpinLock, TryTakesAFreeLock) {
  EX_SPIN_LOCK lock = 0;
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  const LOGICAL writer = ExTryAcquireSpinLockExclusiveAtDpcLevel(&lock);
  if (writer) ExReleaseSpinLockExclusiveFromDpcLevel(&lock);
  const LOGICAL reader = ExTryAcquireSpinLockSharedAtDpcLevel(&lock);
  if (reader) ExReleaseSpinLockSharedFromDpcLevel(&lock);
  KeLowerIrql(old);
  NT_EXPECT_TRUE(writer);
  NT_EXPECT_TRUE(reader);
}

NT_TEST(ExSpinLock, ConvertSucceedsForTheOnlyReader) {
  EX_SPIN_LOCK lock = 0;
  const KIRQL old = ExAcquireSpinLockShared(&lock);
  const LOGICAL second = ExTryAcquireSpinLockSharedAtDpcLevel(&lock);
  const LOGICAL with_two = ExTryConvertSharedSpinLockExclusive(&lock);
  ExReleaseSpinLockSharedFromDpcLevel(&lock);
  const LOGICAL alone = ExTryConvertSharedSpinLockExclusive(&lock);
  const LOGICAL reader = ExTryAcquireSpinLockSharedAtDpcLevel(&lock);
  ExReleaseSpinLockExclusive(&lock, old);
  NT_EXPECT_TRUE(second);
  NT_EXPECT_TRUE(!with_two);
  NT_EXPECT_TRUE(alone);
  NT_EXPECT_TRUE(!reader);
  NT_EXPECT_EQ(lock, 0);
}

namespace {

struct Writer {
  EX_SPIN_LOCK lock;
  volatile LONG state;  // 1: on its processor, 2: may ask, 3: about to ask, 4: in
};

void NTAPI WriteOnce(PVOID context) {
  auto* writer = static_cast<Writer*>(context);
  On processor(1);
  writer->state = 1;
  while (writer->state != 2) YieldProcessor();
  KIRQL old;
  KeRaiseIrql(DISPATCH_LEVEL, &old);
  writer->state = 3;
  ExAcquireSpinLockExclusiveAtDpcLevel(&writer->lock);
  writer->state = 4;
  ExReleaseSpinLockExclusiveFromDpcLevel(&writer->lock);
  KeLowerIrql(old);
}

}  // namespace

NT_TEST(ExSpinLock, AWaitingWriterKeepsNewReadersOut) {
  if (Processors() < 2) return;
  Writer writer = {};
  On processor(0);
  Thread thread(WriteOnce, &writer);
  NT_ASSERT_TRUE(thread.started());
  while (writer.state != 1) nt_test::Sleep(1);
  const KIRQL old = ExAcquireSpinLockShared(&writer.lock);
  writer.state = 2;
  // A reader may come until the writer has asked, and none from then on: this ends only if that holds.
  while (ExTryAcquireSpinLockSharedAtDpcLevel(&writer.lock)) {
    ExReleaseSpinLockSharedFromDpcLevel(&writer.lock);
    YieldProcessor();
  }
  const LONG waiting = writer.state;
  const LOGICAL converted = ExTryConvertSharedSpinLockExclusive(&writer.lock);
  ExReleaseSpinLockShared(&writer.lock, old);
  thread.Join();
  NT_EXPECT_EQ(waiting, 3);
  NT_EXPECT_TRUE(!converted);
  NT_EXPECT_EQ(writer.state, 4);
  NT_EXPECT_EQ(writer.lock, 0);
}

// ---- S-lists ----

NT_TEST(ExSList, LastInFirstOut) {
  SLIST_HEADER head;
  SLIST_ENTRY entries[3];
  ExInitializeSListHead(&head);
  NT_EXPECT_TRUE(ExpInterlockedPopEntrySList(&head) == nullptr);
  NT_EXPECT_TRUE(ExpInterlockedFlushSList(&head) == nullptr);
  NT_EXPECT_TRUE(ExpInterlockedPushEntrySList(&head, &entries[0]) == nullptr);
  NT_EXPECT_TRUE(ExpInterlockedPushEntrySList(&head, &entries[1]) == &entries[0]);
  NT_EXPECT_TRUE(ExpInterlockedPushEntrySList(&head, &entries[2]) == &entries[1]);
  NT_EXPECT_EQ(ExQueryDepthSList(&head), 3);
  NT_EXPECT_TRUE(ExpInterlockedPopEntrySList(&head) == &entries[2]);
  PSLIST_ENTRY rest = ExpInterlockedFlushSList(&head);
  NT_EXPECT_TRUE(rest == &entries[1] && rest->Next == &entries[0] && entries[0].Next == nullptr);
  NT_EXPECT_EQ(ExQueryDepthSList(&head), 0);
}

NT_TEST(ExSList, HeaderHasTheDocumentedLayoutAndASequence) {
  SLIST_HEADER head;
  SLIST_ENTRY entry;
  ExInitializeSListHead(&head);
  const ULONG64 before = head.HeaderX64.Sequence;
  ExpInterlockedPushEntrySList(&head, &entry);
  NT_EXPECT_EQ(head.HeaderX64.Depth, 1);
  NT_EXPECT_EQ(head.HeaderX64.NextEntry << 4, reinterpret_cast<ULONG64>(&entry));
  const ULONG64 pushed = head.HeaderX64.Sequence;
  ExpInterlockedPopEntrySList(&head);
  NT_EXPECT_EQ(head.HeaderX64.Depth, 0);
  NT_EXPECT_EQ(head.HeaderX64.NextEntry, 0);
  NT_EXPECT_TRUE(pushed > before && head.HeaderX64.Sequence > pushed);
}

NT_TEST(ExSList, FirstEntryStaysOnTheList) {
  SLIST_HEADER head;
  SLIST_ENTRY entry;
  ExInitializeSListHead(&head);
  NT_EXPECT_TRUE(FirstEntrySList(&head) == nullptr);
  ExpInterlockedPushEntrySList(&head, &entry);
  NT_EXPECT_TRUE(FirstEntrySList(&head) == &entry);
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"RtlFirstEntrySList");  // Windows has this one in ntdll.dll only
  const auto first =
      reinterpret_cast<PSLIST_ENTRY(NTAPI*)(const SLIST_HEADER*)>(MmGetSystemRoutineAddress(&name));
  if (first != nullptr) NT_EXPECT_TRUE(first(&head) == &entry);
  NT_EXPECT_EQ(ExQueryDepthSList(&head), 1);
}

NT_TEST(ExSList, AHeaderOfZerosIsAnEmptyList) {
  SLIST_HEADER head = {};
  SLIST_ENTRY entry;
  NT_EXPECT_TRUE(ExpInterlockedPopEntrySList(&head) == nullptr);
  ExpInterlockedPushEntrySList(&head, &entry);
  NT_EXPECT_TRUE(ExpInterlockedPopEntrySList(&head) == &entry);
}

NT_TEST(ExSList, MisalignedHeaderRaises) {
  alignas(16) UCHAR bytes[48] = {};
  auto* head = reinterpret_cast<PSLIST_HEADER>(bytes + 8);
  bool raised = false;
  __try {
    InitializeSListHead(head);
  } __except (GetExceptionCode() == STATUS_DATATYPE_MISALIGNMENT ? EXCEPTION_EXECUTE_HANDLER
                                                                 : EXCEPTION_CONTINUE_SEARCH) {
    raised = true;
  }
  NT_EXPECT_TRUE(raised);
}

namespace {

// Enters the kernel's pop where it reads the link of the first entry, with a header that was read before:
// what happens to a processor that is stopped there while others pop and free that entry.
__attribute__((naked)) PSLIST_ENTRY PopWithOldHeader(PSLIST_HEADER, ULONG64, ULONG64, PVOID) {
  __asm__ volatile(
      "pushq %rbx\n\t"  // as the routine itself has done by then
      "movq %r9, %r11\n\t"
      "movq %rdx, %rax\n\t"
      "movq %r8, %rdx\n\t"
      "movq %r8, %r9\n\t"
      "movq %rcx, %r8\n\t"
      "jmpq *%r11");
}

PVOID SystemRoutine(const wchar_t* text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return MmGetSystemRoutineAddress(&name);
}

// The load of the link in the pop of the project's kernel (arch/x64/slist.S); 0 in any other.
PVOID LinkLoad() {
  if (SystemRoutine(L"KefAcquireSpinLockAtDpcLevel") == nullptr) return nullptr;
  auto* code = static_cast<const UCHAR*>(SystemRoutine(L"ExpInterlockedPopEntrySList"));
  for (ULONG i = 0; i < 48; ++i) {
    if (code[i] == 0x49 && code[i + 1] == 0x8B && code[i + 2] == 0x09) return const_cast<UCHAR*>(code + i);
  }
  return nullptr;
}

}  // namespace

NT_TEST(ExSList, PopOfAnEntryThatIsGoneStartsAgain) {
  PVOID load = LinkLoad();
  if (load == nullptr) return;
  constexpr ULONG kTag = 'tslS';
  PVOID gone = ExAllocatePoolWithTag(NonPagedPool, 64 * PAGE_SIZE, kTag);
  NT_ASSERT_TRUE(gone != nullptr);
  SLIST_HEADER head;
  SLIST_ENTRY entries[2];
  ExInitializeSListHead(&head);
  ExpInterlockedPushEntrySList(&head, static_cast<PSLIST_ENTRY>(gone));
  const SLIST_HEADER old = head;
  ExpInterlockedPopEntrySList(&head);
  ExFreePoolWithTag(gone, kTag);
  ExpInterlockedPushEntrySList(&head, &entries[0]);
  ExpInterlockedPushEntrySList(&head, &entries[1]);
  NT_EXPECT_TRUE(PopWithOldHeader(&head, old.Alignment, old.Region, load) == &entries[1]);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  PSLIST_ENTRY at_dispatch = PopWithOldHeader(&head, old.Alignment, old.Region, load);
  PSLIST_ENTRY empty = PopWithOldHeader(&head, old.Alignment, old.Region, load);
  KeLowerIrql(irql);
  NT_EXPECT_TRUE(at_dispatch == &entries[0]);
  NT_EXPECT_TRUE(empty == nullptr);
  NT_EXPECT_EQ(ExQueryDepthSList(&head), 0);
}

// ---- lists and sums under a lock ----

NT_TEST(ExInterlocked, ListsAndSumsReturnWhatWas) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  LIST_ENTRY head, a, b, c;
  InitializeListHead(&head);
  NT_EXPECT_TRUE(ExInterlockedInsertHeadList(&head, &b, &lock) == nullptr);
  NT_EXPECT_TRUE(ExInterlockedInsertHeadList(&head, &a, &lock) == &b);
  NT_EXPECT_TRUE(ExInterlockedInsertTailList(&head, &c, &lock) == &b);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == &a);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == &b);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == &c);
  NT_EXPECT_TRUE(ExInterlockedRemoveHeadList(&head, &lock) == nullptr);

  SINGLE_LIST_ENTRY single = {}, x, y;
  NT_EXPECT_TRUE(ExInterlockedPushEntryList(&single, &x, &lock) == nullptr);
  NT_EXPECT_TRUE(ExInterlockedPushEntryList(&single, &y, &lock) == &x);
  NT_EXPECT_TRUE(ExInterlockedPopEntryList(&single, &lock) == &y);
  NT_EXPECT_TRUE(ExInterlockedPopEntryList(&single, &lock) == &x);
  NT_EXPECT_TRUE(ExInterlockedPopEntryList(&single, &lock) == nullptr);

  ULONG number = 40;
  NT_EXPECT_EQ(ExInterlockedAddUlong(&number, 2, &lock), 40);
  NT_EXPECT_EQ(number, 42);
  LARGE_INTEGER large, increment;
  large.QuadPart = 0xFFFFFFFFll;
  increment.QuadPart = 2;
  NT_EXPECT_EQ(ExInterlockedAddLargeInteger(&large, increment, &lock).QuadPart, 0xFFFFFFFFll);
  NT_EXPECT_EQ(large.QuadPart, 0x100000001ll);
  NT_EXPECT_EQ(lock, 0);
}

NT_TEST(ExInterlocked, WorkAtHighIrqlAndKeepIt) {
  KSPIN_LOCK lock;
  KeInitializeSpinLock(&lock);
  LIST_ENTRY head, entry;
  InitializeListHead(&head);
  KIRQL old;
  KeRaiseIrql(HIGH_LEVEL, &old);
  ExInterlockedInsertTailList(&head, &entry, &lock);
  PLIST_ENTRY removed = ExInterlockedRemoveHeadList(&head, &lock);
  const KIRQL after = KeGetCurrentIrql();
  KeLowerIrql(old);
  NT_EXPECT_TRUE(removed == &entry);
  NT_EXPECT_EQ(after, HIGH_LEVEL);
}
