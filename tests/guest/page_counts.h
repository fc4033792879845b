// Counting the machine's pages, for tests that none is lost.
#pragma once

#include "nt_test.h"

extern "C" NTSTATUS NTAPI ZwQuerySystemInformation(ULONG SystemInformationClass, PVOID SystemInformation,
                                                   ULONG SystemInformationLength, PULONG ReturnLength);

namespace nt_test {

// Threads of all processes.
inline ULONG CountThreads() {
  constexpr ULONG kSystemProcessInformation = 5;
  static UCHAR information[64 * 1024];
  NT_EXPECT_SUCCESS(
      ZwQuerySystemInformation(kSystemProcessInformation, information, sizeof(information), nullptr));
  ULONG threads = 0;
  for (const UCHAR* process = information;;) {  // NextEntryOffset, NumberOfThreads, ..
    const auto* fields = reinterpret_cast<const ULONG*>(process);
    threads += fields[1];
    if (fields[0] == 0) return threads;
    process += fields[0];
  }
}

// Pages that are free, belong to the pools or are stacks of threads: the same before and after what gives
// everything back. The system may make a worker thread meanwhile, and keeps it for a minute.
inline ULONG FreeAndPoolPages() {
  constexpr ULONG kSystemPerformanceInformation = 2;
  ULONG information[0x158 / sizeof(ULONG)] = {};
  NT_EXPECT_SUCCESS(
      ZwQuerySystemInformation(kSystemPerformanceInformation, information, sizeof(information), nullptr));
  ULONG_PTR low, high;
  IoGetStackLimits(&low, &high);
  return information[44 / 4] + information[128 / 4] + information[180 / 4] +
         CountThreads() * static_cast<ULONG>((high - low) / PAGE_SIZE);
}

// The same, once it is `expected` or ten seconds have passed: ended threads give their stacks back a little
// later.
inline ULONG SettledPages(ULONG expected) {
  ULONG pages = FreeAndPoolPages();
  LARGE_INTEGER pause;
  pause.QuadPart = -1'000'000;
  for (ULONG i = 0; i < 100 && pages != expected; ++i) {
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
    pages = FreeAndPoolPages();
  }
  return pages;
}

// Blocks of some pool tags that nobody has freed.
template <ULONG kTags>
LONG64 BlocksOf(const ULONG (&tags)[kTags]) {
  struct Use {
    ULONG tag, paged_allocs, paged_frees;
    SIZE_T paged_used;
    ULONG nonpaged_allocs, nonpaged_frees;
    SIZE_T nonpaged_used;
  };
  constexpr ULONG kSystemPoolTagInformation = 22, kBytes = 64 * 1024, kOurTag = 'tnuC';
  auto* answer = static_cast<ULONG*>(ExAllocatePoolWithTag(NonPagedPoolNx, kBytes, kOurTag));
  NT_EXPECT_TRUE(answer != nullptr);
  if (answer == nullptr) return -1;
  NT_EXPECT_SUCCESS(ZwQuerySystemInformation(kSystemPoolTagInformation, answer, kBytes, nullptr));
  LONG64 blocks = 0;
  const auto* uses = reinterpret_cast<const Use*>(answer + 2);
  for (ULONG i = 0; i < answer[0]; ++i) {
    for (const ULONG tag : tags) {
      if (uses[i].tag != tag) continue;
      blocks += static_cast<LONG>(uses[i].paged_allocs - uses[i].paged_frees + uses[i].nonpaged_allocs -
                                  uses[i].nonpaged_frees);
    }
  }
  ExFreePoolWithTag(answer, kOurTag);
  return blocks;
}

inline constexpr ULONG kSpanOfAddresses = 1024 * 1024;  // less than a page table's: none is passed over

// Goes once through all addresses that the pools and the mappings give out, so that every page table exists
// and pages can be counted.
inline void MakePoolPageTables(ULONG tag) {
  for (ULONG i = 0; i < 1100; ++i) {
    if (PVOID reserved = MmAllocateMappingAddress(kSpanOfAddresses, tag)) MmFreeMappingAddress(reserved, tag);
    if (PVOID paged = ExAllocatePoolWithTag(PagedPool, kSpanOfAddresses, tag)) ExFreePoolWithTag(paged, tag);
    if (PVOID nonpaged = ExAllocatePoolWithTag(NonPagedPoolNx, kSpanOfAddresses, tag))
      ExFreePoolWithTag(nonpaged, tag);
  }
}

}  // namespace nt_test
