// Writing events.
#include "etw_internal.h"
#include "nt/export.h"

namespace etw {
namespace {

constexpr ULONG kMostDescriptors = 128;
constexpr ULONG kMostBytes = 0xFFFF - 0x100;  // an event with its header stays below 64 KiB

NTSTATUS Write(REGHANDLE handle, PCEVENT_DESCRIPTOR event, const EventIds& ids, ULONG count,
               const EVENT_DATA_DESCRIPTOR* data) {
  const Provider* provider = ProviderOf(handle);
  if (provider == nullptr) return STATUS_INVALID_HANDLE;
  if (event == nullptr || count > kMostDescriptors || (count != 0 && data == nullptr))
    return STATUS_INVALID_PARAMETER;
  if (!SessionTakes(event->Level, event->Keyword)) return STATUS_SUCCESS;
  ULONG64 size = 0;
  for (ULONG i = 0; i < count; ++i) size += data[i].Size;
  if (size > kMostBytes) return STATUS_INTEGER_OVERFLOW;
  WriteEvent(provider, *event, ids, count, data);
  return STATUS_SUCCESS;
}

}  // namespace
}  // namespace etw

extern "C" {

/// Publishes an event of a provider. The session is the host's trace file; events that the host has no room
/// for are lost and counted there.
/// IRQL: any at which the data is resident.
/// Differs from NT: none.
/// Source: WDK wdm/EtwWrite.
NT_EXPORT(EtwWrite, nt::AnyIrql(), Full, "Etw.*");
NTSTATUS NTAPI EtwWrite(REGHANDLE RegHandle, PCEVENT_DESCRIPTOR EventDescriptor, LPCGUID ActivityId,
                        ULONG UserDataCount, PEVENT_DATA_DESCRIPTOR UserData) {
  return etw::Write(RegHandle, EventDescriptor, {ActivityId, nullptr}, UserDataCount, UserData);
}

/// Publishes an event that links two activities.
/// IRQL: any at which the data is resident.
/// Differs from NT: none.
/// Source: WDK wdm/EtwWriteTransfer.
NT_EXPORT(EtwWriteTransfer, nt::AnyIrql(), Full, "Etw.*");
NTSTATUS NTAPI EtwWriteTransfer(REGHANDLE RegHandle, PCEVENT_DESCRIPTOR EventDescriptor, LPCGUID ActivityId,
                                LPCGUID RelatedActivityId, ULONG UserDataCount,
                                PEVENT_DATA_DESCRIPTOR UserData) {
  return etw::Write(RegHandle, EventDescriptor, {ActivityId, RelatedActivityId}, UserDataCount, UserData);
}

/// Publishes an event that links two activities; the filter names sessions that do not get it.
/// IRQL: any at which the data is resident.
/// Differs from NT: the filter and the flags mean nothing, as there is one session.
/// Source: WDK wdm/EtwWriteEx.
NT_EXPORT(EtwWriteEx, nt::AnyIrql(), Partial, "Etw.*");
NTSTATUS NTAPI EtwWriteEx(REGHANDLE RegHandle, PCEVENT_DESCRIPTOR EventDescriptor, ULONG64 Filter,
                          ULONG Flags, LPCGUID ActivityId, LPCGUID RelatedActivityId, ULONG UserDataCount,
                          PEVENT_DATA_DESCRIPTOR UserData) {
  return etw::Write(RegHandle, EventDescriptor, {ActivityId, RelatedActivityId}, UserDataCount, UserData);
}

/// Publishes an event whose data is a text.
/// IRQL: any at which the text is resident.
/// Differs from NT: none.
/// Source: WDK wdm/EtwWriteString.
NT_EXPORT(EtwWriteString, nt::AnyIrql(), Full, "Etw.*");
NTSTATUS NTAPI EtwWriteString(REGHANDLE RegHandle, UCHAR Level, ULONGLONG Keyword, LPCGUID ActivityId,
                              PCWSTR String) {
  if (String == nullptr) return STATUS_INVALID_PARAMETER;
  EVENT_DESCRIPTOR event = {};
  event.Level = Level;
  event.Keyword = Keyword;
  const auto bytes = static_cast<ULONG>((wcslen(String) + 1) * sizeof(WCHAR));
  EVENT_DATA_DESCRIPTOR data = {reinterpret_cast<ULONGLONG>(String), bytes, 0};
  return etw::Write(RegHandle, &event, {ActivityId, nullptr}, 1, &data);
}

}  // extern "C"
