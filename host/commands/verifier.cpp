// !verifier: Driver Verifier's options, drivers and counters.
#include <cstdlib>

#include <fmt/format.h>

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
  for (const char* name : {"VfForcedPending", "VfIrpLogCount", "VfTrackedDropped", "ViDeadlockDropped"}) {
    const auto global = context.session.symbols().Global(fmt::format("nt!{}", name));
    const auto value = global ? global->U64("") : tl::make_unexpected(global.error());
    if (value) context.out.Line("  {:<34}{}", name, Grouped(*value));
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

// The log of IRPs, oldest first: VfIrpLog[VfIrpLogCount % its size] is written next.
base::Result<void> PrintIrpLog(Context& context) {
  constexpr uint64_t kEntries = 256;
  const debug::Type& type = context.kernel.type("_VF_IRP_LOG_ENTRY");
  const uint64_t log = TRY(context.session.symbols().AddressOf("nt!VfIrpLog"));
  const uint64_t written = TRY(TRY(context.session.symbols().Global("nt!VfIrpLogCount")).U64(""));
  Table table({{"Event"},
               {"Irp"},
               {"Major", Align::kRight},
               {"Minor", Align::kRight},
               {"Device"},
               {"Thread"},
               {"Status"}});
  for (uint64_t i = written > kEntries ? written - kEntries : 0; i < written; i++) {
    const debug::Object entry = context.session.symbols().ObjectAt(type, log + i % kEntries * type.size());
    const auto field = [&](const char* name) { return entry.U64(name).value_or(0); };
    table.Row({field("Event") == 1 ? "dispatched" : "completed", Hex16(field("Irp")),
               fmt::format("{:x}", field("MajorFunction")), fmt::format("{:x}", field("MinorFunction")),
               Hex16(field("DeviceObject")), Hex16(field("Thread")),
               fmt::format("{:08x}", static_cast<uint32_t>(field("Status")))});
  }
  context.out.Blank();
  context.out.Line("{} IRPs were logged", Grouped(written));
  table.Print(context.out);
  return {};
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const std::vector<std::string> words = TRY(arguments.Finish());
  constexpr unsigned long kIrpLog = 0x100;
  const bool irp_log = !words.empty() && (std::strtoul(words[0].c_str(), nullptr, 16) & kIrpLog) != 0;
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
  TRY(SayWhyNot(context, PrintDrivers(context)));
  return irp_log ? SayWhyNot(context, PrintIrpLog(context)) : base::Result<void>();
}

const Registration kRegistration({
    {"!verifier"},
    "!verifier [FLAGS]",
    "Driver Verifier: options in force, what it counted, the verified drivers",
    "Nonpaged and Paged: bytes of pool that a driver has not freed yet (with pool tracking). FLAGS: 100 "
    "shows the log of IRPs "
    "too (option IRP logging).",
    {"!verifier", "!verifier 100"},
    Run,
});

}  // namespace

}  // namespace commands
