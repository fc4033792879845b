// Reads and writes of cached files without an IRP, for the fast I/O table of file systems that keep an
// FSRTL_COMMON_FCB_HEADER.
#include "fsrtl_internal.h"

namespace {

PFSRTL_COMMON_FCB_HEADER HeaderOf(PFILE_OBJECT file) {
  return static_cast<PFSRTL_COMMON_FCB_HEADER>(file->FsContext);
}

// Holds the stream's main resource.
class StreamGuard {
 public:
  StreamGuard(PFSRTL_COMMON_FCB_HEADER header, bool exclusive, BOOLEAN wait) : header_(header) {
    KeEnterCriticalRegion();
    held_ =
        header_->Resource == nullptr || (exclusive ? ExAcquireResourceExclusiveLite(header_->Resource, wait)
                                                   : ExAcquireResourceSharedLite(header_->Resource, wait));
    if (!held_) KeLeaveCriticalRegion();
  }
  ~StreamGuard() {
    if (!held_) return;
    if (header_->Resource != nullptr) ExReleaseResourceLite(header_->Resource);
    KeLeaveCriticalRegion();
  }
  StreamGuard(const StreamGuard&) = delete;
  StreamGuard& operator=(const StreamGuard&) = delete;
  bool held() const { return held_; }

 private:
  PFSRTL_COMMON_FCB_HEADER header_;
  bool held_;
};

// While fast I/O serves a request, the file system's paging path must know that it is not the top.
class TopLevelScope {
 public:
  TopLevelScope() : old_(IoGetTopLevelIrp()) {
    IoSetTopLevelIrp(reinterpret_cast<PIRP>(FSRTL_FAST_IO_TOP_LEVEL_IRP));
  }
  ~TopLevelScope() { IoSetTopLevelIrp(old_); }
  TopLevelScope(const TopLevelScope&) = delete;
  TopLevelScope& operator=(const TopLevelScope&) = delete;

 private:
  PIRP old_;
};

// Where the file system is not sure (locks, oplocks), it is asked.
bool Possible(PFILE_OBJECT file, PLARGE_INTEGER offset, ULONG length, BOOLEAN wait, ULONG key, bool read,
              PIO_STATUS_BLOCK iosb, PDEVICE_OBJECT device) {
  PFSRTL_COMMON_FCB_HEADER header = HeaderOf(file);
  if (file->PrivateCacheMap == nullptr || header->IsFastIoPossible == FastIoIsNotPossible) return false;
  if (header->IsFastIoPossible != FastIoIsQuestionable) return true;
  PDEVICE_OBJECT related = device != nullptr ? device : IoGetRelatedDeviceObject(file);
  PFAST_IO_DISPATCH table = related->DriverObject->FastIoDispatch;
  return table != nullptr && table->FastIoCheckIfPossible != nullptr &&
         table->FastIoCheckIfPossible(file, offset, length, wait, key, read, iosb, related);
}

using CacheCall = NTSTATUS (*)(PVOID context);

// What the cache raises, as status.
DECLSPEC_NOINLINE NTSTATUS Guarded(CacheCall call, PVOID context) {
  __try {
    return call(context);
  } __except (FsRtlIsNtstatusExpected(GetExceptionCode()) ? EXCEPTION_EXECUTE_HANDLER
                                                          : EXCEPTION_CONTINUE_SEARCH) {
    return GetExceptionCode();
  }
}

struct Transfer {
  PFILE_OBJECT file;
  LARGE_INTEGER offset;
  ULONG length;
  BOOLEAN wait;
  PVOID buffer;
  PMDL* chain;
  PIO_STATUS_BLOCK iosb;
};

NTSTATUS CallCopyRead(PVOID context) {
  auto* t = static_cast<Transfer*>(context);
  return CcCopyRead(t->file, &t->offset, t->length, t->wait, t->buffer, t->iosb) ? STATUS_SUCCESS
                                                                                 : STATUS_CANT_WAIT;
}
NTSTATUS CallCopyWrite(PVOID context) {
  auto* t = static_cast<Transfer*>(context);
  return CcCopyWrite(t->file, &t->offset, t->length, t->wait, t->buffer) ? STATUS_SUCCESS : STATUS_CANT_WAIT;
}
NTSTATUS CallMdlRead(PVOID context) {
  auto* t = static_cast<Transfer*>(context);
  CcMdlRead(t->file, &t->offset, t->length, t->chain, t->iosb);
  return STATUS_SUCCESS;
}
NTSTATUS CallPrepareMdlWrite(PVOID context) {
  auto* t = static_cast<Transfer*>(context);
  CcPrepareMdlWrite(t->file, &t->offset, t->length, t->chain, t->iosb);
  return STATUS_SUCCESS;
}

// The part of a read that lies in the file; false: beyond its end, and *iosb says so.
bool ClipRead(PFILE_OBJECT file, Transfer* t) {
  const LONGLONG left = HeaderOf(file)->FileSize.QuadPart - t->offset.QuadPart;
  if (left > 0) {
    if (left < t->length) t->length = static_cast<ULONG>(left);
    return true;
  }
  *t->iosb = {{STATUS_END_OF_FILE}, 0};
  return false;
}

BOOLEAN Answer(Transfer* t, NTSTATUS status) {
  if (status == STATUS_CANT_WAIT) return FALSE;
  if (NT_SUCCESS(status)) {
    *t->iosb = {{STATUS_SUCCESS}, t->length};
  } else {
    *t->iosb = {{status}, 0};
  }
  return TRUE;
}

// Writes go this way where they do not move the end of the valid data: that is the file system's business.
bool WritesInPlace(PFILE_OBJECT file, const Transfer& t) {
  return !(file->Flags & FO_WRITE_THROUGH) && t.offset.QuadPart >= 0 &&
         t.offset.QuadPart + t.length <= HeaderOf(file)->ValidDataLength.QuadPart;
}

BOOLEAN Read(Transfer t, ULONG key, PDEVICE_OBJECT device, CacheCall call) {
  if (t.length == 0) {
    *t.iosb = {{STATUS_SUCCESS}, 0};
    return TRUE;
  }
  StreamGuard guard(HeaderOf(t.file), false, t.wait);
  if (!guard.held() || !Possible(t.file, &t.offset, t.length, t.wait, key, true, t.iosb, device))
    return FALSE;
  if (!ClipRead(t.file, &t)) return TRUE;
  TopLevelScope top;
  const NTSTATUS status = Guarded(call, &t);
  if (NT_SUCCESS(status)) t.file->Flags |= FO_FILE_FAST_IO_READ;
  return Answer(&t, status);
}

BOOLEAN Write(Transfer t, ULONG key, PDEVICE_OBJECT device, CacheCall call) {
  if (t.length == 0) {
    *t.iosb = {{STATUS_SUCCESS}, 0};
    return TRUE;
  }
  if (!CcCanIWrite(t.file, t.length, t.wait, FALSE)) return FALSE;
  StreamGuard guard(HeaderOf(t.file), false, t.wait);
  if (!guard.held() || !WritesInPlace(t.file, t) ||
      !Possible(t.file, &t.offset, t.length, t.wait, key, false, t.iosb, device))
    return FALSE;
  TopLevelScope top;
  const NTSTATUS status = Guarded(call, &t);
  if (NT_SUCCESS(status)) t.file->Flags |= FO_FILE_MODIFIED;
  return Answer(&t, status);
}

// The file's position after a transfer at `offset`.
void Advance(PFILE_OBJECT file, LARGE_INTEGER offset, const IO_STATUS_BLOCK& outcome) {
  if (NT_SUCCESS(outcome.Status))
    file->CurrentByteOffset.QuadPart = offset.QuadPart + static_cast<LONGLONG>(outcome.Information);
}

}  // namespace

/// Reads a cached file without an IRP. FALSE: the caller has to send one (not cached, in use, would wait).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlCopyRead.
NT_EXPORT(FsRtlCopyRead, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlFastIo.*");
extern "C" BOOLEAN NTAPI FsRtlCopyRead(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                       BOOLEAN Wait, ULONG LockKey, PVOID Buffer, PIO_STATUS_BLOCK IoStatus,
                                       PDEVICE_OBJECT DeviceObject) {
  const BOOLEAN read = Read({FileObject, *FileOffset, Length, Wait, Buffer, nullptr, IoStatus}, LockKey,
                            DeviceObject, CallCopyRead);
  if (read) Advance(FileObject, *FileOffset, *IoStatus);
  return read;
}

/// Writes a cached file without an IRP, within its valid data. FALSE: the caller has to send one.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: writes that extend the file or its valid data are always the file system's.
/// Source: WDK ntifs/FsRtlCopyWrite.
NT_EXPORT(FsRtlCopyWrite, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlFastIo.*");
extern "C" BOOLEAN NTAPI FsRtlCopyWrite(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                        BOOLEAN Wait, ULONG LockKey, PVOID Buffer, PIO_STATUS_BLOCK IoStatus,
                                        PDEVICE_OBJECT DeviceObject) {
  const BOOLEAN written = Write({FileObject, *FileOffset, Length, Wait, Buffer, nullptr, IoStatus}, LockKey,
                                DeviceObject, CallCopyWrite);
  if (written) Advance(FileObject, *FileOffset, *IoStatus);
  return written;
}

/// The cache's pages of a range as MDLs, without an IRP.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlMdlReadDev.
NT_EXPORT(FsRtlMdlReadDev, nt::AtMost(APC_LEVEL), Full, "FsRtlFastIo.*");
extern "C" BOOLEAN NTAPI FsRtlMdlReadDev(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                         ULONG LockKey, PMDL* MdlChain, PIO_STATUS_BLOCK IoStatus,
                                         PDEVICE_OBJECT DeviceObject) {
  return Read({FileObject, *FileOffset, Length, TRUE, nullptr, MdlChain, IoStatus}, LockKey, DeviceObject,
              CallMdlRead);
}

/// Gives them back.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlMdlReadCompleteDev.
NT_EXPORT(FsRtlMdlReadCompleteDev, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlFastIo.*");
extern "C" BOOLEAN NTAPI FsRtlMdlReadCompleteDev(PFILE_OBJECT FileObject, PMDL MdlChain, PDEVICE_OBJECT) {
  CcMdlReadComplete(FileObject, MdlChain);
  return TRUE;
}

/// The cache's pages of a range to be written into, without an IRP.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: within the valid data only, as FsRtlCopyWrite.
/// Source: WDK ntifs/FsRtlPrepareMdlWriteDev.
NT_EXPORT(FsRtlPrepareMdlWriteDev, nt::AtMost(APC_LEVEL), Full, "FsRtlFastIo.*");
extern "C" BOOLEAN NTAPI FsRtlPrepareMdlWriteDev(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset,
                                                 ULONG Length, ULONG LockKey, PMDL* MdlChain,
                                                 PIO_STATUS_BLOCK IoStatus, PDEVICE_OBJECT DeviceObject) {
  return Write({FileObject, *FileOffset, Length, TRUE, nullptr, MdlChain, IoStatus}, LockKey, DeviceObject,
               CallPrepareMdlWrite);
}

/// They have been written into.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlMdlWriteCompleteDev.
NT_EXPORT(FsRtlMdlWriteCompleteDev, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlFastIo.*");
extern "C" BOOLEAN NTAPI FsRtlMdlWriteCompleteDev(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset,
                                                  PMDL MdlChain, PDEVICE_OBJECT) {
  CcMdlWriteComplete(FileObject, FileOffset, MdlChain);
  return TRUE;
}
