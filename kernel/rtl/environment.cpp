#include "environment.h"

extern "C" PVOID NTAPI PsGetProcessPeb(PEPROCESS Process);

namespace rtl {
namespace {

constexpr ULONG kTag = 'vnER';
constexpr ULONG kMostCharacters = 32767;
// PEB.ProcessParameters, RTL_USER_PROCESS_PARAMETERS.Environment
constexpr ULONG kParameters = 0x20, kEnvironment = 0x80;

bool SameName(const WCHAR* a, const WCHAR* b, ULONG length) {
  for (ULONG i = 0; i < length; ++i) {
    if (RtlUpcaseUnicodeChar(a[i]) != RtlUpcaseUnicodeChar(b[i])) return false;
  }
  return true;
}

// The value of a variable; 0: there is none. An environment is NAME=VALUE, each with a zero, and a zero.
const WCHAR* FindValue(const WCHAR* environment, const WCHAR* name, ULONG length) {
  while (environment != nullptr && *environment != 0) {
    ULONG end = 1;  // a name may begin with '='
    while (environment[end] != 0 && environment[end] != L'=') ++end;
    if (end == length && environment[end] == L'=' && SameName(environment, name, length))
      return environment + end + 1;
    while (*environment != 0) ++environment;
    ++environment;
  }
  return nullptr;
}

struct Output {
  WCHAR* text;  // 0: only counted
  ULONG room, used;
  void Put(WCHAR character) {
    if (text != nullptr && used < room) text[used] = character;
    ++used;
  }
};

void Expand(const WCHAR* text, ULONG count, const WCHAR* environment, Output* output) {
  for (ULONG i = 0; i < count; ++i) {
    ULONG end = i + 1;
    while (text[i] == L'%' && end < count && text[end] != L'%') ++end;
    const bool named = text[i] == L'%' && end < count && end > i + 1;
    const WCHAR* value = named ? FindValue(environment, text + i + 1, end - i - 1) : nullptr;
    if (value == nullptr) {
      output->Put(text[i]);
      continue;
    }
    for (; *value != 0; ++value) output->Put(*value);
    i = end;
  }
}

DECLSPEC_NOINLINE const WCHAR* ProgramEnvironment() {
  const auto* peb = static_cast<const UCHAR*>(PsGetProcessPeb(PsGetCurrentProcess()));
  if (peb == nullptr) return nullptr;
  const auto* parameters = *reinterpret_cast<UCHAR* const*>(peb + kParameters);
  return parameters != nullptr ? *reinterpret_cast<WCHAR* const*>(parameters + kEnvironment) : nullptr;
}

// Not inlined: only calls are guarded.
DECLSPEC_NOINLINE NTSTATUS ExpandUnguarded(const WCHAR* text, ULONG count, const WCHAR* environment,
                                           Output* output) {
  if (environment == nullptr) environment = ProgramEnvironment();
  Expand(text, count, environment, output);
  return output->used <= kMostCharacters ? STATUS_SUCCESS : STATUS_NAME_TOO_LONG;
}

NTSTATUS ExpandGuarded(const WCHAR* text, ULONG count, const WCHAR* environment, Output* output) {
  NTSTATUS status;
  __try {
    status = ExpandUnguarded(text, count, environment, output);
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    status = static_cast<NTSTATUS>(_exception_code());
  }
  return status;
}

}  // namespace

NTSTATUS ExpandVariables(const WCHAR* text, ULONG bytes, const WCHAR* environment, WCHAR** expanded,
                         ULONG* expanded_bytes) {
  const ULONG count = bytes / sizeof(WCHAR);
  Output output = {};
  NTSTATUS status = ExpandGuarded(text, count, environment, &output);
  if (!NT_SUCCESS(status)) return status;
  const ULONG room = output.used;
  auto* copy =
      static_cast<WCHAR*>(ExAllocatePoolWithTag(PagedPool, room * sizeof(WCHAR) + sizeof(WCHAR), kTag));
  if (copy == nullptr) return STATUS_NO_MEMORY;
  output = {copy, room, 0};
  status = ExpandGuarded(text, count, environment, &output);
  // A program may have changed its environment meanwhile.
  if (NT_SUCCESS(status) && output.used > room) status = STATUS_BUFFER_TOO_SMALL;
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(copy, kTag);
    return status;
  }
  *expanded = copy;
  *expanded_bytes = output.used * sizeof(WCHAR);
  return STATUS_SUCCESS;
}

}  // namespace rtl
