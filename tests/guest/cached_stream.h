// A file system of a test's own with one cached stream: a device whose paging requests read and write an
// array.
#pragma once

#include "ddi_fs.h"
#include "nt_test.h"

namespace cached {

constexpr ULONG kDiskSize = 0x90000;  // two views and a bit
inline UCHAR* g_disk;
inline volatile LONG g_reads;
inline volatile LONG g_writes;
inline volatile LONG g_acquires;
inline volatile LONG g_releases;
inline NTSTATUS g_failure;

inline NTSTATUS Finish(PIRP irp, NTSTATUS status, ULONG_PTR information) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

inline NTSTATUS NTAPI Transfer(PDEVICE_OBJECT, PIRP irp) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const bool write = stack->MajorFunction == IRP_MJ_WRITE;
  InterlockedIncrement(write ? &g_writes : &g_reads);
  NT_EXPECT_TRUE((irp->Flags & IRP_PAGING_IO) != 0 && (irp->Flags & IRP_NOCACHE) != 0);
  NT_EXPECT_EQ(stack->Parameters.Read.Length % PAGE_SIZE, 0);
  if (!NT_SUCCESS(g_failure)) return Finish(irp, g_failure, 0);
  const LONGLONG offset = stack->Parameters.Read.ByteOffset.QuadPart;
  if (offset >= kDiskSize) return Finish(irp, STATUS_END_OF_FILE, 0);
  ULONG length = stack->Parameters.Read.Length;
  if (length > kDiskSize - offset) length = static_cast<ULONG>(kDiskSize - offset);
  PVOID buffer = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
  if (write) {
    RtlCopyMemory(g_disk + offset, buffer, length);
  } else {
    RtlCopyMemory(buffer, g_disk + offset, length);
  }
  return Finish(irp, STATUS_SUCCESS, length);
}

inline BOOLEAN NTAPI Acquire(PVOID, BOOLEAN) {
  InterlockedIncrement(&g_acquires);
  return TRUE;
}
inline VOID NTAPI Release(PVOID) {
  InterlockedIncrement(&g_releases);
}

inline UCHAR Pattern(ULONG offset) {
  return static_cast<UCHAR>(offset * 7 + offset / 4096);
}

inline LARGE_INTEGER Large(LONGLONG value) {
  LARGE_INTEGER large;
  large.QuadPart = value;
  return large;
}

// A cached stream of kDiskSize bytes.
struct Stream {
  PDEVICE_OBJECT device = nullptr;
  PFILE_OBJECT file = nullptr;
  SECTION_OBJECT_POINTERS pointers = {};
  explicit Stream(LONGLONG size = kDiskSize, LONGLONG valid = kDiskSize) {
    g_disk = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, kDiskSize, 'tset'));
    for (ULONG i = 0; i < kDiskSize; ++i) g_disk[i] = Pattern(i);
    g_reads = 0;
    g_writes = 0;
    g_failure = STATUS_SUCCESS;
    nt_test::driver->MajorFunction[IRP_MJ_READ] = Transfer;
    nt_test::driver->MajorFunction[IRP_MJ_WRITE] = Transfer;
    IoCreateDevice(nt_test::driver, 0, nullptr, FILE_DEVICE_DISK_FILE_SYSTEM, 0, FALSE, &device);
    device->Flags &= ~DO_DEVICE_INITIALIZING;
    file = IoCreateStreamFileObjectLite(nullptr, device);
    file->SectionObjectPointer = &pointers;
    CACHE_MANAGER_CALLBACKS callbacks = {Acquire, Release, Acquire, Release};
    CC_FILE_SIZES sizes = {Large(size), Large(size), Large(valid)};
    CcInitializeCacheMap(file, &sizes, TRUE, &callbacks, this);
  }
  void Close() {
    if (file == nullptr) return;
    CACHE_UNINITIALIZE_EVENT gone;
    KeInitializeEvent(&gone.Event, NotificationEvent, FALSE);
    CcUninitializeCacheMap(file, nullptr, &gone);
    KeWaitForSingleObject(&gone.Event, Executive, KernelMode, FALSE, nullptr);
    NT_EXPECT_TRUE(pointers.SharedCacheMap == nullptr);
    ObDereferenceObject(file);
    file = nullptr;
  }
  ~Stream() {
    Close();
    IoDeleteDevice(device);
    ExFreePoolWithTag(g_disk, 'tset');
  }
  bool Read(LONGLONG offset, PVOID buffer, ULONG length, BOOLEAN wait = TRUE) {
    LARGE_INTEGER at = Large(offset);
    IO_STATUS_BLOCK iosb = {};
    if (!CcCopyRead(file, &at, length, wait, buffer, &iosb)) return false;
    NT_EXPECT_EQ(iosb.Information, length);
    return true;
  }
  bool Write(LONGLONG offset, PVOID buffer, ULONG length, BOOLEAN wait = TRUE) {
    LARGE_INTEGER at = Large(offset);
    return CcCopyWrite(file, &at, length, wait, buffer) != FALSE;
  }
  NTSTATUS Flush() {
    IO_STATUS_BLOCK iosb = {};
    CcFlushCache(&pointers, nullptr, 0, &iosb);
    return iosb.Status;
  }
};

inline bool IsPattern(const UCHAR* bytes, ULONG offset, ULONG length) {
  for (ULONG i = 0; i < length; ++i) {
    if (bytes[i] != Pattern(offset + i)) return false;
  }
  return true;
}

}  // namespace cached
