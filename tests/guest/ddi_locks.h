// Executive locks and work items that mingw-w64's headers lack. Part of ddi.h.
#pragma once

#include "ddi.h"

extern "C" {

// ---- Push locks ----
#ifndef EX_DEFAULT_PUSH_LOCK_FLAGS
#define EX_DEFAULT_PUSH_LOCK_FLAGS 0
#endif
VOID FASTCALL ExAcquirePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
VOID FASTCALL ExAcquirePushLockSharedEx(PULONG_PTR PushLock, ULONG Flags);
VOID FASTCALL ExReleasePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
VOID FASTCALL ExReleasePushLockSharedEx(PULONG_PTR PushLock, ULONG Flags);
VOID FASTCALL ExReleasePushLockEx(PULONG_PTR PushLock, ULONG Flags);
BOOLEAN FASTCALL ExTryAcquirePushLockExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
BOOLEAN FASTCALL ExTryAcquirePushLockSharedEx(PULONG_PTR PushLock, ULONG Flags);
BOOLEAN FASTCALL ExTryConvertPushLockSharedToExclusiveEx(PULONG_PTR PushLock, ULONG Flags);
VOID FASTCALL ExfAcquirePushLockExclusive(PULONG_PTR PushLock);
VOID FASTCALL ExfAcquirePushLockShared(PULONG_PTR PushLock);
BOOLEAN FASTCALL ExfTryAcquirePushLockShared(PULONG_PTR PushLock);
VOID FASTCALL ExfReleasePushLock(PULONG_PTR PushLock);
VOID FASTCALL ExfReleasePushLockExclusive(PULONG_PTR PushLock);
VOID FASTCALL ExfReleasePushLockShared(PULONG_PTR PushLock);
VOID FASTCALL ExfTryToWakePushLock(PULONG_PTR PushLock);
VOID FASTCALL ExfUnblockPushLock(PULONG_PTR PushLock, PVOID WaitBlock);
NTSTATUS NTAPI ExBlockOnAddressPushLock(PULONG_PTR PushLock, volatile VOID* Address, PVOID CompareAddress,
                                        SIZE_T AddressSize, PLARGE_INTEGER Timeout);
VOID FASTCALL ExUnblockOnAddressPushLockEx(PULONG_PTR PushLock, volatile VOID* Address, ULONG Flags);
PVOID NTAPI ExAllocateCacheAwarePushLock(ULONG Flags);
VOID NTAPI ExFreeCacheAwarePushLock(PVOID PushLock);
VOID FASTCALL ExAcquireCacheAwarePushLockExclusiveEx(PVOID PushLock, ULONG Flags);
VOID NTAPI ExAcquireCacheAwarePushLockExclusive(PVOID PushLock);
BOOLEAN FASTCALL ExTryAcquireCacheAwarePushLockExclusiveEx(PVOID PushLock, ULONG Flags);
VOID FASTCALL ExReleaseCacheAwarePushLockExclusiveEx(PVOID PushLock, ULONG Flags);
VOID NTAPI ExReleaseCacheAwarePushLockExclusive(PVOID PushLock);
PULONG_PTR FASTCALL ExAcquireCacheAwarePushLockSharedEx(PVOID PushLock, ULONG Flags);
PULONG_PTR FASTCALL ExTryAcquireCacheAwarePushLockSharedEx(PVOID PushLock, ULONG Flags);
VOID FASTCALL ExReleaseCacheAwarePushLockSharedEx(PULONG_PTR PushLock, ULONG Flags);
typedef struct _EX_PUSH_LOCK_AUTO_EXPAND {
  ULONG_PTR LocalLock;
  ULONG State;
  ULONG Stats;
} EX_PUSH_LOCK_AUTO_EXPAND, *PEX_PUSH_LOCK_AUTO_EXPAND;
VOID NTAPI ExInitializeAutoExpandPushLock(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags);
VOID NTAPI ExCleanupAutoExpandPushLock(PEX_PUSH_LOCK_AUTO_EXPAND PushLock);
VOID FASTCALL ExAcquireAutoExpandPushLockExclusive(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags);
BOOLEAN FASTCALL ExTryAcquireAutoExpandPushLockExclusive(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags);
VOID FASTCALL ExReleaseAutoExpandPushLockExclusive(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags);
PVOID FASTCALL ExAcquireAutoExpandPushLockShared(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags);
PVOID FASTCALL ExTryAcquireAutoExpandPushLockShared(PEX_PUSH_LOCK_AUTO_EXPAND PushLock, ULONG Flags);
VOID FASTCALL ExReleaseAutoExpandPushLockShared(PVOID PushLock, ULONG Flags);

// ---- Fast mutexes, resources, work items ----
PVOID FASTCALL ExEnterCriticalRegionAndAcquireFastMutexUnsafe(PFAST_MUTEX FastMutex);
VOID FASTCALL ExReleaseFastMutexUnsafeAndLeaveCriticalRegion(PFAST_MUTEX FastMutex);
#ifndef FLAG_OWNER_POINTER_IS_THREAD
#define FLAG_OWNER_POINTER_IS_THREAD 0x1
#endif
PVOID NTAPI ExEnterPriorityRegionAndAcquireResourceExclusive(PERESOURCE Resource);
PVOID NTAPI ExEnterPriorityRegionAndAcquireResourceShared(PERESOURCE Resource);
VOID FASTCALL ExReleaseResourceAndLeavePriorityRegion(PERESOURCE Resource);
BOOLEAN NTAPI IoTryQueueWorkItem(PIO_WORKITEM IoWorkItem, PIO_WORKITEM_ROUTINE_EX WorkerRoutine,
                                 WORK_QUEUE_TYPE QueueType, PVOID Context);
BOOLEAN NTAPI ExTryQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType);

}  // extern "C"
