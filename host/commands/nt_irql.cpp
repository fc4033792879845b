#include "commands/nt_irql.h"

namespace nt {

std::optional<uint8_t> ProcessorIrql(Kernel& kernel, uint32_t number) {
  const auto& header = kernel.session().header();
  // For these codes the crashing processor's IRQL is the second parameter; CR8 may have been raised since.
  if (number == kernel.session().crash_processor() &&
      (header.BugCheckCode == 0xA || header.BugCheckCode == 0xD1)) {
    return static_cast<uint8_t>(header.BugCheckParameter[1]);
  }
  const auto processor = kernel.session().GetProcessor(number);
  if (!processor) return std::nullopt;
  const auto prcb = kernel.symbols().ObjectAt("nt!_KPRCB", processor->prcb);
  if (!prcb) return std::nullopt;
  for (const char* path : {"DebuggerSavedIRQL", "ProcessorState.SpecialRegisters.Cr8"}) {
    const auto value = prcb->U64(path);
    if (value && *value < 16) return static_cast<uint8_t>(*value);
  }
  return std::nullopt;
}

}  // namespace nt
