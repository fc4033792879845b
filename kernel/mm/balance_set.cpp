// The balance set manager: a thread that makes pageable memory leave while free pages run low.
//
// When fewer than g_low_pages pages are free it gives back what caches keep, then trims everything pageable.
// Who needs a trimmed page takes it back by a soft fault, as long as it is not written out; what nobody has
// touched for a moment is written out, until twice as many pages are free.
#include "mm/balance_set.h"

#include "ex/pool.h"
#include "ke/ke.h"
#include "mm/mm_internal.h"
#include "mm/section.h"

namespace mm {

volatile ULONG64 g_low_pages;

namespace {

constexpr KPRIORITY kPriority = LOW_REALTIME_PRIORITY + 1;
constexpr LONGLONG kMillisecond = -10'000;
constexpr LONGLONG kSecondChance = 50;  // milliseconds in which a page in use comes back
constexpr LONGLONG kNothingHelps = 1000;
constexpr ULONG kAttempts = 100;
constexpr LONGLONG kAttemptPause = 10;

KEVENT g_wanted;
KDPC g_dpc;
volatile LONG g_requested;
bool g_running;

VOID NTAPI OnRequest(PKDPC, PVOID, PVOID, PVOID) {
  KeSetEvent(&g_wanted, IO_NO_INCREMENT, FALSE);
}

void Pause(LONGLONG milliseconds) {
  LARGE_INTEGER interval;
  interval.QuadPart = kMillisecond * milliseconds;
  KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

// False: nothing could be freed.
bool FreeSome(ULONG64 enough) {
  const ULONG64 before = MmAvailablePages;
  FlushStackCache();
  ex::DrainPools();
  if (MmAvailablePages >= enough) return true;
  MmTrimPageableImages();
  MmTrimPagedPool();
  TrimProcesses();
  Pause(kSecondChance);
  if (OpenPageFile()) PageOutAll(enough);
  DrainRetired();
  return MmAvailablePages > before;
}

}  // namespace

void RequestBalance() {
  if (!__atomic_load_n(&g_running, __ATOMIC_ACQUIRE) ||
      __atomic_exchange_n(&g_requested, 1, __ATOMIC_ACQ_REL) != 0)
    return;
  KeInsertQueueDpc(&g_dpc, nullptr, nullptr);
}

bool WaitForPages(ULONG attempt) {
  if (!g_running || g_low_pages == 0 || attempt >= kAttempts || KeGetCurrentIrql() > APC_LEVEL) return false;
  RequestBalance();
  Pause(kAttemptPause);
  return true;
}

}  // namespace mm

extern "C" [[noreturn]] VOID NTAPI KeBalanceSetManager(PVOID) {
  using namespace mm;
  KeSetPriorityThread(KeCurrentThread(), kPriority);
  KeInitializeEvent(&g_wanted, SynchronizationEvent, FALSE);
  KeInitializeDpc(&g_dpc, OnRequest, nullptr);
  __atomic_store_n(&g_running, true, __ATOMIC_RELEASE);
  for (;;) {
    KeWaitForSingleObject(&g_wanted, WrFreePage, KernelMode, FALSE, nullptr);
    bool helped = true;
    while (helped && MmAvailablePages < g_low_pages) helped = FreeSome(2 * g_low_pages);
    if (!helped) Pause(kNothingHelps);
    __atomic_store_n(&g_requested, 0, __ATOMIC_RELEASE);
    if (MmAvailablePages < g_low_pages) RequestBalance();
  }
}

extern "C" VOID MmSetLowPages(ULONG64 Pages) {
  using namespace mm;
  constexpr ULONG64 kShare = 64, kMost = 1024;
  const ULONG64 share = MmNumberOfPhysicalPages / kShare;
  g_low_pages = Pages != MM_DEFAULT_LOW_PAGES ? Pages : share < kMost ? share : kMost;
}
