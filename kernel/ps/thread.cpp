// System threads: creation, start, exit, look-up.
#include "ps_internal.h"

#include "ke/auto_boost.h"
#include "ke/ke.h"
#include "mm/mm.h"
#include "nt/export.h"

extern "C" {
POBJECT_TYPE PsThreadType;
}

/// The type of thread objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(PsThreadType, Full, "KernelPs.*");

#ifndef KERNEL_APC_PENDING_DURING_EXIT
#define KERNEL_APC_PENDING_DURING_EXIT 0x20
#endif
#ifndef INVALID_IO_BOOST_STATE
#define INVALID_IO_BOOST_STATE 0x13C
#endif
#ifndef THREAD_TERMINATE_HELD_MUTEX
#define THREAD_TERMINATE_HELD_MUTEX 0x4000008A
#endif

namespace ps {

namespace {

volatile LONG g_next_id = 8;  // 4 is the System process; ids are 4 apart, as handles are

}  // namespace

HANDLE NewClientId() {
  const LONG id = InterlockedExchangeAdd(&g_next_id, 4);
  return reinterpret_cast<HANDLE>(static_cast<ULONG_PTR>(static_cast<ULONG>(id)));
}

NTSTATUS InitThreadType() {
  const ob::TypeDescription type = {L"Thread",
                                    'erhT',
                                    {STANDARD_RIGHTS_READ | 0x48, STANDARD_RIGHTS_WRITE | 0x437,
                                     STANDARD_RIGHTS_EXECUTE | 0x120800, THREAD_ALL_ACCESS},
                                    THREAD_ALL_ACCESS,
                                    PspThreadDelete,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    true,
                                    0};
  return ob::CreateType(type, &PsThreadType);
}

// What is left of a thread that is off its stack for good. PASSIVE_LEVEL.
VOID DropStack(PKTHREAD tcb) {
  PVOID stack = tcb->StackBase;
  tcb->InitialStack = nullptr;
  tcb->StackBase = nullptr;
  tcb->StackLimit = nullptr;
  tcb->KernelStack = nullptr;
  MmDeleteKernelStack(stack);
  ObfDereferenceObject(tcb);
}

}  // namespace ps

// Threads that ended, linked by KTHREAD.Win32Thread.
static PVOID volatile PspReaperListHead;
static WORK_QUEUE_ITEM PspReaperWorkItem;
static volatile LONG PspReaperQueued;

// Work routine: gives back what ended threads leave.
extern "C" VOID NTAPI PspReaper(PVOID) {
  InterlockedExchange(&PspReaperQueued, 0);
  auto* thread = static_cast<PKTHREAD>(InterlockedExchangePointer(&PspReaperListHead, nullptr));
  while (thread != nullptr) {
    auto* next = static_cast<PKTHREAD>(thread->Win32Thread);
    thread->Win32Thread = nullptr;
    ps::DropStack(thread);
    thread = next;
  }
}

// The last reference to a thread object is gone. Locks that it never gave back: bug check 0x153.
extern "C" VOID NTAPI PspThreadDelete(PVOID Object) {
  auto* thread = static_cast<PETHREAD>(Object);
  KeAbCleanupThread(&thread->Tcb);
  if (!thread->SystemThread) KeDeleteUserState(&thread->Tcb);
  if (thread->ThreadName != nullptr) ExFreePoolWithTag(thread->ThreadName, 0);
  if (thread->ActiveImpersonationInfo) ObfDereferenceObject(thread->ImpersonationToken);
  if (thread->Tcb.Process != nullptr) ObfDereferenceObject(thread->Tcb.Process);
}

namespace ps {

VOID ReapThread(PKTHREAD tcb) {
  for (;;) {
    PVOID head = PspReaperListHead;
    tcb->Win32Thread = head;
    if (InterlockedCompareExchangePointer(&PspReaperListHead, tcb, head) == head) break;
  }
  if (InterlockedExchange(&PspReaperQueued, 1) != 0) return;
  ExInitializeWorkItem(&PspReaperWorkItem, PspReaper, nullptr);
  ExQueueWorkItem(&PspReaperWorkItem, HyperCriticalWorkQueue);
}

namespace {

// A thread object, not started: one reference, the running thread's.
NTSTATUS AllocateThread(PEPROCESS process, POBJECT_ATTRIBUTES attributes, PKSTART_ROUTINE start,
                        PVOID context, PETHREAD* result) {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, PsThreadType, attributes, KernelMode, nullptr, sizeof(ETHREAD),
                                   0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  auto* stack = static_cast<UCHAR*>(MmCreateKernelStack(FALSE));
  if (stack == nullptr) {
    ObfDereferenceObject(object);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  auto* thread = static_cast<PETHREAD>(object);
  ObfReferenceObject(process);
  KeInitThread(&thread->Tcb, stack, stack - kKernelStackSize, PspSystemThreadStartup, start, context,
               &process->Pcb);
  thread->StartAddress = reinterpret_cast<PVOID>(start);
  thread->Win32StartAddress = thread->StartAddress;
  thread->StartContext = context;
  thread->ExitStatus = STATUS_PENDING;
  thread->SystemThread = 1;
  thread->ThreadIoPriority = IoPriorityNormal;
  thread->Tcb.LockEntries = thread->LockEntryArray;
  thread->Tcb.LockEntryCount = RTL_NUMBER_OF(thread->LockEntryArray);
  InitializeListHead(&thread->IrpList);
  KeInitializeSpinLock(&thread->IrpListLock);
  thread->Cid = {process->UniqueProcessId, NewClientId()};
  KeQuerySystemTime(&thread->CreateTime);
  *result = thread;
  return STATUS_SUCCESS;
}

void LinkThread(PEPROCESS process, PETHREAD thread) {
  ke::SpinGuard guard(&g_list_lock);
  InsertTailList(&process->ThreadListHead, &thread->ThreadListEntry);
  process->ActiveThreads = process->ActiveThreads + 1;
  thread->ThreadInserted = 1;
}

// Returns how many threads are left.
ULONG UnlinkThread(PEPROCESS process, PETHREAD thread) {
  ke::SpinGuard guard(&g_list_lock);
  RemoveEntryList(&thread->ThreadListEntry);
  process->ActiveThreads = process->ActiveThreads - 1;
  thread->ThreadInserted = 0;
  return process->ActiveThreads;
}

// A thread that never ran: what KeInitThread and the allocation did is undone.
void DiscardThread(PETHREAD thread) {
  KeUninitThread(&thread->Tcb);
  DropStack(&thread->Tcb);
}

// A thread object with its handle, in its process's list, not started.
NTSTATUS PrepareThread(PEPROCESS process, POBJECT_ATTRIBUTES attributes, ACCESS_MASK access,
                       PKSTART_ROUTINE start, PVOID context, PVOID creator, PHANDLE handle,
                       PETHREAD* result) {
  PETHREAD thread;
  NTSTATUS status = AllocateThread(process, attributes, start, context, &thread);
  if (!NT_SUCCESS(status)) return status;
  const ULONG handle_attributes = attributes != nullptr ? attributes->Attributes : 0;
  status = ObInsertObject(thread, nullptr, 0, 0, nullptr, nullptr);
  if (NT_SUCCESS(status) && handle != nullptr) {
    status = ObpCreateHandle(thread, access, handle_attributes, creator, handle);
  }
  if (!NT_SUCCESS(status)) {
    DiscardThread(thread);
    return status;
  }
  LinkThread(process, thread);
  *result = thread;
  return STATUS_SUCCESS;
}

NTSTATUS CreateThread(PEPROCESS process, POBJECT_ATTRIBUTES attributes, ACCESS_MASK access,
                      PKSTART_ROUTINE start, PVOID context, PVOID creator, PHANDLE handle, PCLIENT_ID cid,
                      PETHREAD* referenced) {
  PETHREAD thread;
  const NTSTATUS status =
      PrepareThread(process, attributes, access, start, context, creator, handle, &thread);
  if (!NT_SUCCESS(status)) return status;
  const NTSTATUS announced = Announce(process);
  if (!NT_SUCCESS(announced)) {
    if (handle != nullptr) ObCloseHandle(*handle, KernelMode);
    DropThread(process, thread);
    ExitProcess(process, announced);
    return announced;
  }
  if (cid != nullptr) *cid = thread->Cid;
  if (referenced != nullptr) {
    ObfReferenceObject(thread);
    *referenced = thread;
  }
  NotifyThread(thread, TRUE);
  KeStartThread(&thread->Tcb);
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS CreateSystemThread(PKSTART_ROUTINE start, PVOID context, PETHREAD* thread) {
  return CreateThread(PsInitialSystemProcess, nullptr, 0, start, context, nullptr, nullptr, nullptr, thread);
}

void StartSystemThread(PKSTART_ROUTINE start, PVOID context) {
  LARGE_INTEGER pause;
  pause.QuadPart = -1'000'000;
  while (!NT_SUCCESS(CreateSystemThread(start, context, nullptr)))
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
}

NTSTATUS PrepareUserThread(PEPROCESS process, PETHREAD* thread) {
  const NTSTATUS status =
      PrepareThread(process, nullptr, 0, PspUserThreadStartup, process, nullptr, nullptr, thread);
  if (!NT_SUCCESS(status)) return status;
  bool alive;
  {
    // Whoever ends the process either sees a program's thread, or comes first.
    ke::SpinGuard guard(&g_list_lock);
    (*thread)->SystemThread = 0;
    alive = process->ExitStatus == STATUS_PENDING;
  }
  (*thread)->Tcb.PreviousMode = UserMode;
  const NTSTATUS prepared = alive ? KeCreateUserState(&(*thread)->Tcb) : STATUS_PROCESS_IS_TERMINATING;
  if (!NT_SUCCESS(prepared)) DropThread(process, *thread);
  return prepared;
}

void StartThread(PETHREAD thread) {
  NotifyThread(thread, TRUE);
  KeStartThread(&thread->Tcb);
}

void DropThread(PEPROCESS process, PETHREAD thread) {
  // Who ended the process meanwhile left the rest to its last thread.
  if (UnlinkThread(process, thread) == 0 && process->ExitStatus != STATUS_PENDING)
    ExitProcess(process, process->ExitStatus);
  DiscardThread(thread);
}

namespace {

constexpr ULONG kMaximumVisited = 512;

// Calls `visit` for each object of a list, referenced, when the list is no longer locked.
template <typename Object>
void VisitList(LIST_ENTRY* head, Object* (*object_of)(LIST_ENTRY*), bool (*visit)(Object*, PVOID),
               PVOID context) {
  auto** objects =
      static_cast<Object**>(ExAllocatePoolWithTag(NonPagedPoolNx, kMaximumVisited * sizeof(Object*), 'tsLP'));
  if (objects == nullptr) return;
  ULONG count = 0;
  {
    ke::SpinGuard guard(&g_list_lock);
    for (LIST_ENTRY* link = head->Flink; link != head && count < kMaximumVisited; link = link->Flink) {
      objects[count] = object_of(link);
      if (ob::ReferenceIfAlive(objects[count])) ++count;
    }
  }
  bool going = true;
  for (ULONG i = 0; i < count; ++i) {
    if (going) going = visit(objects[i], context);
    ObfDereferenceObject(objects[i]);
  }
  ExFreePoolWithTag(objects, 'tsLP');
}

}  // namespace

void EnumerateThreads(PEPROCESS process, bool (*visit)(PETHREAD, PVOID), PVOID context) {
  VisitList<ETHREAD>(
      &process->ThreadListHead,
      [](LIST_ENTRY* link) { return CONTAINING_RECORD(link, ETHREAD, ThreadListEntry); }, visit, context);
}

void EnumerateProcesses(bool (*visit)(PEPROCESS, PVOID), PVOID context) {
  VisitList<EPROCESS>(
      &PsActiveProcessHead,
      [](LIST_ENTRY* link) { return CONTAINING_RECORD(link, EPROCESS, ActiveProcessLinks); }, visit, context);
}

namespace {

// Requests of a thread that exits: each is cancelled and must have been completed before the thread may go.
void CancelThreadIrps(PETHREAD thread) {
  constexpr ULONG kRounds = 3000;  // 5 minutes of 100 ms, as long as Windows waits
  for (ULONG round = 0; round < kRounds; ++round) {
    KIRQL irql = KeAcquireSpinLockRaiseToDpc(&thread->IrpListLock);
    if (IsListEmpty(&thread->IrpList)) {
      KeReleaseSpinLock(&thread->IrpListLock, irql);
      return;
    }
    PIRP irp = CONTAINING_RECORD(thread->IrpList.Flink, IRP, ThreadListEntry);
    KeReleaseSpinLock(&thread->IrpListLock, irql);
    IoCancelIrp(irp);
    LARGE_INTEGER pause;
    pause.QuadPart = -1'000'000;
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
  }
}

}  // namespace
}  // namespace ps

VOID (*PspThreadExitRoutine)(PETHREAD Thread);

extern "C" VOID NTAPI PspExitThread(NTSTATUS ExitStatus) {
  auto* thread = reinterpret_cast<PETHREAD>(KeCurrentThread());
  const KIRQL irql = KeGetCurrentIrql();
  if (irql != PASSIVE_LEVEL || thread->Tcb.CombinedApcDisable != 0) {
    KeBugCheckEx(KERNEL_APC_PENDING_DURING_EXIT, 0, thread->Tcb.CombinedApcDisable, irql, 0);
  }
  // In a routine of KeExpandKernelStackAndCallout: the segment would stay behind.
  if (thread->Tcb.StackControl != nullptr) {
    KeBugCheckEx(KERNEL_STACK_LOCKED_AT_EXIT, reinterpret_cast<ULONG_PTR>(thread),
                 reinterpret_cast<ULONG_PTR>(thread->Tcb.StackBase),
                 reinterpret_cast<ULONG_PTR>(thread->Tcb.StackLimit), 0);
  }
  if (thread->Tcb.MutantListHead.Flink != nullptr && !IsListEmpty(&thread->Tcb.MutantListHead)) {
    auto* mutant = CONTAINING_RECORD(thread->Tcb.MutantListHead.Flink, KMUTANT, MutantListEntry);
    KeBugCheckEx(THREAD_TERMINATE_HELD_MUTEX, reinterpret_cast<ULONG_PTR>(thread),
                 reinterpret_cast<ULONG_PTR>(mutant), 0, 0);
  }
  if (thread->Tcb.OwnedResourceCount != 0) {
    KeBugCheckEx(INVALID_IO_BOOST_STATE, reinterpret_cast<ULONG_PTR>(thread),
                 static_cast<ULONG_PTR>(thread->Tcb.OwnedResourceCount), 0, 0);
  }
  ps::NotifyThread(thread, FALSE);
  ps::CancelThreadIrps(thread);
  if (PspThreadExitRoutine != nullptr) PspThreadExitRoutine(thread);
  thread->ExitStatus = ExitStatus;
  KeQuerySystemTime(&thread->ExitTime);
  thread->Terminated = 1;
  auto* process = reinterpret_cast<PEPROCESS>(thread->Tcb.Process);
  if (!thread->SystemThread && process->ExitStatus == STATUS_PENDING) ps::ReleaseUserThread(thread);
  if (ps::UnlinkThread(process, thread) == 0) ps::ExitProcess(process, ExitStatus);
  KeTerminateThread(0);
}

// The filter around every system thread: nobody else took the exception. Does not return.
extern "C" DECLSPEC_NOINLINE LONG NTAPI PspUnhandledExceptionInSystemThread(PEXCEPTION_POINTERS pointers) {
  const EXCEPTION_RECORD* record = pointers->ExceptionRecord;
  KeBugCheckEx(SYSTEM_THREAD_EXCEPTION_NOT_HANDLED, static_cast<ULONG_PTR>(LONG_PTR{record->ExceptionCode}),
               reinterpret_cast<ULONG_PTR>(record->ExceptionAddress), reinterpret_cast<ULONG_PTR>(record),
               reinterpret_cast<ULONG_PTR>(pointers->ContextRecord));
}

extern "C" VOID NTAPI PspSystemThreadStartup(PKSTART_ROUTINE StartRoutine, PVOID StartContext) {
  KeLowerIrql(PASSIVE_LEVEL);
  __try {
    StartRoutine(StartContext);
  } __except (PspUnhandledExceptionInSystemThread(static_cast<PEXCEPTION_POINTERS>(_exception_info()))) {
  }
  PspExitThread(STATUS_SUCCESS);
}

/// Creates a thread of the System process (or of the process of ProcessHandle) that runs StartRoutine in
/// kernel mode. It ends when the routine returns, or by PsTerminateSystemThread. Returns:
/// STATUS_PROCESS_IS_TERMINATING for a process that has ended or been told to.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PsCreateSystemThread.
NT_EXPORT(PsCreateSystemThread, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsCreateSystemThread(PHANDLE ThreadHandle, ULONG DesiredAccess,
                                               POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
                                               PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine,
                                               PVOID StartContext) {
  PVOID process = PsInitialSystemProcess;
  if (ProcessHandle != nullptr) {
    NTSTATUS status = ob::ReferenceHandle(ProcessHandle, PsProcessType, &process, nullptr);
    if (!NT_SUCCESS(status)) return status;
  } else {
    ObfReferenceObject(process);
  }
  *ThreadHandle = nullptr;
  NTSTATUS status = STATUS_PROCESS_IS_TERMINATING;
  if (static_cast<PEPROCESS>(process)->ExitStatus == STATUS_PENDING)
    status = ps::CreateThread(static_cast<PEPROCESS>(process), ObjectAttributes, DesiredAccess, StartRoutine,
                              StartContext, __builtin_return_address(0), ThreadHandle, ClientId, nullptr);
  ObfDereferenceObject(process);
  return status;
}

/// Ends the current system thread; does not return.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/PsTerminateSystemThread.
NT_EXPORT(PsTerminateSystemThread, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsTerminateSystemThread(NTSTATUS ExitStatus) {
  if (!reinterpret_cast<PETHREAD>(KeCurrentThread())->SystemThread) return STATUS_INVALID_PARAMETER;
  PspExitThread(ExitStatus);
}

/// The id of the current thread.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/PsGetCurrentThreadId.
NT_EXPORT(PsGetCurrentThreadId, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" HANDLE NTAPI PsGetCurrentThreadId() {
  return reinterpret_cast<PETHREAD>(KeCurrentThread())->Cid.UniqueThread;
}

/// The id of a thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsGetThreadId.
NT_EXPORT(PsGetThreadId, nt::AtMost(DISPATCH_LEVEL), Full, "KernelPs.*");
extern "C" HANDLE NTAPI PsGetThreadId(PETHREAD Thread) {
  return Thread->Cid.UniqueThread;
}

/// The id of a thread's process.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/PsGetThreadProcessId.
NT_EXPORT(PsGetThreadProcessId, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" HANDLE NTAPI PsGetThreadProcessId(PETHREAD Thread) {
  return Thread->Cid.UniqueProcess;
}

/// The process of a thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/IoThreadToProcess.
NT_EXPORT(IoThreadToProcess, nt::AtMost(DISPATCH_LEVEL), Full, "KernelPs.*");
extern "C" PEPROCESS NTAPI IoThreadToProcess(PETHREAD Thread) {
  return reinterpret_cast<PEPROCESS>(Thread->Tcb.Process);
}

/// Whether a thread is a system thread.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsIsSystemThread.
NT_EXPORT(PsIsSystemThread, nt::AtMost(DISPATCH_LEVEL), Full, "KernelPs.*");
extern "C" BOOLEAN NTAPI PsIsSystemThread(PETHREAD Thread) {
  return Thread->SystemThread;
}

/// Whether a thread ends.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsIsThreadTerminating.
NT_EXPORT(PsIsThreadTerminating, nt::AtMost(DISPATCH_LEVEL), Full, "KernelPs.*");
extern "C" BOOLEAN NTAPI PsIsThreadTerminating(PETHREAD Thread) {
  return Thread->Terminated;
}

/// The exit status of a thread, STATUS_PENDING while it lives.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsGetThreadExitStatus.
NT_EXPORT(PsGetThreadExitStatus, nt::AtMost(APC_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsGetThreadExitStatus(PETHREAD Thread) {
  return Thread->ExitStatus;
}

/// The thread with an id, referenced.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsLookupThreadByThreadId.
NT_EXPORT(PsLookupThreadByThreadId, nt::AtMost(APC_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsLookupThreadByThreadId(HANDLE ThreadId, PETHREAD* Thread) {
  *Thread = nullptr;
  ke::SpinGuard guard(&ps::g_list_lock);
  for (LIST_ENTRY* at = PsActiveProcessHead.Flink; at != &PsActiveProcessHead; at = at->Flink) {
    PLIST_ENTRY head = &CONTAINING_RECORD(at, EPROCESS, ActiveProcessLinks)->ThreadListHead;
    for (LIST_ENTRY* link = head->Flink; link != head; link = link->Flink) {
      PETHREAD thread = CONTAINING_RECORD(link, ETHREAD, ThreadListEntry);
      if (thread->Cid.UniqueThread != ThreadId || !ob::ReferenceIfAlive(thread)) continue;
      *Thread = thread;
      return STATUS_SUCCESS;
    }
  }
  return STATUS_INVALID_CID;
}
