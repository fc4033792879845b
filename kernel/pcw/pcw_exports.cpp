// Performance counters: sets that drivers register and instances that they create. Nobody on this machine
// reads counters, as on a Windows where no consumer runs.
#include "nt/export.h"
#include "nt/ntos.h"
#include "ob/ob.h"

namespace {

constexpr ULONG kTag = 'nwcP';
constexpr USHORT kVersion1 = 0x0100, kVersion2 = 0x0200;

// As the WDK's wdm.h has them, where mingw-w64's lacks them.
struct CounterDescriptor {
  USHORT Id;
  USHORT StructIndex;
  USHORT Offset;
  USHORT Size;
};
struct RegistrationInformation {
  ULONG Version;
  ULONG Size;
  PCUNICODE_STRING Name;
  ULONG CounterCount;
  CounterDescriptor* Counters;
  PVOID Callback;
  PVOID CallbackContext;
};
struct Data {
  const VOID* Data;
  ULONG Size;
};

struct Registration {
  LONG instances;
  ULONG blocks;  // the highest structure index of a counter, plus one
  UNICODE_STRING name;
  WCHAR text[1];
};

struct Instance {
  Registration* registration;
  ULONG count;
};

bool Check(const RegistrationInformation* info) {
  if (info == nullptr || (info->Version != kVersion1 && info->Version != kVersion2) ||
      info->Size < sizeof(*info) || info->Name == nullptr || info->CounterCount == 0 ||
      info->Counters == nullptr)
    return false;
  for (ULONG i = 0; i < info->CounterCount; ++i) {
    const USHORT size = info->Counters[i].Size;
    if (size != sizeof(ULONG) && size != sizeof(ULONG64)) return false;
  }
  return true;
}

}  // namespace

extern "C" {

/// Registers a set of counters.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: no consumer reads counters, so that the callback is not called.
/// Source: WDK wdm/PcwRegister.
NT_EXPORT(PcwRegister, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
NTSTATUS NTAPI PcwRegister(Registration** Result, RegistrationInformation* Info) {
  if (Result == nullptr || !Check(Info)) return STATUS_INVALID_PARAMETER;
  const SIZE_T size = sizeof(Registration) + Info->Name->Length;
  auto* registration = static_cast<Registration*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
  if (registration == nullptr) return STATUS_NO_MEMORY;
  registration->instances = 0;
  registration->blocks = 0;
  for (ULONG i = 0; i < Info->CounterCount; ++i) {
    const ULONG index = Info->Counters[i].StructIndex + 1u;
    if (index > registration->blocks) registration->blocks = index;
  }
  registration->name = {0, Info->Name->Length, registration->text};
  RtlCopyUnicodeString(&registration->name, Info->Name);
  *Result = registration;
  return STATUS_SUCCESS;
}

/// Takes a set of counters back; its instances are closed before.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PcwUnregister.
NT_EXPORT(PcwUnregister, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
VOID NTAPI PcwUnregister(Registration* Set) {
  if (Set == nullptr) return;
  if (Set->instances != 0)
    DbgPrint("pcw: %wZ is unregistered with %d open instances\n", &Set->name, Set->instances);
  ExFreePoolWithTag(Set, kTag);
}

/// Creates an instance of a set, with the blocks that its counters lie in.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: no consumer reads the blocks.
/// Source: WDK wdm/PcwCreateInstance.
NT_EXPORT(PcwCreateInstance, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
NTSTATUS NTAPI PcwCreateInstance(Instance** Result, Registration* Set, PCUNICODE_STRING Name, ULONG Count,
                                 Data* Blocks) {
  if (Result == nullptr || Set == nullptr || Name == nullptr || (Count != 0 && Blocks == nullptr) ||
      Count < Set->blocks)
    return STATUS_INVALID_PARAMETER;
  auto* instance = static_cast<Instance*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Instance), kTag));
  if (instance == nullptr) return STATUS_NO_MEMORY;
  *instance = {Set, Count};
  InterlockedIncrement(&Set->instances);
  *Result = instance;
  return STATUS_SUCCESS;
}

/// Closes an instance.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PcwCloseInstance.
NT_EXPORT(PcwCloseInstance, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
VOID NTAPI PcwCloseInstance(Instance* Closed) {
  if (Closed == nullptr) return;
  InterlockedDecrement(&Closed->registration->instances);
  ExFreePoolWithTag(Closed, kTag);
}

/// Adds an instance to the buffer of a consumer that called back; there is no consumer, hence no such buffer.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: fails always, as no valid buffer exists.
/// Source: WDK wdm/PcwAddInstance.
NT_EXPORT(PcwAddInstance, nt::AtMost(APC_LEVEL), Partial, "Pcw.*");
NTSTATUS NTAPI PcwAddInstance(PVOID Buffer, PCUNICODE_STRING Name, ULONG Id, ULONG Count, Data* Blocks) {
  return STATUS_INVALID_PARAMETER;
}

}  // extern "C"
