// .exr: an exception record.
#include <algorithm>

#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/system_lines.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr uint32_t kAccessViolation = 0xC0000005, kFastFail = 0xC0000409, kSecurityCheckFailure = 0x139;

// What the parameters of the two commonest records mean.
void PrintMeaning(Output& out, const kdump::ExceptionRecord64& record) {
  const auto& information = record.ExceptionInformation;
  if (record.ExceptionCode == kAccessViolation && record.NumberParameters >= 2) {
    const char* tried = information[0] == 8   ? "execute non-executable"
                        : information[0] == 1 ? "write to"
                                              : "read from";
    out.Line("Attempt to {} address {}", tried, Hex16(information[1]));
  }
  if (record.ExceptionCode == kFastFail && record.NumberParameters >= 1) {
    const auto kind = KindOfBugcheck(kSecurityCheckFailure, {information[0], 0, 0, 0});
    if (kind) out.Line("Subcode: {:#x} FAST_FAIL_{}", information[0], kind->bucket);
  }
}

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
  PrintMeaning(out, record);
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
