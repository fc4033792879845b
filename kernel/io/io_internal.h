// Private to io.
#pragma once

#include "io/io.h"
#include "ke/ke.h"
#include "nt/objects.h"
#include "ob/ob.h"

inline constexpr ULONG kIrpTag = ' prI';
inline constexpr ULONG kFileTag = 'eliF';
inline constexpr ULONG kNameTag = 'mNoI';
inline constexpr ULONG kBufferTag = 'BsyS';

// What follows the public part of a device object's extension. Windows's names.
typedef struct _EXTENDED_DEVOBJ_EXTENSION {
  DEVOBJ_EXTENSION Public;
  ULONG PowerFlags;
  ULONG ExtensionFlags;  // DOE_*
  PVOID DeviceNode;
  PDEVICE_OBJECT AttachedTo;
  volatile LONG StartIoCount;  // with deferred StartIo: calls that are running or wait
  ULONG StartIoKey;
  ULONG StartIoFlags;  // kStartIo...
} EXTENDED_DEVOBJ_EXTENSION, *PEXTENDED_DEVOBJ_EXTENSION;
#ifndef DOE_UNLOAD_PENDING
#define DOE_UNLOAD_PENDING 0x00000001
#define DOE_DELETE_PENDING 0x00000002
#endif
inline constexpr ULONG kStartIoDeferred = 1, kStartIoNonCancelable = 2, kStartIoByKey = 4;
FORCEINLINE PEXTENDED_DEVOBJ_EXTENSION IopDeviceExtension(PDEVICE_OBJECT device) {
  return reinterpret_cast<PEXTENDED_DEVOBJ_EXTENSION>(device->DeviceObjectExtension);
}

typedef struct _IO_CLIENT_EXTENSION {
  struct _IO_CLIENT_EXTENSION* NextExtension;
  PVOID ClientIdentificationAddress;
} IO_CLIENT_EXTENSION, *PIO_CLIENT_EXTENSION;

// A driver object is followed by its extension: the public part, then Windows's fields, then ours.
struct IopDriverExtension {
  alignas(16) UCHAR public_part[0x50];  // DRIVER_EXTENSION
  PIO_CLIENT_EXTENSION ClientDriverExtension;
  UNICODE_STRING RegistryPath;  // service key
  LIST_ENTRY ReinitializeList;  // of io::Reinitialization, in the order of registration
  BOOLEAN boot_driver;
  KEVENT EntryDone;  // DriverEntry has returned
};
FORCEINLINE IopDriverExtension* IopDriverExtensionOf(PDRIVER_OBJECT driver) {
  return reinterpret_cast<IopDriverExtension*>(driver->DriverExtension);
}

// Parse context of an open.
typedef struct _OPEN_PACKET {
  CSHORT Type;  // IO_TYPE_OPEN_PACKET
  CSHORT Size;
  PFILE_OBJECT FileObject;
  NTSTATUS FinalStatus;
  ULONG_PTR Information;
  BOOLEAN ParseCheck;  // IopParseDevice was reached
  PFILE_OBJECT RelatedFileObject;
  LARGE_INTEGER AllocationSize;
  ULONG CreateOptions;
  USHORT FileAttributes;
  USHORT ShareAccess;
  PVOID EaBuffer;
  ULONG EaLength;
  ULONG Options;  // IO_*, SL_*
  ULONG Disposition;
  ACCESS_MASK DesiredAccess;
  CREATE_FILE_TYPE CreateFileType;
  PVOID ExtraCreateParameters;  // of a named pipe or mailslot
  PDEVICE_OBJECT DeviceHint;
  PVOID EcpList;               // _ECP_LIST of the driver create context
  UNICODE_STRING ReparseName;  // in pool (kNameTag): where the open goes on; empty: it does not
} OPEN_PACKET, *POPEN_PACKET;
#ifndef IO_TYPE_OPEN_PACKET
#define IO_TYPE_OPEN_PACKET 0x00000008
#endif

extern "C" {
NTSTATUS NTAPI IopParseDevice(PVOID ParseObject, PVOID ObjectType, PACCESS_STATE AccessState,
                              KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                              PUNICODE_STRING RemainingName, PVOID Context,
                              PSECURITY_QUALITY_OF_SERVICE SecurityQos, PVOID* Object);
NTSTATUS NTAPI IopParseFile(PVOID ParseObject, PVOID ObjectType, PACCESS_STATE AccessState,
                            KPROCESSOR_MODE AccessMode, ULONG Attributes, PUNICODE_STRING CompleteName,
                            PUNICODE_STRING RemainingName, PVOID Context,
                            PSECURITY_QUALITY_OF_SERVICE SecurityQos, PVOID* Object);
NTSTATUS IopCreateFile(PHANDLE FileHandle, ACCESS_MASK DesiredAccess, POBJECT_ATTRIBUTES ObjectAttributes,
                       PIO_STATUS_BLOCK IoStatusBlock, PLARGE_INTEGER AllocationSize, ULONG FileAttributes,
                       ULONG ShareAccess, ULONG Disposition, ULONG CreateOptions, PVOID EaBuffer,
                       ULONG EaLength, CREATE_FILE_TYPE CreateFileType, PVOID InternalParameters,
                       ULONG Options, PDEVICE_OBJECT DeviceHint, PVOID EcpList = nullptr);

// The first phase of completion that runs in the thread's context: copies results, signals, frees.
VOID IopCompleteRequest(PIRP Irp, PFILE_OBJECT FileObject);
VOID IopQueueThreadIrp(PIRP Irp);
VOID IopDequeueThreadIrp(PIRP Irp);

// Sends a request of a file object and, for synchronous files, waits for it. Consumes the IRP and the
// caller's reference of the file object.
NTSTATUS IopSynchronousServiceTail(PDEVICE_OBJECT DeviceObject, PIRP Irp, PFILE_OBJECT FileObject,
                                   BOOLEAN DeferredCompletion, KPROCESSOR_MODE RequestorMode,
                                   BOOLEAN SynchronousIo);
NTSTATUS IopAcquireFileObjectLock(PFILE_OBJECT FileObject);
VOID IopReleaseFileObjectLock(PFILE_OBJECT FileObject);

// Sends `Irp` (flagged IRP_CLOSE_OPERATION, without a thread) and waits; frees the IRP.
NTSTATUS IopCallAndFreeIrp(PDEVICE_OBJECT DeviceObject, PIRP Irp);

VOID NTAPI IopDeleteFile(PVOID Object);
VOID NTAPI IopCloseFile(PEPROCESS Process, PVOID Object, ULONG_PTR ProcessHandleCount,
                        ULONG_PTR SystemHandleCount);
NTSTATUS NTAPI IopQueryFileName(PVOID Object, BOOLEAN HasObjectName, PUNICODE_STRING Prefix,
                                PUNICODE_STRING Remaining);
VOID NTAPI IopDeleteDevice(PVOID Object);
VOID NTAPI IopDeleteDriver(PVOID Object);
VOID IopFreeReinitializations(IopDriverExtension* Extension);
NTSTATUS NTAPI IopInvalidDeviceRequest(PDEVICE_OBJECT DeviceObject, PIRP Irp);
VOID IopDecrementDeviceObjectRef(PDEVICE_OBJECT DeviceObject);
// Finishes a driver's unload or a device's deletion that waited for references.
VOID IopDeleteDeviceTimer(PDEVICE_OBJECT DeviceObject);
VOID IopCompleteUnloadOrDelete(PDEVICE_OBJECT DeviceObject);
VOID IopReadyDeviceObjects(PDRIVER_OBJECT Driver);
// Whether a file is open on any device of the stack on `Base`.
BOOLEAN IopStackHasOpenFiles(PDEVICE_OBJECT Base);
// The drivers of the stack on `Base`, from below, each referenced; gives their number.
ULONG IopReferenceStackDrivers(PDEVICE_OBJECT Base, PDRIVER_OBJECT* Drivers, ULONG Room);
}

namespace io {

// Counts a finished request of the current thread for its process. `flags`: IRP_READ_OPERATION, ...
inline void CountRequest(ULONG flags, ULONG_PTR bytes) {
  const ULONG kind = (flags & IRP_READ_OPERATION) != 0 ? 0 : (flags & IRP_WRITE_OPERATION) != 0 ? 1 : 2;
  auto* process = reinterpret_cast<PEPROCESS>(KeCurrentThread()->Process);
  InterlockedIncrement64(&process->IoOperationCounts[kind]);
  InterlockedAdd64(&process->IoTransferCounts[kind], static_cast<LONG64>(bytes));
}

// Holds a mutex: recursive, the holder takes no normal kernel APCs.
class MutexGuard {
 public:
  explicit MutexGuard(PKMUTEX mutex) : mutex_(mutex) {
    KeWaitForSingleObject(mutex_, Executive, KernelMode, FALSE, nullptr);
  }
  ~MutexGuard() { KeReleaseMutex(mutex_, FALSE); }
  MutexGuard(const MutexGuard&) = delete;
  MutexGuard& operator=(const MutexGuard&) = delete;

 private:
  PKMUTEX mutex_;
};

// Behind a file object, made when it is first needed.
struct FileExtension {
  volatile LONG priority_hint;  // IO_PRIORITY_HINT and one; 0: none
};

// What the services have in common: the file, its device, the caller's event, the lock of a synchronous file.
struct FileService {
  PFILE_OBJECT file = nullptr;
  PDEVICE_OBJECT device = nullptr;
  PKEVENT event = nullptr;
  bool synchronous = false;
  PIRP irp = nullptr;
  ACCESS_MASK granted = 0;
};

// References the file and the event, takes a synchronous file's lock. With any status but STATUS_SUCCESS
// (the wait for the lock may be interrupted: STATUS_ALERTED, STATUS_USER_APC) nothing is held.
NTSTATUS BeginService(HANDLE handle, HANDLE event, FileService* service);
// Gives back what BeginService took, and the IRP with its buffers.
void AbandonService(FileService* service);
inline NTSTATUS AbandonService(FileService* service, NTSTATUS status) {
  AbandonService(service);
  return status;
}
// Ends a service that needed no IRP: counts it, event and status block; gives everything back. `flags`:
// IRP_READ_OPERATION, IRP_WRITE_OPERATION, 0.
NTSTATUS FinishWithoutIrp(FileService* service, PIO_STATUS_BLOCK iosb, const IO_STATUS_BLOCK& result,
                          ULONG flags = 0);
// Ends the service: sends its request if that could be prepared, else gives everything back.
__attribute__((always_inline)) inline NTSTATUS FinishService(FileService* service, NTSTATUS prepared) {
  if (!NT_SUCCESS(prepared)) return AbandonService(service, prepared);
  return IopSynchronousServiceTail(service->device, service->irp, service->file, TRUE, KernelMode,
                                   service->synchronous);
}
// Allocates the IRP with what all requests have; 0 without memory.
PIO_STACK_LOCATION PrepareIrp(FileService* service, PIO_STATUS_BLOCK iosb, PIO_APC_ROUTINE apc,
                              PVOID apc_context, UCHAR major);
// A system buffer for what the driver answers, copied to `buffer` at the end.
NTSTATUS AttachOutput(FileService* service, PVOID buffer, ULONG length);
// A system buffer (nonpaged pool, kBufferTag) with what the caller gave; it goes with the IRP.
inline void AttachInput(FileService* service, PVOID captured) {
  service->irp->AssociatedIrp.SystemBuffer = captured;
  service->irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
}

// The security method of file objects (file_security.cpp). PASSIVE_LEVEL.
NTSTATUS FileSecurity(PVOID object, bool set, PSECURITY_INFORMATION information,
                      PSECURITY_DESCRIPTOR descriptor, PULONG length);

NTSTATUS InitServiceControl();
// C:\x, \??\C:\x, \SystemRoot\x, System32\drivers\x.sys -> an NT path in pool (tag kNameTag).
NTSTATUS NtPathOf(PCUNICODE_STRING path, PUNICODE_STRING nt_path);
NTSTATUS LoadBootDrivers(const boot::LoaderBlock* block);
// A UTF-8 text as UNICODE_STRING in pool (tag kNameTag), zero-terminated.
NTSTATUS WideFromUtf8(const char* text, size_t length, PUNICODE_STRING wide);
// The service key's full path from its name, in pool (tag kNameTag).
NTSTATUS ServiceKeyOf(PCUNICODE_STRING name, PUNICODE_STRING key);
// Appends formatted text (_snprintf's formats); cuts off what does not fit.
void AppendText(char* text, ULONG capacity, ULONG* length, const char* format, ...);

}  // namespace io
