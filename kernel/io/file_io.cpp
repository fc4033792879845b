// Reading, writing, flushing, device control.
#include "fast_io.h"
#include "io_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"
#include "user_mode.h"

namespace {

// A fault on the caller's buffers is the service's status, whatever the previous mode. `attach` is not
// inlined: only calls are guarded.
template <typename... Parameters>
NTSTATUS Guarded(NTSTATUS (*attach)(Parameters...), Parameters... arguments) {
  NTSTATUS status;
  __try {
    status = attach(arguments...);
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    status = static_cast<NTSTATUS>(_exception_code());
  }
  return status;
}

// The caller's buffer in the way that the device wants it.
DECLSPEC_NOINLINE NTSTATUS AttachData(io::FileService* service, PVOID buffer, ULONG length, bool write) {
  PIRP irp = service->irp;
  if (length == 0) return STATUS_SUCCESS;
  if (service->device->Flags & DO_BUFFERED_IO) {
    irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, length, kBufferTag);
    if (irp->AssociatedIrp.SystemBuffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    if (write) {
      return io::CopyFromCaller(irp->AssociatedIrp.SystemBuffer, buffer, length);
    } else {
      irp->Flags |= IRP_INPUT_OPERATION;
      irp->UserBuffer = buffer;
    }
  } else if (service->device->Flags & DO_DIRECT_IO) {
    PMDL mdl = IoAllocateMdl(buffer, length, FALSE, FALSE, irp);
    if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(mdl, irp->RequestorMode, write ? IoReadAccess : IoWriteAccess);
  } else {
    irp->UserBuffer = buffer;
  }
  return STATUS_SUCCESS;
}

// The optional parameters of a transfer, and its buffers' addresses.
struct TransferParameters {
  LARGE_INTEGER offset = {};
  ULONG key = 0;

  NTSTATUS Capture(PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length, PLARGE_INTEGER given_offset,
                   PULONG given_key, bool write) {
    NTSTATUS status = io::ProbeCallerWrite(iosb, sizeof(*iosb), sizeof(ULONG));
    if (NT_SUCCESS(status)) {
      status = write ? io::ProbeCallerRead(buffer, length, 1) : io::ProbeCallerWrite(buffer, length, 1);
    }
    if (NT_SUCCESS(status) && given_offset != nullptr)
      status = io::CopyFromCaller(&offset, given_offset, sizeof(offset));
    if (NT_SUCCESS(status) && given_key != nullptr) status = io::CopyFromCaller(&key, given_key, sizeof(key));
    return status;
  }
};

// Where a transfer begins: the given offset, or (synchronous files) the current one.
NTSTATUS StartingOffset(io::FileService* service, PLARGE_INTEGER given, bool write, LARGE_INTEGER* offset) {
  const bool append_only =
      write && !(service->granted & FILE_WRITE_DATA) && (service->granted & FILE_APPEND_DATA);
  if (append_only) {
    offset->QuadPart = -1;
    return STATUS_SUCCESS;
  }
  const bool use_current =
      given == nullptr || (given->u.LowPart == FILE_USE_FILE_POINTER_POSITION && given->u.HighPart == -1);
  if (use_current) {
    const bool no_position = (service->file->Flags & (FO_NAMED_PIPE | FO_MAILSLOT)) != 0;
    if (!service->synchronous && !no_position) return STATUS_INVALID_PARAMETER;
    *offset = service->file->CurrentByteOffset;
    return STATUS_SUCCESS;
  }
  *offset = *given;
  const bool to_end = write && given->u.LowPart == FILE_WRITE_TO_END_OF_FILE && given->u.HighPart == -1;
  return given->QuadPart < 0 && !to_end ? STATUS_INVALID_PARAMETER : STATUS_SUCCESS;
}

NTSTATUS Transfer(HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context, PIO_STATUS_BLOCK iosb,
                  PVOID buffer, ULONG length, PLARGE_INTEGER byte_offset, PULONG key, bool write) {
  TransferParameters parameters;
  NTSTATUS status = parameters.Capture(iosb, buffer, length, byte_offset, key, write);
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(handle, event, &service);
  if (status != STATUS_SUCCESS) return status;
  const ACCESS_MASK wanted = write ? (FILE_WRITE_DATA | FILE_APPEND_DATA) : FILE_READ_DATA;
  LARGE_INTEGER offset = {};
  status =
      (service.granted & wanted)
          ? StartingOffset(&service, byte_offset != nullptr ? &parameters.offset : nullptr, write, &offset)
          : STATUS_ACCESS_DENIED;
  if (!NT_SUCCESS(status)) return io::AbandonService(&service, status);
  if (io::TryFastTransfer(&service, apc, iosb, {offset, length, parameters.key, buffer, write}, &status))
    return status;
  PIO_STACK_LOCATION stack =
      io::PrepareIrp(&service, iosb, apc, apc_context, write ? IRP_MJ_WRITE : IRP_MJ_READ);
  status =
      stack != nullptr ? Guarded(AttachData, &service, buffer, length, write) : STATUS_INSUFFICIENT_RESOURCES;
  if (!NT_SUCCESS(status)) return io::AbandonService(&service, status);
  service.irp->Flags |= write ? IRP_WRITE_OPERATION : IRP_READ_OPERATION;
  if (service.file->Flags & FO_NO_INTERMEDIATE_BUFFERING) service.irp->Flags |= IRP_NOCACHE;
  if (write && (service.file->Flags & FO_WRITE_THROUGH)) stack->Flags = SL_WRITE_THROUGH;
  stack->Parameters.Read.Length = length;  // Write's members lie at the same places
  stack->Parameters.Read.Key = parameters.key;
  stack->Parameters.Read.ByteOffset = offset;
  return io::FinishService(&service, STATUS_SUCCESS);
}

}  // namespace

/// Reads from a file; see ZwReadFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtReadFile.
NT_EXPORT(NtReadFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtReadFile(HANDLE FileHandle, HANDLE Event,
                                                       PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                                       PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer,
                                                       ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key) {
  return Transfer(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, Buffer, Length, ByteOffset, Key,
                  false);
}

/// Reads from a file at an offset (or, synchronous files, at the current one, which moves on).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwReadFile.
NT_EXPORT(ZwReadFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwReadFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                     PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer,
                                     ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key) {
  return ke::CallService(NtReadFile, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, Buffer, Length,
                         ByteOffset, Key);
}

/// Writes to a file; see ZwWriteFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtWriteFile.
NT_EXPORT(NtWriteFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtWriteFile(HANDLE FileHandle, HANDLE Event,
                                                        PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                                        PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer,
                                                        ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key) {
  return Transfer(FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, Buffer, Length, ByteOffset, Key,
                  true);
}

/// Writes to a file at an offset (or, synchronous files, at the current one, which moves on); files opened
/// for append only are written at their end.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/ZwWriteFile.
NT_EXPORT(ZwWriteFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwWriteFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                      PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, PVOID Buffer,
                                      ULONG Length, PLARGE_INTEGER ByteOffset, PULONG Key) {
  return ke::CallService(NtWriteFile, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock, Buffer,
                         Length, ByteOffset, Key);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtFlushBuffersFile(HANDLE FileHandle,
                                                               PIO_STATUS_BLOCK IoStatusBlock) {
  NTSTATUS status = io::ProbeCallerWrite(IoStatusBlock, sizeof(*IoStatusBlock), sizeof(ULONG));
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(FileHandle, nullptr, &service);
  if (status != STATUS_SUCCESS) return status;
  if (!(service.granted & (FILE_WRITE_DATA | FILE_APPEND_DATA)))
    return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  const bool prepared =
      io::PrepareIrp(&service, IoStatusBlock, nullptr, nullptr, IRP_MJ_FLUSH_BUFFERS) != nullptr;
  return io::FinishService(&service, prepared ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES);
}

/// Writes out what a file system holds back of a file.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwFlushBuffersFile.
NT_EXPORT(ZwFlushBuffersFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwFlushBuffersFile(HANDLE FileHandle, PIO_STATUS_BLOCK IoStatusBlock) {
  return ke::CallService(NtFlushBuffersFile, FileHandle, IoStatusBlock);
}

namespace {

DECLSPEC_NOINLINE NTSTATUS AttachControlBuffers(io::FileService* service, ULONG code, PVOID input,
                                                ULONG input_length, PVOID output, ULONG output_length,
                                                PIO_STACK_LOCATION stack) {
  PIRP irp = service->irp;
  const ULONG method = code & 3;
  if (method == METHOD_NEITHER) {
    irp->UserBuffer = output;
    stack->Parameters.DeviceIoControl.Type3InputBuffer = input;
    return STATUS_SUCCESS;
  }
  const ULONG system_length =
      method == METHOD_BUFFERED && output_length > input_length ? output_length : input_length;
  if (system_length != 0) {
    irp->AssociatedIrp.SystemBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, system_length, kBufferTag);
    if (irp->AssociatedIrp.SystemBuffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    irp->Flags |= IRP_BUFFERED_IO | IRP_DEALLOCATE_BUFFER;
    // From user mode a null address with a length is an error, as on Windows.
    if (input != nullptr || (irp->RequestorMode == UserMode && input_length != 0)) {
      const NTSTATUS status = io::CopyFromCaller(irp->AssociatedIrp.SystemBuffer, input, input_length);
      if (!NT_SUCCESS(status)) return status;
    }
  }
  if (method == METHOD_BUFFERED) {
    irp->UserBuffer = output;
    if (output != nullptr) irp->Flags |= IRP_INPUT_OPERATION;
  } else if (output_length != 0) {
    PMDL mdl = IoAllocateMdl(output, output_length, FALSE, FALSE, irp);
    if (mdl == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    MmProbeAndLockPages(mdl, irp->RequestorMode, method == METHOD_IN_DIRECT ? IoReadAccess : IoWriteAccess);
  }
  return STATUS_SUCCESS;
}

NTSTATUS Control(UCHAR major, HANDLE handle, HANDLE event, PIO_APC_ROUTINE apc, PVOID apc_context,
                 PIO_STATUS_BLOCK iosb, ULONG code, PVOID input, ULONG input_length, PVOID output,
                 ULONG output_length) {
  NTSTATUS status = io::ProbeCallerWrite(iosb, sizeof(*iosb), sizeof(ULONG));
  if (NT_SUCCESS(status) && (code & 3) == METHOD_BUFFERED)
    status = io::ProbeCallerWrite(output, output_length, 1);
  if (!NT_SUCCESS(status)) return status;
  io::FileService service;
  status = io::BeginService(handle, event, &service);
  if (status != STATUS_SUCCESS) return status;
  const ULONG access = (code >> 14) & 3;
  if (((access & FILE_READ_ACCESS) && !(service.granted & FILE_READ_DATA)) ||
      ((access & FILE_WRITE_ACCESS) && !(service.granted & FILE_WRITE_DATA)))
    return io::AbandonService(&service, STATUS_ACCESS_DENIED);
  const io::ControlCall call = {code, input, input_length, output, output_length};
  if (major == IRP_MJ_DEVICE_CONTROL && io::TryFastControl(&service, apc, iosb, call, &status)) return status;
  PIO_STACK_LOCATION stack = io::PrepareIrp(&service, iosb, apc, apc_context, major);
  if (stack == nullptr) return io::AbandonService(&service, STATUS_INSUFFICIENT_RESOURCES);
  stack->Parameters.DeviceIoControl.IoControlCode = code;
  stack->Parameters.DeviceIoControl.InputBufferLength = input_length;
  stack->Parameters.DeviceIoControl.OutputBufferLength = output_length;
  status = Guarded(AttachControlBuffers, &service, code, input, input_length, output, output_length, stack);
  return io::FinishService(&service, status);
}

}  // namespace

/// Sends a control code to a device; see ZwDeviceIoControlFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtDeviceIoControlFile.
NT_EXPORT(NtDeviceIoControlFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtDeviceIoControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                      PIO_STATUS_BLOCK IoStatusBlock, ULONG IoControlCode, PVOID InputBuffer,
                      ULONG InputBufferLength, PVOID OutputBuffer, ULONG OutputBufferLength) {
  return Control(IRP_MJ_DEVICE_CONTROL, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                 IoControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength);
}

/// Sends a control code to a device.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwDeviceIoControlFile.
NT_EXPORT(ZwDeviceIoControlFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwDeviceIoControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                                PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                                ULONG IoControlCode, PVOID InputBuffer,
                                                ULONG InputBufferLength, PVOID OutputBuffer,
                                                ULONG OutputBufferLength) {
  return ke::CallService(NtDeviceIoControlFile, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                         IoControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength);
}

/// Sends a control code to a file system; see ZwFsControlFile.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/NtFsControlFile.
NT_EXPORT(NtFsControlFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoFiles.*");
extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtFsControlFile(HANDLE FileHandle, HANDLE Event,
                                                            PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                                            PIO_STATUS_BLOCK IoStatusBlock,
                                                            ULONG FsControlCode, PVOID InputBuffer,
                                                            ULONG InputBufferLength, PVOID OutputBuffer,
                                                            ULONG OutputBufferLength) {
  return Control(IRP_MJ_FILE_SYSTEM_CONTROL, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                 FsControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength);
}

/// Sends a control code to a file system.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwFsControlFile.
NT_EXPORT(ZwFsControlFile, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.*");
extern "C" NTSTATUS NTAPI ZwFsControlFile(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                          PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                          ULONG FsControlCode, PVOID InputBuffer, ULONG InputBufferLength,
                                          PVOID OutputBuffer, ULONG OutputBufferLength) {
  return ke::CallService(NtFsControlFile, FileHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                         FsControlCode, InputBuffer, InputBufferLength, OutputBuffer, OutputBufferLength);
}
