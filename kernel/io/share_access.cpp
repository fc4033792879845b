// Share access of files, kept by file systems in a SHARE_ACCESS per file.
#include "io_internal.h"
#include "nt/export.h"
#include "share_check.h"

namespace {

io::ShareRequest RequestOf(ACCESS_MASK access, ULONG share) {
  return {(access & (FILE_EXECUTE | FILE_READ_DATA)) != 0,
          (access & (FILE_WRITE_DATA | FILE_APPEND_DATA)) != 0,
          (access & DELETE) != 0,
          (share & FILE_SHARE_READ) != 0,
          (share & FILE_SHARE_WRITE) != 0,
          (share & FILE_SHARE_DELETE) != 0};
}

io::ShareRequest RequestOf(PFILE_OBJECT file) {
  return {file->ReadAccess != 0, file->WriteAccess != 0, file->DeleteAccess != 0,
          file->SharedRead != 0, file->SharedWrite != 0, file->SharedDelete != 0};
}

void Remember(PFILE_OBJECT file, const io::ShareRequest& request) {
  file->ReadAccess = request.read;
  file->WriteAccess = request.write;
  file->DeleteAccess = request.del;
  file->SharedRead = request.Accesses() && request.share_read;
  file->SharedWrite = request.Accesses() && request.share_write;
  file->SharedDelete = request.Accesses() && request.share_delete;
}

static_assert(sizeof(SHARE_ACCESS) == sizeof(io::ShareState));
io::ShareState* StateOf(PSHARE_ACCESS access) {
  return reinterpret_cast<io::ShareState*>(access);
}

}  // namespace

/// Whether a file may be opened with this access and sharing beside those who have it open:
/// STATUS_SHARING_VIOLATION if not. With Update the opener is entered at once. The caller serializes.
/// IRQL: <= APC_LEVEL (nothing here is pageable).
/// Differs from NT: none.
/// Source: WDK wdm/IoCheckShareAccess.
NT_EXPORT(IoCheckShareAccess, nt::Exactly(PASSIVE_LEVEL), Full, "KernelIo.* ShareCheck.*");
extern "C" NTSTATUS NTAPI IoCheckShareAccess(ACCESS_MASK DesiredAccess, ULONG DesiredShareAccess,
                                             PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess,
                                             BOOLEAN Update) {
  const io::ShareRequest request = RequestOf(DesiredAccess, DesiredShareAccess);
  Remember(FileObject, request);
  if (io::ShareConflicts(*StateOf(ShareAccess), request)) return STATUS_SHARING_VIOLATION;
  if (Update) io::ShareAdd(StateOf(ShareAccess), request);
  return STATUS_SUCCESS;
}

/// Sets the share access of a file that this open is the first of.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoSetShareAccess.
NT_EXPORT(IoSetShareAccess, nt::Exactly(PASSIVE_LEVEL), Full, "KernelIo.* ShareCheck.*");
extern "C" VOID NTAPI IoSetShareAccess(ACCESS_MASK DesiredAccess, ULONG DesiredShareAccess,
                                       PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess) {
  const io::ShareRequest request = RequestOf(DesiredAccess, DesiredShareAccess);
  Remember(FileObject, request);
  *StateOf(ShareAccess) = {};
  io::ShareAdd(StateOf(ShareAccess), request);
}

/// Enters an open that IoCheckShareAccess allowed without Update.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoUpdateShareAccess.
NT_EXPORT(IoUpdateShareAccess, nt::Exactly(PASSIVE_LEVEL), Full, "KernelIo.* ShareCheck.*");
extern "C" VOID NTAPI IoUpdateShareAccess(PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess) {
  io::ShareAdd(StateOf(ShareAccess), RequestOf(FileObject));
}

/// Removes an open: its handle is closed.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoRemoveShareAccess.
NT_EXPORT(IoRemoveShareAccess, nt::Exactly(PASSIVE_LEVEL), Full, "KernelIo.* ShareCheck.*");
extern "C" VOID NTAPI IoRemoveShareAccess(PFILE_OBJECT FileObject, PSHARE_ACCESS ShareAccess) {
  io::ShareRemove(StateOf(ShareAccess), RequestOf(FileObject));
}
