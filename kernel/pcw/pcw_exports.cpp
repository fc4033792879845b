// Performance counters: sets that drivers register, and instances that they create or add for a reader.
#include "counter_sets.h"
#include "nt/export.h"

namespace pcw {
namespace {

constexpr ULONG kTag = 'nwcP';
constexpr USHORT kVersion1 = 0x0100, kVersion2 = 0x0200;

EX_PUSH_LOCK sets_lock;  // guards the sets and their instances
LIST_ENTRY sets = {&sets, &sets};

using Access = ob::PushLockGuard::Access;

bool Check(const RegistrationInformation* info) {
  if (info == nullptr || (info->Version != kVersion1 && info->Version != kVersion2) ||
      info->Size < sizeof(*info) || info->Name == nullptr || info->CounterCount == 0 ||
      info->CounterCount > 0xFFFF || info->Counters == nullptr)
    return false;
  for (ULONG i = 0; i < info->CounterCount; ++i) {
    const USHORT size = info->Counters[i].Size;
    if (size != sizeof(ULONG) && size != sizeof(ULONG64)) return false;
  }
  return true;
}

}  // namespace

bool BlocksHoldCounters(const Registration& set, ULONG count, const Data* blocks) {
  if (count < set.blocks || blocks == nullptr) return false;
  for (ULONG i = 0; i < set.counter_count; ++i) {
    const CounterDescriptor& counter = set.counters[i];
    const Data& block = blocks[counter.StructIndex];
    if (block.Data == nullptr || counter.Offset + ULONG{counter.Size} > block.Size) return false;
  }
  return true;
}

Registration* FindSet(const UNICODE_STRING& name) {
  ob::PushLockGuard guard(&sets_lock, Access::kShared);
  for (PLIST_ENTRY link = sets.Flink; link != &sets; link = link->Flink) {
    auto* set = CONTAINING_RECORD(link, Registration, link);
    if (RtlEqualUnicodeString(&set->name, &name, TRUE) && ExAcquireRundownProtection(&set->in_use))
      return set;
  }
  return nullptr;
}

void AddKnownInstances(Registration* set, Buffer* buffer) {
  ob::PushLockGuard guard(&sets_lock, Access::kShared);
  for (PLIST_ENTRY link = set->instances.Flink; link != &set->instances; link = link->Flink) {
    const auto* instance = CONTAINING_RECORD(link, Instance, link);
    AddInstance(buffer, instance->name, instance->id, instance->blocks);
  }
}

}  // namespace pcw

using pcw::Data, pcw::Instance, pcw::Registration;

extern "C" {

/// Registers a set of counters. Its callback is called when somebody reads the set: for each counter that is
/// wanted, for its data, and when it is not wanted any more.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none; sets are read through \\Device\\PcwDrv in a form of our own, as Windows's is not
/// documented.
/// Source: WDK wdm/PcwRegister.
NT_EXPORT(PcwRegister, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
NTSTATUS NTAPI PcwRegister(Registration** Result, pcw::RegistrationInformation* Info) {
  if (Result == nullptr || !pcw::Check(Info)) return STATUS_INVALID_PARAMETER;
  const SIZE_T counters = Info->CounterCount * sizeof(pcw::CounterDescriptor);
  const SIZE_T size = sizeof(Registration) + counters + Info->Name->Length;
  auto* set = static_cast<Registration*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, pcw::kTag));
  if (set == nullptr) return STATUS_NO_MEMORY;
  RtlZeroMemory(set, sizeof(*set));
  ExInitializeRundownProtection(&set->in_use);
  InitializeListHead(&set->instances);
  set->callback = Info->Callback;
  set->context = Info->CallbackContext;
  set->counter_count = Info->CounterCount;
  RtlCopyMemory(set->counters, Info->Counters, counters);
  for (ULONG i = 0; i < Info->CounterCount; ++i) {
    const ULONG index = Info->Counters[i].StructIndex + 1u;
    if (index > set->blocks) set->blocks = index;
  }
  set->name = {0, Info->Name->Length, reinterpret_cast<PWCH>(set->counters + Info->CounterCount)};
  RtlCopyUnicodeString(&set->name, Info->Name);
  ob::PushLockGuard guard(&pcw::sets_lock, pcw::Access::kExclusive);
  InsertTailList(&pcw::sets, &set->link);
  *Result = set;
  return STATUS_SUCCESS;
}

/// Takes a set of counters back, when no callback runs any more; its instances are closed before.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PcwUnregister.
NT_EXPORT(PcwUnregister, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
VOID NTAPI PcwUnregister(Registration* Set) {
  if (Set == nullptr) return;
  {
    ob::PushLockGuard guard(&pcw::sets_lock, pcw::Access::kExclusive);
    RemoveEntryList(&Set->link);
    if (!IsListEmpty(&Set->instances)) DbgPrint("pcw: %wZ is unregistered with open instances\n", &Set->name);
  }
  ExWaitForRundownProtectionRelease(&Set->in_use);
  ExFreePoolWithTag(Set, pcw::kTag);
}

/// Creates an instance of a set, with the blocks that its counters lie in: they are read whenever somebody
/// reads the set, until the instance is closed.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PcwCreateInstance.
NT_EXPORT(PcwCreateInstance, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
NTSTATUS NTAPI PcwCreateInstance(Instance** Result, Registration* Set, PCUNICODE_STRING Name, ULONG Count,
                                 Data* Blocks) {
  static volatile LONG next_id;
  if (Result == nullptr || Set == nullptr || Name == nullptr || Count > 0xFFFF ||
      !pcw::BlocksHoldCounters(*Set, Count, Blocks))
    return STATUS_INVALID_PARAMETER;
  const SIZE_T size = sizeof(Instance) + Count * sizeof(Data) + Name->Length;
  auto* instance = static_cast<Instance*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, pcw::kTag));
  if (instance == nullptr) return STATUS_NO_MEMORY;
  instance->registration = Set;
  instance->id = static_cast<ULONG>(InterlockedIncrement(&next_id));
  instance->count = Count;
  RtlCopyMemory(instance->blocks, Blocks, Count * sizeof(Data));
  instance->name = {0, Name->Length, reinterpret_cast<PWCH>(instance->blocks + Count)};
  RtlCopyUnicodeString(&instance->name, Name);
  ob::PushLockGuard guard(&pcw::sets_lock, pcw::Access::kExclusive);
  InsertTailList(&Set->instances, &instance->link);
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
  {
    ob::PushLockGuard guard(&pcw::sets_lock, pcw::Access::kExclusive);
    RemoveEntryList(&Closed->link);
  }
  ExFreePoolWithTag(Closed, pcw::kTag);
}

/// From the callback of a set: adds an instance with the values of its counters, which are copied, to what
/// the reader gets. Returns: STATUS_INVALID_PARAMETER where blocks are missing or too small for the counters.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PcwAddInstance.
NT_EXPORT(PcwAddInstance, nt::AtMost(APC_LEVEL), Full, "Pcw.*");
NTSTATUS NTAPI PcwAddInstance(pcw::Buffer* Buffer, PCUNICODE_STRING Name, ULONG Id, ULONG Count,
                              Data* Blocks) {
  if (Buffer == nullptr || Name == nullptr || !pcw::BlocksHoldCounters(*Buffer->set, Count, Blocks))
    return STATUS_INVALID_PARAMETER;
  pcw::AddInstance(Buffer, *Name, Id, Blocks);
  return STATUS_SUCCESS;
}

}  // extern "C"
