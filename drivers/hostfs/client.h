// The 9P operations that the file system needs, one call each. Callers hold the volume's lock; fids are the
// caller's.
#pragma once

#include "transport.h"

namespace hostfs {

inline constexpr ULONG kRootFid = 0;
inline constexpr ULONG kMaxTransfer = kMessageSize - 64;  // bytes of data in one read or write

// A file name in UTF-8, as the server sees it.
struct Utf8Name {
  USHORT length = 0;
  char bytes[3 * 255];

  p9::Text text() const { return {bytes, length}; }
  // STATUS_OBJECT_NAME_INVALID: not well-formed UTF-16, or too long.
  NTSTATUS Set(const WCHAR* name, USHORT units);
};

class Client {
 public:
  // Connects: finds the device, agrees on the protocol, attaches the root. STATUS_NO_SUCH_DEVICE and others
  // of Transport.
  NTSTATUS Connect(ULONG first_line);
  void Disconnect() { transport_.Shutdown(); }

  ULONG NewFid();
  void Clunk(ULONG fid);
  // Makes `fid` the child `name` of the directory; without a name, a copy of the directory's own fid.
  NTSTATUS Walk(ULONG directory, ULONG fid, const Utf8Name* name, p9::Qid* qid);
  NTSTATUS Open(ULONG fid, ULONG flags);
  // Creates and opens a file in a directory; *fid is the open file. A copy of the directory's fid, which this
  // uses up, is got ready for the next creation meanwhile.
  NTSTATUS CreateFile(ULONG directory, const Utf8Name& name, ULONG flags, ULONG mode, ULONG* fid);
  NTSTATUS MakeDirectory(ULONG directory, const Utf8Name& name);
  NTSTATUS GetAttributes(ULONG fid, p9::Attributes* attributes);
  NTSTATUS SetAttributes(ULONG fid, const p9::SetAttributes& attributes);
  NTSTATUS Read(ULONG fid, ULONG64 offset, void* buffer, ULONG count, ULONG* done);
  // Hands a write to the host without waiting, where it is short enough; a failure is told by the next
  // Settle.
  NTSTATUS WriteBehind(ULONG fid, ULONG64 offset, const void* buffer, ULONG count);
  // Waits for those writes. Every operation here that would see their effect does so first.
  NTSTATUS Settle() { return transport_.Settle(); }
  NTSTATUS Write(ULONG fid, ULONG64 offset, const void* buffer, ULONG count, ULONG* done);
  // One reply of directory entries from `offset`; decode with ReadDirectoryEntry until nothing is left.
  NTSTATUS ReadDirectory(ULONG fid, ULONG64 offset, p9::Decoder* entries);
  NTSTATUS Rename(ULONG directory, const Utf8Name& name, ULONG new_directory, const Utf8Name& new_name);
  // Another name of a file.
  NTSTATUS Link(ULONG directory, ULONG fid, const Utf8Name& name);
  NTSTATUS Unlink(ULONG directory, const Utf8Name& name, bool is_directory);
  NTSTATUS Sync(ULONG fid);
  NTSTATUS GetStatistics(p9::Statistics* statistics);

 private:
  NTSTATUS TakeClone(ULONG directory, ULONG* fid);

  Transport transport_;
  ULONG spare_fid_;  // a copy of spare_directory_, perhaps still on its way; 0: none
  ULONG spare_directory_;
  ULONG next_fid_;
};

}  // namespace hostfs
