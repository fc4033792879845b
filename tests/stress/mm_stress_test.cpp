// Memory under pressure: contents, locks and page counts while every processor allocates, trims, locks, maps
// and frees.
#include "nt_stress.h"
#include "page_counts.h"

namespace {

constexpr ULONG kTag = 'sSmM';
constexpr ULONG kPages = 8;
constexpr ULONG kWords = kPages * PAGE_SIZE / sizeof(ULONG64);

void Fill(volatile ULONG64* words, ULONG64 seed) {
  for (ULONG64 i = 0; i < kWords; ++i) words[i] = seed + i * 0x9E3779B97F4A7C15ull;
}

ULONG64 Differences(volatile ULONG64* words, ULONG64 seed) {
  ULONG64 wrong = 0;
  for (ULONG64 i = 0; i < kWords; ++i) wrong += words[i] != seed + i * 0x9E3779B97F4A7C15ull;
  return wrong;
}

PVOID AllocateUser(HANDLE process, SIZE_T bytes) {
  PVOID base = nullptr;
  const NTSTATUS status =
      ZwAllocateVirtualMemory(process, &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
  return NT_SUCCESS(status) ? base : nullptr;
}

NTSTATUS FreeUser(HANDLE process, PVOID base) {
  SIZE_T bytes = 0;
  return ZwFreeVirtualMemory(process, &base, &bytes, MEM_RELEASE);
}

PVOID MapSection(HANDLE section) {
  PVOID base = nullptr;
  SIZE_T bytes = 0;
  const NTSTATUS status = ZwMapViewOfSection(section, ZwCurrentProcess(), &base, 0, 0, nullptr, &bytes,
                                             ViewUnmap, 0, PAGE_READWRITE);
  return NT_SUCCESS(status) ? base : nullptr;
}

HANDLE NewSection() {
  LARGE_INTEGER size;
  size.QuadPart = kPages * PAGE_SIZE;
  HANDLE section = nullptr;
  ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr);
  return section;
}

struct Totals {
  volatile LONG64 wrong_words;
  volatile LONG64 failures;
  volatile ULONG64* shared;  // for locks
};

void Note(volatile LONG64& total, ULONG64 count) {
  if (count != 0) InterlockedExchangeAdd64(&total, static_cast<LONG64>(count));
}

// Three kinds of memory with known contents; trimmed, written out, locked, freed and made again at random.
struct Blocks {
  volatile ULONG64* memory[3];
  HANDLE section;
  bool Make() {
    memory[0] = static_cast<volatile ULONG64*>(ExAllocatePoolWithTag(PagedPool, kPages * PAGE_SIZE, kTag));
    memory[1] = static_cast<volatile ULONG64*>(AllocateUser(ZwCurrentProcess(), kPages * PAGE_SIZE));
    section = NewSection();
    memory[2] = section != nullptr ? static_cast<volatile ULONG64*>(MapSection(section)) : nullptr;
    return memory[0] != nullptr && memory[1] != nullptr && memory[2] != nullptr;
  }
  void Free() {
    if (memory[0] != nullptr) ExFreePoolWithTag(const_cast<ULONG64*>(memory[0]), kTag);
    if (memory[1] != nullptr) FreeUser(ZwCurrentProcess(), const_cast<ULONG64*>(memory[1]));
    if (memory[2] != nullptr) ZwUnmapViewOfSection(ZwCurrentProcess(), const_cast<ULONG64*>(memory[2]));
    if (section != nullptr) ZwClose(section);
  }
};

void LockAndRewrite(volatile ULONG64* memory, ULONG64 seed, Totals* totals) {
  PMDL mdl = IoAllocateMdl(const_cast<ULONG64*>(memory), kPages * PAGE_SIZE, FALSE, FALSE, nullptr);
  if (mdl == nullptr) return Note(totals->failures, 1);
  MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
  auto* mapped = static_cast<volatile ULONG64*>(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
  if (mapped != nullptr) {
    MmTrimAllSystemPagableMemory(FALSE);
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    Fill(mapped, seed);  // resident, whatever was trimmed
    KeLowerIrql(irql);
  } else {
    Fill(memory, seed);
  }
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
}

void ContentsWorker(nt_stress::Worker& worker) {
  auto* totals = static_cast<Totals*>(worker.context);
  while (StressGoesOn()) {
    Blocks blocks = {};
    if (blocks.Make()) {
      ULONG64 seeds[3];
      for (ULONG kind = 0; kind < 3; ++kind) Fill(blocks.memory[kind], seeds[kind] = worker.random.Next());
      for (ULONG round = 0; round < 4; ++round) {
        if (worker.random.OneIn(3)) MmTrimAllSystemPagableMemory(worker.random.OneIn(2));
        const ULONG kind = worker.random.Below(3);
        if (worker.random.OneIn(3))
          LockAndRewrite(blocks.memory[kind], seeds[kind] = worker.random.Next(), totals);
        for (ULONG i = 0; i < 3; ++i) Note(totals->wrong_words, Differences(blocks.memory[i], seeds[i]));
      }
    } else {
      Note(totals->failures, 1);
    }
    blocks.Free();
    ++worker.count;
  }
}

// Overlapping locks of one buffer.
void LockWorker(nt_stress::Worker& worker) {
  auto* totals = static_cast<Totals*>(worker.context);
  while (StressGoesOn()) {
    const ULONG first = worker.random.Below(kPages);
    const ULONG pages = 1 + worker.random.Below(kPages - first);
    auto* start = const_cast<ULONG64*>(totals->shared) + first * (PAGE_SIZE / sizeof(ULONG64));
    PMDL mdl = IoAllocateMdl(start, pages * PAGE_SIZE, FALSE, FALSE, nullptr);
    if (mdl == nullptr) continue;
    MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
    if (worker.random.OneIn(4)) MmTrimAllSystemPagableMemory(worker.random.OneIn(4));
    for (ULONG i = 0; i < pages; ++i) {
      const bool resident = MmIsAddressValid(start + i * (PAGE_SIZE / sizeof(ULONG64)));
      Note(totals->failures, resident ? 0 : 1);
    }
    MmUnlockPages(mdl);
    IoFreeMdl(mdl);
    ++worker.count;
  }
}

void ProcessWorker(nt_stress::Worker& worker) {
  auto* totals = static_cast<Totals*>(worker.context);
  while (StressGoesOn()) {
    HANDLE handle;
    PVOID process;
    if (!NT_SUCCESS(PsCreateSystemProcess(&handle, PROCESS_ALL_ACCESS, nullptr))) {
      Note(totals->failures, 1);
      continue;
    }
    ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &process, nullptr);
    PVOID base = AllocateUser(handle, kPages * PAGE_SIZE);
    const ULONG64 seed = worker.random.Next();
    KAPC_STATE state;
    KeStackAttachProcess(static_cast<PKPROCESS>(process), &state);
    Fill(static_cast<volatile ULONG64*>(base), seed);
    if (worker.random.OneIn(4)) MmTrimAllSystemPagableMemory(TRUE);
    Note(totals->wrong_words, Differences(static_cast<volatile ULONG64*>(base), seed));
    KeUnstackDetachProcess(&state);
    if (worker.random.OneIn(2)) FreeUser(handle, base);
    if (worker.random.OneIn(2)) ZwTerminateProcess(handle, STATUS_SUCCESS);
    ObDereferenceObject(process);
    ZwClose(handle);
    ++worker.count;
  }
}

void RunAll(Totals* totals) {
  nt_stress::Workers workers(nt_stress::Processors(), ContentsWorker, totals);
  nt_stress::Workers processes(nt_stress::Processors(), ProcessWorker, totals);
}

// Goes once through all addresses that the system gives out.
void MakePageTables() {
  nt_test::MakePoolPageTables(kTag);
  PVOID user = AllocateUser(ZwCurrentProcess(), 32 * nt_test::kSpanOfAddresses);
  if (user != nullptr) FreeUser(ZwCurrentProcess(), user);
}

}  // namespace

NT_TEST(StressMm, ContentsSurviveTrimmingPageOutAndLocks) {
  Totals totals = {};
  {
    nt_stress::Workers workers(nt_stress::Processors(), ContentsWorker, &totals);
    workers.Join();
    NT_EXPECT_TRUE(workers.Total() != 0);
  }
  NT_EXPECT_EQ(totals.wrong_words, 0);
  NT_EXPECT_EQ(totals.failures, 0);
}

NT_TEST(StressMm, LocksOfOneBufferCount) {
  Totals totals = {};
  totals.shared = static_cast<volatile ULONG64*>(ExAllocatePoolWithTag(PagedPool, kPages * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(totals.shared != nullptr);
  Fill(totals.shared, 1);
  {
    nt_stress::Workers workers(nt_stress::Processors() * 2, LockWorker, &totals);
  }
  NT_EXPECT_EQ(totals.failures, 0);
  // Every lock has been undone: all pages go.
  MmTrimAllSystemPagableMemory(TRUE);
  for (ULONG i = 0; i < kPages; ++i) {
    NT_EXPECT_TRUE(
        !MmIsAddressValid(const_cast<ULONG64*>(totals.shared) + i * (PAGE_SIZE / sizeof(ULONG64))));
  }
  NT_EXPECT_EQ(Differences(totals.shared, 1), 0u);
  ExFreePoolWithTag(const_cast<ULONG64*>(totals.shared), kTag);
}

NT_TEST(StressMm, ProcessesKeepTheirMemoryApart) {
  Totals totals = {};
  {
    nt_stress::Workers workers(nt_stress::Processors(), ProcessWorker, &totals);
  }
  NT_EXPECT_EQ(totals.wrong_words, 0);
  NT_EXPECT_EQ(totals.failures, 0);
}

NT_TEST(StressMm, PageCountsReturnToTheStart) {
  Totals totals = {};
  MakePageTables();
  {  // once, for what is made at a first use and kept
    nt_stress::Workers workers(
        nt_stress::Processors() * 2,
        [](nt_stress::Worker& worker) {
          Blocks blocks = {};
          if (blocks.Make()) MmTrimAllSystemPagableMemory(TRUE);
          blocks.Free();
        },
        &totals);
  }
  LARGE_INTEGER pause;
  pause.QuadPart = -1'000'000;  // ended threads give their stacks back a little later
  KeDelayExecutionThread(KernelMode, FALSE, &pause);
  // What mm and the workers allocate from pool: its pages alone would not tell that a block was left.
  constexpr ULONG kTags[] = {kTag, ' daV', 'cpSM', 'mSmM', ' ldM', 'corP', 'tceS'};
  const ULONG before = nt_test::FreeAndPoolPages();
  const LONG64 blocks = nt_test::BlocksOf(kTags);
  RunAll(&totals);
  NT_EXPECT_EQ(nt_test::SettledPages(before), before);
  NT_EXPECT_EQ(nt_test::BlocksOf(kTags), blocks);
  NT_EXPECT_EQ(totals.wrong_words, 0);
  NT_EXPECT_EQ(totals.failures, 0);
}
