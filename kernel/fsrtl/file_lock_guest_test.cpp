// Byte-range locks through the ABI. Oracle: the WDK pages of FsRtl*Lock*, LockFileEx; not yet run on a real
// NT.
#include "ddi_fs.h"
#include "nt_test.h"
#include "random.h"

namespace {

volatile LONG g_completed;
NTSTATUS g_last_status;
NTSTATUS g_answer;
NTSTATUS NTAPI OnComplete(PVOID, PIRP irp) {
  InterlockedIncrement(&g_completed);
  g_last_status = irp->IoStatus.Status;
  return NT_SUCCESS(g_last_status) ? g_answer : g_last_status;
}
volatile LONG g_unlocked;
VOID NTAPI OnUnlock(PVOID context, PFILE_LOCK_INFO) {
  InterlockedExchangeAdd(&g_unlocked, context != nullptr ? *static_cast<LONG*>(context) : 1);
}

PEPROCESS Process() {
  return PsGetCurrentProcess();
}
// Owners are told apart by their file objects' addresses alone.
PFILE_OBJECT File(ULONG number) {
  static FILE_OBJECT files[3];
  return &files[number];
}
LARGE_INTEGER Large(LONGLONG value) {
  LARGE_INTEGER large;
  large.QuadPart = value;
  return large;
}

struct Locks {
  FILE_LOCK lock;
  Locks() {
    FsRtlInitializeFileLock(&lock, OnComplete, OnUnlock);
    g_completed = 0;
    g_unlocked = 0;
    g_answer = STATUS_SUCCESS;
  }
  ~Locks() { FsRtlUninitializeFileLock(&lock); }
  NTSTATUS Take(ULONG file, LONGLONG offset, LONGLONG length, bool exclusive, ULONG key = 0) {
    LARGE_INTEGER o = Large(offset), l = Large(length);
    IO_STATUS_BLOCK iosb = {};
    FsRtlPrivateLock(&lock, File(file), &o, &l, Process(), key, TRUE, exclusive, &iosb, nullptr, nullptr,
                     FALSE);
    return iosb.Status;
  }
  NTSTATUS Release(ULONG file, LONGLONG offset, LONGLONG length, ULONG key = 0) {
    LARGE_INTEGER o = Large(offset), l = Large(length);
    return FsRtlFastUnlockSingle(&lock, File(file), &o, &l, Process(), key, nullptr, FALSE);
  }
  bool Reads(ULONG file, LONGLONG offset, LONGLONG length, ULONG key = 0) {
    LARGE_INTEGER o = Large(offset), l = Large(length);
    return FsRtlFastCheckLockForRead(&lock, &o, &l, key, File(file), Process()) != FALSE;
  }
  bool Writes(ULONG file, LONGLONG offset, LONGLONG length, ULONG key = 0) {
    LARGE_INTEGER o = Large(offset), l = Large(length);
    return FsRtlFastCheckLockForWrite(&lock, &o, &l, key, File(file), Process()) != FALSE;
  }
};

// A lock IRP as a dispatch routine has it.
struct LockIrp {
  PIRP irp;
  LARGE_INTEGER length;
  LockIrp(UCHAR minor, ULONG file, LONGLONG offset, LONGLONG bytes, UCHAR flags, ULONG key = 0)
      : irp(IoAllocateIrp(1, FALSE)) {
    IoSetNextIrpStackLocation(irp);
    irp->Tail.Overlay.Thread = PsGetCurrentThread();
    length.QuadPart = bytes;
    PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
    stack->MajorFunction = IRP_MJ_LOCK_CONTROL;
    stack->MinorFunction = minor;
    stack->Flags = flags;
    stack->FileObject = File(file);
    stack->Parameters.LockControl.ByteOffset.QuadPart = offset;
    stack->Parameters.LockControl.Length = &length;
    stack->Parameters.LockControl.Key = key;
  }
  ~LockIrp() { IoFreeIrp(irp); }
};

}  // namespace

NT_TEST(FsRtlFileLock, ExclusiveLocksKeepOthersOut) {
  Locks locks;
  NT_EXPECT_TRUE(locks.Writes(1, 0, 100));
  NT_EXPECT_EQ(locks.Take(0, 100, 100, true), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(1, 150, 1, true), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_EQ(locks.Take(1, 150, 1, false), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_EQ(locks.Take(1, 99, 1, true), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(1, 200, 1, true), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(0, 100, 100, true), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_TRUE(locks.Reads(0, 100, 100));
  NT_EXPECT_TRUE(locks.Writes(0, 100, 100));
  NT_EXPECT_TRUE(!locks.Reads(0, 100, 100, 5));  // another key
  NT_EXPECT_TRUE(!locks.Reads(2, 199, 1));
  NT_EXPECT_TRUE(!locks.Writes(2, 0, 101));
  NT_EXPECT_TRUE(locks.Reads(2, 201, 10));
  NT_EXPECT_TRUE(locks.Reads(2, 150, 0));
}

NT_TEST(FsRtlFileLock, SharedLocksLetReadersInAndNobodyWrite) {
  Locks locks;
  NT_EXPECT_EQ(locks.Take(0, 0, 100, false), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(1, 50, 100, false), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(2, 0, 10, true), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_TRUE(locks.Reads(2, 0, 100));
  NT_EXPECT_TRUE(!locks.Writes(2, 0, 100));
  NT_EXPECT_TRUE(!locks.Writes(0, 0, 1));  // its owner neither
  NT_EXPECT_EQ(locks.Take(0, 500, 10, true), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(0, 500, 10, false), STATUS_SUCCESS);  // shared over one's own exclusive lock
  NT_EXPECT_EQ(locks.Take(1, 500, 10, false), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_EQ(locks.Release(0, 500, 10), STATUS_SUCCESS);  // the exclusive one first
  NT_EXPECT_EQ(locks.Take(1, 500, 10, false), STATUS_SUCCESS);
}

NT_TEST(FsRtlFileLock, UnlockWantsTheExactRange) {
  Locks locks;
  NT_EXPECT_EQ(locks.Release(0, 0, 10), STATUS_RANGE_NOT_LOCKED);
  NT_EXPECT_EQ(locks.Take(0, 0, 10, true, 3), STATUS_SUCCESS);
  NT_EXPECT_TRUE(FsRtlAreThereCurrentFileLocks(&locks.lock));
  NT_EXPECT_TRUE(FsRtlAreThereCurrentOrInProgressFileLocks(&locks.lock));
  NT_EXPECT_EQ(locks.Release(0, 0, 9, 3), STATUS_RANGE_NOT_LOCKED);
  NT_EXPECT_EQ(locks.Release(0, 0, 10, 4), STATUS_RANGE_NOT_LOCKED);
  NT_EXPECT_EQ(locks.Release(1, 0, 10, 3), STATUS_RANGE_NOT_LOCKED);
  NT_EXPECT_EQ(locks.Release(0, 0, 10, 3), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_unlocked, 1);
  NT_EXPECT_TRUE(!FsRtlAreThereCurrentFileLocks(&locks.lock));
  NT_EXPECT_TRUE(!FsRtlAreThereCurrentOrInProgressFileLocks(&locks.lock));
}

NT_TEST(FsRtlFileLock, RangesReachTheEndAndMayNotWrap) {
  Locks locks;
  NT_EXPECT_EQ(locks.Take(0, -1, 1, true), STATUS_SUCCESS);  // the last byte there is
  NT_EXPECT_EQ(locks.Take(0, -1, 2, true), STATUS_INVALID_LOCK_RANGE);
  NT_EXPECT_EQ(locks.Take(1, 0, -1, true), STATUS_SUCCESS);  // all but the last
  NT_EXPECT_EQ(locks.Take(2, 1000, 1, false), STATUS_LOCK_NOT_GRANTED);
}

NT_TEST(FsRtlFileLock, UnlockAllTakesAnOwnersLocks) {
  Locks locks;
  for (ULONG i = 0; i < 4; ++i) NT_EXPECT_EQ(locks.Take(0, 10 * i, 10, true, i & 1), STATUS_SUCCESS);
  NT_EXPECT_EQ(locks.Take(1, 100, 10, true), STATUS_SUCCESS);
  LONG ten = 10;
  NT_EXPECT_EQ(FsRtlFastUnlockAllByKey(&locks.lock, File(0), Process(), 1, &ten), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_unlocked, 20);
  NT_EXPECT_TRUE(locks.Reads(2, 10, 10));
  NT_EXPECT_TRUE(!locks.Reads(2, 0, 10));
  NT_EXPECT_EQ(FsRtlFastUnlockAll(&locks.lock, File(0), Process(), nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_unlocked, 22);
  NT_EXPECT_TRUE(locks.Reads(2, 0, 40));
  NT_EXPECT_TRUE(!locks.Reads(2, 100, 1));
  NT_EXPECT_EQ(FsRtlFastUnlockAll(&locks.lock, File(0), Process(), nullptr), STATUS_RANGE_NOT_LOCKED);
}

NT_TEST(FsRtlFileLock, LocksAreListed) {
  Locks locks;
  NT_EXPECT_TRUE(FsRtlGetNextFileLock(&locks.lock, TRUE) == nullptr);
  locks.Take(0, 5, 10, true, 7);
  locks.Take(1, 50, 10, false);
  PFILE_LOCK_INFO info = FsRtlGetNextFileLock(&locks.lock, TRUE);
  NT_ASSERT_TRUE(info != nullptr);
  NT_EXPECT_EQ(info->StartingByte.QuadPart, 5);
  NT_EXPECT_EQ(info->Length.QuadPart, 10);
  NT_EXPECT_EQ(info->EndingByte.QuadPart, 14);
  NT_EXPECT_EQ(info->Key, 7);
  NT_EXPECT_TRUE(info->ExclusiveLock);
  NT_EXPECT_TRUE(info->FileObject == File(0));
  NT_EXPECT_TRUE(info->ProcessId == Process());
  info = FsRtlGetNextFileLock(&locks.lock, FALSE);
  NT_ASSERT_TRUE(info != nullptr);
  NT_EXPECT_EQ(info->StartingByte.QuadPart, 50);
  NT_EXPECT_TRUE(!info->ExclusiveLock);
  NT_EXPECT_TRUE(FsRtlGetNextFileLock(&locks.lock, FALSE) == nullptr);
}

NT_TEST(FsRtlFileLock, RequestsWaitAndAreGrantedInOrder) {
  Locks locks;
  LockIrp first(IRP_MN_LOCK, 0, 0, 10, SL_EXCLUSIVE_LOCK | SL_FAIL_IMMEDIATELY);
  LockIrp refused(IRP_MN_LOCK, 1, 5, 1, SL_EXCLUSIVE_LOCK | SL_FAIL_IMMEDIATELY);
  LockIrp waiting(IRP_MN_LOCK, 1, 5, 1, SL_EXCLUSIVE_LOCK);
  LockIrp behind(IRP_MN_LOCK, 2, 5, 1, SL_EXCLUSIVE_LOCK);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, first.irp, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, refused.irp, nullptr), STATUS_LOCK_NOT_GRANTED);
  NT_EXPECT_EQ(g_completed, 2);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, waiting.irp, nullptr), STATUS_PENDING);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, behind.irp, nullptr), STATUS_PENDING);
  NT_EXPECT_TRUE((IoGetCurrentIrpStackLocation(waiting.irp)->Control & SL_PENDING_RETURNED) != 0);
  NT_EXPECT_TRUE(FsRtlAreThereWaitingFileLocks(&locks.lock));
  LockIrp unlock(IRP_MN_UNLOCK_SINGLE, 0, 0, 10, 0);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, unlock.irp, nullptr), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_completed, 4);
  NT_EXPECT_EQ(waiting.irp->IoStatus.Status, STATUS_SUCCESS);
  NT_EXPECT_TRUE(locks.Reads(1, 5, 1));
  NT_EXPECT_TRUE(!locks.Reads(2, 5, 1));
  LockIrp all(IRP_MN_UNLOCK_ALL, 1, 0, 0, 0);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, all.irp, nullptr), STATUS_SUCCESS);
  NT_EXPECT_TRUE(locks.Reads(2, 5, 1));
  NT_EXPECT_TRUE(!FsRtlAreThereWaitingFileLocks(&locks.lock));
}

NT_TEST(FsRtlFileLock, WaitingRequestsCanBeCancelled) {
  Locks locks;
  NT_EXPECT_EQ(locks.Take(0, 0, 10, true), STATUS_SUCCESS);
  LockIrp waiting(IRP_MN_LOCK, 1, 5, 1, SL_EXCLUSIVE_LOCK);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, waiting.irp, nullptr), STATUS_PENDING);
  NT_EXPECT_TRUE(IoCancelIrp(waiting.irp));
  NT_EXPECT_EQ(g_completed, 1);
  NT_EXPECT_EQ(g_last_status, STATUS_CANCELLED);
  NT_EXPECT_TRUE(!FsRtlAreThereWaitingFileLocks(&locks.lock));
  LockIrp late(IRP_MN_LOCK, 1, 5, 1, SL_EXCLUSIVE_LOCK);
  late.irp->Cancel = TRUE;
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, late.irp, nullptr), STATUS_CANCELLED);
}

NT_TEST(FsRtlFileLock, TheFileSystemMayRefuseAGrantedLock) {
  Locks locks;
  g_answer = STATUS_INSUFFICIENT_RESOURCES;
  LockIrp lock(IRP_MN_LOCK, 0, 0, 10, SL_EXCLUSIVE_LOCK);
  NT_EXPECT_EQ(FsRtlProcessFileLock(&locks.lock, lock.irp, nullptr), STATUS_INSUFFICIENT_RESOURCES);
  NT_EXPECT_TRUE(locks.Reads(1, 0, 10));
}

NT_TEST(FsRtlFileLock, IrpsAreCheckedByTheirOwner) {
  Locks locks;
  NT_EXPECT_EQ(locks.Take(0, 0, 10, true, 9), STATUS_SUCCESS);
  PIRP irp = IoAllocateIrp(1, FALSE);
  IoSetNextIrpStackLocation(irp);
  irp->Tail.Overlay.Thread = PsGetCurrentThread();
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  stack->FileObject = File(0);
  stack->Parameters.Read.Length = 10;
  stack->Parameters.Read.Key = 9;
  NT_EXPECT_TRUE(FsRtlCheckLockForReadAccess(&locks.lock, irp));
  NT_EXPECT_TRUE(FsRtlCheckLockForWriteAccess(&locks.lock, irp));
  stack->FileObject = File(1);
  NT_EXPECT_TRUE(!FsRtlCheckLockForReadAccess(&locks.lock, irp));
  NT_EXPECT_TRUE(!FsRtlCheckLockForWriteAccess(&locks.lock, irp));
  stack->Parameters.Read.ByteOffset.QuadPart = 10;
  NT_EXPECT_TRUE(FsRtlCheckLockForReadAccess(&locks.lock, irp));
  IoFreeIrp(irp);
}

NT_TEST(FsRtlFileLock, LocksStandAgainstOplocksWithinTheFile) {
  Locks locks;
  LARGE_INTEGER size = Large(1000);
  NT_EXPECT_TRUE(FsRtlCheckLockForOplockRequest(&locks.lock, &size));
  locks.Take(0, 2000, 10, true);
  NT_EXPECT_TRUE(FsRtlCheckLockForOplockRequest(&locks.lock, &size));
  locks.Take(0, 999, 10, false);
  NT_EXPECT_TRUE(!FsRtlCheckLockForOplockRequest(&locks.lock, &size));
}

NT_TEST(FsRtlFileLock, AllocatedLocksAreFreed) {
  PFILE_LOCK lock = FsRtlAllocateFileLock(nullptr, nullptr);
  NT_ASSERT_TRUE(lock != nullptr);
  LARGE_INTEGER o = Large(0), l = Large(1);
  IO_STATUS_BLOCK iosb;
  NT_EXPECT_TRUE(
      FsRtlPrivateLock(lock, File(0), &o, &l, Process(), 0, TRUE, TRUE, &iosb, nullptr, nullptr, FALSE));
  FsRtlFreeFileLock(lock);
}
