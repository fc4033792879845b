// A driver with C++ exceptions: it must not load, and the reason must be said.
#include <ntddk.h>

// The table of virtual functions of std::type_info, which the compiler's run-time library brings with it.
extern "C" {
extern void* const TypeInfoTable[1];
void* const TypeInfoTable[1] __asm__("??_7type_info@@6B@") = {};
NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath);
}

namespace {

struct TooLong {};

void Check(const UNICODE_STRING& path) {
  if (path.Length > 16) throw TooLong();
}

}  // namespace

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING RegistryPath) {
  try {
    Check(*RegistryPath);
  } catch (const TooLong&) {
    return STATUS_NAME_TOO_LONG;
  }
  return STATUS_SUCCESS;
}
