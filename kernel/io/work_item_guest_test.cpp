// I/O work items and remove locks. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

// A device of the tests' driver.
class Device {
 public:
  Device() { IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_UNKNOWN, 0, FALSE, &device_); }
  ~Device() {
    if (device_ != nullptr) IoDeleteDevice(device_);
  }
  operator PDEVICE_OBJECT() { return device_; }

 private:
  PDEVICE_OBJECT device_ = nullptr;
};

struct Work {
  KEVENT done;
  PVOID object;
  PIO_WORKITEM item;
  KIRQL irql;
  LONG runs;
};

VOID NTAPI Run(PDEVICE_OBJECT device, PVOID context) {
  auto* work = static_cast<Work*>(context);
  work->object = device;
  work->irql = KeGetCurrentIrql();
  ++work->runs;
  KeSetEvent(&work->done, 0, FALSE);
}
VOID NTAPI RunEx(PVOID object, PVOID context, PIO_WORKITEM item) {
  static_cast<Work*>(context)->item = item;
  Run(static_cast<PDEVICE_OBJECT>(object), context);
}
void Await(Work* work) {
  KeWaitForSingleObject(&work->done, Executive, KernelMode, FALSE, nullptr);
}

}  // namespace

NT_TEST(IoWorkItem, GetsItsObjectAndContext) {
  Device device;
  NT_ASSERT_TRUE(device != nullptr);
  Work work = {};
  KeInitializeEvent(&work.done, SynchronizationEvent, FALSE);
  PIO_WORKITEM item = IoAllocateWorkItem(device);
  NT_ASSERT_TRUE(item != nullptr);
  IoQueueWorkItem(item, Run, DelayedWorkQueue, &work);
  Await(&work);
  NT_EXPECT_TRUE(work.object == static_cast<PDEVICE_OBJECT>(device));
  NT_EXPECT_EQ(work.irql, PASSIVE_LEVEL);
  IoQueueWorkItemEx(item, RunEx, CriticalWorkQueue, &work);
  Await(&work);
  NT_EXPECT_TRUE(work.item == item);
  NT_EXPECT_TRUE(IoTryQueueWorkItem(item, RunEx, DelayedWorkQueue, &work));
  Await(&work);
  NT_EXPECT_EQ(work.runs, 3);
  IoFreeWorkItem(item);
}

NT_TEST(IoWorkItem, CanLieInMemoryOfTheDriver) {
  const ULONG size = IoSizeofWorkItem();
  auto* item = static_cast<PIO_WORKITEM>(ExAllocatePoolWithTag(NonPagedPoolNx, size, 'tseT'));
  NT_ASSERT_TRUE(item != nullptr);
  Work work = {};
  KeInitializeEvent(&work.done, SynchronizationEvent, FALSE);
  IoInitializeWorkItem(nt_test::driver, item);
  IoQueueWorkItemEx(item, RunEx, DelayedWorkQueue, &work);
  Await(&work);
  NT_EXPECT_TRUE(work.object == nt_test::driver);
  IoUninitializeWorkItem(item);
  ExFreePoolWithTag(item, 'tseT');
}

namespace {

struct Removal {
  IO_REMOVE_LOCK lock;
  volatile LONG done;
};

VOID NTAPI Remove(PVOID context) {
  auto* removal = static_cast<Removal*>(context);
  IoAcquireRemoveLock(&removal->lock, removal);
  IoReleaseRemoveLockAndWait(&removal->lock, removal);
  InterlockedIncrement(&removal->done);
}

}  // namespace

NT_TEST(IoRemoveLock, RemovalWaitsForEveryUse) {
  Removal removal = {};
  IoInitializeRemoveLock(&removal.lock, 'tseT', 0, 0);
  NT_EXPECT_EQ(IoAcquireRemoveLock(&removal.lock, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(IoAcquireRemoveLock(&removal.lock, &removal), STATUS_SUCCESS);
  nt_test::Thread thread(Remove, &removal);
  NT_ASSERT_TRUE(thread.started());
  for (;;) {
    NTSTATUS status = IoAcquireRemoveLock(&removal.lock, nullptr);
    if (status == STATUS_DELETE_PENDING) break;
    IoReleaseRemoveLock(&removal.lock, nullptr);
    nt_test::Sleep(1);
  }
  IoReleaseRemoveLock(&removal.lock, nullptr);
  nt_test::Sleep(2);
  NT_EXPECT_EQ(removal.done, 0);
  IoReleaseRemoveLock(&removal.lock, &removal);
  thread.Join();
  NT_EXPECT_EQ(removal.done, 1);
  NT_EXPECT_EQ(IoAcquireRemoveLock(&removal.lock, nullptr), STATUS_DELETE_PENDING);
}

NT_TEST(IoRemoveLock, TheCheckedFormRemembersTags) {
  struct {
    IO_REMOVE_LOCK_COMMON_BLOCK common;
    IO_REMOVE_LOCK_DBG_BLOCK dbg;
  } checked;
  auto* lock = reinterpret_cast<PIO_REMOVE_LOCK>(&checked);
  int tags[2];
  IoInitializeRemoveLockEx(lock, 'tseT', 1, 10, sizeof(checked));
  NT_EXPECT_EQ(IoAcquireRemoveLockEx(lock, &tags[0], __FILE__, __LINE__, sizeof(checked)), STATUS_SUCCESS);
  NT_EXPECT_EQ(IoAcquireRemoveLockEx(lock, &tags[1], __FILE__, __LINE__, sizeof(checked)), STATUS_SUCCESS);
  NT_EXPECT_TRUE(!IsListEmpty(&checked.dbg.LockList));
  IoReleaseRemoveLockEx(lock, &tags[0], sizeof(checked));
  NT_EXPECT_TRUE(!IsListEmpty(&checked.dbg.LockList));
  IoReleaseRemoveLockAndWaitEx(lock, &tags[1], sizeof(checked));
  NT_EXPECT_TRUE(IsListEmpty(&checked.dbg.LockList));
  NT_EXPECT_EQ(checked.common.IoCount, 0);
}
