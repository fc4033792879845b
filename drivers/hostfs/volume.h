// The volume: open files (FCBs), the cache of directories and of their names. Everything under Volume::lock,
// at APC_LEVEL.
#pragma once

#include "client.h"

namespace hostfs {

inline constexpr ULONG kTag = 'fsoH';
inline constexpr ULONG kGatherSize = 32 * 1024;  // small writes are gathered up to this

// A directory's names, for look-ups without regard to case. Own changes keep it right; what the host changes
// is seen when it is older than kListingLife.
struct ListedName {
  ListedName* next;
  ULONG hash;  // of the upper-case name
  USHORT units;
  bool is_directory;
  WCHAR name[1];
};
inline constexpr ULONG kListingBuckets = 256;
inline constexpr ULONG64 kListingLife = 10000000;  // 1 s in 100 ns
struct Listing {
  ULONG64 loaded;  // interrupt time
  ULONG count;
  ListedName* buckets[kListingBuckets];
};

struct Ccb;

enum class OpenMode : UCHAR { kClosed, kReadOnly, kReadWrite };

// One file or directory that is open or, for directories, was lately. FsContext of its file objects.
struct Fcb {
  FSRTL_ADVANCED_FCB_HEADER header;  // first, as file-system filters expect
  SECTION_OBJECT_POINTERS sections;
  Fcb* next;         // all FCBs
  Fcb* parent;       // counted reference; 0: the root
  ULONG references;  // file objects, children, callers
  ULONG handles;     // file objects not yet cleaned up
  SHARE_ACCESS share;
  FILE_LOCK locks;  // byte ranges; serializes itself
  OPLOCK oplock;    // the same
  ULONG fid;
  OpenMode mode;
  bool is_directory;
  bool delete_pending;
  bool unlinked;  // gone on the host; the name may be used again
  bool attributes_valid;
  ULONG hash;  // of the upper-case name
  USHORT units;
  WCHAR name[256];
  p9::Attributes attributes;
  Listing* listing;   // directories
  STRING watch_path;  // directories: UTF-16, from the root; once somebody watched it
  Ccb* watchers;
  PUCHAR gather;  // bytes written by the driver and not yet by the host
  ULONG64 gather_offset;
  ULONG gather_length;
  NTSTATUS write_error;  // of a gathered write; the next write or flush reports it
};

// One open. FsContext2.
struct Ccb {
  bool delete_on_close;
  bool append_only;
  bool is_volume;
  bool cleaned_up;
  bool watching;
  bool told_write;  // a watcher has heard that this handle writes
  Ccb* next_watcher;
  // Directory enumeration
  bool scanning;
  USHORT pattern_units;  // 0: everything
  WCHAR* pattern;
  ListedName** entries;  // sorted; owned
  ULONG entry_count;
  ULONG position;
};

class Volume {
 public:
  NTSTATUS Mount(ULONG first_line);
  void Dismount();
  void Lock() { KeAcquireGuardedMutex(&lock_); }
  void Unlock() { KeReleaseGuardedMutex(&lock_); }

  // Walks all components of a path below `base` (the root if 0) but the last: *parent is that directory, with
  // a reference, and *name the last component; an empty path gives *parent = base and an empty name.
  // STATUS_OBJECT_PATH_NOT_FOUND, STATUS_OBJECT_NAME_INVALID.
  NTSTATUS Resolve(Fcb* base, UNICODE_STRING path, Fcb** parent, UNICODE_STRING* name);
  // The child of a directory by name, with a reference. STATUS_OBJECT_NAME_NOT_FOUND. With trust_listing a
  // name that the listing lacks counts as missing without asking the host (who creates next, asks for an
  // exclusive creation).
  NTSTATUS Lookup(Fcb* directory, const UNICODE_STRING& name, bool trust_listing, Fcb** fcb);
  // The open FCB of that name, if there is one; no new reference.
  Fcb* FindOpen(Fcb* directory, const UNICODE_STRING& name);
  NTSTATUS CreateChild(Fcb* directory, const UNICODE_STRING& name, bool is_directory, ULONG mode, Fcb** fcb);
  NTSTATUS Rename(Fcb* fcb, Fcb* directory, const UNICODE_STRING& name, bool replace);
  NTSTATUS Link(Fcb* fcb, Fcb* directory, const UNICODE_STRING& name, bool replace);
  bool Exists(Fcb* directory, const UNICODE_STRING& name);
  NTSTATUS Unlink(Fcb* fcb);
  void Reference(Fcb* fcb);
  void Release(Fcb* fcb);
  bool HasOpenChildren(const Fcb* directory) const;

  NTSTATUS OpenFor(Fcb* fcb, bool write);
  NTSTATUS LoadAttributes(Fcb* fcb);
  NTSTATUS LoadListing(Fcb* directory, bool fresh);
  // Writes out what was gathered; with `behind` without waiting for the host.
  NTSTATUS FlushGathered(Fcb* fcb, bool behind = false);
  NTSTATUS FlushAll();
  // A buffer of kGatherSize; 0 without memory. The one given back last is kept, so that a series of small
  // files shares one.
  PUCHAR TakeGatherBuffer();
  void GiveGatherBuffer(PUCHAR buffer);
  // Whether the host has plenty of room, so that a write may be delayed. Near the end writes go through at
  // once, for the writer to hear STATUS_DISK_FULL. Asks the host at most once a second.
  bool HasRoom(ULONG bytes);
  NTSTATUS SetSize(Fcb* fcb, ULONG64 size);
  NTSTATUS IsEmpty(Fcb* directory);

  // Change notification (notify.cpp). Watch consumes the IRP if it returns STATUS_PENDING.
  NTSTATUS Watch(Fcb* directory, Ccb* ccb, PIRP irp);
  void EndWatch(Fcb* directory, Ccb* ccb);
  void DirectoryGoes(Fcb* directory);
  // FILE_NOTIFY_CHANGE_..., FILE_ACTION_...
  void Report(const Fcb* fcb, ULONG filter, ULONG action);
  void ReportName(const Fcb* fcb, ULONG action) {
    Report(fcb, fcb->is_directory ? FILE_NOTIFY_CHANGE_DIR_NAME : FILE_NOTIFY_CHANGE_FILE_NAME, action);
  }

  Fcb* root() { return root_; }
  Client& client() { return client_; }

 private:
  Fcb* NewFcb(Fcb* parent, const WCHAR* name, USHORT units, ULONG fid, bool is_directory);
  void DeleteFcb(Fcb* fcb);
  NTSTATUS CheckReplaceable(Fcb* fcb, Fcb* target, bool replace);
  void TrimDirectories(ULONG keep);
  NTSTATUS WalkChild(Fcb* directory, const WCHAR* name, USHORT units, Fcb** fcb);
  ListedName* FindListed(Fcb* directory, const WCHAR* name, USHORT units);
  NTSTATUS FillListing(Fcb* directory, ULONG fid, Listing* listing);
  void AddListed(Fcb* directory, const WCHAR* name, USHORT units, bool is_directory);
  void RemoveListed(Fcb* directory, const WCHAR* name, USHORT units);

  NTSTATUS StartNotification();
  void StopNotification();
  NTSTATUS PrepareWatch(Fcb* directory);
  NTSTATUS MakeWatchPath(Fcb* directory);
  void FreeWatchPath(Fcb* directory);

  KGUARDED_MUTEX lock_;
  PNOTIFY_SYNC notify_sync_ = nullptr;
  LIST_ENTRY watchers_;           // FsRtl's
  WCHAR* report_path_ = nullptr;  // room for the longest path; 0: nobody has watched yet
  Client client_;
  Fcb* files_ = nullptr;
  Fcb* root_ = nullptr;
  PUCHAR spare_gather_ = nullptr;
  ULONG idle_directories_ = 0;
  ULONG64 room_ = 0;       // bytes available at room_time_, less those delayed since
  ULONG64 room_time_ = 0;  // interrupt time
};

ULONG HashName(const WCHAR* name, USHORT units);
bool SameName(const WCHAR* a, USHORT a_units, const WCHAR* b, USHORT b_units);
void FreeListing(Listing* listing);

// Dispatch routines. All complete the IRP before they return, but for change notification and requests that
// an oplock concerns.
DRIVER_DISPATCH HostFsCreate;
DRIVER_DISPATCH HostFsClose;
DRIVER_DISPATCH HostFsCleanup;
DRIVER_DISPATCH HostFsRead;
DRIVER_DISPATCH HostFsWrite;
DRIVER_DISPATCH HostFsFlushBuffers;
DRIVER_DISPATCH HostFsLockControl;
DRIVER_DISPATCH HostFsQueryInformation;
DRIVER_DISPATCH HostFsSetInformation;
DRIVER_DISPATCH HostFsDirectoryControl;
DRIVER_DISPATCH HostFsQueryVolumeInformation;
DRIVER_DISPATCH HostFsFileSystemControl;
DRIVER_DISPATCH HostFsNoExtendedAttributes;
FAST_IO_WRITE HostFsFastWrite;
NTSTATUS HostFsNotify(Volume& volume, PIRP irp);
DRIVER_DISPATCH HostFsShutdown;
DRIVER_DISPATCH HostFsUnsupported;

// The volume of a device object; 0 for none.
Volume* VolumeOf(PDEVICE_OBJECT device);
NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information);

// The caller's buffer while a request is served: system buffer, MDL or address, whichever the request has.
// An address is locked, and reached without page faults: a fault under the volume's lock could need the
// volume.
struct HeldBuffer {
  PVOID address;  // 0: the request has none
  PMDL mdl;       // of the lock; 0: none was needed
};
// STATUS_INVALID_USER_BUFFER: none, or it is not memory with the access that the request needs.
NTSTATUS HoldBuffer(PIRP irp, ULONG length, LOCK_OPERATION operation, HeldBuffer* buffer);
// Before the request is completed.
void ReleaseBuffer(HeldBuffer* buffer);
// Locks the caller's buffer for a request that goes on in another thread, until it is completed.
NTSTATUS KeepBuffer(PIRP irp, ULONG length, LOCK_OPERATION operation);

// Breaks what the request breaks. STATUS_PENDING: the request waits, and comes again by itself.
NTSTATUS CheckOplock(Fcb* fcb, PIRP irp);
// The same for an open of the stream, in the order that share access wants.
NTSTATUS BreakForOpen(Fcb* fcb, PIRP irp);

// An answer of fixed size.
template <typename Info>
NTSTATUS PutInformation(const Info& info, PVOID buffer, ULONG length, ULONG* used) {
  if (length < sizeof(Info)) return STATUS_INFO_LENGTH_MISMATCH;
  *static_cast<Info*>(buffer) = info;
  *used = sizeof(Info);
  return STATUS_SUCCESS;
}

// NT's view of a file's attributes and times.
ULONG FileAttributesOf(const Fcb* fcb);
LARGE_INTEGER TimeOf(const p9::Time& time);
p9::Time TimeFrom(LARGE_INTEGER time);
ULONG64 AllocationOf(const Fcb* fcb);

}  // namespace hostfs
