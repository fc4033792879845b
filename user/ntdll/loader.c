/*
 * ntdll.dll: the start of threads and programs. The first thread binds the program's imports, which can be
 * ntdll.dll's only.
 */
#include "nt_user.h"

enum { kNew, kBusy, kReady };
static volatile LONG g_state = kNew;

/* Nobody calls it: a library without an entry. */
BOOLEAN LdrpNoEntry(void) {
  return TRUE;
}

static PVOID ProgramBase(void) {
  return *(PVOID*)(__readgsqword(0x60) + 0x10); /* PEB.ImageBaseAddress */
}

static PIMAGE_DATA_DIRECTORY Directory(PUCHAR base, ULONG index) {
  PIMAGE_NT_HEADERS64 headers = (PIMAGE_NT_HEADERS64)(base + ((PIMAGE_DOS_HEADER)base)->e_lfanew);
  return &headers->OptionalHeader.DataDirectory[index];
}

static BOOLEAN Same(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

static BOOLEAN SameFile(const char* a, const char* b) {
  for (; *a != 0; ++a, ++b) {
    const char c = *a >= 'A' && *a <= 'Z' ? (char)(*a + 32) : *a;
    if (c != *b) return FALSE;
  }
  return *b == 0;
}

static PVOID FindExport(PUCHAR base, const char* name) {
  const IMAGE_EXPORT_DIRECTORY* table =
      (const IMAGE_EXPORT_DIRECTORY*)(base + Directory(base, IMAGE_DIRECTORY_ENTRY_EXPORT)->VirtualAddress);
  const ULONG* names = (const ULONG*)(base + table->AddressOfNames);
  const USHORT* ordinals = (const USHORT*)(base + table->AddressOfNameOrdinals);
  const ULONG* functions = (const ULONG*)(base + table->AddressOfFunctions);
  for (ULONG i = 0; i < table->NumberOfNames; ++i) {
    if (Same((const char*)(base + names[i]), name)) return base + functions[ordinals[i]];
  }
  return NULL;
}

static NTSTATUS BindThunks(PUCHAR base, PUCHAR library, const IMAGE_IMPORT_DESCRIPTOR* descriptor) {
  const ULONG lookup =
      descriptor->OriginalFirstThunk != 0 ? descriptor->OriginalFirstThunk : descriptor->FirstThunk;
  const IMAGE_THUNK_DATA64* names = (const IMAGE_THUNK_DATA64*)(base + lookup);
  PIMAGE_THUNK_DATA64 slots = (PIMAGE_THUNK_DATA64)(base + descriptor->FirstThunk);
  for (ULONG i = 0; names[i].u1.AddressOfData != 0; ++i) {
    if (IMAGE_SNAP_BY_ORDINAL64(names[i].u1.Ordinal)) return STATUS_ORDINAL_NOT_FOUND;
    PVOID address = FindExport(library, ((PIMAGE_IMPORT_BY_NAME)(base + names[i].u1.AddressOfData))->Name);
    if (address == NULL) return STATUS_ENTRYPOINT_NOT_FOUND;
    slots[i].u1.Function = (ULONGLONG)address;
  }
  return STATUS_SUCCESS;
}

static NTSTATUS BindImports(PUCHAR base, PUCHAR library) {
  const IMAGE_DATA_DIRECTORY* imports = Directory(base, IMAGE_DIRECTORY_ENTRY_IMPORT);
  const IMAGE_DATA_DIRECTORY* slots = Directory(base, IMAGE_DIRECTORY_ENTRY_IAT);
  if (imports->VirtualAddress == 0) return STATUS_SUCCESS;
  PVOID place = base + slots->VirtualAddress;
  SIZE_T size = slots->Size;
  ULONG old = 0;
  if (size == 0) return STATUS_INVALID_IMAGE_FORMAT;
  NTSTATUS status = NtProtectVirtualMemory(USER_CURRENT_PROCESS, &place, &size, PAGE_WRITECOPY, &old);
  const IMAGE_IMPORT_DESCRIPTOR* at = (const IMAGE_IMPORT_DESCRIPTOR*)(base + imports->VirtualAddress);
  for (; status == STATUS_SUCCESS && at->Name != 0; ++at) {
    const BOOLEAN ours = SameFile((const char*)(base + at->Name), "ntdll.dll");
    status = ours ? BindThunks(base, library, at) : STATUS_DLL_NOT_FOUND;
  }
  if (status == STATUS_SUCCESS)
    status = NtProtectVirtualMemory(USER_CURRENT_PROCESS, &place, &size, old, &old);
  return status;
}

void LdrpInitialize(PCONTEXT context, PVOID library) {
  (void)context;
  if (_InterlockedCompareExchange(&g_state, kBusy, kNew) == kNew) {
    const NTSTATUS status = BindImports(ProgramBase(), library);
    if (status != STATUS_SUCCESS) NtTerminateProcess(USER_CURRENT_PROCESS, status);
    g_state = kReady;
  }
  while (g_state != kReady) NtYieldExecution();
}

/* Where a thread's first context leads. */
__declspec(dllexport) void RtlUserThreadStart(NTSTATUS (*routine)(PVOID), PVOID parameter) {
  NtTerminateThread(USER_CURRENT_THREAD, routine(parameter));
}

__declspec(dllexport) void RtlExitUserThread(NTSTATUS status) {
  NtTerminateThread(USER_CURRENT_THREAD, status);
}

__declspec(dllexport) void RtlExitUserProcess(NTSTATUS status) {
  NtTerminateProcess(USER_CURRENT_PROCESS, status);
}

/* No handlers are looked for: the kernel ends the process. */
void LdrpDispatchException(PEXCEPTION_RECORD record, PCONTEXT context) {
  NtTerminateProcess(USER_CURRENT_PROCESS, NtRaiseException(record, context, FALSE));
}
