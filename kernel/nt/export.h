// NT_EXPORT: makes a function (or datum) an export of ntoskrnl.exe and records what it promises. The record
// is a 128-byte constant in the image's .ntexp section; a post-link step joins records, export directory,
// manual pages and tests (tools/exports.py) and fails the build where they disagree.
//
//   /// Signals an event: releases one waiter (synchronization) or all (notification). Returns the previous
//   state.
//   /// IRQL: <= DISPATCH_LEVEL; with Wait TRUE <= APC_LEVEL.
//   /// Differs from NT: none.
//   /// Source: WDK wdm/KeSetEvent.
//   NT_EXPORT(KeSetEvent, nt::AtMost(DISPATCH_LEVEL), Full, "KeEvent.Set*");
//   LONG NTAPI KeSetEvent(PRKEVENT Event, KPRIORITY Increment, BOOLEAN Wait) { ... }
//
// Fidelity: Full, Partial (the page's "Differs from NT:" says what), Stub (the page says why).
// Tests: patterns "Suite.Name*", separated by spaces; "" only for stubs.
#pragma once

namespace nt {

struct IrqlRange {
  unsigned char min;
  unsigned char max;
};
constexpr IrqlRange AtMost(unsigned char irql) {
  return {0, irql};
}
constexpr IrqlRange Exactly(unsigned char irql) {
  return {irql, irql};
}
constexpr IrqlRange Between(unsigned char low, unsigned char high) {
  return {low, high};
}
constexpr IrqlRange AnyIrql() {
  return {0, 15};
}

enum class Fidelity : unsigned char { Full = 0, Partial = 1, Stub = 2 };

struct ExportRecord {
  char name[64];  // ExEnterCriticalRegionAndAcquireSharedWaitForExclusive has 53
  IrqlRange irql;
  Fidelity fidelity;
  unsigned char reserved;
  char tests[60];
};
static_assert(sizeof(ExportRecord) == 128);

}  // namespace nt

#define NT_EXPORT_RECORD(Name, Irql, Level, Tests)    \
  extern "C" __attribute__((section(".ntexp"), used)) \
  const nt::ExportRecord NtExportRecord_##Name = {#Name, Irql, nt::Fidelity::Level, 0, Tests}

#define NT_EXPORT(Name, Irql, Level, Tests) \
  __pragma(comment(linker, "/export:" #Name)) NT_EXPORT_RECORD(Name, Irql, Level, Tests)

// A datum: a driver reads it by __imp_Name (dllimport) or, as with the WDK, by Name, which is then the import
// slot.
#define NT_EXPORT_DATA(Name, Level, Tests) \
  __pragma(comment(linker, "/export:" #Name ",CONSTANT")) NT_EXPORT_RECORD(Name, nt::AnyIrql(), Level, Tests)
