// !error: the name of an NTSTATUS or a Win32 error.
#include <algorithm>

#include "commands/command.h"
#include "commands/error_names.h"
#include "commands/text.h"
#include "debug/expression.h"

namespace commands {

namespace {

struct ErrorRecord {
  uint32_t code;
  const char* name;
};

// Ascending by code; several names of one code follow each other.
constexpr ErrorRecord kStatuses[] = {
#define NT_STATUS_NAME(code, name) {code, name},
#include "nt_status_names.inc"
#undef NT_STATUS_NAME
};
constexpr ErrorRecord kWin32Errors[] = {
#define WIN32_ERROR_NAME(code, name) {code, name},
#include "win32_error_names.inc"
#undef WIN32_ERROR_NAME
};

std::string_view Find(std::span<const ErrorRecord> records, uint32_t code) {
  const auto at =
      std::lower_bound(records.begin(), records.end(), code,
                       [](const ErrorRecord& record, uint32_t value) { return record.code < value; });
  return at != records.end() && at->code == code ? at->name : "";
}

base::Result<void> Run(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  if (words.empty()) return base::Fail("usage: !error CODE [1]");
  const auto code = static_cast<uint32_t>(TRY(debug::Evaluate(context.session, words[0])));
  const bool wants_status = words.size() > 1 && words[1] == "1";
  const std::string_view status = NtStatusName(code), win32 = Win32ErrorName(code);
  const bool is_status = wants_status || win32.empty() || code > 0xFFFF;
  const std::string_view name = is_status && !status.empty() ? status : win32;
  context.out.Line("Error code: ({}) {:#x} ({}) - {}", is_status ? "NTSTATUS" : "Win32", code, code,
                   name.empty() ? "no name is known" : name);
  context.out.Fact("Name", std::string(name));
  return {};
}

const Registration kRegistration({
    {"!error"},
    "!error CODE [1]",
    "the name of an NTSTATUS or a Win32 error",
    "1: CODE is an NTSTATUS even where it would be a Win32 error too.",
    {"!error c0000005", "!error 5", "!error 102 1"},
    Run,
});

}  // namespace

std::string_view NtStatusName(uint32_t status) {
  return Find(kStatuses, status);
}

std::string_view Win32ErrorName(uint32_t code) {
  return Find(kWin32Errors, code);
}

}  // namespace commands
