// !pcr: a processor's control region.
#include "commands/command.h"
#include "commands/nt_kernel.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  const uint64_t number = TRY(AddressOr(context, call.arguments, context.session.current_processor()));
  if (number >= context.session.processor_count())
    return base::Fail(fmt::format("there is no processor 0x{:x}", number));
  const auto processor = TRY(context.session.GetProcessor(static_cast<uint32_t>(number)));
  const auto prcb_offset = context.kernel.type("_KPCR").OffsetOf("Prcb");
  Output& out = context.out;
  if (!prcb_offset) return base::Fail("the kernel's symbols have no _KPCR.Prcb");
  out.Line("KPCR for Processor {} at {}:", number, Hex16(processor.prcb - *prcb_offset));
  const auto prcb = context.session.symbols().ObjectAt("nt!_KPRCB", processor.prcb);
  auto show = [&](const char* label, const char* path) {
    const auto value = prcb ? prcb->U64(path) : base::Result<uint64_t>(tl::unexpected(prcb.error()));
    if (value) out.Line("    {:>20}: {}", label, Hex16(*value));
  };
  out.Line("    {:>20}: {}", "Prcb", Hex16(processor.prcb));
  out.Line("    {:>20}: {}", "CurrentThread", Hex16(processor.current_thread));
  out.Line("    {:>20}: {}", "NextThread", Hex16(processor.next_thread));
  out.Line("    {:>20}: {}", "IdleThread", Hex16(processor.idle_thread));
  show("DpcRoutineActive", "DpcRoutineActive");
  show("DpcQueueDepth", "DpcData[0].DpcQueueDepth");
  show("ReadySummary", "ReadySummary");
  show("ContextSwitches", "KeContextSwitches");
  show("InterruptCount", "InterruptCount");
  if (context.session.target().is_live()) return {};  // saved only when the machine stops
  for (const char* name : {"Cr0", "Cr2", "Cr3", "Cr4", "Cr8"}) {
    show(name, (std::string("ProcessorState.SpecialRegisters.") + name).c_str());
  }
  show("IdtBase", "ProcessorState.SpecialRegisters.Idtr.Base");
  show("GdtBase", "ProcessorState.SpecialRegisters.Gdtr.Base");
  return {};
}

const Registration kRegistration({
    {"!pcr", "!prcb"},
    "!pcr [NUMBER]",
    "a processor's control region",
    "Addresses of PCR and PRCB, the threads, queues, and the control registers as they were saved.",
    {"!pcr", "!pcr 0"},
    Run,
});

}  // namespace

}  // namespace commands
