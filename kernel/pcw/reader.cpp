// \\Device\\PcwDrv: counters for whoever asks. A control code whose input is a set's name (UTF-16, no zero)
// answers
//
//   ULONG instances, bytes;                           bytes: of the whole answer
//   for each instance, from a multiple of 8 on:
//     ULONG size, id, name_bytes, counters;
//     WCHAR name[name_bytes / 2];                     padded to a multiple of 8
//     { ULONG id, size; ULONG64 value; } [counters];
//
// STATUS_OBJECT_NAME_NOT_FOUND: there is no such set. STATUS_BUFFER_OVERFLOW: only the head had room.
#include "counter_sets.h"
#include "pcw/pcw.h"

extern "C" NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName,
                                         PDRIVER_INITIALIZE InitializationFunction);

namespace pcw {
namespace {

// FILE_DEVICE_UNKNOWN, function 0x800, METHOD_BUFFERED, FILE_READ_ACCESS
constexpr ULONG kCollect = 0x226000;
constexpr ULONG kAnyInstance = 0xFFFFFFFF;

struct AnswerHead {
  ULONG instances, bytes;
};
struct InstanceHead {
  ULONG size, id, name_bytes, counters;
};
struct CounterValue {
  ULONG id, size;
  ULONG64 value;
};

void Append(Buffer* buffer, const void* data, ULONG bytes) {
  if (buffer->needed <= buffer->room && bytes <= buffer->room - buffer->needed)
    RtlCopyMemory(buffer->bytes + buffer->needed, data, bytes);
  buffer->needed += bytes;
}

ULONG64 AllCounters(const Registration& set) {
  ULONG64 mask = 0;
  for (ULONG i = 0; i < set.counter_count; ++i) mask |= 1ull << (set.counters[i].Id % 64);
  return mask;
}

// The set's own routine adds what it has.
NTSTATUS AskDriver(Registration* set, Buffer* buffer) {
  if (set->callback == nullptr) return STATUS_SUCCESS;
  const UNICODE_STRING everything = ob::String(L"*");
  KEVENT cancel;  // nobody takes the request back
  KeInitializeEvent(&cancel, NotificationEvent, FALSE);
  CallbackInformation counter = {};
  counter.Counter = {AllCounters(*set), &everything};
  NTSTATUS status = set->callback(kAddCounter, &counter, set->context);
  if (!NT_SUCCESS(status)) return status;
  CallbackInformation collect = {};
  collect.Mask = {AllCounters(*set), &everything, kAnyInstance, TRUE, buffer, &cancel};
  status = set->callback(kCollectData, &collect, set->context);
  (void)set->callback(kRemoveCounter, &counter, set->context);
  return status;
}

NTSTATUS Collect(PVOID data, ULONG input, ULONG output, ULONG_PTR* written) {
  if (input == 0 || input > 0xFFFE || input % sizeof(WCHAR) != 0 || output < sizeof(AnswerHead))
    return STATUS_INVALID_PARAMETER;
  const UNICODE_STRING name = {static_cast<USHORT>(input), static_cast<USHORT>(input),
                               static_cast<PWCH>(data)};
  Registration* set = FindSet(name);
  if (set == nullptr) return STATUS_OBJECT_NAME_NOT_FOUND;
  // From here on the name is overwritten by the answer.
  Buffer buffer = {set, static_cast<UCHAR*>(data), output, sizeof(AnswerHead), 0};
  const NTSTATUS status = AskDriver(set, &buffer);
  if (NT_SUCCESS(status)) AddKnownInstances(set, &buffer);
  ExReleaseRundownProtection(&set->in_use);
  if (!NT_SUCCESS(status)) return status;
  const bool fits = buffer.needed <= output;
  *static_cast<AnswerHead*>(data) = {buffer.instances, buffer.needed};
  *written = fits ? buffer.needed : sizeof(AnswerHead);
  return fits ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IofCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

NTSTATUS NTAPI OnOpenOrClose(PDEVICE_OBJECT, PIRP irp) {
  return Complete(irp, STATUS_SUCCESS, 0);
}

NTSTATUS NTAPI OnControl(PDEVICE_OBJECT, PIRP irp) {
  const auto& control = IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl;
  ULONG_PTR written = 0;
  NTSTATUS status = STATUS_INVALID_DEVICE_REQUEST;
  if (control.IoControlCode == kCollect)
    status = Collect(irp->AssociatedIrp.SystemBuffer, control.InputBufferLength, control.OutputBufferLength,
                     &written);
  return Complete(irp, status, written);
}

NTSTATUS NTAPI InitDriver(PDRIVER_OBJECT driver, PUNICODE_STRING) {
  driver->MajorFunction[IRP_MJ_CREATE] = driver->MajorFunction[IRP_MJ_CLEANUP] =
      driver->MajorFunction[IRP_MJ_CLOSE] = OnOpenOrClose;
  driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
  UNICODE_STRING name = ob::String(L"\\Device\\PcwDrv"), link = ob::String(L"\\??\\PcwDrv");
  PDEVICE_OBJECT device;
  const NTSTATUS status =
      IoCreateDevice(driver, 0, &name, FILE_DEVICE_UNKNOWN, FILE_DEVICE_SECURE_OPEN, FALSE, &device);
  if (!NT_SUCCESS(status)) return status;
  device->Flags &= ~static_cast<ULONG>(DO_DEVICE_INITIALIZING);
  return IoCreateSymbolicLink(&link, &name);
}

}  // namespace

void AddInstance(Buffer* buffer, const UNICODE_STRING& name, ULONG id, const Data* blocks) {
  constexpr ULONG64 kPadding = 0;
  const Registration& set = *buffer->set;
  const ULONG padding = (8 - name.Length % 8) % 8;
  const InstanceHead head = {static_cast<ULONG>(sizeof(InstanceHead) + name.Length + padding +
                                                set.counter_count * sizeof(CounterValue)),
                             id, name.Length, set.counter_count};
  Append(buffer, &head, sizeof(head));
  Append(buffer, name.Buffer, name.Length);
  Append(buffer, &kPadding, padding);
  for (ULONG i = 0; i < set.counter_count; ++i) {
    const CounterDescriptor& counter = set.counters[i];
    CounterValue value = {counter.Id, counter.Size, 0};
    RtlCopyMemory(&value.value, static_cast<const UCHAR*>(blocks[counter.StructIndex].Data) + counter.Offset,
                  counter.Size);
    Append(buffer, &value, sizeof(value));
  }
  ++buffer->instances;
}

}  // namespace pcw

extern "C" NTSTATUS PcwInitSystem() {
  UNICODE_STRING name = ob::String(L"\\Driver\\PcwDrv");
  return IoCreateDriver(&name, pcw::InitDriver);
}
