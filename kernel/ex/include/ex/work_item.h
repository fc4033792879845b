// Work items for modules that put something around the routine (io).
#pragma once

#include "ke/ke.h"

#ifndef WORKER_INVALID
#define WORKER_INVALID 0xE4
#endif
#ifndef WORKER_THREAD_RETURNED_AT_BAD_IRQL
#define WORKER_THREAD_RETURNED_AT_BAD_IRQL 0xE1
#endif
#ifndef SYSTEM_EXIT_OWNED_MUTEX
#define SYSTEM_EXIT_OWNED_MUTEX 0x39
#endif
#ifndef APC_INDEX_MISMATCH
#define APC_INDEX_MISMATCH 0x1
#endif

extern "C" {
// An item is claimed (List.Flink) from before it is queued until a worker takes it. FALSE: it is already.
BOOLEAN ExpClaimWorkItem(PWORK_QUEUE_ITEM item);
// Queues a claimed item; bug check 0xE4 for a type or a routine that cannot be.
VOID ExpInsertWorkItem(PWORK_QUEUE_ITEM item, WORK_QUEUE_TYPE type);
VOID NTAPI ExpWorkerThread(PVOID Context);
}

namespace ex {

// What a worker routine must leave as it found it; `item` may be freed by now. Inline: the bug check's caller
// is the function that called the routine.
__attribute__((always_inline)) inline void CheckWorkerReturn(PVOID routine, PVOID parameter, PVOID item) {
  const auto code = reinterpret_cast<ULONG_PTR>(routine);
  const KIRQL irql = KeGetCurrentIrql();
  if (irql != PASSIVE_LEVEL) {
    KeBugCheckEx(WORKER_THREAD_RETURNED_AT_BAD_IRQL, code, irql, reinterpret_cast<ULONG_PTR>(parameter),
                 reinterpret_cast<ULONG_PTR>(item));
  }
  PKTHREAD thread = KeCurrentThread();
  if (thread->MutantListHead.Flink != nullptr && !IsListEmpty(&thread->MutantListHead)) {
    KeBugCheckEx(SYSTEM_EXIT_OWNED_MUTEX, code, reinterpret_cast<ULONG_PTR>(parameter),
                 reinterpret_cast<ULONG_PTR>(item), 0);
  }
  if (thread->CombinedApcDisable != 0)
    KeBugCheckEx(APC_INDEX_MISMATCH, code, thread->ApcStateIndex, thread->CombinedApcDisable, 1);
}

}  // namespace ex
