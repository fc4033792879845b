// One-time initialization: the low two bits of the word say how far it is, the rest is the list of threads
// that wait (blocks on their stacks) or, at the end, the context.
#include "nt/export.h"
#include "nt/ntos.h"

namespace {

enum State : ULONG_PTR { kUntouched = 0, kRunning = 1, kDone = 2, kRunningAsync = 3 };
constexpr ULONG_PTR kStateBits = (1 << RTL_RUN_ONCE_CTX_RESERVED_BITS) - 1;

struct Waiter {
  ULONG_PTR next;  // as in the word, without the state
  KEVENT event;
};

ULONG_PTR Load(PRTL_RUN_ONCE once) {
  return reinterpret_cast<ULONG_PTR>(__atomic_load_n(&once->Ptr, __ATOMIC_ACQUIRE));
}
bool Exchange(PRTL_RUN_ONCE once, ULONG_PTR from, ULONG_PTR to) {
  return InterlockedCompareExchangePointer(&once->Ptr, reinterpret_cast<PVOID>(to),
                                           reinterpret_cast<PVOID>(from)) == reinterpret_cast<PVOID>(from);
}

// Waits until the thread that runs the initialization ends it, one way or the other.
void AwaitChange(PRTL_RUN_ONCE once, ULONG_PTR value) {
  alignas(8) Waiter waiter;
  KeInitializeEvent(&waiter.event, SynchronizationEvent, FALSE);
  waiter.next = value & ~kStateBits;
  if (!Exchange(once, value, reinterpret_cast<ULONG_PTR>(&waiter) | kRunning)) return;
  KeWaitForSingleObject(&waiter.event, Executive, KernelMode, FALSE, nullptr);
}

void Wake(ULONG_PTR value) {
  auto* waiter = reinterpret_cast<Waiter*>(value & ~kStateBits);
  while (waiter != nullptr) {
    auto* next = reinterpret_cast<Waiter*>(waiter->next);
    KeSetEvent(&waiter->event, 0, FALSE);
    waiter = next;
  }
}

}  // namespace

/// Prepares a one-time initialization.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRunOnceInitialize.
NT_EXPORT(RtlRunOnceInitialize, nt::AtMost(APC_LEVEL), Full, "RtlRunOnce.*");
extern "C" VOID NTAPI RtlRunOnceInitialize(PRTL_RUN_ONCE RunOnce) {
  RunOnce->Ptr = nullptr;
}

/// Begins a one-time initialization. STATUS_PENDING: the caller is to do it (with RTL_RUN_ONCE_ASYNC perhaps
/// beside others). STATUS_SUCCESS: it is done, *Context is its result. With RTL_RUN_ONCE_CHECK_ONLY nothing
/// is begun: STATUS_UNSUCCESSFUL if it is not done.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRunOnceBeginInitialize.
NT_EXPORT(RtlRunOnceBeginInitialize, nt::AtMost(APC_LEVEL), Full, "RtlRunOnce.*");
extern "C" NTSTATUS NTAPI RtlRunOnceBeginInitialize(PRTL_RUN_ONCE RunOnce, ULONG Flags, PVOID* Context) {
  constexpr ULONG kKnown = RTL_RUN_ONCE_CHECK_ONLY | RTL_RUN_ONCE_ASYNC;
  if ((Flags & ~kKnown) != 0 || Flags == kKnown) return STATUS_INVALID_PARAMETER_2;
  const bool async = (Flags & RTL_RUN_ONCE_ASYNC) != 0;
  for (;;) {
    const ULONG_PTR value = Load(RunOnce);
    const ULONG_PTR state = value & kStateBits;
    if (state == kDone) {
      if (Context != nullptr) *Context = reinterpret_cast<PVOID>(value & ~kStateBits);
      return STATUS_SUCCESS;
    }
    if ((Flags & RTL_RUN_ONCE_CHECK_ONLY) != 0) return STATUS_UNSUCCESSFUL;
    if (state == kUntouched) {
      if (Exchange(RunOnce, value, async ? kRunningAsync : kRunning)) return STATUS_PENDING;
      continue;
    }
    if ((state == kRunningAsync) != async) return STATUS_INVALID_PARAMETER_2;
    if (async) return STATUS_PENDING;
    AwaitChange(RunOnce, value);
  }
}

/// Ends a one-time initialization: Context (its low two bits clear) is the result, or
/// RTL_RUN_ONCE_INIT_FAILED leaves it to the next. With RTL_RUN_ONCE_ASYNC STATUS_UNSUCCESSFUL if another
/// thread was first.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRunOnceComplete.
NT_EXPORT(RtlRunOnceComplete, nt::AtMost(APC_LEVEL), Full, "RtlRunOnce.*");
extern "C" NTSTATUS NTAPI RtlRunOnceComplete(PRTL_RUN_ONCE RunOnce, ULONG Flags, PVOID Context) {
  constexpr ULONG kKnown = RTL_RUN_ONCE_INIT_FAILED | RTL_RUN_ONCE_ASYNC;
  if ((Flags & ~kKnown) != 0 || Flags == kKnown) return STATUS_INVALID_PARAMETER_2;
  const bool failed = (Flags & RTL_RUN_ONCE_INIT_FAILED) != 0;
  const auto context = reinterpret_cast<ULONG_PTR>(Context);
  if ((context & kStateBits) != 0 || (failed && context != 0)) return STATUS_INVALID_PARAMETER_3;
  const ULONG_PTR result = failed ? kUntouched : context | kDone;
  for (;;) {
    const ULONG_PTR value = Load(RunOnce);
    const ULONG_PTR state = value & kStateBits;
    if (state == kUntouched || state == kDone) return STATUS_UNSUCCESSFUL;
    if ((state == kRunningAsync) != ((Flags & RTL_RUN_ONCE_ASYNC) != 0)) return STATUS_INVALID_PARAMETER_2;
    if (!Exchange(RunOnce, value, result)) continue;
    if (state == kRunning) Wake(value);
    return STATUS_SUCCESS;
  }
}

/// Calls InitFn unless that was done with success already; other threads wait meanwhile. STATUS_UNSUCCESSFUL
/// if it returns 0: then the next caller tries.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRunOnceExecuteOnce.
NT_EXPORT(RtlRunOnceExecuteOnce, nt::AtMost(APC_LEVEL), Full, "RtlRunOnce.*");
extern "C" NTSTATUS NTAPI RtlRunOnceExecuteOnce(PRTL_RUN_ONCE RunOnce, PRTL_RUN_ONCE_INIT_FN InitFn,
                                                PVOID Parameter, PVOID* Context) {
  PVOID result = nullptr;
  NTSTATUS status = RtlRunOnceBeginInitialize(RunOnce, 0, &result);
  if (status == STATUS_PENDING) {
    if (InitFn(RunOnce, Parameter, &result) != 0) {
      status = RtlRunOnceComplete(RunOnce, 0, result);
    } else {
      RtlRunOnceComplete(RunOnce, RTL_RUN_ONCE_INIT_FAILED, nullptr);
      status = STATUS_UNSUCCESSFUL;
    }
  }
  if (NT_SUCCESS(status) && Context != nullptr)
    *Context = reinterpret_cast<PVOID>(reinterpret_cast<ULONG_PTR>(result) & ~kStateBits);
  return status;
}
