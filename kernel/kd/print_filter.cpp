// Filters of debug messages by component and level, and routines that hear them.
#include "kd/print_filter.h"

#include "nt/export.h"

namespace kd {
namespace {

constexpr ULONG kComponents = DPFLTR_ENDOFTABLE_ID;
constexpr ULONG kCallbacks = 8;

// Bits that are off: at first every message is printed, for nobody has asked a debugger to be quiet.
volatile ULONG hidden[kComponents];

struct Callback {
  volatile PDEBUG_PRINT_CALLBACK routine;
  volatile LONG calls;  // in flight
};
Callback callbacks[kCallbacks];
KSPIN_LOCK lock;            // which slots are taken
volatile LONG registered;   // how many
volatile LONG telling[64];  // by processor, at DISPATCH_LEVEL: a callback runs there

struct ComponentName {
  const char* name;
  ULONG id;
};
constexpr ComponentName kNames[] = {
#include "debug_components.inc"
};

// A level below 32 is a bit's number, any other a mask.
ULONG BitsOf(ULONG level) {
  return level < 32 ? 1u << level : level;
}

bool Matches(const WCHAR* text, const char* name) {
  for (; *name != 0; ++name, ++text) {
    const WCHAR upper = *text >= 'a' && *text <= 'z' ? static_cast<WCHAR>(*text - 32) : *text;
    if (upper != static_cast<WCHAR>(*name)) return false;
  }
  return *text == 0;
}

}  // namespace

bool PrintAllowed(ULONG component, ULONG level) {
  if (component >= kComponents) component = DPFLTR_DEFAULT_ID;
  return (BitsOf(level) & ~hidden[component]) != 0;
}

void SetPrintMask(const WCHAR* name, ULONG mask) {
  for (const ComponentName& component : kNames) {
    if (Matches(name, component.name)) hidden[component.id] = ~mask;
  }
}

void TellPrintCallbacks(PSTRING text, ULONG component, ULONG level) {
  if (registered == 0) return;
  KIRQL old_irql = KeGetCurrentIrql();
  if (old_irql < DISPATCH_LEVEL) KeRaiseIrql(DISPATCH_LEVEL, &old_irql);
  volatile LONG* own = &telling[KeGetCurrentProcessorNumberEx(nullptr) % RTL_NUMBER_OF(telling)];
  if (InterlockedExchange(own, 1) == 0) {
    for (Callback& callback : callbacks) {
      InterlockedIncrement(&callback.calls);
      if (const PDEBUG_PRINT_CALLBACK routine = callback.routine; routine != nullptr) {
        routine(text, component, level);
      }
      InterlockedDecrement(&callback.calls);
    }
    *own = 0;
  }
  if (old_irql < DISPATCH_LEVEL) KeLowerIrql(old_irql);
}

}  // namespace kd

extern "C" {

/// Tells whether messages of a component and level are printed: TRUE, FALSE, or an error if there is no such
/// component.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/DbgQueryDebugFilterState.
NT_EXPORT(DbgQueryDebugFilterState, nt::AnyIrql(), Full, "KdFilter.*");
NTSTATUS NTAPI DbgQueryDebugFilterState(ULONG ComponentId, ULONG Level) {
  if (ComponentId >= kd::kComponents) return STATUS_INVALID_PARAMETER_1;
  return kd::PrintAllowed(ComponentId, Level) ? TRUE : FALSE;
}

/// Turns messages of a component and level on or off.
/// IRQL: any.
/// Differs from NT: none; but at first all messages are on.
/// Source: WDK wdm/DbgSetDebugFilterState.
NT_EXPORT(DbgSetDebugFilterState, nt::AnyIrql(), Full, "KdFilter.*");
NTSTATUS NTAPI DbgSetDebugFilterState(ULONG ComponentId, ULONG Level, BOOLEAN State) {
  if (ComponentId >= kd::kComponents) return STATUS_INVALID_PARAMETER_1;
  auto* bits = reinterpret_cast<volatile LONG*>(&kd::hidden[ComponentId]);
  const auto own = static_cast<LONG>(kd::BitsOf(Level));
  if (State) {
    InterlockedAnd(bits, ~own);
  } else {
    InterlockedOr(bits, own);
  }
  return STATUS_SUCCESS;
}

/// Adds or removes a routine that hears every message that is printed, at DISPATCH_LEVEL or the caller's IRQL
/// above it; what the routine prints itself it does not hear. Returns when a removed routine has ended
/// everywhere.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: at most eight routines.
/// Source: WDK wdm header.
NT_EXPORT(DbgSetDebugPrintCallback, nt::AtMost(DISPATCH_LEVEL), Full, "KdFilter.*");
NTSTATUS NTAPI DbgSetDebugPrintCallback(PDEBUG_PRINT_CALLBACK DebugPrintCallback, BOOLEAN Enable) {
  if (DebugPrintCallback == nullptr) return STATUS_INVALID_PARAMETER;
  const PDEBUG_PRINT_CALLBACK wanted = Enable ? nullptr : DebugPrintCallback;
  KIRQL irql;
  KeAcquireSpinLock(&kd::lock, &irql);
  kd::Callback* found = nullptr;
  for (kd::Callback& callback : kd::callbacks) {
    if (found == nullptr && callback.routine == wanted) found = &callback;
  }
  if (found != nullptr) {
    found->routine = Enable ? DebugPrintCallback : nullptr;
    InterlockedExchangeAdd(&kd::registered, Enable ? 1 : -1);
  }
  KeReleaseSpinLock(&kd::lock, irql);
  if (found == nullptr) return Enable ? STATUS_INSUFFICIENT_RESOURCES : STATUS_INVALID_PARAMETER;
  while (!Enable && found->calls != 0) YieldProcessor();
  return STATUS_SUCCESS;
}

}  // extern "C"
