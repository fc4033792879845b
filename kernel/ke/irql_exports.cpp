// IRQL: CR8 is the IRQL. Drivers inline these; the exports are for those that do not.
//
// A free build of Windows does not check that KeRaiseIrql raises and KeLowerIrql lowers; neither does this
// one. Driver Verifier does (0xC4, 0x30 and 0x31). IRQL_NOT_DISPATCH_LEVEL (0x8) and
// IRQL_NOT_GREATER_OR_EQUAL (0x9) came from checked builds.
//
// To lower CR8 is to take the interrupts that waited, highest first: devices, then the DPC interrupt (DPCs,
// timers, a rescheduling), then the APC interrupt. All have run when the routine returns.
#include "ke_internal.h"
#include "nt/export.h"

extern "C" {

/// The processor's IRQL.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeGetCurrentIrql.
NT_EXPORT(KeGetCurrentIrql, nt::AnyIrql(), Full, "KeIrql.*");
KIRQL NTAPI KeGetCurrentIrql() {
  return static_cast<KIRQL>(arch::ReadCr8());
}

/// Raises the IRQL; returns the old one.
/// IRQL: <= NewIrql.
/// Differs from NT: none.
/// Source: WDK wdm/KeRaiseIrql.
NT_EXPORT(KfRaiseIrql, nt::AnyIrql(), Full, "KeIrql.*");
KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql) {
  const KIRQL old_irql = static_cast<KIRQL>(arch::ReadCr8());
  arch::WriteCr8(NewIrql);
  return old_irql;
}

/// Raises to DISPATCH_LEVEL; returns the old IRQL.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm/KeRaiseIrqlToDpcLevel.
NT_EXPORT(KeRaiseIrqlToDpcLevel, nt::AtMost(DISPATCH_LEVEL), Full, "KeIrql.*");
KIRQL NTAPI KeRaiseIrqlToDpcLevel() {
  return KfRaiseIrql(DISPATCH_LEVEL);
}

/// Raises to SYNCH_LEVEL (12); returns the old IRQL.
/// IRQL: <= SYNCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK wdm header: KeRaiseIrqlToSynchLevel.
NT_EXPORT(KeRaiseIrqlToSynchLevel, nt::AtMost(12), Full, "KeIrql.*");
KIRQL NTAPI KeRaiseIrqlToSynchLevel() {
  return KfRaiseIrql(12);
}

/// Lowers the IRQL; interrupts that waited are taken at once.
/// IRQL: >= NewIrql.
/// Differs from NT: none.
/// Source: WDK wdm/KeLowerIrql.
NT_EXPORT(KeLowerIrql, nt::AnyIrql(), Full, "KeIrql.*");
VOID NTAPI KeLowerIrql(KIRQL NewIrql) {
  arch::WriteCr8(NewIrql);
}

/// The IRQL that counts: HIGH_LEVEL while interrupts are disabled, otherwise the processor's IRQL.
/// IRQL: any.
/// Differs from NT: none known.
/// Source: exported by Windows 8 and later; not documented.
NT_EXPORT(KeGetEffectiveIrql, nt::AnyIrql(), Full, "KeIrql.Effective*");
KIRQL NTAPI KeGetEffectiveIrql() {
  if ((arch::ReadFlags() & arch::kRflagsInterrupt) == 0) return HIGH_LEVEL;
  return static_cast<KIRQL>(arch::ReadCr8());
}

}  // extern "C"
