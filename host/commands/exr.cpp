// .exr: an exception record.
#include <algorithm>

#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  kdump::ExceptionRecord64 record = context.session.header().Exception;
  const bool from_header = call.arguments.empty() || call.arguments == "-1";
  if (from_header && context.session.target().is_live() && !HasBugcheck(context))
    return base::Fail("the machine runs: it has stopped with no exception");
  if (!call.arguments.empty() && call.arguments != "-1") {
    const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
    const auto read = context.session.memory().Get<kdump::ExceptionRecord64>(address);
    if (!read) return base::Fail(MemoryReadError(address));
    record = *read;
  }
  Output& out = context.out;
  const std::string_view name = StatusName(record.ExceptionCode);
  out.Line("ExceptionAddress: {} ({})", Hex16(record.ExceptionAddress),
           context.session.symbols().Describe(record.ExceptionAddress));
  out.Line("   ExceptionCode: {:08x}{}", record.ExceptionCode,
           name.empty() ? "" : " (" + std::string(name) + ")");
  out.Line("  ExceptionFlags: {:08x}", record.ExceptionFlags);
  out.Line("NumberParameters: {}", record.NumberParameters);
  for (uint32_t i = 0; i < std::min(record.NumberParameters, 15u); ++i) {
    out.Line("   Parameter[{}]: {}", i, Hex16(record.ExceptionInformation[i]));
  }
  return {};
}

const Registration kRegistration({
    {".exr"},
    ".exr [ADDRESS|-1]",
    "an exception record",
    "-1, or no address: the record in the dump's header.",
    {".exr -1"},
    Run,
});

}  // namespace

}  // namespace commands
