// Settings of the kernel from the registry (Session Manager\\Kernel and Memory Management, by Windows's
// names), which a boot option of the same meaning overrides.
#include "init/kernel_settings.h"

#include "etw/etw.h"
#include "ex/ex.h"
#include "io/power.h"
#include "kd/print_filter.h"
#include "ke/ke.h"
#include "mm/mm.h"
#include "vf/vf.h"

extern "C" {
VOID NTAPI RtlpSetVersion(ULONG MajorVersion, ULONG MinorVersion, ULONG BuildNumber);
}

namespace init {
namespace {

constexpr WCHAR kKernelKey[] = L"Session Manager\\Kernel";
constexpr ULONG kUnset = 0xFFFFFFFF, kPagesAMegabyte = 256;
constexpr WCHAR kMemoryKey[] = L"Session Manager\\Memory Management";

ULONG RegistryValue(const WCHAR* key, const WCHAR* name, ULONG otherwise) {
  ULONG value = otherwise;
  RTL_QUERY_REGISTRY_TABLE table[2] = {};
  table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
  table[0].Name = const_cast<PWSTR>(name);
  table[0].EntryContext = &value;
  table[0].DefaultType = REG_NONE;
  const NTSTATUS status = RtlQueryRegistryValues(RTL_REGISTRY_CONTROL, key, table, nullptr, nullptr);
  return NT_SUCCESS(status) ? value : otherwise;
}

bool IsName(const char* text, const char* name, const char** end) {
  while (*name != 0 && *text == *name) ++text, ++name;
  *end = text + 1;
  return *name == 0 && *text == '=';
}

// "name=value" in the loader block's options, decimal.
ULONG BootOption(const boot::LoaderBlock* block, const char* name, ULONG otherwise) {
  for (const char* at = block->options; *at != 0;) {
    const char* digit;
    if (IsName(at, name, &digit)) {
      ULONG value = 0;
      for (; *digit >= '0' && *digit <= '9'; ++digit) value = value * 10 + static_cast<ULONG>(*digit - '0');
      return value;
    }
    while (*at != 0 && *at != ' ') ++at;
    while (*at == ' ') ++at;
  }
  return otherwise;
}

// One value of the key Debug Print Filter: a component's name and its mask.
NTSTATUS NTAPI SetPrintFilter(PWSTR name, ULONG type, PVOID data, ULONG length, PVOID, PVOID) {
  if (type == REG_DWORD && length == sizeof(ULONG)) kd::SetPrintMask(name, *static_cast<ULONG*>(data));
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS ApplyKernelSettings(const boot::LoaderBlock* block) {
  const ULONG timeout = RegistryValue(kKernelKey, L"DpcTimeout", 20'000);
  const ULONG period = RegistryValue(kKernelKey, L"DpcWatchdogPeriod", 120'000);
  KeSetDpcWatchdog(BootOption(block, "dpc-timeout", timeout),
                   BootOption(block, "dpc-watchdog-period", period));
  if (RegistryValue(kKernelKey, L"ThreadDpcEnable", 1) == 0) KeSetThreadDpcEnable(FALSE);
  const ULONG locked_pages = RegistryValue(kMemoryKey, L"TrackLockedPages", 0);
  const ULONG ptes = RegistryValue(kMemoryKey, L"TrackPtes", 0);
  MmSetTracking(BootOption(block, "track-locked-pages", locked_pages) == 1,
                BootOption(block, "track-ptes", ptes) == 1);
  RtlpSetVersion(10, 0, block->build_number);
  etw::SetSessionLevel(BootOption(block, "trace", 255));
  RTL_QUERY_REGISTRY_TABLE filters[2] = {};
  filters[0].QueryRoutine = SetPrintFilter;
  RtlQueryRegistryValues(RTL_REGISTRY_CONTROL, L"Session Manager\\Debug Print Filter", filters, nullptr,
                         nullptr);
  PoSetIrpTimeout(BootOption(block, "power-irp-timeout", 0));
  VfSetCheckedSpinLocks(BootOption(block, "checked-spin-locks", 0) == 1);
  const ULONG megabytes = RegistryValue(kMemoryKey, L"LowMemoryThreshold", 0);
  const ULONG low_pages =
      BootOption(block, "low-pages", megabytes != 0 ? megabytes * kPagesAMegabyte : kUnset);
  MmSetLowPages(low_pages != kUnset ? low_pages : MM_DEFAULT_LOW_PAGES);
  ExSetSpecialPoolTag(BootOption(block, "special-pool-tag", RegistryValue(kMemoryKey, L"PoolTag", 0)));
  ExSetPoolFaults(BootOption(block, "fail-pool", 0), BootOption(block, "fail-pool-seed", 1),
                  BootOption(block, "watch-pool", 0) != 0);
  return STATUS_SUCCESS;
}

}  // namespace init
