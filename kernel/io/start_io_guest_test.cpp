// The StartIo model: order, keys, deferred calls, requests that can no longer be cancelled. Oracle: the WDK
// pages.
#include "ddi_io.h"
#include "nt_test.h"

namespace {

constexpr ULONG kIrps = 6;

struct Run {
  PDEVICE_OBJECT device;
  PIRP irps[kIrps];
  ULONG order[kIrps];
  ULONG started;
  ULONG depth, deepest;
  bool next_inside;  // StartIo asks for the next one itself
  bool by_key;
  ULONG next_key;
};
Run run;

VOID NTAPI Cancel(PDEVICE_OBJECT, PIRP irp) {
  IoReleaseCancelSpinLock(irp->CancelIrql);
}

VOID NTAPI StartIo(PDEVICE_OBJECT device, PIRP irp) {
  ++run.depth;
  if (run.depth > run.deepest) run.deepest = run.depth;
  for (ULONG i = 0; i < kIrps; ++i) {
    if (run.irps[i] == irp && run.started < kIrps) run.order[run.started++] = i;
  }
  NT_EXPECT_EQ(device->CurrentIrp, irp);
  NT_EXPECT_EQ(KeGetCurrentIrql(), DISPATCH_LEVEL);
  if (run.next_inside && run.by_key) IoStartNextPacketByKey(device, FALSE, run.next_key);
  if (run.next_inside && !run.by_key) IoStartNextPacket(device, FALSE);
  --run.depth;
}

bool Begin(bool deferred, bool non_cancelable) {
  RtlZeroMemory(&run, sizeof(run));
  nt_test::driver->DriverStartIo = StartIo;
  if (!NT_SUCCESS(IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, &run.device)))
    return false;
  IoSetStartIoAttributes(run.device, deferred, non_cancelable);
  for (PIRP& irp : run.irps) {
    irp = IoAllocateIrp(1, FALSE);
    if (irp == nullptr) return false;
    IoSetNextIrpStackLocation(irp);
  }
  return true;
}

void End() {
  for (PIRP irp : run.irps) IoFreeIrp(irp);
  IoDeleteDevice(run.device);
}

void Next() {
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  IoStartNextPacket(run.device, FALSE);
  KeLowerIrql(irql);
}

// The first occupies the device, the others queue up; then one call starts them all.
void StartAll() {
  for (PIRP irp : run.irps) IoStartPacket(run.device, irp, nullptr, nullptr);
  NT_EXPECT_EQ(run.started, 1u);
  run.next_inside = true;
  Next();
}

}  // namespace

NT_TEST(IoStartIo, OneAfterTheOther) {
  NT_ASSERT_TRUE(Begin(false, false));
  for (PIRP irp : run.irps) IoStartPacket(run.device, irp, nullptr, nullptr);
  for (ULONG i = 1; i < kIrps; ++i) {
    NT_EXPECT_EQ(run.started, i);
    Next();
  }
  for (ULONG i = 0; i < kIrps; ++i) NT_EXPECT_EQ(run.order[i], i);
  Next();
  NT_EXPECT_EQ(run.started, kIrps);
  NT_EXPECT_EQ(run.device->CurrentIrp, (PIRP) nullptr);
  End();
}

NT_TEST(IoStartIo, NestsUnlessDeferred) {
  NT_ASSERT_TRUE(Begin(false, false));
  StartAll();
  NT_EXPECT_EQ(run.started, kIrps);
  NT_EXPECT_EQ(run.deepest, kIrps - 1);
  End();
  NT_ASSERT_TRUE(Begin(true, false));
  StartAll();
  NT_EXPECT_EQ(run.started, kIrps);
  NT_EXPECT_EQ(run.deepest, 1u);
  for (ULONG i = 0; i < kIrps; ++i) NT_EXPECT_EQ(run.order[i], i);
  End();
}

NT_TEST(IoStartIo, DeferredFromTheFirstPacketOn) {
  NT_ASSERT_TRUE(Begin(true, false));
  run.next_inside = true;
  for (ULONG i = 0; i < kIrps; ++i) {
    IoStartPacket(run.device, run.irps[i], nullptr, nullptr);
    NT_EXPECT_EQ(run.started, i + 1);
  }
  NT_EXPECT_EQ(run.deepest, 1u);
  End();
}

NT_TEST(IoStartIo, ByKey) {
  NT_ASSERT_TRUE(Begin(false, false));
  ULONG keys[kIrps] = {0, 50, 10, 40, 20, 30};
  for (ULONG i = 0; i < kIrps; ++i) IoStartPacket(run.device, run.irps[i], &keys[i], nullptr);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  IoStartNextPacketByKey(run.device, FALSE, 25);
  IoStartNextPacketByKey(run.device, FALSE, 45);
  IoStartNextPacketByKey(run.device, FALSE, 60);  // none is that high: the first
  IoStartNextPacket(run.device, FALSE);
  IoStartNextPacket(run.device, FALSE);
  KeLowerIrql(irql);
  const ULONG expected[kIrps] = {0, 5, 1, 2, 4, 3};
  for (ULONG i = 0; i < kIrps; ++i) NT_EXPECT_EQ(run.order[i], expected[i]);
  End();
}

NT_TEST(IoStartIo, DeferredByKey) {
  NT_ASSERT_TRUE(Begin(true, false));
  ULONG keys[kIrps] = {0, 50, 10, 40, 20, 30};
  for (ULONG i = 0; i < kIrps; ++i) IoStartPacket(run.device, run.irps[i], &keys[i], nullptr);
  run.next_inside = run.by_key = true;
  run.next_key = 35;
  Next();  // 10 first, then what is at least 35, then what is left from below
  const ULONG expected[kIrps] = {0, 2, 3, 1, 4, 5};
  for (ULONG i = 0; i < kIrps; ++i) NT_EXPECT_EQ(run.order[i], expected[i]);
  NT_EXPECT_EQ(run.deepest, 1u);
  End();
}

NT_TEST(IoStartIo, NonCancelableLosesItsCancelRoutineWhenItStarts) {
  for (int keep = 0; keep < 2; ++keep) {
    NT_ASSERT_TRUE(Begin(false, keep == 1));
    for (ULONG i = 0; i < 3; ++i) IoStartPacket(run.device, run.irps[i], nullptr, Cancel);
    NT_EXPECT_EQ(run.irps[0]->CancelRoutine == nullptr, keep == 1);
    NT_EXPECT_TRUE(run.irps[1]->CancelRoutine == Cancel);
    KIRQL irql;
    KeRaiseIrql(DISPATCH_LEVEL, &irql);
    IoStartNextPacket(run.device, TRUE);
    KeLowerIrql(irql);
    NT_EXPECT_EQ(run.irps[1]->CancelRoutine == nullptr, keep == 1);
    NT_EXPECT_TRUE(run.irps[2]->CancelRoutine == Cancel);
    for (PIRP irp : run.irps) IoSetCancelRoutine(irp, nullptr);
    End();
  }
}
