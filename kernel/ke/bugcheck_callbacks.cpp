// Drivers' bug check callbacks.
#include "ke/bugcheck.h"
#include "ke_internal.h"
#include "nt/export.h"

extern "C" LIST_ENTRY KeBugCheckCallbackListHead = {&KeBugCheckCallbackListHead, &KeBugCheckCallbackListHead};

namespace {

KSPIN_LOCK callbacks_lock;

ULONG_PTR Checksum(const KBUGCHECK_CALLBACK_RECORD* record) {
  return reinterpret_cast<ULONG_PTR>(record->CallbackRoutine) + reinterpret_cast<ULONG_PTR>(record->Buffer) +
         record->Length + reinterpret_cast<ULONG_PTR>(record->Component);
}

}  // namespace

extern "C" {

// Every other processor is frozen and the dump is described: a routine that faults or hangs spoils nothing.
VOID KiRunBugCheckCallbacks() {
  ULONG limit = 256;  // a broken list ends somewhere
  for (LIST_ENTRY* link = KeBugCheckCallbackListHead.Flink; link != &KeBugCheckCallbackListHead && limit > 0;
       link = link->Flink, --limit) {
    auto* record = CONTAINING_RECORD(link, KBUGCHECK_CALLBACK_RECORD, Entry);
    if (record->State != BufferInserted || record->Checksum != Checksum(record)) continue;
    record->State = BufferStarted;
    record->CallbackRoutine(record->Buffer, record->Length);
    record->State = BufferFinished;
  }
}

/// Registers a routine that is called when the machine stops. FALSE: the record is registered already.
/// IRQL: any.
/// Differs from NT: the routine runs when the dump is already described: what it changes may or may not be in
/// it. Source: WDK wdm/KeRegisterBugCheckCallback.
NT_EXPORT(KeRegisterBugCheckCallback, nt::AnyIrql(), Partial, "KeBugCheck.*");
BOOLEAN NTAPI KeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord,
                                         PKBUGCHECK_CALLBACK_ROUTINE CallbackRoutine, PVOID Buffer,
                                         ULONG Length, PUCHAR Component) {
  const KIRQL old_irql = KfRaiseIrql(HIGH_LEVEL);
  KeAcquireSpinLockAtDpcLevel(&callbacks_lock);
  const bool free = CallbackRecord->State == BufferEmpty;
  if (free) {
    CallbackRecord->CallbackRoutine = CallbackRoutine;
    CallbackRecord->Buffer = Buffer;
    CallbackRecord->Length = Length;
    CallbackRecord->Component = Component;
    CallbackRecord->Checksum = Checksum(CallbackRecord);
    CallbackRecord->State = BufferInserted;
    InsertTailList(&KeBugCheckCallbackListHead, &CallbackRecord->Entry);
  }
  KeReleaseSpinLockFromDpcLevel(&callbacks_lock);
  KeLowerIrql(old_irql);
  return free;
}

/// Takes a registration back. FALSE: it was not registered.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeDeregisterBugCheckCallback.
NT_EXPORT(KeDeregisterBugCheckCallback, nt::AnyIrql(), Full, "KeBugCheck.*");
BOOLEAN NTAPI KeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord) {
  const KIRQL old_irql = KfRaiseIrql(HIGH_LEVEL);
  KeAcquireSpinLockAtDpcLevel(&callbacks_lock);
  const bool registered = CallbackRecord->State == BufferInserted;
  if (registered) {
    CallbackRecord->State = BufferEmpty;
    RemoveEntryList(&CallbackRecord->Entry);
  }
  KeReleaseSpinLockFromDpcLevel(&callbacks_lock);
  KeLowerIrql(old_irql);
  return registered;
}

}  // extern "C"
