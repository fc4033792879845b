// System threads that keep a device or a driver alive: the object has a reference until the thread is gone,
// whether its routine returns or calls PsTerminateSystemThread.
#include "io_internal.h"
#include "nt/export.h"
#include "ps/ps.h"

namespace {

constexpr ULONG kThreadTag = 'hToI';

struct IoThread {
  LIST_ENTRY link;
  PETHREAD thread;
  PVOID object;
  PKSTART_ROUTINE routine;
  PVOID context;
};

KSPIN_LOCK g_lock;
LIST_ENTRY g_threads = {&g_threads, &g_threads};

IoThread* TakeRecord(PETHREAD thread) {
  ke::SpinGuard guard(&g_lock);
  for (LIST_ENTRY* link = g_threads.Flink; link != &g_threads; link = link->Flink) {
    auto* record = CONTAINING_RECORD(link, IoThread, link);
    if (record->thread != thread) continue;
    RemoveEntryList(link);
    return record;
  }
  return nullptr;
}

// ps calls it in every thread that ends.
VOID ThreadEnds(PETHREAD thread) {
  if (IsListEmpty(&g_threads)) return;  // this thread's own record would be in it
  IoThread* record = TakeRecord(thread);
  if (record == nullptr) return;
  ObfDereferenceObject(record->object);
  ExFreePoolWithTag(record, kThreadTag);
}

}  // namespace

// The first driver-chosen frame is the start routine's; the thread is known by it, not by this.
extern "C" VOID NTAPI IopThreadStart(PVOID Context) {
  auto* record = static_cast<IoThread*>(Context);
  const PETHREAD thread = PsGetCurrentThread();
  record->thread = thread;
  thread->StartAddress = reinterpret_cast<PVOID>(record->routine);
  thread->Win32StartAddress = thread->StartAddress;
  {
    ke::SpinGuard guard(&g_lock);
    InsertTailList(&g_threads, &record->link);
  }
  record->routine(record->context);
}

/// Creates a system thread that holds a reference to a device or driver object until it ends.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/IoCreateSystemThread.
NT_EXPORT(IoCreateSystemThread, nt::AtMost(PASSIVE_LEVEL), Full, "IoSystemThread.*");
extern "C" NTSTATUS NTAPI IoCreateSystemThread(PVOID IoObject, PHANDLE ThreadHandle, ULONG DesiredAccess,
                                               POBJECT_ATTRIBUTES ObjectAttributes, HANDLE ProcessHandle,
                                               PCLIENT_ID ClientId, PKSTART_ROUTINE StartRoutine,
                                               PVOID StartContext) {
  auto* record = static_cast<IoThread*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(IoThread), kThreadTag));
  if (record == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *record = {{}, nullptr, IoObject, StartRoutine, StartContext};
  ObfReferenceObject(IoObject);
  PspThreadExitRoutine = ThreadEnds;
  const NTSTATUS status = PsCreateSystemThread(ThreadHandle, DesiredAccess, ObjectAttributes, ProcessHandle,
                                               ClientId, IopThreadStart, record);
  if (!NT_SUCCESS(status)) {
    ObfDereferenceObject(IoObject);
    ExFreePoolWithTag(record, kThreadTag);
  }
  return status;
}
