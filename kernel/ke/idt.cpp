// The interrupt table: one for all processors (the IST stacks differ, through the TSS).
#include "ke_internal.h"

// clang-format off
#define KI_TRAPS(X) \
  X(0, KiDivideErrorFault, 0, false) \
  X(1, KiDebugTrapOrFault, 0, false) \
  X(2, KiNmiInterrupt, arch::kIstNmi, false) \
  X(3, KiBreakpointTrap, 0, true) \
  X(4, KiOverflowTrap, 0, true) \
  X(5, KiBoundFault, 0, false) \
  X(6, KiInvalidOpcodeFault, 0, false) \
  X(7, KiNpxNotAvailableFault, 0, false) \
  X(8, KiDoubleFaultAbort, arch::kIstDoubleFault, false) \
  X(9, KiNpxSegmentOverrunAbort, 0, false) \
  X(10, KiInvalidTssFault, 0, false) \
  X(11, KiSegmentNotPresentFault, 0, false) \
  X(12, KiStackFault, 0, false) \
  X(13, KiGeneralProtectionFault, 0, false) \
  X(14, KiPageFault, 0, false) \
  X(15, KiUnexpectedTrap, 0, false) \
  X(16, KiFloatingErrorFault, 0, false) \
  X(17, KiAlignmentFault, 0, false) \
  X(18, KiMcheckAbort, arch::kIstMachineCheck, false) \
  X(19, KiXmmException, 0, false) \
  X(0x29, KiRaiseSecurityCheckFailure, 0, true) \
  X(0x2C, KiRaiseAssertion, 0, true) \
  X(0x2D, KiDebugServiceTrap, 0, true) \
  X(hal::kApcVector, KiApcInterrupt, 0, false) \
  X(hal::kDispatchVector, KiDpcInterrupt, 0, false) \
  X(hal::kClockVector, KiClockInterrupt, 0, false) \
  X(hal::kIpiVector, KiIpiInterrupt, 0, false) \
  X(hal::kSpuriousVector, KiSpuriousInterrupt, 0, false)
// clang-format on

extern "C" {
#define KI_DECLARE(vector, name, ist, user) void name();
KI_TRAPS(KI_DECLARE)
extern const UCHAR KiIsrThunk[256][16];
arch::Gate KiIdt[256];
}

const arch::Gate* KiInterruptTable() {
  for (ULONG vector = 0; vector < 256; ++vector) {
    const void* handler =
        vector < 0x20 ? reinterpret_cast<const void*>(&KiUnexpectedTrap) : KiIsrThunk[vector];
    arch::SetGate(KiIdt[vector], handler, 0, false);
  }
#define KI_SET(vector, name, ist, user) \
  arch::SetGate(KiIdt[vector], reinterpret_cast<const void*>(&name), ist, user);
  KI_TRAPS(KI_SET)
  return KiIdt;
}
