// Settings of the kernel from the registry (Session Manager\\Kernel, by Windows's names), which a boot option
// of the same meaning overrides.
#include "init/kernel_settings.h"

#include "ke/ke.h"

namespace init {
namespace {

ULONG RegistryValue(const WCHAR* name, ULONG otherwise) {
  ULONG value = otherwise;
  RTL_QUERY_REGISTRY_TABLE table[2] = {};
  table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
  table[0].Name = const_cast<PWSTR>(name);
  table[0].EntryContext = &value;
  table[0].DefaultType = REG_NONE;
  const NTSTATUS status =
      RtlQueryRegistryValues(RTL_REGISTRY_CONTROL, L"Session Manager\\Kernel", table, nullptr, nullptr);
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

}  // namespace

NTSTATUS ApplyKernelSettings(const boot::LoaderBlock* block) {
  const ULONG timeout = RegistryValue(L"DpcTimeout", 20'000);
  const ULONG period = RegistryValue(L"DpcWatchdogPeriod", 120'000);
  KeSetDpcWatchdog(BootOption(block, "dpc-timeout", timeout),
                   BootOption(block, "dpc-watchdog-period", period));
  if (RegistryValue(L"ThreadDpcEnable", 1) == 0) KeSetThreadDpcEnable(FALSE);
  return STATUS_SUCCESS;
}

}  // namespace init
