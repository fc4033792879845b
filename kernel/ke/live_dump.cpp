// A dump of the running machine (0x161): no processor stops for good.
#include "kd/kd.h"
#include "ke/bugcheck.h"
#include "ke_internal.h"

namespace {

struct Gathering {
  PKPRCB leader;
  volatile ULONG arrived;
  volatile ULONG over;
};

void WaitForHost() {
  volatile boot::LiveDump& state = kd::Control()->live_dump;
  state = boot::LiveDump::kReady;
  hal::RingHost();
  while (state != boot::LiveDump::kTaken) arch::Pause();
  state = boot::LiveDump::kNone;
}

// On every processor at once, at IPI_LEVEL: each leaves its registers where a debugger looks for them.
ULONG_PTR Gather(ULONG_PTR argument) {
  auto* gathering = reinterpret_cast<Gathering*>(argument);
  PKPRCB prcb = KeGetCurrentPrcb();
  RtlCaptureContext(&prcb->ProcessorState.ContextFrame);
  KiSaveSpecialRegisters(&prcb->ProcessorState.SpecialRegisters);
  KiResolveLockTrace(prcb);
  prcb->Context = &prcb->ProcessorState.ContextFrame;
  __atomic_add_fetch(&gathering->arrived, 1, __ATOMIC_ACQ_REL);
  if (prcb != gathering->leader) {
    while (__atomic_load_n(&gathering->over, __ATOMIC_ACQUIRE) == 0) arch::Pause();
    return 0;
  }
  while (__atomic_load_n(&gathering->arrived, __ATOMIC_ACQUIRE) < static_cast<ULONG>(KeNumberProcessors)) {
    arch::Pause();
  }
  KiDescribeLiveDump(&prcb->ProcessorState.ContextFrame);
  WaitForHost();
  __atomic_store_n(&gathering->over, 1, __ATOMIC_RELEASE);
  return 0;
}

}  // namespace

extern "C" VOID KiTakeLiveDump() {
  // The leader stays on its processor: nobody may move this thread before the others have gathered.
  const KIRQL irql = KfRaiseIrql(DISPATCH_LEVEL);
  Gathering gathering = {KeGetCurrentPrcb(), 0, 0};
  KeIpiGenericCall(Gather, reinterpret_cast<ULONG_PTR>(&gathering));
  KeLowerIrql(irql);
}
