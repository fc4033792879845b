// Threads of programs: what they have in user memory, how they start in ring 3, how they end.
#include "ke/ke.h"
#include "kd/kd.h"
#include "program.h"
#include "user_image.h"

namespace ps {
namespace {

// The current process ends; so does the current thread, now.
[[noreturn]] void EndProgram(NTSTATUS status) {
  auto* process = reinterpret_cast<PEPROCESS>(KeCurrentThread()->Process);
  (void)EndProcessThreads(process, status);
  PspExitThread(status);
}

VOID ExitRequested() {
  PspExitThread(reinterpret_cast<PETHREAD>(KeCurrentThread())->RequestedExitStatus);
}

VOID Unhandled(const EXCEPTION_RECORD* record, const CONTEXT* context) {
  const auto* process = reinterpret_cast<PEPROCESS>(KeCurrentThread()->Process);
  const ULONG_PTR address = record->NumberParameters >= 2 ? record->ExceptionInformation[1] : 0;
  kd::Print("ps: %s (process %u) ended by exception 0x%08x at %p (rsp %p, address %p)\n",
            reinterpret_cast<const char*>(process->ImageFileName),
            static_cast<ULONG>(reinterpret_cast<ULONG_PTR>(process->UniqueProcessId)),
            static_cast<ULONG>(record->ExceptionCode), record->ExceptionAddress,
            reinterpret_cast<PVOID>(context->Rsp), reinterpret_cast<PVOID>(address));
  EndProgram(record->ExceptionCode);
}

ULONG64 Entry(KeUserEntry entry) {
  const auto base =
      reinterpret_cast<ULONG64>(reinterpret_cast<PEPROCESS>(KeCurrentThread()->Process)->SystemDllBase);
  const NtdllEntries& entries = EntriesOfNtdll();
  return base + (entry == KeUserApcEntry ? entries.apc : entries.exception);
}

constexpr KeUserModeHooks kHooks = {ExitRequested, Unhandled, Entry};

VOID Release(PVOID* place) {
  SIZE_T bytes = 0;
  if (*place != nullptr) (void)ZwFreeVirtualMemory(ZwCurrentProcess(), place, &bytes, MEM_RELEASE);
  *place = nullptr;
}

// The context with which a thread begins, on its stack, and the address of it.
ULONG64 PutFirstContext(PETHREAD thread, ULONG64 start) {
  constexpr ULONG kMxCsr = 0x1F80;
  const ULONG64 top = reinterpret_cast<ULONG64>(thread->UserStack) + kUserStackBytes;
  const auto base =
      reinterpret_cast<ULONG64>(reinterpret_cast<PEPROCESS>(thread->Tcb.Process)->SystemDllBase);
  CONTEXT context = {};
  context.ContextFlags = CONTEXT_FULL;
  context.Rip = base + EntriesOfNtdll().thread_start;
  context.Rcx = start;
  context.Rdx = reinterpret_cast<ULONG64>(thread->UserParameter);
  context.Rsp = top - 0x28;  // as after a call, with room for the arguments
  context.EFlags = 0x202;
  context.MxCsr = context.FltSave.MxCsr = kMxCsr;
  const ULONG64 place = (top - 0x100 - sizeof(context)) & ~ULONG64{15};
  return NT_SUCCESS(KeCopyToUser(reinterpret_cast<PVOID>(place), &context, sizeof(context))) ? place : 0;
}

void NotifyImages(PEPROCESS process) {
  NotifyImage(&process->SeAuditProcessCreationInfo.ImageFileName->Name, process->UniqueProcessId,
              process->SectionBaseAddress, HeaderField(process->SectionBaseAddress, kSizeOfImageField),
              process->ImageFilePointer);
  UNICODE_STRING name = kNtdllPath;
  NotifyImage(&name, process->UniqueProcessId, process->SystemDllBase,
              HeaderField(process->SystemDllBase, kSizeOfImageField), NtdllFileObject());
}

}  // namespace

void InitUserMode() {
  KeSetUserModeHooks(&kHooks);
  RegisterUserServices();
}

void ReleaseUserThread(PETHREAD thread) {
  PVOID teb = thread->Tcb.Teb;
  thread->Tcb.Teb = nullptr;
  Release(&thread->UserStack);
  Release(&teb);
}

NTSTATUS EndProcessThreads(PEPROCESS process, NTSTATUS status) {
  if (InterlockedCompareExchange(reinterpret_cast<volatile LONG*>(&process->ExitStatus), status,
                                 STATUS_PENDING) != STATUS_PENDING)
    return STATUS_PROCESS_IS_TERMINATING;
  ke::SpinGuard guard(&g_list_lock);
  for (LIST_ENTRY* link = process->ThreadListHead.Flink; link != &process->ThreadListHead; link = link->Flink)
    EndUserThread(CONTAINING_RECORD(link, ETHREAD, ThreadListEntry), status);
  return STATUS_SUCCESS;
}

void EndUserThread(PETHREAD thread, NTSTATUS status) {
  if (thread->SystemThread) return;
  if (!thread->Tcb.ExitPending) thread->RequestedExitStatus = status;
  KeRequestThreadExit(&thread->Tcb);
}

}  // namespace ps

extern "C" VOID NTAPI PspUserThreadStartup(PVOID context) {
  auto* process = static_cast<PEPROCESS>(context);
  auto* thread = reinterpret_cast<PETHREAD>(KeCurrentThread());
  ps::NotifyNewThread(thread);
  // The first thread maps the images, and says so.
  if (process->ThreadListHead.Flink == &thread->ThreadListEntry &&
      InterlockedExchange(&process->Announced, 2) == 1)
    ps::NotifyImages(process);
  if (thread->Tcb.ExitPending) PspExitThread(thread->RequestedExitStatus);
  const auto base = reinterpret_cast<ULONG64>(process->SystemDllBase);
  const ULONG64 first = ps::PutFirstContext(thread, reinterpret_cast<ULONG64>(thread->Win32StartAddress));
  if (first == 0) ps::EndProgram(STATUS_NO_MEMORY);
  KeEnterUserMode(base + ps::EntriesOfNtdll().initialize, first - 0x28, first, base);
}
