// !verifier: Driver Verifier's options, drivers and counters.
#include "commands/command.h"
#include "commands/nt_kernel.h"
#include "commands/table.h"
#include "commands/text.h"

namespace commands {

namespace {

struct Option {
  uint32_t bit;
  const char* name;
  bool standard;
  bool there;
};
// verifier.exe /flags
constexpr Option kOptions[] = {
    {0x0, "Automatic Checks", true, true},
#define VERIFIER_OPTION(bit, name, title, standard, there) {bit, title, standard, there},
#include "verifier_options.inc"
#undef VERIFIER_OPTION
};

void PrintOptions(Context& context, uint64_t level) {
  context.out.Line("Verify Flags Level 0x{:08x}", level);
  const auto print = [&](std::string_view title, bool standard) {
    context.out.Blank();
    context.out.Line("  {}:", title);
    for (const Option& option : kOptions) {
      if (option.standard != standard || !option.there) continue;
      const bool on = option.bit == 0 || (level & option.bit) != 0;
      context.out.Line("    [{}] (0x{:08x}) {}", on ? 'X' : ' ', option.bit, option.name);
    }
  };
  print("STANDARD FLAGS", true);
  print("ADDITIONAL FLAGS", false);
  context.out.Blank();
}

void PrintCounters(Context& context, const debug::Object& data) {
  static constexpr const char* kCounters[] = {"RaiseIrqls",
                                              "AcquireSpinLocks",
                                              "SynchronizeExecutions",
                                              "Trims",
                                              "AllocationsAttempted",
                                              "AllocationsSucceeded",
                                              "AllocationsSucceededSpecialPool",
                                              "AllocationsFailedDeliberately",
                                              "CurrentPagedPoolAllocations",
                                              "CurrentNonPagedPoolAllocations",
                                              "PagedBytes",
                                              "NonPagedBytes"};
  for (const char* name : kCounters) {
    if (const auto value = data.U64(name)) context.out.Line("  {:<34}{}", name, Grouped(*value));
  }
}

base::Result<void> PrintDrivers(Context& context) {
  const uint64_t head = TRY(context.session.symbols().AddressOf("nt!VfSuspectDriversList"));
  const debug::Type& type = context.kernel.type("_VF_SUSPECT_DRIVER_ENTRY");
  const uint64_t links = TRY(type.OffsetOf("Links"));
  const debug::ListWalk walk = debug::WalkList(context.session.memory(), head, 1024);
  Table table({{"Driver"},
               {"Loads", Align::kRight},
               {"Unloads", Align::kRight},
               {"Start"},
               {"End"},
               {"Nonpaged", Align::kRight},
               {"Paged", Align::kRight}});
  for (const uint64_t entry : walk.entries) {
    const debug::Object driver = context.session.symbols().ObjectAt(type, entry - links);
    const auto field = [&](const char* name) { return driver.U64(name).value_or(0); };
    table.Row({driver.UnicodeString("BaseName").value_or("?"), Grouped(field("Loads")),
               Grouped(field("Unloads")), Hex16(field("StartAddress")), Hex16(field("EndAddress")),
               Grouped(field("VerifierData.NonPagedBytes")), Grouped(field("VerifierData.PagedBytes"))});
  }
  context.out.Blank();
  table.Print(context.out);
  if (!walk.damage.empty()) context.out.Line("Warning! the list is damaged: {}", walk.damage);
  return {};
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  const auto data = context.session.symbols().Global("nt!MmVerifierData");
  const auto level = data ? data->U64("Level") : tl::make_unexpected(data.error());
  if (!level) {
    context.out.Line("Driver Verifier is not known from the kernel's symbols");
    return {};
  }
  if (*level == 0) {
    context.out.Line("Driver Verifier is off");
    return {};
  }
  PrintOptions(context, *level);
  PrintCounters(context, *data);
  return SayWhyNot(context, PrintDrivers(context));
}

const Registration kRegistration({
    {"!verifier"},
    "!verifier",
    "Driver Verifier: options in force, what it counted, the verified drivers",
    "Nonpaged and Paged: bytes of pool that a driver has not freed yet (with pool tracking).",
    {"!verifier"},
    Run,
});

}  // namespace

}  // namespace commands
