// Tests that run in the guest, inside a driver, against the exports as any driver sees them.
//
//   #include "nt_test.h"
//   NT_TEST(KeEvent, SetReleasesOneWaiter) {
//     NT_EXPECT_EQ(KeSetEvent(&event, 0, FALSE), 0);    // records a failure and goes on
//     NT_ASSERT_EQ(status, STATUS_SUCCESS);             // records a failure and leaves the test
//   }
//
// kernel/MODULE/*_guest_test.cpp become MODULE_guest_tests.sys, whose DriverEntry runs each test at
// PASSIVE_LEVEL in a system thread, prints one line a test ("[test] PASS Suite.Name") and counts, and fails
// when a test failed or left the IRQL raised.
#pragma once

#ifdef NT_TEST_WITH_OVERLAY
#include <ntifs.h>
#else
#include "ddi.h"
#endif

namespace nt_test {

struct Case {
  const char* suite;
  const char* name;
  void (*run)();
};

extern volatile LONG checks;  // executed so far

extern ULONG64 case_start;  // interrupt time at which the running test began

// The driver object of the driver that the tests are in.
extern PDRIVER_OBJECT driver;

// Marks the running test as failed and prints where and what; any IRQL.
void Fail(const char* file, int line, const char* expression, unsigned long long actual,
          unsigned long long expected);

template <typename Actual, typename Expected>
bool Equal(const char* file, int line, const char* expression, Actual actual, Expected expected) {
  InterlockedIncrement(&checks);
  if (actual == static_cast<Actual>(expected)) return true;
  Fail(file, line, expression, (unsigned long long)(actual), (unsigned long long)(expected));
  return false;
}

}  // namespace nt_test

#define NT_TEST(Suite, Name)                                                                          \
  static void NtTest_##Suite##_##Name();                                                              \
  static constexpr nt_test::Case kNtCase_##Suite##_##Name = {#Suite, #Name, NtTest_##Suite##_##Name}; \
  extern "C" __attribute__((section(".nttst$m"), used))                                               \
  const nt_test::Case* const NtCasePointer_##Suite##_##Name = &kNtCase_##Suite##_##Name;              \
  static void NtTest_##Suite##_##Name()

#define NT_EXPECT_EQ(Actual, Expected) \
  (void)nt_test::Equal(__FILE__, __LINE__, #Actual " == " #Expected, (Actual), (Expected))
#define NT_ASSERT_EQ(Actual, Expected)                                                               \
  do {                                                                                               \
    if (!nt_test::Equal(__FILE__, __LINE__, #Actual " == " #Expected, (Actual), (Expected))) return; \
  } while (0)
#define NT_EXPECT_TRUE(Condition) (void)nt_test::Equal(__FILE__, __LINE__, #Condition, !!(Condition), true)
#define NT_ASSERT_TRUE(Condition)                                                     \
  do {                                                                                \
    if (!nt_test::Equal(__FILE__, __LINE__, #Condition, !!(Condition), true)) return; \
  } while (0)
#define NT_EXPECT_SUCCESS(Status) NT_EXPECT_TRUE(NT_SUCCESS(Status))
#define NT_ASSERT_SUCCESS(Status) NT_ASSERT_TRUE(NT_SUCCESS(Status))
