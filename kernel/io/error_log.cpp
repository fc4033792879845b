// The error log: entries of drivers become lines of the console log, written by a worker thread.
#include "io_internal.h"
#include "kd/kd.h"
#include "nt/export.h"

namespace {

constexpr ULONG kTag = 'rEoI';
constexpr LONG kMostEntries = 256;  // allocated and not yet written

struct Entry {
  LIST_ENTRY link;
  PVOID object;  // a device or a driver, referenced
  LARGE_INTEGER time;
  ULONG size;
  IO_ERROR_LOG_PACKET packet;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_written = {&g_written, &g_written};
bool g_worker_queued;
WORK_QUEUE_ITEM g_worker;
volatile LONG g_entries;

Entry* EntryOf(PVOID packet) {
  return CONTAINING_RECORD(packet, Entry, packet);
}

void FreeEntry(Entry* entry) {
  ObfDereferenceObject(entry->object);
  ExFreePoolWithTag(entry, kTag);
  InterlockedDecrement(&g_entries);
}

struct Line {
  char text[1024];
  ULONG length;

  template <typename... Values>
  void Add(const char* format, Values... values) {
    io::AppendText(text, sizeof(text) - 1, &length, format, values...);
  }
};

void AddSource(Line* line, PVOID object) {
  PDRIVER_OBJECT driver = static_cast<PDRIVER_OBJECT>(object);
  PDEVICE_OBJECT device = nullptr;
  if (driver->Type == IO_TYPE_DEVICE) {
    device = static_cast<PDEVICE_OBJECT>(object);
    driver = device->DriverObject;
  }
  if (driver != nullptr) line->Add(" %wZ", &driver->DriverName);
  const POBJECT_HEADER_NAME_INFO name = device != nullptr ? ObjectNameInfo(ObjectToHeader(device)) : nullptr;
  if (name != nullptr && name->Directory != nullptr) line->Add(" device %wZ", &name->Name);
}

// The strings follow the dump data; each ends with a zero, none may reach beyond the packet.
void AddStrings(Line* line, const Entry* entry) {
  const IO_ERROR_LOG_PACKET& packet = entry->packet;
  ULONG offset = packet.StringOffset;
  for (ULONG i = 0; i < packet.NumberOfStrings; ++i) {
    const auto* start = reinterpret_cast<const WCHAR*>(reinterpret_cast<const UCHAR*>(&packet) + offset);
    USHORT bytes = 0;
    while (offset + bytes + sizeof(WCHAR) <= entry->size && start[bytes / sizeof(WCHAR)] != 0)
      bytes = static_cast<USHORT>(bytes + sizeof(WCHAR));
    if (offset + bytes + sizeof(WCHAR) > entry->size) return;
    const UNICODE_STRING text = {bytes, bytes, const_cast<PWCH>(start)};
    line->Add(" \"%wZ\"", &text);
    offset += bytes + sizeof(WCHAR);
  }
}

void WriteEntry(const Entry* entry) {
  Line line;
  line.length = 0;
  const IO_ERROR_LOG_PACKET& packet = entry->packet;
  line.Add("error log:");
  AddSource(&line, entry->object);
  line.Add(
      ": code 0x%08x, unique value %u, final status 0x%08x, major function 0x%x, control code 0x%x, retries "
      "%u,"
      " sequence %u, offset 0x%I64x",
      packet.ErrorCode, packet.UniqueErrorValue, packet.FinalStatus, packet.MajorFunctionCode,
      packet.IoControlCode, packet.RetryCount, packet.SequenceNumber, packet.DeviceOffset.QuadPart);
  const ULONG room = entry->size - FIELD_OFFSET(IO_ERROR_LOG_PACKET, DumpData);
  const ULONG dump = packet.DumpDataSize < room ? packet.DumpDataSize : room;
  if (dump >= sizeof(ULONG)) line.Add(", data");
  for (ULONG i = 0; i < dump / sizeof(ULONG); ++i) line.Add(" %08x", packet.DumpData[i]);
  AddStrings(&line, entry);
  line.Add("\n");
  kd::PutText(line.text, line.length);
}

Entry* TakeWritten() {
  ke::SpinGuard guard(&g_lock);
  if (IsListEmpty(&g_written)) {
    g_worker_queued = false;
    return nullptr;
  }
  return CONTAINING_RECORD(RemoveHeadList(&g_written), Entry, link);
}

VOID NTAPI WriteEntries(PVOID) {
  while (Entry* entry = TakeWritten()) {
    WriteEntry(entry);
    FreeEntry(entry);
  }
}

}  // namespace

/// Allocates an entry of the error log, zeroed; 0 without memory, for a wrong size, or when too many wait.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoAllocateErrorLogEntry.
NT_EXPORT(IoAllocateErrorLogEntry, nt::AtMost(DISPATCH_LEVEL), Full, "IoErrorLog.*");
extern "C" PVOID NTAPI IoAllocateErrorLogEntry(PVOID IoObject, UCHAR EntrySize) {
  if (IoObject == nullptr || EntrySize < sizeof(IO_ERROR_LOG_PACKET) || EntrySize > ERROR_LOG_MAXIMUM_SIZE)
    return nullptr;
  if (InterlockedIncrement(&g_entries) > kMostEntries) {
    InterlockedDecrement(&g_entries);
    return nullptr;
  }
  const SIZE_T size = FIELD_OFFSET(Entry, packet) + EntrySize;
  auto* entry = static_cast<Entry*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
  if (entry == nullptr) {
    InterlockedDecrement(&g_entries);
    return nullptr;
  }
  RtlZeroMemory(entry, size);
  ObfReferenceObject(IoObject);
  entry->object = IoObject;
  entry->size = EntrySize;
  return &entry->packet;
}

/// Writes an entry to the error log, which is part of the console log, and frees it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: there is no message file: the line has numbers.
/// Source: WDK wdm/IoWriteErrorLogEntry.
NT_EXPORT(IoWriteErrorLogEntry, nt::AtMost(DISPATCH_LEVEL), Full, "IoErrorLog.*");
extern "C" VOID NTAPI IoWriteErrorLogEntry(PVOID ElEntry) {
  Entry* entry = EntryOf(ElEntry);
  KeQuerySystemTime(&entry->time);
  bool first;
  {
    ke::SpinGuard guard(&g_lock);
    InsertTailList(&g_written, &entry->link);
    first = !g_worker_queued;
    g_worker_queued = true;
  }
  if (!first) return;
  ExInitializeWorkItem(&g_worker, WriteEntries, nullptr);
  ExQueueWorkItem(&g_worker, DelayedWorkQueue);
}

/// Frees an entry that is not to be written.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoFreeErrorLogEntry.
NT_EXPORT(IoFreeErrorLogEntry, nt::AtMost(DISPATCH_LEVEL), Full, "IoErrorLog.*");
extern "C" VOID NTAPI IoFreeErrorLogEntry(PVOID ElEntry) {
  if (ElEntry != nullptr) FreeEntry(EntryOf(ElEntry));
}
