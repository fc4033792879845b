// Power of devices. Oracle: the WDK's pages of the routines.
#include "pnp_fixture.h"

using toy::children;
using toy::PluggedChild;
using toy::WaitFor;

namespace {

struct Done {
  volatile LONG calls;
  NTSTATUS status;
  POWER_STATE state;
  UCHAR minor;
};

VOID NTAPI OnDone(PDEVICE_OBJECT, UCHAR minor, POWER_STATE state, PVOID context, PIO_STATUS_BLOCK iosb) {
  auto* done = static_cast<Done*>(context);
  done->status = iosb->Status;
  done->state = state;
  done->minor = minor;
  InterlockedIncrement(&done->calls);
}

POWER_STATE Device(DEVICE_POWER_STATE state) {
  POWER_STATE power;
  power.DeviceState = state;
  return power;
}

void Let(toy::Child* child) {
  PIRP irp = child->kept_power;
  child->kept_power = nullptr;
  irp->IoStatus.Status = STATUS_SUCCESS;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
}

const GUID kPowerSource = {0x5d3e9a59, 0xe9d5, 0x4b00, {0xa6, 0xbd, 0xff, 0x34, 0xff, 0x51, 0x65, 0x48}};
const GUID kUnknownSetting = {0x5d3e9a50, 0, 0, {0, 0, 0, 0, 0, 0, 0, 1}};

struct Setting {
  volatile LONG calls;
  ULONG value;
  ULONG length;
};

NTSTATUS NTAPI OnSetting(LPCGUID, PVOID value, ULONG length, PVOID context) {
  auto* setting = static_cast<Setting*>(context);
  setting->value = *static_cast<ULONG*>(value);
  setting->length = length;
  InterlockedIncrement(&setting->calls);
  return STATUS_SUCCESS;
}

}  // namespace

NT_TEST(PoIrp, DeviceRequestGoesThroughTheStack) {
  PluggedChild child(0);
  Done done = {};
  NT_EXPECT_EQ(PoRequestPowerIrp(children[0].function, IRP_MN_SET_POWER, Device(PowerDeviceD2), OnDone, &done,
                                 nullptr),
               STATUS_PENDING);
  WaitFor([&] { return done.calls != 0; });
  NT_EXPECT_EQ(done.status, STATUS_SUCCESS);
  NT_EXPECT_EQ(done.state.DeviceState, PowerDeviceD2);
  NT_EXPECT_EQ(done.minor, IRP_MN_SET_POWER);
  NT_EXPECT_EQ(child->power_counts[IRP_MN_SET_POWER], 1);
  NT_EXPECT_EQ(child->last_power.DeviceState, PowerDeviceD2);
  NT_EXPECT_EQ(PoRequestPowerIrp(children[0].function, IRP_MN_POWER_SEQUENCE, Device(PowerDeviceD0), OnDone,
                                 &done, nullptr),
               STATUS_INVALID_PARAMETER_2);
}

NT_TEST(PoIrp, RequestsOfOneStackComeOneAfterTheOther) {
  PluggedChild child(0);
  child->keep_power = true;
  Done first = {}, second = {};
  PoRequestPowerIrp(children[0].function, IRP_MN_SET_POWER, Device(PowerDeviceD3), OnDone, &first, nullptr);
  WaitFor([] { return children[0].kept_power != nullptr; });
  PoRequestPowerIrp(children[0].function, IRP_MN_SET_POWER, Device(PowerDeviceD0), OnDone, &second, nullptr);
  NT_EXPECT_EQ(child->power_counts[IRP_MN_SET_POWER], 1);
  child->keep_power = false;
  Let(&children[0]);
  WaitFor([&] { return second.calls != 0; });
  NT_EXPECT_EQ(first.calls, 1);
  NT_EXPECT_EQ(child->power_counts[IRP_MN_SET_POWER], 2);
  NT_EXPECT_EQ(child->last_power.DeviceState, PowerDeviceD0);
}

NT_TEST(PoIrp, RequestsOfTwoStacksAreIndependent) {
  PluggedChild child(0), other(1);
  child->keep_power = true;
  Done first = {}, second = {};
  PoRequestPowerIrp(children[0].function, IRP_MN_SET_POWER, Device(PowerDeviceD3), OnDone, &first, nullptr);
  WaitFor([] { return children[0].kept_power != nullptr; });
  PoRequestPowerIrp(children[1].function, IRP_MN_SET_POWER, Device(PowerDeviceD3), OnDone, &second, nullptr);
  WaitFor([&] { return second.calls != 0; });
  NT_EXPECT_EQ(first.calls, 0);
  Let(&children[0]);
  WaitFor([&] { return first.calls != 0; });
}

NT_TEST(PoIrp, WaitWakeIsPendingBesideOthers) {
  PluggedChild child(0);
  child->keep_power = true;
  Done wake = {}, set = {};
  POWER_STATE state;
  state.SystemState = PowerSystemSleeping3;
  PIRP irp = nullptr;
  NT_EXPECT_EQ(PoRequestPowerIrp(children[0].function, IRP_MN_WAIT_WAKE, state, OnDone, &wake, &irp),
               STATUS_PENDING);
  WaitFor([] { return children[0].kept_power != nullptr; });
  NT_EXPECT_TRUE(irp == children[0].kept_power);
  NT_EXPECT_EQ(IoGetCurrentIrpStackLocation(irp)->Parameters.WaitWake.PowerState, PowerSystemSleeping3);
  child->keep_power = false;
  PoRequestPowerIrp(children[0].function, IRP_MN_SET_POWER, Device(PowerDeviceD1), OnDone, &set, nullptr);
  WaitFor([&] { return set.calls != 0; });
  NT_EXPECT_EQ(wake.calls, 0);
  Let(&children[0]);
  WaitFor([&] { return wake.calls != 0; });
  NT_EXPECT_EQ(wake.minor, IRP_MN_WAIT_WAKE);
}

NT_TEST(PoIrp, WatchdogCountsDown) {
  PluggedChild child(0);
  ULONG seconds = 0;
  NT_EXPECT_TRUE(!PoQueryWatchdogTime(children[0].pdo, &seconds));
  child->keep_power = true;
  Done done = {};
  PoRequestPowerIrp(children[0].function, IRP_MN_SET_POWER, Device(PowerDeviceD3), OnDone, &done, nullptr);
  WaitFor([] { return children[0].kept_power != nullptr; });
  NT_EXPECT_TRUE(PoQueryWatchdogTime(children[0].pdo, &seconds));
  NT_EXPECT_TRUE(seconds > 0 && seconds <= 600);
  Let(&children[0]);
  WaitFor([&] { return done.calls != 0; });
  NT_EXPECT_TRUE(!PoQueryWatchdogTime(children[0].pdo, &seconds));
}

NT_TEST(PoState, SetGivesTheStateBefore) {
  PluggedChild child(0);
  POWER_STATE d0 = Device(PowerDeviceD0), d3 = Device(PowerDeviceD3);
  PoSetPowerState(children[0].function, DevicePowerState, d0);
  NT_EXPECT_EQ(PoSetPowerState(children[0].function, DevicePowerState, d3).DeviceState, PowerDeviceD0);
  NT_EXPECT_EQ(PoSetPowerState(children[0].function, DevicePowerState, d0).DeviceState, PowerDeviceD3);
}

NT_TEST(PoState, RegistrationsOfTheSystemsState) {
  PVOID handle = PoRegisterSystemState(nullptr, ES_SYSTEM_REQUIRED);
  NT_ASSERT_TRUE(handle != nullptr);
  NT_EXPECT_TRUE(PoRegisterSystemState(handle, ES_DISPLAY_REQUIRED) == handle);
  PoSetSystemState(ES_USER_PRESENT);
  PoUnregisterSystemState(handle);
}

NT_TEST(PoSetting, RoutineHearsTheValueAtOnce) {
  Setting setting = {};
  PVOID handle;
  NT_ASSERT_SUCCESS(PoRegisterPowerSettingCallback(nullptr, &kPowerSource, OnSetting, &setting, &handle));
  NT_EXPECT_EQ(setting.calls, 1);
  NT_EXPECT_EQ(setting.value, 0u);  // on mains
  NT_EXPECT_EQ(setting.length, sizeof(ULONG));
  NT_EXPECT_SUCCESS(PoUnregisterPowerSettingCallback(handle));
  NT_ASSERT_SUCCESS(PoRegisterPowerSettingCallback(nullptr, &kUnknownSetting, OnSetting, &setting, &handle));
  NT_EXPECT_EQ(setting.calls, 1);
  NT_EXPECT_SUCCESS(PoUnregisterPowerSettingCallback(handle));
}
