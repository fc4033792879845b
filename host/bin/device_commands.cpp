// devnode, power: devices that the user makes, and the machine's sleep.
#include "bin/device_commands.h"

#include <cstdlib>
#include <map>

#include <fmt/format.h>

#include "bin/machine_commands.h"
#include "bin/options.h"
#include "run/fields.h"
#include "run/nt_status.h"

namespace bin {
namespace {

constexpr char kDevnodeUsage[] =
    "usage: devnode [list] | add HARDWARE-ID [SERVICE] | map HARDWARE-ID SERVICE [NAME=NUMBER]... |\n"
    "       remove|surprise-remove|restart|rescan|eject INSTANCE\n";
constexpr char kPowerUsage[] = "usage: power [status] | sleep [1-4] | wake | source ac|dc\n";

int Usage(const char* text) {
  fmt::print(stderr, "{}", text);
  return kUsageError;
}

int Refused(const std::string& what, int32_t status) {
  return ReportError(fmt::format("{}: {}", what, run::StatusText(status)));
}

// Windows's names of a device node's states.
std::string StateName(uint32_t state) {
  static const std::map<uint32_t, const char*> kNames = {{0x301, "uninitialized"},
                                                         {0x302, "initialized"},
                                                         {0x303, "drivers added"},
                                                         {0x304, "resources assigned"},
                                                         {0x308, "started"},
                                                         {0x309, "stop queried"},
                                                         {0x30A, "stopped"},
                                                         {0x310, "remove queried"},
                                                         {0x311, "removed, files still open"},
                                                         {0x312, "removed"},
                                                         {0x314, "deleted"}};
  const auto name = kNames.find(state);
  return name != kNames.end() ? name->second : fmt::format("state {:#x}", state);
}

std::string ProblemText(uint32_t problem) {
  return problem == 0 ? "" : fmt::format(", problem {}", problem);
}

int List(run::MachineClient& client) {
  auto reply = client.Call(boot::Request::kDevnodeQuery, "");
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("devnode", reply->status);
  run::FieldReader reader(reply->payload);
  while (!reader.AtEnd()) {
    const auto path = reader.String();
    const auto service = reader.String();
    const auto depth = reader.U32();
    const auto state = reader.U32();
    const auto problem = reader.U32();
    if (!problem) break;
    fmt::print("{:{}}{} ({}): {}{}\n", "", *depth * 2, *path, service->empty() ? "no service" : *service,
               StateName(*state), ProblemText(*problem));
  }
  return kClean;
}

int Add(run::MachineClient& client, const std::string& hardware_id, const std::string& service) {
  auto reply =
      client.Call(boot::Request::kDevnodeAdd,
                  run::FieldWriter().String(hardware_id).String(service).U32(boot::kDevnodeKeep).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("devnode add " + hardware_id, reply->status);
  run::FieldReader answer(reply->payload);
  const std::string path = answer.String().value_or("");
  const uint32_t problem = answer.U32().value_or(0);
  fmt::print("{}: {}{}\n", path, StateName(answer.U32().value_or(0)), ProblemText(problem));
  return problem == 0 ? kClean : kInternalError;
}

// values: KEY\KEY\NAME=NUMBER
int Map(run::MachineClient& client, const std::string& hardware_id, const std::string& service,
        const Arguments& values) {
  run::FieldWriter writer;
  writer.String(hardware_id).String(service).U32(static_cast<uint32_t>(values.size()));
  for (const std::string& value : values) {
    const size_t equals = value.rfind('=');
    char* end = nullptr;
    const std::string number = equals == std::string::npos ? "" : value.substr(equals + 1);
    const unsigned long parsed = std::strtoul(number.c_str(), &end, 0);
    if (number.empty() || *end != '\0' || equals == 0 || parsed > UINT32_MAX)
      return UsageError(fmt::format("'{}' is not NAME=NUMBER", value));
    writer.String(value.substr(0, equals)).U32(static_cast<uint32_t>(parsed));
  }
  auto reply = client.Call(boot::Request::kDevnodeMap, writer.payload());
  if (int status = CheckReply(reply)) return status;
  return run::Succeeded(reply->status) ? int{kClean} : Refused("devnode map " + hardware_id, reply->status);
}

int Change(run::MachineClient& client, boot::DevnodeOperation operation, const std::string& path) {
  auto reply = client.Call(boot::Request::kDevnodeChange,
                           run::FieldWriter().String(path).U32(static_cast<uint32_t>(operation)).payload());
  if (int status = CheckReply(reply)) return status;
  return run::Succeeded(reply->status) ? int{kClean} : Refused(path, reply->status);
}

int CallPower(run::MachineClient& client, boot::PowerOperation operation, uint32_t value) {
  auto reply = client.Call(boot::Request::kPower,
                           run::FieldWriter().U32(static_cast<uint32_t>(operation)).U32(value).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("power", reply->status);
  const uint32_t state = run::FieldReader(reply->payload).U32().value_or(0);
  fmt::print("the machine is {}\n", state == 1 ? "working (S0)" : fmt::format("asleep (S{})", state - 1));
  return kClean;
}

}  // namespace

int DevnodeCommand(run::MachineClient& client, const Arguments& arguments) {
  using Operation = boot::DevnodeOperation;
  static const std::map<std::string, Operation> kChanges = {{"remove", Operation::kRemove},
                                                            {"surprise-remove", Operation::kSurpriseRemove},
                                                            {"restart", Operation::kStopAndRestart},
                                                            {"rescan", Operation::kRescan},
                                                            {"eject", Operation::kEject}};
  if (arguments.empty() || (arguments[0] == "list" && arguments.size() == 1)) return List(client);
  if (arguments[0] == "add" && (arguments.size() == 2 || arguments.size() == 3))
    return Add(client, arguments[1], arguments.size() == 3 ? arguments[2] : "");
  if (arguments[0] == "map" && arguments.size() >= 3)
    return Map(client, arguments[1], arguments[2], {arguments.begin() + 3, arguments.end()});
  const auto change = kChanges.find(arguments[0]);
  if (change == kChanges.end() || arguments.size() != 2) return Usage(kDevnodeUsage);
  return Change(client, change->second, arguments[1]);
}

int PowerCommand(run::MachineClient& client, const Arguments& arguments) {
  using Operation = boot::PowerOperation;
  const std::string what = arguments.empty() ? "status" : arguments[0];
  const std::string value = arguments.size() > 1 ? arguments[1] : "";
  if (what == "status" && value.empty()) return CallPower(client, Operation::kQuery, 0);
  if (what == "wake" && value.empty()) return CallPower(client, Operation::kWake, 0);
  if (what == "source" && (value == "ac" || value == "dc"))
    return CallPower(client, Operation::kSource, value == "dc" ? 1 : 0);
  const bool level = value.size() == 1 && value[0] >= '1' && value[0] <= '4';
  if (what == "sleep" && (value.empty() || level))
    return CallPower(client, Operation::kSleep, value.empty() ? 3 : value[0] - '0');
  return Usage(kPowerUsage);
}

int DevnodeMain(const Arguments& arguments) {
  return OnDefaultMachine("devnode", kDevnodeUsage, DevnodeCommand, arguments);
}

int PowerMain(const Arguments& arguments) {
  return OnDefaultMachine("power", kPowerUsage, PowerCommand, arguments);
}

}  // namespace bin
