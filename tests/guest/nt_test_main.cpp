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

static void Unload(PDRIVER_OBJECT) {}

extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING) {
  ULONG passed = 0, failed = 0;
  driver->DriverUnload = Unload;
  nt_test::driver = driver;
  // volatile: to the compiler the two markers are unrelated objects.
  const nt_test::Case* const* volatile first = &nt_cases_begin;
  const nt_test::Case* const* volatile last = &nt_cases_end;
  for (const nt_test::Case* const* at = first; at < last; ++at) {
    if (*at != nullptr) RunCase(**at, &passed, &failed);
  }
  DbgPrint("[test] done: %u passed, %u failed, %d checks\n", passed, failed, nt_test::checks);
  return failed == 0 && passed != 0 ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}
