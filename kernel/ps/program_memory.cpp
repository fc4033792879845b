// The user memory of a program: what a driver finds when it looks at a process's PEB. Offsets are those of
// 64-bit Windows, which debuggers and drivers know.
#include "ke/ke.h"
#include "mm/mm.h"
#include "program.h"

extern "C" NTSTATUS NTAPI MmCopyVirtualMemory(PEPROCESS SourceProcess, const VOID* SourceAddress,
                                              PEPROCESS TargetProcess, PVOID TargetAddress, SIZE_T BufferSize,
                                              KPROCESSOR_MODE PreviousMode, PSIZE_T ReturnSize);

namespace ps {
namespace {

constexpr ULONG kTag = 'gPsP';

struct LoaderData {  // PEB_LDR_DATA
  ULONG length;
  ULONG initialized;
  PVOID handle;
  LIST_ENTRY in_load_order, in_memory_order, in_initialization_order;
};
static_assert(FIELD_OFFSET(LoaderData, in_load_order) == 0x10);

struct Module {  // LDR_DATA_TABLE_ENTRY
  LIST_ENTRY in_load_order, in_memory_order, in_initialization_order;
  PVOID base;
  PVOID entry_point;
  ULONG size;
  UNICODE_STRING full_name;
  UNICODE_STRING base_name;
};
static_assert(FIELD_OFFSET(Module, full_name) == 0x48);

struct Parameters {  // RTL_USER_PROCESS_PARAMETERS
  ULONG maximum_length;
  ULONG length;
  ULONG flags;
  ULONG debug_flags;
  UCHAR console[0x28];
  UNICODE_STRING current_directory;
  HANDLE current_directory_handle;
  UNICODE_STRING dll_path;
  UNICODE_STRING image_path;
  UNICODE_STRING command_line;
  PVOID environment;
};
static_assert(FIELD_OFFSET(Parameters, current_directory) == 0x38 &&
              FIELD_OFFSET(Parameters, image_path) == 0x60);

struct Peb {
  UCHAR flags[0x10];
  PVOID image_base;  // 0x10
  PVOID loader;
  PVOID parameters;
  UCHAR other1[0xB8 - 0x28];
  ULONG processors;  // 0xB8
  UCHAR other2[0x118 - 0xBC];
  ULONG major, minor;
  USHORT build, service_pack;
  ULONG platform;
  UCHAR other3[0x2C0 - 0x128];
  ULONG session;
};
static_assert(FIELD_OFFSET(Peb, major) == 0x118 && FIELD_OFFSET(Peb, session) == 0x2C0);

// One block of user memory, built in the kernel's and copied out.
struct Block {
  Peb peb;
  alignas(0x400) LoaderData loader;
  Module module;
  Parameters parameters;
  WCHAR text[1];
};

struct Teb {
  PVOID exception_list, stack_base, stack_limit, subsystem, fiber, user;
  PVOID self;  // 0x30
  PVOID environment;
  CLIENT_ID client;  // 0x40
  PVOID rpc, tls;
  PVOID peb;  // 0x60
};
static_assert(FIELD_OFFSET(Teb, peb) == 0x60);

// Memory of the process, at *address if that is not 0.
NTSTATUS Allocate(PEPROCESS process, SIZE_T bytes, PVOID* address) {
  KAPC_STATE state;
  KeStackAttachProcess(&process->Pcb, &state);
  const NTSTATUS status = ZwAllocateVirtualMemory(NtCurrentProcess(), address, 0, &bytes,
                                                  MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
  KeUnstackDetachProcess(&state);
  return status;
}

NTSTATUS Write(PEPROCESS process, PVOID to, const VOID* from, SIZE_T bytes) {
  SIZE_T written;
  return MmCopyVirtualMemory(IoGetCurrentProcess(), from, process, to, bytes, KernelMode, &written);
}

// An address within the block as the process sees it.
PVOID There(const Block* block, const VOID* part, PVOID target) {
  return static_cast<UCHAR*>(target) +
         (static_cast<const UCHAR*>(part) - reinterpret_cast<const UCHAR*>(block));
}

void Only(const Block* block, LIST_ENTRY* head, LIST_ENTRY* entry, PVOID target) {
  head->Flink = head->Blink = static_cast<PLIST_ENTRY>(There(block, entry, target));
  entry->Flink = entry->Blink = static_cast<PLIST_ENTRY>(There(block, head, target));
}

UNICODE_STRING PutText(const Block* block, WCHAR** at, const UNICODE_STRING& text, PVOID target) {
  RtlCopyMemory(*at, text.Buffer, text.Length);
  (*at)[text.Length / sizeof(WCHAR)] = 0;
  const UNICODE_STRING there = {text.Length, static_cast<USHORT>(text.Length + sizeof(WCHAR)),
                                static_cast<PWCH>(There(block, *at, target))};
  *at += text.Length / sizeof(WCHAR) + 1;
  return there;
}

UNICODE_STRING LastComponent(const UNICODE_STRING& path) {
  USHORT start = path.Length / sizeof(WCHAR);
  while (start > 0 && path.Buffer[start - 1] != L'\\') --start;
  const USHORT bytes = static_cast<USHORT>(path.Length - start * sizeof(WCHAR));
  return {bytes, bytes, path.Buffer + start};
}

// "\??\C:\x" is "C:\x" to a program.
UNICODE_STRING Win32Path(const UNICODE_STRING& path) {
  UNICODE_STRING prefix = ob::String(L"\\??\\");
  if (!RtlPrefixUnicodeString(&prefix, &path, FALSE)) return path;
  return {static_cast<USHORT>(path.Length - prefix.Length), static_cast<USHORT>(path.Length - prefix.Length),
          path.Buffer + prefix.Length / sizeof(WCHAR)};
}

void FillPeb(Block* block, PEPROCESS process, const ProgramImage& image, PVOID target) {
  RTL_OSVERSIONINFOW version = {};
  version.dwOSVersionInfoSize = sizeof(version);
  RtlGetVersion(&version);
  Peb& peb = block->peb;
  peb.image_base = image.base;
  peb.loader = There(block, &block->loader, target);
  peb.parameters = There(block, &block->parameters, target);
  peb.processors = static_cast<ULONG>(KeNumberProcessors);
  peb.major = version.dwMajorVersion;
  peb.minor = version.dwMinorVersion;
  peb.build = static_cast<USHORT>(version.dwBuildNumber);
  peb.platform = 2;  // VER_PLATFORM_WIN32_NT
  peb.session = process->SessionId;
}

void FillModule(Block* block, const ProgramImage& image, const UNICODE_STRING& path, WCHAR** at,
                PVOID target) {
  block->loader.length = sizeof(LoaderData);
  block->loader.initialized = TRUE;
  Module& module = block->module;
  Only(block, &block->loader.in_load_order, &module.in_load_order, target);
  Only(block, &block->loader.in_memory_order, &module.in_memory_order, target);
  Only(block, &block->loader.in_initialization_order, &module.in_initialization_order, target);
  module.base = image.base;
  module.size = image.size;
  module.full_name = PutText(block, at, path, target);
  module.base_name = PutText(block, at, LastComponent(path), target);
}

}  // namespace

NTSTATUS BuildUserMemory(PEPROCESS process, ProgramImage* image, const UNICODE_STRING& path,
                         const UNICODE_STRING& command_line) {
  image->base = reinterpret_cast<PVOID>(ULONG_PTR{0x140000000});
  NTSTATUS status = Allocate(process, image->size, &image->base);
  if (NT_SUCCESS(status)) status = Write(process, image->base, image->headers, sizeof(image->headers));
  if (!NT_SUCCESS(status)) return status;
  const UNICODE_STRING win32 = Win32Path(path);
  const SIZE_T bytes =
      sizeof(Block) + 3 * (win32.Length + sizeof(WCHAR)) + command_line.Length + sizeof(WCHAR);
  PVOID target = nullptr;
  status = Allocate(process, bytes, &target);
  if (!NT_SUCCESS(status)) return status;
  auto* block = static_cast<Block*>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag));
  if (block == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(block, bytes);
  WCHAR* at = block->text;
  FillPeb(block, process, *image, target);
  FillModule(block, *image, win32, &at, target);
  Parameters& parameters = block->parameters;
  parameters.maximum_length = parameters.length = sizeof(Parameters);
  parameters.flags = 1;  // normalized: strings are addresses
  parameters.image_path = PutText(block, &at, win32, target);
  parameters.command_line = PutText(block, &at, command_line, target);
  status = Write(process, target, block, bytes);
  ExFreePoolWithTag(block, kTag);
  if (!NT_SUCCESS(status)) return status;
  process->Peb = target;
  process->SectionBaseAddress = image->base;
  return STATUS_SUCCESS;
}

NTSTATUS BuildTeb(PEPROCESS process, PETHREAD thread) {
  PVOID target = nullptr;
  NTSTATUS status = Allocate(process, PAGE_SIZE, &target);
  if (!NT_SUCCESS(status)) return status;
  Teb teb = {};
  teb.self = target;
  teb.client = thread->Cid;
  teb.peb = process->Peb;
  status = Write(process, target, &teb, sizeof(teb));
  if (NT_SUCCESS(status)) thread->Tcb.Teb = target;
  return status;
}

}  // namespace ps
