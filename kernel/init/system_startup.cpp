// The kernel's entry. Placeholder body until ke lands: says that the machine arrived here and halts.
#include "nt/export.h"
#include "nt/ntos.h"
#include "boot/control.h"
#include "boot/loader_block.h"

extern "C" [[noreturn]] void KiSystemStartup(const boot::LoaderBlock* block) {
  auto* control = reinterpret_cast<boot::ControlArea*>(boot::kPhysicalMapBase + block->control_physical);
  control->state = boot::MachineState::kKernelEntered;
  for (;;) __asm__ volatile("hlt");
}

/// Breaks into the kernel debugger with a status: there is none attached, so the breakpoint exception is the result.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/DbgBreakPointWithStatus.
NT_EXPORT(DbgBreakPointWithStatus, nt::AnyIrql(), Full, "");
extern "C" VOID NTAPI DbgBreakPointWithStatus(ULONG Status) { __debugbreak(); }
