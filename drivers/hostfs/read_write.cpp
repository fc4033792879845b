// IRP_MJ_READ, IRP_MJ_WRITE, IRP_MJ_FLUSH_BUFFERS. Requests are neither buffered nor direct: they are served
// in the caller's own thread. Small writes are gathered for each file; reads, flushes, cleanup and shutdown
// write them out first.
#include "volume.h"

#pragma code_seg("PAGE")

namespace hostfs {
namespace {

constexpr ULONG kLargestGathered = 8 * 1024;
constexpr ULONG kLargestFast = 512;  // bytes that fast I/O copies by way of the stack

bool IsFile(const Fcb* fcb, const Ccb* ccb) {
  return fcb != nullptr && ccb != nullptr && !fcb->is_directory && !ccb->is_volume;
}

// Paging requests are not the program's own: they leave its file pointer alone.
void MoveFilePointer(PIRP irp, PFILE_OBJECT file, ULONG64 offset) {
  const bool moves = (file->Flags & FO_SYNCHRONOUS_IO) != 0 && (irp->Flags & IRP_PAGING_IO) == 0;
  if (moves) file->CurrentByteOffset.QuadPart = static_cast<LONGLONG>(offset);
}

NTSTATUS ReadLocked(Volume& volume, Fcb* fcb, ULONG64 offset, PVOID buffer, ULONG length, ULONG* done) {
  NTSTATUS status = volume.FlushGathered(fcb);
  if (NT_SUCCESS(status)) status = volume.OpenFor(fcb, false);
  if (NT_SUCCESS(status)) status = volume.client().Read(fcb->fid, offset, buffer, length, done);
  if (!NT_SUCCESS(status)) return status;
  return *done == 0 ? STATUS_END_OF_FILE : STATUS_SUCCESS;
}

// Puts bytes where the gathered ones are or end. False: they do not fit there.
bool Gather(Volume& volume, Fcb* fcb, ULONG64 offset, const void* bytes, ULONG length) {
  if (fcb->gather == nullptr) fcb->gather = volume.TakeGatherBuffer();
  if (fcb->gather == nullptr) return false;
  if (fcb->gather_length == 0) fcb->gather_offset = offset;
  if (offset < fcb->gather_offset || offset > fcb->gather_offset + fcb->gather_length) return false;
  const ULONG64 at = offset - fcb->gather_offset;
  if (at + length > kGatherSize) return false;
  RtlCopyMemory(fcb->gather + at, bytes, length);
  if (at + length > fcb->gather_length) fcb->gather_length = at + length;
  return true;
}

// What is known of a file after bytes up to `end` were written to it.
void NoteWritten(Volume& volume, Fcb* fcb, Ccb* ccb, ULONG64 end) {
  const bool grows = fcb->attributes_valid && end > fcb->attributes.size;
  if (fcb->attributes_valid) {
    LARGE_INTEGER now;
    KeQuerySystemTime(&now);
    fcb->attributes.modification = TimeFrom(now);
  }
  if (grows) {
    fcb->attributes.size = end;
    fcb->attributes.blocks = (end + 511) / 512;
  }
  // Watchers hear of every growth, and once of each handle that only changes bytes.
  const ULONG filter = FILE_NOTIFY_CHANGE_LAST_WRITE | (grows ? FILE_NOTIFY_CHANGE_SIZE : 0);
  if (grows || !ccb->told_write) volume.Report(fcb, filter, FILE_ACTION_MODIFIED);
  ccb->told_write = true;
}

NTSTATUS WriteLocked(Volume& volume, PFILE_OBJECT file, Fcb* fcb, Ccb* ccb, ULONG64 offset,
                     const void* buffer, ULONG length, ULONG* done) {
  if (!NT_SUCCESS(fcb->write_error)) {
    const NTSTATUS status = fcb->write_error;
    fcb->write_error = STATUS_SUCCESS;
    return status;
  }
  NTSTATUS status = volume.OpenFor(fcb, true);
  if (!NT_SUCCESS(status)) return status;
  const bool delay = length <= kLargestGathered && volume.HasRoom(length);
  if (delay && Gather(volume, fcb, offset, buffer, length)) {
    *done = length;
  } else {
    status = volume.FlushGathered(fcb);
    if (NT_SUCCESS(status) && delay && Gather(volume, fcb, offset, buffer, length)) {
      *done = length;
    } else if (NT_SUCCESS(status)) {
      status = volume.client().Write(fcb->fid, offset, buffer, length, done);
    }
  }
  if ((file->Flags & (FO_WRITE_THROUGH | FO_NO_INTERMEDIATE_BUFFERING)) != 0 && NT_SUCCESS(status)) {
    status = volume.FlushGathered(fcb);
  }
  if (*done != 0) NoteWritten(volume, fcb, ccb, offset + *done);
  return status;
}

// Where a write goes: the given offset, the file pointer, or the end of the file.
NTSTATUS WriteOffset(Volume& volume, PFILE_OBJECT file, Fcb* fcb, const Ccb* ccb, LARGE_INTEGER asked,
                     ULONG64* offset) {
  if (ccb->append_only || (asked.HighPart == -1 && asked.LowPart == FILE_WRITE_TO_END_OF_FILE)) {
    const NTSTATUS status = volume.LoadAttributes(fcb);
    *offset = fcb->attributes.size;
    return status;
  }
  if (asked.HighPart == -1 && asked.LowPart == FILE_USE_FILE_POINTER_POSITION)
    asked = file->CurrentByteOffset;
  *offset = static_cast<ULONG64>(asked.QuadPart);
  return asked.QuadPart < 0 ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

}  // namespace

// Oplocks of others are broken first; the request may have to wait for that, with its buffer locked.
static NTSTATUS PassOplock(Fcb* fcb, PIRP irp, ULONG length, LOCK_OPERATION operation) {
  if (fcb->oplock == nullptr) return STATUS_SUCCESS;
  const NTSTATUS status = KeepBuffer(irp, length, operation);
  return NT_SUCCESS(status) ? CheckOplock(fcb, irp) : status;
}

// Byte-range locks bind requests of programs and drivers, not the system's own paging.
static bool MayTransfer(PIRP irp, Fcb* fcb, LONGLONG offset, ULONG length, bool write) {
  if (irp->Flags & IRP_PAGING_IO) return true;
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  LARGE_INTEGER at;
  LARGE_INTEGER bytes;
  at.QuadPart = offset;
  bytes.QuadPart = length;
  const auto allows = write ? FsRtlFastCheckLockForWrite : FsRtlFastCheckLockForRead;
  return allows(&fcb->locks, &at, &bytes, stack->Parameters.Read.Key, stack->FileObject,
                IoGetRequestorProcess(irp)) != FALSE;
}

NTSTATUS NTAPI HostFsRead(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const PFILE_OBJECT file = stack->FileObject;
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  if (volume == nullptr || !IsFile(fcb, static_cast<Ccb*>(file->FsContext2))) {
    return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  }
  const ULONG length = stack->Parameters.Read.Length;
  LARGE_INTEGER offset = stack->Parameters.Read.ByteOffset;
  if (offset.HighPart == -1 && offset.LowPart == FILE_USE_FILE_POINTER_POSITION)
    offset = file->CurrentByteOffset;
  if (offset.QuadPart < 0) return Complete(irp, STATUS_INVALID_PARAMETER, 0);
  if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
  NTSTATUS status = PassOplock(fcb, irp, length, IoWriteAccess);
  if (status == STATUS_PENDING) return status;
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  if (!MayTransfer(irp, fcb, offset.QuadPart, length, false))
    return Complete(irp, STATUS_FILE_LOCK_CONFLICT, 0);
  HeldBuffer buffer;
  status = HoldBuffer(irp, length, IoWriteAccess, &buffer);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  ULONG done = 0;
  volume->Lock();
  status = ReadLocked(*volume, fcb, static_cast<ULONG64>(offset.QuadPart), buffer.address, length, &done);
  if (NT_SUCCESS(status)) MoveFilePointer(irp, file, static_cast<ULONG64>(offset.QuadPart) + done);
  volume->Unlock();
  ReleaseBuffer(&buffer);
  return Complete(irp, status, done);
}

NTSTATUS NTAPI HostFsWrite(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const PFILE_OBJECT file = stack->FileObject;
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  auto* ccb = static_cast<Ccb*>(file->FsContext2);
  if (volume == nullptr || !IsFile(fcb, ccb)) return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  const ULONG length = stack->Parameters.Write.Length;
  if (length == 0) return Complete(irp, STATUS_SUCCESS, 0);
  NTSTATUS status = PassOplock(fcb, irp, length, IoReadAccess);
  if (status == STATUS_PENDING) return status;
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  HeldBuffer buffer;
  status = HoldBuffer(irp, length, IoReadAccess, &buffer);
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  ULONG done = 0;
  ULONG64 offset = 0;
  volume->Lock();
  status = WriteOffset(*volume, file, fcb, ccb, stack->Parameters.Write.ByteOffset, &offset);
  if (NT_SUCCESS(status) && !MayTransfer(irp, fcb, static_cast<LONGLONG>(offset), length, true))
    status = STATUS_FILE_LOCK_CONFLICT;
  if (NT_SUCCESS(status))
    status = WriteLocked(*volume, file, fcb, ccb, offset, buffer.address, length, &done);
  if (done != 0) MoveFilePointer(irp, file, offset + done);
  volume->Unlock();
  ReleaseBuffer(&buffer);
  return Complete(irp, status, done);
}

// The caller's bytes, which may be pageable or not there.
static DECLSPEC_NOINLINE bool CopyIn(UCHAR* to, const void* from, ULONG bytes) {
  __try {
    RtlCopyMemory(to, from, bytes);
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return false;  // the request by IRP finds the status
  }
  return true;
}

// A small write that is only gathered needs no IRP, and no locked buffer: it goes by way of the stack.
BOOLEAN NTAPI HostFsFastWrite(PFILE_OBJECT file, PLARGE_INTEGER asked, ULONG length, BOOLEAN, ULONG key,
                              PVOID bytes, PIO_STATUS_BLOCK iosb, PDEVICE_OBJECT device) {
  Volume* volume = VolumeOf(device);
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  auto* ccb = static_cast<Ccb*>(file->FsContext2);
  if (volume == nullptr || !IsFile(fcb, ccb) || length == 0 || length > kLargestFast) return FALSE;
  if (fcb->oplock != nullptr || (file->Flags & (FO_WRITE_THROUGH | FO_NO_INTERMEDIATE_BUFFERING)) != 0)
    return FALSE;
  UCHAR copy[kLargestFast];
  if (!CopyIn(copy, bytes, length)) return FALSE;
  LARGE_INTEGER at;
  LARGE_INTEGER count;
  count.QuadPart = length;
  ULONG64 offset = 0;
  volume->Lock();
  bool done = NT_SUCCESS(fcb->write_error) && NT_SUCCESS(volume->OpenFor(fcb, true)) &&
              NT_SUCCESS(WriteOffset(*volume, file, fcb, ccb, *asked, &offset));
  at.QuadPart = static_cast<LONGLONG>(offset);
  done = done && FsRtlFastCheckLockForWrite(&fcb->locks, &at, &count, key, file, PsGetCurrentProcess()) &&
         volume->HasRoom(length) && Gather(*volume, fcb, offset, copy, length);
  if (done) {
    NoteWritten(*volume, fcb, ccb, offset + length);
    file->CurrentByteOffset.QuadPart = static_cast<LONGLONG>(offset + length);
    *iosb = {{STATUS_SUCCESS}, length};
  }
  volume->Unlock();
  return done;
}

NTSTATUS NTAPI HostFsFlushBuffers(PDEVICE_OBJECT device, PIRP irp) {
  Volume* volume = VolumeOf(device);
  const PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  auto* ccb = static_cast<Ccb*>(file->FsContext2);
  if (volume == nullptr || fcb == nullptr || ccb == nullptr)
    return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  NTSTATUS status = CheckOplock(fcb, irp);
  if (status == STATUS_PENDING) return status;
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  volume->Lock();
  if (fcb->is_directory) {
    status = volume->FlushAll();
  } else {
    status = volume->FlushGathered(fcb);
    if (NT_SUCCESS(status)) status = fcb->write_error;
    fcb->write_error = STATUS_SUCCESS;
    if (NT_SUCCESS(status) && fcb->mode == OpenMode::kReadWrite) status = volume->client().Sync(fcb->fid);
  }
  volume->Unlock();
  return Complete(irp, status, 0);
}

NTSTATUS NTAPI HostFsLockControl(PDEVICE_OBJECT device, PIRP irp) {
  const PFILE_OBJECT file = IoGetCurrentIrpStackLocation(irp)->FileObject;
  auto* fcb = static_cast<Fcb*>(file->FsContext);
  if (VolumeOf(device) == nullptr || !IsFile(fcb, static_cast<Ccb*>(file->FsContext2)))
    return Complete(irp, STATUS_INVALID_PARAMETER, 0);
  const NTSTATUS status = CheckOplock(fcb, irp);
  if (status == STATUS_PENDING) return status;
  if (!NT_SUCCESS(status)) return Complete(irp, status, 0);
  return FsRtlProcessFileLock(&fcb->locks, irp, nullptr);
}

}  // namespace hostfs
