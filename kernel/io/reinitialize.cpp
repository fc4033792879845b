// Routines that drivers want called later: after DriverEntry, or once all boot drivers are there.
#include "driver_internal.h"
#include "nt/export.h"

namespace io {
namespace {

constexpr ULONG kTag = 'nRoI';

struct Reinitialization {
  LIST_ENTRY link;
  PDRIVER_OBJECT driver;
  PDRIVER_REINITIALIZE routine;
  PVOID context;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_boot_list = {&g_boot_list, &g_boot_list};
bool g_boot_drivers_started;

bool Register(PDRIVER_OBJECT driver, PDRIVER_REINITIALIZE routine, PVOID context, LIST_ENTRY* list) {
  auto* entry =
      static_cast<Reinitialization*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Reinitialization), kTag));
  if (entry == nullptr) return false;
  *entry = {{}, driver, routine, context};
  ke::SpinGuard guard(&g_lock);
  InsertTailList(list, &entry->link);
  return true;
}

Reinitialization* Take(LIST_ENTRY* list) {
  ke::SpinGuard guard(&g_lock);
  return IsListEmpty(list) ? nullptr : CONTAINING_RECORD(RemoveHeadList(list), Reinitialization, link);
}

void CallAll(LIST_ENTRY* list) {
  while (Reinitialization* entry = Take(list)) {
    const ULONG count = ++entry->driver->DriverExtension->Count;
    entry->routine(entry->driver, entry->context, count);
    ExFreePoolWithTag(entry, kTag);
  }
}

}  // namespace

void CallReinitializeRoutines(PDRIVER_OBJECT driver) {
  CallAll(&IopDriverExtensionOf(driver)->ReinitializeList);
  if (g_boot_drivers_started) CallAll(&g_boot_list);
}

void CallBootReinitializeRoutines() {
  g_boot_drivers_started = true;
  CallAll(&g_boot_list);
}

}  // namespace io

extern "C" VOID IopFreeReinitializations(IopDriverExtension* Extension) {
  while (io::Reinitialization* entry = io::Take(&Extension->ReinitializeList))
    ExFreePoolWithTag(entry, io::kTag);
}

/// A routine that is called after DriverEntry has returned, and may register itself again.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a boot driver's is called after its own DriverEntry, not after every boot driver's.
/// Source: WDK ntddk/IoRegisterDriverReinitialization.
NT_EXPORT(IoRegisterDriverReinitialization, nt::AtMost(PASSIVE_LEVEL), Full, "KernelIo.* IoReinitialize.*");
extern "C" VOID NTAPI IoRegisterDriverReinitialization(PDRIVER_OBJECT DriverObject,
                                                       PDRIVER_REINITIALIZE DriverReinitializationRoutine,
                                                       PVOID Context) {
  io::Register(DriverObject, DriverReinitializationRoutine, Context,
               &IopDriverExtensionOf(DriverObject)->ReinitializeList);
}

/// A routine that is called once the boot drivers are started: at once after DriverEntry, when they are
/// already.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoRegisterBootDriverReinitialization.
NT_EXPORT(IoRegisterBootDriverReinitialization, nt::AtMost(PASSIVE_LEVEL), Full, "IoReinitialize.*");
extern "C" VOID NTAPI IoRegisterBootDriverReinitialization(PDRIVER_OBJECT DriverObject,
                                                           PDRIVER_REINITIALIZE DriverReinitializationRoutine,
                                                           PVOID Context) {
  io::Register(DriverObject, DriverReinitializationRoutine, Context, &io::g_boot_list);
}
