// dps: pointers with the symbols they point at.
#include "commands/command.h"
#include "commands/memory_range.h"

namespace commands {

namespace {

uint64_t g_next = 0;

base::Result<void> Run(Context& context, const Call& call) {
  if (g_next == 0)
    g_next = context.session.CurrentRegisters().map([](const auto& r) { return r.rsp(); }).value_or(0);
  const MemoryRange range = TRY(ParseRange(context, call.arguments, g_next, 0x10, 8));
  for (uint64_t i = 0; i < range.count; ++i) {
    const uint64_t address = range.address + i * 8;
    const auto value = context.session.memory().Get<uint64_t>(address);
    if (!value) {
      context.out.Line("{}  ????????`????????", debug::FormatAddress(address));
      continue;
    }
    const bool in_module = context.session.symbols().ModuleAt(*value) != nullptr;
    context.out.Line("{}  {}{}", debug::FormatAddress(address), debug::FormatAddress(*value),
                     in_module ? " " + context.session.symbols().Describe(*value) : "");
  }
  g_next = range.address + range.count * 8;
  return {};
}

const Registration kRegistration({
    {"dps", "dqs"},
    "dps [ADDRESS [END|LCOUNT]]",
    "pointers in memory, with symbols",
    "One pointer a line; those that point into a loaded image are shown with the symbol.",
    {"dps @rsp", "dps @rsp L4"},
    Run,
});

}  // namespace

}  // namespace commands
