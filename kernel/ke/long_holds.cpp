// Reports of spin locks held longer than NT allows: to the host, as events, a few a second. Found by whoever
// had to wait for the lock, and by the clock of the processor that holds it. The finder may be at any IRQL: a
// DPC sends the report.
#include "kd/control.h"
#include "ke/crash_hooks.h"
#include "ke_internal.h"
#include "ktl/format.h"

namespace {

constexpr ULONG64 kReportInterval = hal::kPerformanceFrequency / 4;
// Under plain TCG a processor stands still whenever the host schedules another thread, for milliseconds: a
// hold must be longer than that to be the driver's doing. The PRCB's count (LongHolds) keeps to NT's limit.
constexpr ULONG64 kTcgLimit = hal::kPerformanceFrequency / 20;

struct Report {
  PVOID lock;
  PVOID holder;  // address in the code that acquired it
  ULONG processor;
  ULONG64 held;  // 100 ns
  PVOID waiter;  // address in the code that waited; 0: nobody did
};
Report report;
volatile LONG report_busy;
volatile ULONG64 next_report;
KDPC report_dpc;

// "driver.sys+0x1234", or the bare address.
void Describe(PVOID address, char* text, SIZE_T size) {
  PKLDR_DATA_TABLE_ENTRY image = KiCrash.find_image != nullptr ? KiCrash.find_image(address) : nullptr;
  if (image == nullptr) {
    ktl::Format(text, size, "%p", address);
    return;
  }
  ktl::Format(text, size, "%wZ+0x%llx", &image->BaseDllName,
              reinterpret_cast<ULONG64>(address) - reinterpret_cast<ULONG64>(image->DllBase));
}

VOID NTAPI SendReport(PKDPC, PVOID, PVOID, PVOID) {
  char holder[64], waiter[64], text[256];
  Describe(report.holder, holder, sizeof holder);
  SIZE_T length =
      ktl::Format(text, sizeof text, "spin lock %p, acquired at %s, held for %llu us on processor %u",
                  report.lock, holder, report.held / 10, report.processor);
  if (report.waiter != nullptr) {
    Describe(report.waiter, waiter, sizeof waiter);
    ktl::Format(text + length, sizeof text - length, "; waited for at %s", waiter);
  }
  kd::SendTextEvent(boot::Event::kLockHeldLong, text);
  __atomic_store_n(&report_busy, 0, __ATOMIC_RELEASE);
}

}  // namespace

extern "C" {

VOID KiInitializeLongHolds() {
  KeInitializeDpc(&report_dpc, SendReport, nullptr);
}

VOID KiReportLongHold(PVOID lock, PVOID holder, ULONG processor, ULONG64 held, PVOID waiter) {
  const auto at = reinterpret_cast<ULONG64>(holder);
  const bool own = at - KeLoaderBlock->kernel_base < KeLoaderBlock->kernel_size;
  if (own || (KeLoaderBlock->accelerator == boot::Accelerator::kTcg && held < kTcgLimit)) return;
  const ULONG64 now = hal::PerformanceNow();
  if (now < next_report || InterlockedCompareExchange(&report_busy, 1, 0) != 0) return;
  next_report = now + kReportInterval;
  report = {lock, holder, processor, held, waiter};
  KeInsertQueueDpc(&report_dpc, nullptr, nullptr);
}

}  // extern "C"
