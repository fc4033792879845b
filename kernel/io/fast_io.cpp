#include "fast_io.h"

namespace io {
namespace {

// The driver's table if it reaches beyond `offset`; drivers may be built with a shorter one.
const FAST_IO_DISPATCH* TableOf(const FileService* service, ULONG offset) {
  const FAST_IO_DISPATCH* table = service->device->DriverObject->FastIoDispatch;
  return table != nullptr && table->SizeOfFastIoDispatch >= offset + sizeof(PVOID) ? table : nullptr;
}

}  // namespace

bool TryFastControl(FileService* service, PIO_APC_ROUTINE apc, PIO_STATUS_BLOCK iosb, const ControlCall& call,
                    NTSTATUS* status) {
  const FAST_IO_DISPATCH* table = TableOf(service, FIELD_OFFSET(FAST_IO_DISPATCH, FastIoDeviceControl));
  if (apc != nullptr || table == nullptr || table->FastIoDeviceControl == nullptr) return false;
  IO_STATUS_BLOCK result = {};
  if (!table->FastIoDeviceControl(service->file, TRUE, call.input, call.input_length, call.output,
                                  call.output_length, call.code, &result, service->device))
    return false;
  *status = FinishWithoutIrp(service, iosb, result);
  return true;
}

bool TryFastTransfer(FileService* service, PIO_APC_ROUTINE apc, PIO_STATUS_BLOCK iosb, TransferCall call,
                     NTSTATUS* status) {
  const bool cached = service->file->PrivateCacheMap != nullptr && service->synchronous &&
                      (service->file->Flags & FO_NO_INTERMEDIATE_BUFFERING) == 0;
  const FAST_IO_DISPATCH* table = TableOf(service, FIELD_OFFSET(FAST_IO_DISPATCH, FastIoWrite));
  if (!cached || apc != nullptr || table == nullptr) return false;
  const PFAST_IO_READ routine = call.write ? table->FastIoWrite : table->FastIoRead;
  if (routine == nullptr) return false;
  IO_STATUS_BLOCK result = {};
  if (!routine(service->file, &call.offset, call.length, TRUE, call.key, call.buffer, &result,
               service->device))
    return false;
  const bool final = result.Status == STATUS_SUCCESS || result.Status == STATUS_BUFFER_OVERFLOW ||
                     result.Status == STATUS_END_OF_FILE;
  if (!final) return false;
  *status = FinishWithoutIrp(service, iosb, result, call.write ? IRP_WRITE_OPERATION : IRP_READ_OPERATION);
  return true;
}

}  // namespace io
