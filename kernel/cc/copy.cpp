// Copies between a cached stream and its users' buffers.
#include "cc_internal.h"

namespace cc {
namespace {

// A bad address in the caller's buffer, as status.
DECLSPEC_NOINLINE NTSTATUS TryCopy(PVOID to, const VOID* from, SIZE_T bytes) {
  __try {
    RtlCopyMemory(to, from, bytes);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

// The piece of [offset, offset + length) that lies in the view of `offset`.
struct Piece {
  ULONG begin;
  ULONG count;
};
Piece PieceAt(LONGLONG offset, LONGLONG length) {
  const auto begin = static_cast<ULONG>(offset & (kViewSize - 1));
  const LONGLONG room = kViewSize - begin;
  return {begin, static_cast<ULONG>(length < room ? length : room)};
}

NTSTATUS Read(PSHARED_CACHE_MAP map, LONGLONG offset, ULONG length, bool wait, PUCHAR buffer) {
  MapGuard guard(map);
  while (length != 0) {
    const Piece piece = PieceAt(offset, length);
    View* view = FindView(map, offset, wait);
    if (view == nullptr) return wait ? STATUS_INSUFFICIENT_RESOURCES : STATUS_CANT_WAIT;
    NTSTATUS status =
        FillPages(map, view, piece.begin / PAGE_SIZE, PagesIn(piece.begin, piece.begin + piece.count), wait);
    if (NT_SUCCESS(status)) status = TryCopy(buffer, view->base + piece.begin, piece.count);
    if (!NT_SUCCESS(status)) return status;
    buffer += piece.count;
    offset += piece.count;
    length -= piece.count;
  }
  return STATUS_SUCCESS;
}

NTSTATUS Store(PSHARED_CACHE_MAP map, View* view, const Piece& piece, const UCHAR* buffer, bool wait) {
  const NTSTATUS status = FillForWrite(map, view, piece.begin, piece.begin + piece.count, wait);
  if (!NT_SUCCESS(status)) return status;
  PUCHAR to = view->base + piece.begin;
  if (buffer == nullptr) {
    RtlZeroMemory(to, piece.count);
    return STATUS_SUCCESS;
  }
  return TryCopy(to, buffer, piece.count);
}

// buffer 0: zeros.
NTSTATUS Write(PSHARED_CACHE_MAP map, LONGLONG offset, LONGLONG length, bool wait, const UCHAR* buffer,
               bool through) {
  MapGuard guard(map);
  const LONGLONG start = offset;
  const LONGLONG end = offset + length;
  NTSTATUS status = STATUS_SUCCESS;
  while (offset != end) {
    const Piece piece = PieceAt(offset, end - offset);
    View* view = FindView(map, offset, true);
    if (view == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    status = Store(map, view, piece, buffer, wait);
    if (!NT_SUCCESS(status)) return status;
    SetDirty(map, view, piece.begin / PAGE_SIZE, PagesIn(piece.begin, piece.begin + piece.count));
    offset += piece.count;
    if (buffer != nullptr) buffer += piece.count;
  }
  if (end > map->ValidDataLength.QuadPart) map->ValidDataLength.QuadPart = end;
  return through ? Flush(map, start, end) : STATUS_SUCCESS;
}

// What a caller is told: FALSE where it would have to wait, an exception for every other failure.
BOOLEAN Outcome(NTSTATUS status) {
  if (status == STATUS_CANT_WAIT) return FALSE;
  if (!NT_SUCCESS(status))
    ExRaiseStatus(status == STATUS_ACCESS_VIOLATION ? STATUS_INVALID_USER_BUFFER : status);
  return TRUE;
}

BOOLEAN CopyRead(PFILE_OBJECT file, PLARGE_INTEGER offset, ULONG length, BOOLEAN wait, PVOID buffer,
                 PIO_STATUS_BLOCK iosb) {
  const NTSTATUS status =
      Read(MapOf(file), offset->QuadPart, length, wait != FALSE, static_cast<PUCHAR>(buffer));
  if (!Outcome(status)) return FALSE;
  *iosb = {{STATUS_SUCCESS}, length};
  return TRUE;
}

BOOLEAN CopyWrite(PFILE_OBJECT file, PLARGE_INTEGER offset, ULONG length, BOOLEAN wait, PVOID buffer) {
  const bool through = (file->Flags & FO_WRITE_THROUGH) != 0;
  if (through && !wait) return FALSE;
  return Outcome(Write(MapOf(file), offset->QuadPart, length, wait != FALSE,
                       static_cast<const UCHAR*>(buffer), through));
}

// Zeros by paging requests, for a stream that is not cached: whole sectors from `offset` on.
NTSTATUS ZeroUncached(PFILE_OBJECT file, LONGLONG offset, LONGLONG end) {
  constexpr ULONG kChunk = 16 * PAGE_SIZE;
  PVOID zeros = ExAllocatePoolWithTag(NonPagedPoolNx, kChunk, kTag);
  if (zeros == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(zeros, kChunk);
  NTSTATUS status = STATUS_SUCCESS;
  while (NT_SUCCESS(status) && offset < end) {
    const auto bytes = static_cast<ULONG>(end - offset < kChunk ? end - offset : kChunk);
    status = PagingIo(file, true, offset, zeros, bytes);
    offset += bytes;
  }
  ExFreePoolWithTag(zeros, kTag);
  return status;
}

}  // namespace
}  // namespace cc

/// Copies from a cached stream. Without Wait, FALSE if that needs a read from the volume. Raises the status
/// of a read that fails.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcCopyRead.
NT_EXPORT(CcCopyRead, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcCopyRead(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                    BOOLEAN Wait, PVOID Buffer, PIO_STATUS_BLOCK IoStatus) {
  return cc::CopyRead(FileObject, FileOffset, Length, Wait, Buffer, IoStatus);
}

/// The same on behalf of a thread.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: reads are not charged to the thread.
/// Source: WDK ntifs/CcCopyReadEx.
NT_EXPORT(CcCopyReadEx, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcCopyReadEx(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                      BOOLEAN Wait, PVOID Buffer, PIO_STATUS_BLOCK IoStatus, PETHREAD) {
  return cc::CopyRead(FileObject, FileOffset, Length, Wait, Buffer, IoStatus);
}

/// Copies into a cached stream; the lazy writer writes it, or (FO_WRITE_THROUGH) this routine. Without Wait,
/// FALSE if that needs a read from the volume. Raises the status of what fails.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcCopyWrite.
NT_EXPORT(CcCopyWrite, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcCopyWrite(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                     BOOLEAN Wait, PVOID Buffer) {
  return cc::CopyWrite(FileObject, FileOffset, Length, Wait, Buffer);
}

/// The same on behalf of a thread.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: writes are not charged to the thread.
/// Source: WDK ntifs/CcCopyWriteEx.
NT_EXPORT(CcCopyWriteEx, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcCopyWriteEx(PFILE_OBJECT FileObject, PLARGE_INTEGER FileOffset, ULONG Length,
                                       BOOLEAN Wait, PVOID Buffer, PETHREAD) {
  return cc::CopyWrite(FileObject, FileOffset, Length, Wait, Buffer);
}

/// Makes a range of a stream zeros: in the cache, or on the volume where the stream is not cached (then the
/// range is of whole sectors).
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/CcZeroData.
NT_EXPORT(CcZeroData, nt::AtMost(APC_LEVEL), Full, "CcFiles.*");
extern "C" BOOLEAN NTAPI CcZeroData(PFILE_OBJECT FileObject, PLARGE_INTEGER StartOffset,
                                    PLARGE_INTEGER EndOffset, BOOLEAN Wait) {
  const LONGLONG length = EndOffset->QuadPart - StartOffset->QuadPart;
  if (length <= 0) return TRUE;
  PSHARED_CACHE_MAP map = cc::MapOf(FileObject);
  if (map == nullptr) {
    if (!Wait) return FALSE;
    return cc::Outcome(cc::ZeroUncached(FileObject, StartOffset->QuadPart, EndOffset->QuadPart));
  }
  return cc::Outcome(cc::Write(map, StartOffset->QuadPart, length, Wait != FALSE, nullptr,
                               (FileObject->Flags & FO_WRITE_THROUGH) != 0));
}
