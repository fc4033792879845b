// Watching keys: ZwNotifyChangeKey. A request is told once, of the first change that it waits for; it ends
// with STATUS_NOTIFY_CLEANUP when the last handle to its key object is closed.
#include "cm_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"

namespace cm {
namespace {

constexpr ULONG kTag = 'tNMC';
constexpr ULONG kFilters = REG_NOTIFY_CHANGE_NAME | REG_NOTIFY_CHANGE_ATTRIBUTES |
                           REG_NOTIFY_CHANGE_LAST_SET | REG_NOTIFY_CHANGE_SECURITY;

// All requests, guarded by the registry's lock (exclusive for changes).
struct Watcher {
  Watcher* next;
  PCM_KEY_BODY body;
  ULONG filter;
  bool subtree;
  PIO_STATUS_BLOCK iosb;
  PKEVENT event;          // the caller's, referenced; 0: none
  PWORK_QUEUE_ITEM item;  // a kernel caller's "APC"
  WORK_QUEUE_TYPE queue;
  PKEVENT done;  // of a synchronous request
};

Watcher* g_watchers;

void Complete(Watcher* watcher, NTSTATUS status) {
  watcher->iosb->Status = status;
  watcher->iosb->Information = 0;
  if (watcher->item != nullptr) ExQueueWorkItem(watcher->item, watcher->queue);
  if (watcher->event != nullptr) {
    KeSetEvent(watcher->event, 0, FALSE);
    ObfDereferenceObject(watcher->event);
  }
  PKEVENT done = watcher->done;
  ExFreePoolWithTag(watcher, kTag);
  if (done != nullptr) KeSetEvent(done, 0, FALSE);
}

// Completes every request of which `wanted` is true.
template <typename Wanted>
void CompleteWhere(NTSTATUS status, Wanted wanted) {
  for (Watcher** link = &g_watchers; *link != nullptr;) {
    Watcher* watcher = *link;
    if (!wanted(*watcher)) {
      link = &watcher->next;
      continue;
    }
    *link = watcher->next;
    Complete(watcher, status);
  }
}

bool IsBelow(const Key* key, const Key* top) {
  while (key != nullptr && key != top) key = key->parent;
  return key != nullptr;
}

NTSTATUS Capture(HANDLE event_handle, PIO_APC_ROUTINE routine, PVOID context, Watcher* watcher) {
  if (event_handle != nullptr) {
    PVOID object;
    const NTSTATUS status = ObReferenceObjectByHandle(event_handle, EVENT_MODIFY_STATE, ExEventObjectType,
                                                      KeGetCurrentThread()->PreviousMode, &object, nullptr);
    if (!NT_SUCCESS(status)) return status;
    watcher->event = static_cast<PKEVENT>(object);
    KeClearEvent(watcher->event);
  }
  watcher->item = reinterpret_cast<PWORK_QUEUE_ITEM>(reinterpret_cast<PVOID>(routine));
  watcher->queue = static_cast<WORK_QUEUE_TYPE>(reinterpret_cast<ULONG_PTR>(context));
  return STATUS_SUCCESS;
}

NTSTATUS Insert(Watcher* watcher) {
  RegistryLock lock(RegistryLock::Access::kExclusive);
  if (watcher->body->KeyControlBlock->deleted) return STATUS_KEY_DELETED;
  watcher->next = g_watchers;
  g_watchers = watcher;
  return STATUS_PENDING;
}

}  // namespace

void TellWatchers(Key* key, ULONG filter) {
  if (g_watchers == nullptr || filter == 0) return;
  CompleteWhere(STATUS_NOTIFY_ENUM_DIR, [&](const Watcher& watcher) {
    const Key* watched = watcher.body->KeyControlBlock;
    return (watcher.filter & filter) != 0 && (watched == key || (watcher.subtree && IsBelow(key, watched)));
  });
}

void DropWatchers(PCM_KEY_BODY body) {
  RegistryLock lock(RegistryLock::Access::kExclusive);
  CompleteWhere(STATUS_NOTIFY_CLEANUP, [&](const Watcher& watcher) { return watcher.body == body; });
}

}  // namespace cm

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtNotifyChangeKey(HANDLE KeyHandle, HANDLE Event,
                                                              PIO_APC_ROUTINE ApcRoutine, PVOID ApcContext,
                                                              PIO_STATUS_BLOCK IoStatusBlock,
                                                              ULONG CompletionFilter, BOOLEAN WatchTree,
                                                              PVOID, ULONG, BOOLEAN Asynchronous) {
  if (CompletionFilter == 0 || (CompletionFilter & ~cm::kFilters) != 0) return STATUS_INVALID_PARAMETER;
  PVOID body;
  NTSTATUS status = ObReferenceObjectByHandle(KeyHandle, KEY_NOTIFY, CmKeyObjectType,
                                              KeGetCurrentThread()->PreviousMode, &body, nullptr);
  if (!NT_SUCCESS(status)) return status;
  auto* watcher =
      static_cast<cm::Watcher*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(cm::Watcher), cm::kTag));
  if (watcher == nullptr) {
    ObfDereferenceObject(body);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  *watcher = {};
  watcher->body = static_cast<PCM_KEY_BODY>(body);
  watcher->filter = CompletionFilter;
  watcher->subtree = WatchTree != FALSE;
  watcher->iosb = IoStatusBlock;
  KEVENT done;
  KeInitializeEvent(&done, NotificationEvent, FALSE);
  if (!Asynchronous) watcher->done = &done;
  status = cm::Capture(Event, ApcRoutine, ApcContext, watcher);
  PKEVENT event = watcher->event;
  if (NT_SUCCESS(status)) status = cm::Insert(watcher);
  if (status != STATUS_PENDING) {
    if (event != nullptr) ObfDereferenceObject(event);
    ExFreePoolWithTag(watcher, cm::kTag);
  } else if (!Asynchronous) {
    KeWaitForSingleObject(&done, Executive, KernelMode, FALSE, nullptr);
    status = IoStatusBlock->Status;
  }
  ObfDereferenceObject(body);
  return status;
}

/// Waits for a change of a key (or of the keys below it), or has an event set and a work item queued when it
/// comes: then the status block holds STATUS_NOTIFY_ENUM_DIR. A caller from kernel mode passes a
/// WORK_QUEUE_ITEM as the APC routine and the queue as its context.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwNotifyChangeKey.
NT_EXPORT(ZwNotifyChangeKey, nt::AtMost(PASSIVE_LEVEL), Full, "CmNotify.*");
extern "C" NTSTATUS NTAPI ZwNotifyChangeKey(HANDLE KeyHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                            PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock,
                                            ULONG CompletionFilter, BOOLEAN WatchTree, PVOID Buffer,
                                            ULONG BufferSize, BOOLEAN Asynchronous) {
  return ke::CallService(NtNotifyChangeKey, KeyHandle, Event, ApcRoutine, ApcContext, IoStatusBlock,
                         CompletionFilter, WatchTree, Buffer, BufferSize, Asynchronous);
}
