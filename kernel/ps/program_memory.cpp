// The user memory of a program: what a driver finds when it looks at a process's PEB. Offsets are those of
// 64-bit Windows, which debuggers and drivers know.
#include "ke/ke.h"
#include "mm/mm.h"
#include "program.h"
#include "user_image.h"

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

constexpr ULONG kModules = 2;  // the program, ntdll.dll

// One block of user memory, built in the kernel's and copied out.
struct Block {
  Peb peb;
  alignas(0x400) LoaderData loader;
  Module modules[kModules];
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
constexpr SIZE_T kTebBytes = 2 * PAGE_SIZE, kDeallocationStack = 0x1478;

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

PVOID EntryOfProgram(PEPROCESS process) {
  KAPC_STATE state;
  KeStackAttachProcess(&process->Pcb, &state);
  const ULONG entry = HeaderField(process->SectionBaseAddress, kEntryPointField);
  KeUnstackDetachProcess(&state);
  return entry != 0 ? static_cast<UCHAR*>(process->SectionBaseAddress) + entry : nullptr;
}

// An address within the block as the process sees it.
PVOID There(const Block* block, const VOID* part, PVOID target) {
  return static_cast<UCHAR*>(target) +
         (static_cast<const UCHAR*>(part) - reinterpret_cast<const UCHAR*>(block));
}

// One of the loader's lists: its head and an entry in each module, by the offset in it.
void Chain(Block* block, LIST_ENTRY* head, ULONG offset, PVOID target) {
  LIST_ENTRY* at = head;
  for (Module& module : block->modules) {
    auto* entry = reinterpret_cast<LIST_ENTRY*>(reinterpret_cast<UCHAR*>(&module) + offset);
    at->Flink = static_cast<PLIST_ENTRY>(There(block, entry, target));
    entry->Blink = static_cast<PLIST_ENTRY>(There(block, at, target));
    at = entry;
  }
  at->Flink = static_cast<PLIST_ENTRY>(There(block, head, target));
  head->Blink = static_cast<PLIST_ENTRY>(There(block, at, target));
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

void FillPeb(Block* block, PEPROCESS process, const MappedImage& image, PVOID target) {
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

void FillLists(Block* block, PVOID target) {
  LoaderData& loader = block->loader;
  loader.length = sizeof(LoaderData);
  loader.initialized = TRUE;
  Chain(block, &loader.in_load_order, FIELD_OFFSET(Module, in_load_order), target);
  Chain(block, &loader.in_memory_order, FIELD_OFFSET(Module, in_memory_order), target);
  Chain(block, &loader.in_initialization_order, FIELD_OFFSET(Module, in_initialization_order), target);
}

void FillModule(Block* block, ULONG index, const MappedImage& image, const UNICODE_STRING& path, WCHAR** at,
                PVOID target) {
  Module& module = block->modules[index];
  module.base = image.base;
  module.size = static_cast<ULONG>(image.bytes);
  module.full_name = PutText(block, at, path, target);
  module.base_name = PutText(block, at, LastComponent(path), target);
}

// The block for a program of two images, in the kernel's memory.
void FillBlock(Block* block, PEPROCESS process, const MappedImage* images, const UNICODE_STRING& path,
               const UNICODE_STRING& command_line, PVOID target) {
  WCHAR* at = block->text;
  FillPeb(block, process, images[0], target);
  FillLists(block, target);
  FillModule(block, 0, images[0], path, &at, target);
  FillModule(block, 1, images[1], Win32Path(kNtdllPath), &at, target);
  Parameters& parameters = block->parameters;
  parameters.maximum_length = parameters.length = sizeof(Parameters);
  parameters.flags = 1;  // normalized: strings are addresses
  parameters.image_path = PutText(block, &at, path, target);
  parameters.command_line = PutText(block, &at, command_line, target);
}

NTSTATUS BuildBlock(PEPROCESS process, const MappedImage* images, const UNICODE_STRING& path,
                    const UNICODE_STRING& command_line) {
  const UNICODE_STRING win32 = Win32Path(path);
  const SIZE_T bytes = sizeof(Block) + 3 * (win32.Length + sizeof(WCHAR)) +
                       2 * (kNtdllPath.Length + sizeof(WCHAR)) + command_line.Length + sizeof(WCHAR);
  PVOID target = nullptr;
  NTSTATUS status = Allocate(process, bytes, &target);
  if (!NT_SUCCESS(status)) return status;
  auto* block = static_cast<Block*>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag));
  if (block == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(block, bytes);
  FillBlock(block, process, images, win32, command_line, target);
  status = Write(process, target, block, bytes);
  ExFreePoolWithTag(block, kTag);
  if (NT_SUCCESS(status)) process->Peb = target;
  return status;
}

}  // namespace

NTSTATUS BuildUserMemory(PEPROCESS process, HANDLE image_file, const UNICODE_STRING& path,
                         const UNICODE_STRING& command_line) {
  MappedImage images[kModules];
  NTSTATUS status = MapImageFile(process, image_file, &images[0]);
  if (!NT_SUCCESS(status)) return status;
  process->SectionBaseAddress = images[0].base;
  status = MapNtdll(process, &images[1]);
  return NT_SUCCESS(status) ? BuildBlock(process, images, path, command_line) : status;
}

namespace {

NTSTATUS FillTeb(PEPROCESS process, PETHREAD thread) {
  PVOID teb_place = thread->Tcb.Teb;
  Teb teb = {};
  teb.stack_base = static_cast<UCHAR*>(thread->UserStack) + kUserStackBytes;
  teb.stack_limit = thread->UserStack;
  teb.self = teb_place;
  teb.client = thread->Cid;
  teb.peb = process->Peb;
  const NTSTATUS status = Write(process, teb_place, &teb, sizeof(teb));
  if (!NT_SUCCESS(status)) return status;
  return Write(process, static_cast<UCHAR*>(teb_place) + kDeallocationStack, &thread->UserStack,
               sizeof(thread->UserStack));
}

}  // namespace

NTSTATUS BuildTeb(PEPROCESS process, PETHREAD thread) {
  NTSTATUS status = Allocate(process, kTebBytes, &thread->Tcb.Teb);
  if (NT_SUCCESS(status)) status = Allocate(process, kUserStackBytes, &thread->UserStack);
  if (NT_SUCCESS(status)) status = FillTeb(process, thread);
  if (NT_SUCCESS(status)) {
    thread->UserParameter = process->Peb;
    thread->Win32StartAddress = EntryOfProgram(process);
    if (thread->Win32StartAddress != nullptr) return status;
    status = STATUS_INVALID_IMAGE_FORMAT;  // a library, or nothing to run
  }
  KAPC_STATE state;
  KeStackAttachProcess(&process->Pcb, &state);
  ReleaseUserThread(thread);
  KeUnstackDetachProcess(&state);
  return status;
}

}  // namespace ps
