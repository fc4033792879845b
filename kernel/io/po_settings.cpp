// Power settings: their values, and who hears of changes.
#include <initguid.h>  // this file holds the GUIDs of the settings

#include "nt/export.h"
#include "po_internal.h"

namespace po {
namespace {

// The settings that have a value here, as the machine begins: on mains, lid open, display on, nobody away.
struct Setting {
  const GUID* id;
  ULONG value;
};
Setting g_settings[] = {
    {&GUID_ACDC_POWER_SOURCE, 0},
    {&GUID_LIDSWITCH_STATE_CHANGE, 1},
    {&GUID_BATTERY_PERCENTAGE_REMAINING, 100},
    {&GUID_MONITOR_POWER_ON, 1},
    {&GUID_SYSTEM_AWAYMODE, 0},
};

struct Registration {
  LIST_ENTRY link;
  GUID id;
  PPOWER_SETTING_CALLBACK routine;
  PVOID context;
};
LIST_ENTRY g_registrations = {&g_registrations, &g_registrations};
// Held while routines are called, so that unregistration waits for them; the owner may take it again.
KMUTEX g_lock;

Setting* Find(const GUID& id) {
  for (Setting& setting : g_settings) {
    if (IsEqualGUID(*setting.id, id)) return &setting;
  }
  return nullptr;
}

}  // namespace

void InitializeSettings() {
  KeInitializeMutex(&g_lock, 0);
}

NTSTATUS ChangeSetting(const GUID& id, ULONG value) {
  io::MutexGuard guard(&g_lock);
  Setting* setting = Find(id);
  if (setting == nullptr) return STATUS_NOT_FOUND;
  if (setting->value == value) return STATUS_SUCCESS;
  setting->value = value;
  for (LIST_ENTRY* at = g_registrations.Flink; at != &g_registrations;) {
    auto* registration = CONTAINING_RECORD(at, Registration, link);
    at = at->Flink;
    if (IsEqualGUID(registration->id, id))
      registration->routine(&registration->id, &value, sizeof(value), registration->context);
  }
  return STATUS_SUCCESS;
}

}  // namespace po

/// Asks for calls of a routine when a power setting changes; it is called at once with the value that the
/// setting has.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: power source, lid, battery charge, display and away mode have values; other settings are
/// registered for and never change.
/// Source: WDK wdm/PoRegisterPowerSettingCallback.
NT_EXPORT(PoRegisterPowerSettingCallback, nt::AtMost(PASSIVE_LEVEL), Partial, "PoSetting.*");
extern "C" NTSTATUS NTAPI PoRegisterPowerSettingCallback(PDEVICE_OBJECT, LPCGUID SettingGuid,
                                                         PPOWER_SETTING_CALLBACK Callback, PVOID Context,
                                                         PVOID* Handle) {
  auto* registration =
      static_cast<po::Registration*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(po::Registration), 'tSoP'));
  if (registration == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *registration = {{}, *SettingGuid, Callback, Context};
  if (Handle != nullptr) *Handle = registration;
  io::MutexGuard guard(&po::g_lock);
  InsertTailList(&po::g_registrations, &registration->link);
  if (po::Setting* setting = po::Find(*SettingGuid); setting != nullptr) {
    ULONG value = setting->value;
    Callback(&registration->id, &value, sizeof(value), Context);
  }
  return STATUS_SUCCESS;
}

/// Ends a registration; a call of the routine that runs is waited for.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PoUnregisterPowerSettingCallback.
NT_EXPORT(PoUnregisterPowerSettingCallback, nt::AtMost(PASSIVE_LEVEL), Full, "PoSetting.*");
extern "C" NTSTATUS NTAPI PoUnregisterPowerSettingCallback(PVOID Handle) {
  auto* registration = static_cast<po::Registration*>(Handle);
  {
    io::MutexGuard guard(&po::g_lock);
    RemoveEntryList(&registration->link);
  }
  ExFreePoolWithTag(registration, 'tSoP');
  return STATUS_SUCCESS;
}
