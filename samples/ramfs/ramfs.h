/* What the two halves of ramfs share: the disk's layout, and the structures of the file system. */
#ifndef RAMFS_H
#define RAMFS_H

#include <ntifs.h>

#define RAMFS_TAG 'sFmR'
#define SECTOR_SIZE 512
#define DISK_SECTORS 2048
#define DISK_BYTES (DISK_SECTORS * SECTOR_SIZE)
#define MAX_FILES 16
#define DATA_SECTOR 16   /* the first sector of file data; before it the header and the directory */
#define FILE_SECTORS 120 /* of each file at most */
#define FILE_MAX_BYTES (FILE_SECTORS * SECTOR_SIZE)
#define NAME_CHARS 48

/* Sector 0. */
typedef struct _RAMFS_HEADER {
  ULONG Magic;
  ULONG SerialNumber;
} RAMFS_HEADER;
#define RAMFS_MAGIC 'FMAR'

/* From sector 1 on. */
typedef struct _RAMFS_ENTRY {
  ULONG InUse;
  ULONG Size;
  ULONG ValidSize;
  ULONG NameBytes;
  WCHAR Name[NAME_CHARS];
} RAMFS_ENTRY, *PRAMFS_ENTRY;
#define DIRECTORY_OFFSET SECTOR_SIZE
#define DIRECTORY_BYTES (MAX_FILES * sizeof(RAMFS_ENTRY))
C_ASSERT(DIRECTORY_OFFSET + DIRECTORY_BYTES <= DATA_SECTOR * SECTOR_SIZE);

/* One file while it is open; Index MAX_FILES is the volume (its first sectors, cached by a stream file). */
typedef struct _FCB {
  FSRTL_ADVANCED_FCB_HEADER Header;
  SECTION_OBJECT_POINTERS Section;
  FILE_LOCK Lock;
  LARGE_MCB Map;
  SHARE_ACCESS ShareAccess;
  ERESOURCE Resource;
  ERESOURCE PagingResource;
  FAST_MUTEX Mutex;
  ULONG Index;
  ULONG References; /* file objects; under the volume's resource */
  ULONG Handles;
  BOOLEAN DeleteOnClose;
} FCB, *PFCB;

/* The volume device's extension. */
typedef struct _VCB {
  PDEVICE_OBJECT Disk;
  PVPB Vpb;
  PFILE_OBJECT Metadata;
  FCB MetadataFcb;
  PFCB Open[MAX_FILES];
  PNOTIFY_SYNC NotifySync;
  LIST_ENTRY NotifyList;
  ERESOURCE Resource;
} VCB, *PVCB;

/* disk.c: \Device\RamFsDisk, a disk of pool memory, formatted. */
NTSTATUS RamDiskCreate(PDRIVER_OBJECT Driver, PDEVICE_OBJECT* Disk);
NTSTATUS RamDiskDispatch(PDEVICE_OBJECT Disk, PIRP Irp);
void RamDiskDelete(PDEVICE_OBJECT Disk);

/* An open handle's own: a directory's scan. */
typedef struct _CCB {
  ULONG NextIndex;
  UNICODE_STRING Pattern; /* in pool, upper case; empty: everything */
} CCB, *PCCB;

/* volume.c */
extern PDEVICE_OBJECT RamFsControlDevice;
extern PDEVICE_OBJECT RamFsDisk;
extern PDEVICE_OBJECT RamFsVolume;
NTSTATUS RamFsComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
NTSTATUS RamFsDiskIo(PVCB Vcb, UCHAR Major, LONGLONG Offset, ULONG Length, PMDL Mdl);
/* The directory, pinned for change (unpin it), under the volume's resource. */
PRAMFS_ENTRY RamFsPinDirectory(PVCB Vcb, PVOID* Bcb);
void RamFsInitializeFcb(PFCB Fcb, ULONG Index, ULONG Size, ULONG ValidSize);
void RamFsUninitializeFcb(PFCB Fcb);
extern CACHE_MANAGER_CALLBACKS RamFsCallbacks;

/* file.c */
NTSTATUS RamFsCreate(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsCleanup(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsClose(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsReadWrite(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsQueryInformation(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsSetInformation(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsFlush(PVCB Vcb, PIRP Irp);
NTSTATUS RamFsLockControl(PVCB Vcb, PIRP Irp);

/* directory.c */
NTSTATUS RamFsDirectoryControl(PVCB Vcb, PIRP Irp);
void RamFsReport(PVCB Vcb, PCUNICODE_STRING Name, ULONG Filter, ULONG Action);

#endif
