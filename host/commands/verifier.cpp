// !verifier: Driver Verifier's options, drivers and counters.
#include <span>

#include "commands/command.h"
#include "commands/nt_kernel.h"
#include "commands/table.h"
#include "commands/text.h"

namespace commands {

namespace {

struct Option {
  uint32_t bit;
  const char* name;
};
// verifier.exe /flags
constexpr Option kStandard[] = {
    {0x0, "Automatic Checks"},       {0x1, "Special pool"},
    {0x2, "Force IRQL checking"},    {0x8, "Pool tracking"},
    {0x10, "I/O verification"},      {0x20, "Deadlock detection"},
    {0x80, "DMA checking"},          {0x100, "Security checks"},
    {0x800, "Miscellaneous checks"}, {0x20000, "DDI compliance checking"},
};
constexpr Option kAdditional[] = {
    {0x4, "Randomized low resources simulation"},
    {0x200, "Force pending I/O requests"},
    {0x400, "IRP logging"},
};

void PrintOptions(Context& context, uint64_t level) {
  context.out.Line("Verify Flags Level 0x{:08x}", level);
  const auto print = [&](std::string_view title, std::span<const Option> options) {
    context.out.Blank();
    context.out.Line("  {}:", title);
    for (const Option& option : options) {
      const bool on = option.bit == 0 || (level & option.bit) != 0;
      context.out.Line("    [{}] (0x{:08x}) {}", on ? 'X' : ' ', option.bit, option.name);
    }
  };
  print("STANDARD FLAGS", kStandard);
  print("ADDITIONAL FLAGS", kAdditional);
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
