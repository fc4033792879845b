// Drivers' NMI callbacks. An NMI comes at any instruction: the list is read without a lock, and a record is
// freed only when no processor is inside it.
#include "ke_internal.h"
#include "nt/export.h"

namespace {

struct NmiCallback {
  NmiCallback* volatile next;
  PNMI_CALLBACK routine;
  PVOID context;
};

constexpr ULONG kTag = 'imNK';
NmiCallback* volatile callbacks;
KSPIN_LOCK callbacks_lock;
volatile long processors_inside;

}  // namespace

extern "C" {

// In the NMI, on its own stack. TRUE: a driver says that it was its own.
BOOLEAN KiRunNmiCallbacks() {
  __atomic_add_fetch(&processors_inside, 1, __ATOMIC_SEQ_CST);
  BOOLEAN handled = FALSE;
  for (NmiCallback* callback = callbacks; callback != nullptr; callback = callback->next) {
    if (callback->routine(callback->context, handled)) handled = TRUE;
  }
  __atomic_sub_fetch(&processors_inside, 1, __ATOMIC_SEQ_CST);
  return handled;
}

/// Registers a routine for nonmaskable interrupts that are not the system's own. If none says that the
/// interrupt was its own, it is bug check 80. The handle is for KeDeregisterNmiCallback; 0 on failure.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeRegisterNmiCallback.
NT_EXPORT(KeRegisterNmiCallback, nt::AtMost(APC_LEVEL), Full, "KeNmi.*");
PVOID NTAPI KeRegisterNmiCallback(PNMI_CALLBACK CallbackRoutine, PVOID Context) {
  auto* callback =
      static_cast<NmiCallback*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(NmiCallback), kTag));
  if (callback == nullptr) return nullptr;
  KIRQL irql;
  KeAcquireSpinLock(&callbacks_lock, &irql);
  callback->routine = CallbackRoutine;
  callback->context = Context;
  callback->next = callbacks;
  __atomic_store_n(&callbacks, callback, __ATOMIC_RELEASE);
  KeReleaseSpinLock(&callbacks_lock, irql);
  return callback;
}

/// Takes a registration back; when it returns the routine runs nowhere.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeDeregisterNmiCallback.
NT_EXPORT(KeDeregisterNmiCallback, nt::AtMost(APC_LEVEL), Full, "KeNmi.*");
NTSTATUS NTAPI KeDeregisterNmiCallback(PVOID Handle) {
  KIRQL irql;
  KeAcquireSpinLock(&callbacks_lock, &irql);
  NmiCallback* volatile* link = &callbacks;
  while (*link != nullptr && *link != Handle) link = &(*link)->next;
  NmiCallback* found = *link;
  if (found != nullptr) *link = found->next;
  KeReleaseSpinLock(&callbacks_lock, irql);
  if (found == nullptr) return STATUS_INVALID_HANDLE;
  while (__atomic_load_n(&processors_inside, __ATOMIC_SEQ_CST) != 0) arch::Pause();
  ExFreePoolWithTag(found, kTag);
  return STATUS_SUCCESS;
}

}  // extern "C"
