// !address: what an address is used for.
#include "commands/command.h"
#include "commands/nt_process.h"
#include "commands/nt_pte.h"
#include "commands/nt_regions.h"
#include "commands/table.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Overview(Context& context) {
  Table table({{"Start"}, {"End"}, {"Size", Align::kRight}, {"Usage"}});
  for (const nt::SystemRegion& region : nt::SystemRegions(context.kernel)) {
    table.Row({Hex16(region.start), Hex16(region.end), Bytes(region.end - region.start),
               nt::UsageText(region.usage)});
  }
  table.Print(context.out);
  return {};
}

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty() || call.arguments == "-summary") return Overview(context);
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const nt::AddressUse use = nt::UseOf(context.kernel, address);
  Output& out = context.out;
  const auto line = [&](const char* name, const std::string& value) {
    out.Line("{:<24}{}", std::string(name) + ":", value);
    out.Fact(name, value);
  };
  line("Usage", nt::UsageText(use.usage));
  if (use.end != 0) {
    line("Base Address", Hex16(use.start));
    line("End Address", Hex16(use.end));
    line("Region Size", Hex16(use.end - use.start));
  }
  if (use.module != nullptr && use.usage != nt::Usage::kStack) {
    line("Module", use.module->name);
    line("Image", use.module->image_name);
  }
  if (!use.section.empty()) {
    line("Section", fmt::format("{}{}{}", use.section, use.executable ? ", code" : ", data",
                                use.pageable ? ", pageable" : ""));
  }
  if (use.thread != 0) line("Thread", Hex16(use.thread));
  if (use.processor) line("Processor", std::to_string(*use.processor));
  line("Page", nt::PageStateText(nt::StateOf(context.kernel, address)));
  if (use.usage == nt::Usage::kImage) line("Symbol", context.session.symbols().Describe(address));
  return {};
}

const Registration kRegistration({
    {"!address"},
    "!address [ADDRESS]",
    "what an address is used for: image and section, whose stack, which pool",
    "Without ADDRESS the ranges that the kernel keeps for one purpose each. Page: whether the page is valid, "
    "in\n"
    "transition (in memory, but a fault is needed), not valid yet, or not present. UnloadedImage: a driver "
    "lay "
    "there\n"
    "that is gone.",
    {"!address", "!address @rip", "!address @rsp"},
    Run,
});

}  // namespace

}  // namespace commands
