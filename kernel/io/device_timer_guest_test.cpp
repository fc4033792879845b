// Devices' timers. Oracle: the WDK pages of the routines; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

struct Device {
  volatile LONG calls;
  volatile LONG irql;
  PDEVICE_OBJECT seen;
  KEVENT called;
};

void NTAPI Tick(PDEVICE_OBJECT device, PVOID context) {
  auto* state = static_cast<Device*>(context);
  state->irql = KeGetCurrentIrql();
  state->seen = device;
  InterlockedIncrement(&state->calls);
  KeSetEvent(&state->called, IO_NO_INCREMENT, FALSE);
}

void NTAPI StopSelf(PDEVICE_OBJECT device, PVOID context) {
  IoStopTimer(device);
  Tick(device, context);
}

NTSTATUS WaitFor(PKEVENT event) {
  LARGE_INTEGER timeout = nt_test::Milliseconds(60'000);
  return KeWaitForSingleObject(event, Executive, KernelMode, FALSE, &timeout);
}

}  // namespace

NT_TEST(IoTimer, RunsAtDispatchLevelWhileItIsStarted) {
  Device first = {}, second = {};
  PDEVICE_OBJECT devices[2];
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\Driver\\IoTimerTest");
  KeInitializeEvent(&first.called, SynchronizationEvent, FALSE);
  KeInitializeEvent(&second.called, SynchronizationEvent, FALSE);
  PDRIVER_OBJECT driver = nt_test::driver;
  NT_ASSERT_TRUE(driver != nullptr);
  for (PDEVICE_OBJECT& device : devices) {
    NT_ASSERT_SUCCESS(IoCreateDevice(driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, &device));
  }
  NT_EXPECT_SUCCESS(IoInitializeTimer(devices[0], Tick, &first));
  NT_EXPECT_SUCCESS(IoInitializeTimer(devices[1], StopSelf, &second));
  IoStartTimer(devices[0]);
  IoStartTimer(devices[1]);
  NT_EXPECT_EQ(WaitFor(&second.called), STATUS_SUCCESS);
  for (int i = 0; i < 2; ++i) NT_EXPECT_EQ(WaitFor(&first.called), STATUS_SUCCESS);
  IoStopTimer(devices[0]);
  NT_EXPECT_EQ(first.irql, DISPATCH_LEVEL);
  NT_EXPECT_TRUE(first.seen == devices[0] && second.seen == devices[1]);
  NT_EXPECT_EQ(second.calls, 1);
  IoStartTimer(devices[0]);
  for (PDEVICE_OBJECT device : devices) IoDeleteDevice(device);  // with the timer started
}
