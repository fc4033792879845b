// proc: programs on the running machine, as drivers see them.
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "bin/machine_commands.h"
#include "bin/options.h"
#include "run/fields.h"
#include "run/nt_status.h"

namespace bin {

namespace {

constexpr char kProcHelp[] =
    "proc start NAME [--parent PID] [--inherit] [--session N] [--as system|administrator|user] "
    "[ARGUMENTS...]\n"
    "                       a program in ring 3; without a file of the name, one that waits\n"
    "proc thread PID        one more thread in it\n"
    "proc stop PID [STATUS] ends it\n"
    "proc status PID        its exit status, 0x00000103 while it lives\n"
    "proc list              all processes\n";

std::optional<uint64_t> Number(const std::string& text) {
  const bool hex = text.starts_with("0x");
  const char* end = text.data() + text.size();
  uint64_t value = 0;
  const auto result = std::from_chars(text.data() + (hex ? 2 : 0), end, value, hex ? 16 : 10);
  return result.ec == std::errc() && result.ptr == end && !text.empty() ? std::optional(value) : std::nullopt;
}

std::optional<uint32_t> Account(const std::string& name) {
  constexpr const char* kNames[] = {"system", "administrator", "user"};
  for (uint32_t i = 0; i < 3; ++i) {
    if (name == kNames[i]) return i;
  }
  return std::nullopt;
}

struct StartOptions {
  uint64_t parent = 0;
  uint32_t session = 0;
  uint32_t account = 0;
  uint32_t inherit = 0;  // the parent's handles
  std::string command_line;
};

std::optional<StartOptions> ParseStart(const Arguments& arguments) {
  StartOptions options;
  options.command_line = arguments[1];
  for (size_t i = 2; i < arguments.size(); ++i) {
    const std::string& word = arguments[i];
    const std::string value = i + 1 < arguments.size() ? arguments[i + 1] : "";
    std::optional<uint64_t> number = Number(value);
    if (word == "--inherit") {
      options.inherit = 1;
      continue;
    }
    if (word == "--parent" && number) {
      options.parent = *number;
    } else if (word == "--session" && number) {
      options.session = static_cast<uint32_t>(*number);
    } else if (word == "--as" && Account(value)) {
      options.account = *Account(value);
    } else if (word.starts_with("--")) {
      return std::nullopt;
    } else {
      options.command_line += " " + word;
      continue;
    }
    ++i;
  }
  return options;
}

int Usage() {
  fmt::print("{}", kProcHelp);
  return kUsageError;
}

int Refused(const std::string& what, int32_t status) {
  return ReportError(fmt::format("proc {}: {}", what, run::StatusText(status)));
}

// A request whose answer is one number.
int Ask(run::MachineClient& client, boot::Request request, const std::string& payload,
        const std::string& what) {
  auto reply = client.Call(request, payload);
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused(what, reply->status);
  if (const auto id = run::FieldReader(reply->payload).U64()) fmt::print("{}\n", *id);
  return kClean;
}

int List(run::MachineClient& client) {
  auto reply = client.Call(boot::Request::kProcessList, "");
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("list", reply->status);
  fmt::print("{:>6} {:>6} {:>7} {:>7}  {:<10} {}\n", "PID", "Parent", "Session", "Threads", "Exit", "Name");
  run::FieldReader reader(reply->payload);
  while (!reader.AtEnd()) {
    const auto id = reader.U64();
    const auto parent = reader.U64();
    const auto session = reader.U32();
    const auto threads = reader.U32();
    const auto exit_status = reader.U32();
    const auto name = reader.String();
    if (!name) break;
    constexpr uint32_t kPending = 0x103;
    const std::string ended = *exit_status == kPending ? "" : fmt::format("{:#010x}", *exit_status);
    fmt::print("{:>6} {:>6} {:>7} {:>7}  {:<10} {}\n", *id, *parent, *session, *threads, ended, *name);
  }
  return kClean;
}

int Status(run::MachineClient& client, uint64_t id) {
  auto reply = client.Call(boot::Request::kProcessQuery, run::FieldWriter().U64(id).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("status", reply->status);
  fmt::print("{:#010x}\n", run::FieldReader(reply->payload).U32().value_or(0));
  return kClean;
}

}  // namespace

int ProcCommand(run::MachineClient& client, const Arguments& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  if (verb == "list") return List(client);
  if (arguments.size() < 2) return Usage();
  const std::optional<uint64_t> id = Number(arguments[1]);
  if (verb == "start") {
    const auto options = ParseStart(arguments);
    if (!options) return Usage();
    run::FieldWriter payload;
    payload.String(arguments[1]).String(options->command_line).U64(options->parent);
    payload.U32(options->session).U32(options->account).U32(options->inherit);
    return Ask(client, boot::Request::kProcessStart, payload.payload(), "start " + arguments[1]);
  }
  if (verb == "stop" && id) {
    const auto status = arguments.size() > 2 ? Number(arguments[2]) : std::optional<uint64_t>(0);
    if (!status) return Usage();
    const auto payload = run::FieldWriter().U64(*id).U32(static_cast<uint32_t>(*status)).payload();
    return Ask(client, boot::Request::kProcessStop, payload, "stop " + arguments[1]);
  }
  if (verb == "status" && id) return Status(client, *id);
  if (verb == "thread" && id)
    return Ask(client, boot::Request::kProcessThread, run::FieldWriter().U64(*id).payload(),
               "thread " + arguments[1]);
  return Usage();
}

int ProcMain(const Arguments& arguments) {
  return OnDefaultMachine("proc", kProcHelp, ProcCommand, arguments);
}

}  // namespace bin
