// The driver around the tests of nt_test.h.
#include "nt_test.h"

namespace {

// The linker sorts .nttst$a, $m, $z: the cases of every source lie between these two.
extern "C" __attribute__((section(".nttst$a"), used)) const nt_test::Case* const nt_cases_begin = nullptr;
extern "C" __attribute__((section(".nttst$z"), used)) const nt_test::Case* const nt_cases_end = nullptr;

volatile LONG failures_of_case;

void RunCase(const nt_test::Case& test, ULONG* passed, ULONG* failed) {
  failures_of_case = 0;
  nt_test::case_start = KeQueryInterruptTime();
  test.run();
  const KIRQL irql = KeGetCurrentIrql();
  if (irql != PASSIVE_LEVEL) {
    KeLowerIrql(PASSIVE_LEVEL);
    nt_test::Fail(test.name, 0, "IRQL at the end == PASSIVE_LEVEL", irql, PASSIVE_LEVEL);
  }
  const bool good = failures_of_case == 0;
  ++*(good ? passed : failed);
  DbgPrint("[test] %s %s.%s\n", good ? "PASS" : "FAIL", test.suite, test.name);
}

}  // namespace

volatile LONG nt_test::checks;
ULONG64 nt_test::case_start;
PDRIVER_OBJECT nt_test::driver;

void nt_test::Fail(const char* file, int line, const char* expression, unsigned long long actual,
                   unsigned long long expected) {
  InterlockedIncrement(&failures_of_case);
  DbgPrint("[test] %s:%d: %s: 0x%I64x, expected 0x%I64x\n", file, line, expression, actual, expected);
}

// Runs all cases; false when one failed or there was none.
static bool RunAll() {
  ULONG passed = 0, failed = 0;
  // volatile: to the compiler the two markers are unrelated objects.
  const nt_test::Case* const* volatile first = &nt_cases_begin;
  const nt_test::Case* const* volatile last = &nt_cases_end;
  for (const nt_test::Case* const* at = first; at < last; ++at) {
    if (*at != nullptr) RunCase(**at, &passed, &failed);
  }
  DbgPrint("[test] done: %u passed, %u failed, %d checks\n", passed, failed, nt_test::checks);
  return failed == 0 && passed != 0;
}

#ifdef NT_TEST_IN_THREAD
// What needs a driver whose DriverEntry is over: the cases run in a thread, and unloading waits for it.
void NtTestEntry(PDRIVER_OBJECT driver);
static PVOID thread;

static VOID NTAPI RunInThread(PVOID) {
  RunAll();
  PsTerminateSystemThread(STATUS_SUCCESS);
}

static void Unload(PDRIVER_OBJECT) {
  KeWaitForSingleObject(thread, Executive, KernelMode, FALSE, nullptr);
  ObDereferenceObject(thread);
}

static NTSTATUS RunCases(PDRIVER_OBJECT driver) {
  NtTestEntry(driver);
  HANDLE handle;
  NTSTATUS status =
      PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, RunInThread, nullptr);
  if (!NT_SUCCESS(status)) return status;
  status = ObReferenceObjectByHandle(handle, SYNCHRONIZE, nullptr, KernelMode, &thread, nullptr);
  ZwClose(handle);
  return status;
}
#else
static void Unload(PDRIVER_OBJECT) {}

static NTSTATUS RunCases(PDRIVER_OBJECT) {
  return RunAll() ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
#endif

extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING) {
  driver->DriverUnload = Unload;
  nt_test::driver = driver;
  return RunCases(driver);
}
