// Function tables, one-frame unwinding and stack traces for drivers.
#include "ke/crash_hooks.h"
#include "ke_internal.h"
#include "nt/export.h"
#include "unwind_frames.h"

namespace {

// Return addresses from the caller of the exported function outward. At any IRQL: reads stacks within their
// bounds and unwind data only.
KI_NOINLINE ULONG Walk(PVOID* callers, ULONG skip, ULONG count) {
  CONTEXT context;
  RtlCaptureContext(&context);
  ki::FrameWalk walk(&context, true);
  ULONG found = 0;
  // The first two steps leave this function and the exported one.
  for (ULONG depth = 0; walk.valid() && found < count; ++depth) {
    if (!walk.Leave(UNW_FLAG_NHANDLER) || walk.at_end()) break;
    if (depth >= 1 + skip) callers[found++] = reinterpret_cast<PVOID>(walk.pc());
  }
  return found;
}

// The entry of a history table that covers `pc`; null: none does.
const RUNTIME_FUNCTION* FindInHistory(const UNWIND_HISTORY_TABLE& history, ULONG64 pc, ULONG64* base) {
  if (pc < history.LowAddress || pc >= history.HighAddress) return nullptr;
  for (ULONG i = 0; i < history.Count && i < UNWIND_HISTORY_TABLE_SIZE; ++i) {
    const auto& entry = history.Entry[i];
    const ULONG64 offset = pc - entry.ImageBase;
    if (offset < entry.FunctionEntry->begin || offset >= entry.FunctionEntry->end) continue;
    *base = entry.ImageBase;
    return entry.FunctionEntry;
  }
  return nullptr;
}

void AddToHistory(PUNWIND_HISTORY_TABLE history, ULONG64 base, const RUNTIME_FUNCTION* function) {
  if (history->Count >= UNWIND_HISTORY_TABLE_SIZE) return;
  const ULONG64 begin = base + function->begin, end = base + function->end;
  if (history->Count == 0 || begin < history->LowAddress) history->LowAddress = begin;
  if (history->Count == 0 || end > history->HighAddress) history->HighAddress = end;
  history->Entry[history->Count++] = {base, function};
}

}  // namespace

extern "C" {

/// The function table entry for an address, 0 for a leaf function; *ImageBase is its image's. What a history
/// table that is to be searched has is answered from it, what it has not is added while it has room.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h RtlLookupFunctionEntry, UNWIND_HISTORY_TABLE.
NT_EXPORT(RtlLookupFunctionEntry, nt::AnyIrql(), Full, "RtlUnwind.*");
const RUNTIME_FUNCTION* NTAPI RtlLookupFunctionEntry(ULONG64 ControlPc, PULONG64 ImageBase,
                                                     PUNWIND_HISTORY_TABLE HistoryTable) {
  const bool history = HistoryTable != nullptr && HistoryTable->Search != UNWIND_HISTORY_TABLE_NONE;
  if (history) {
    if (const auto* known = FindInHistory(*HistoryTable, ControlPc, ImageBase); known != nullptr)
      return known;
  }
  ki::ImageFunctions image;
  const RUNTIME_FUNCTION* function = image.Find(ControlPc);
  *ImageBase = image.base;
  if (history && function != nullptr) AddToHistory(HistoryTable, image.base, function);
  return function;
}

/// Leaves one frame: ContextRecord becomes the caller's. Returns the frame's language handler if it is of
/// HandlerType and the function's body executes.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h RtlVirtualUnwind.
NT_EXPORT(RtlVirtualUnwind, nt::AnyIrql(), Full, "RtlUnwind.*");
PKLANGUAGE_HANDLER NTAPI RtlVirtualUnwind(ULONG HandlerType, ULONG64 ImageBase, ULONG64 ControlPc,
                                          const RUNTIME_FUNCTION* FunctionEntry, PCONTEXT ContextRecord,
                                          const VOID** HandlerData, PULONG64 EstablisherFrame,
                                          PKNONVOLATILE_CONTEXT_POINTERS ContextPointers) {
  rtl::UnwindResult result = {};
  if (!rtl::UnwindFunction(ImageBase, ControlPc, FunctionEntry, HandlerType, false, rtl::kAnyStack,
                           ki::RegistersOf(ContextRecord, ContextPointers), &result)) {
    RtlRaiseStatus(STATUS_BAD_FUNCTION_TABLE);
  }
  *EstablisherFrame = result.establisher;
  if (result.handler != 0) *HandlerData = result.handler_data;
  return reinterpret_cast<PKLANGUAGE_HANDLER>(result.handler);
}

/// The base of the image that contains an address, 0 if none does.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h RtlPcToFileHeader.
NT_EXPORT(RtlPcToFileHeader, nt::AnyIrql(), Full, "RtlUnwind.*");
PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID* BaseOfImage) {
  PKLDR_DATA_TABLE_ENTRY entry = KiCrash.find_image(PcValue);
  return *BaseOfImage = entry != nullptr ? entry->DllBase : nullptr;
}

/// The return addresses on the current stack, skipping FramesToSkip of them; the hash is their sum.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlCaptureStackBackTrace.
NT_EXPORT(RtlCaptureStackBackTrace, nt::AnyIrql(), Full, "RtlUnwind.*");
USHORT NTAPI RtlCaptureStackBackTrace(ULONG FramesToSkip, ULONG FramesToCapture, PVOID* BackTrace,
                                      PULONG BackTraceHash) {
  const ULONG count = Walk(BackTrace, FramesToSkip, FramesToCapture < 0xFFFF ? FramesToCapture : 0xFFFF);
  if (BackTraceHash != nullptr) {
    ULONG hash = 0;
    for (ULONG i = 0; i < count; ++i) hash += static_cast<ULONG>(reinterpret_cast<ULONG64>(BackTrace[i]));
    *BackTraceHash = hash;
  }
  return static_cast<USHORT>(count);
}

/// The return addresses on the current stack; the upper 24 bits of Flags skip frames.
/// IRQL: any.
/// Differs from NT: user stacks (flag 1) have no frames.
/// Source: WDK ntddk/RtlWalkFrameChain.
NT_EXPORT(RtlWalkFrameChain, nt::AnyIrql(), Partial, "RtlUnwind.*");
ULONG NTAPI RtlWalkFrameChain(PVOID* Callers, ULONG Count, ULONG Flags) {
  if ((Flags & 1) != 0) return 0;
  return Walk(Callers, Flags >> 8, Count);
}

/// The addresses that the caller and its caller will return to.
/// IRQL: any.
/// Differs from NT: none.
/// Source: ntoskrnl RtlGetCallersAddress.
NT_EXPORT(RtlGetCallersAddress, nt::AnyIrql(), Full, "RtlUnwind.*");
VOID NTAPI RtlGetCallersAddress(PVOID* CallersAddress, PVOID* CallersCaller) {
  PVOID callers[2] = {nullptr, nullptr};
  Walk(callers, 1, 2);
  *CallersAddress = callers[0];
  *CallersCaller = callers[1];
}

/// The registers of the caller, as they are when this returns.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: winnt.h RtlCaptureContext.
NT_EXPORT(RtlCaptureContext, nt::AtMost(DISPATCH_LEVEL), Full, "RtlUnwind.*");

/// Goes on where the context says; a record of STATUS_LONGJUMP, from the jump buffer in it; one of
/// STATUS_UNWIND_CONSOLIDATE, where the routine says that it names.
/// IRQL: any.
/// Differs from NT: none.
/// Source: winnt.h RtlRestoreContext.
NT_EXPORT(RtlRestoreContext, nt::AnyIrql(), Full, "RtlUnwind.*");

}  // extern "C"
