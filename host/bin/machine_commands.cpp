// driverquery, dir, type, verifier, devices, crash.
#include "bin/machine_commands.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <ctime>

#include <fmt/format.h>

#include "bin/options.h"
#include "run/fields.h"
#include "run/nt_status.h"
#include "run/services.h"

namespace bin {
namespace {

constexpr uint32_t kDirectoryAttribute = 0x10;
constexpr uint32_t kReadChunk = 48 * 1024;
constexpr uint64_t kUnixEpochAsFileTime = 116444736000000000;

std::string Grouped(uint64_t number) {
  std::string text = fmt::format("{}", number);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
  return text;
}

std::string DirTime(uint64_t file_time) {
  const time_t seconds = file_time < kUnixEpochAsFileTime
                             ? 0
                             : static_cast<time_t>((file_time - kUnixEpochAsFileTime) / 10000000);
  tm local{};
  localtime_r(&seconds, &local);
  char text[32];
  strftime(text, sizeof(text), "%m/%d/%Y  %I:%M %p", &local);
  return text;
}

int Refused(const std::string& what, int32_t status) {
  return ReportError(fmt::format("{}: {}", what, run::StatusText(status)));
}

}  // namespace

int DriverQueryCommand(run::MachineClient& client) {
  auto reply = client.Call(boot::Request::kDriverQuery, "");
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("driverquery", reply->status);
  const auto drivers = run::ParseDrivers(reply->payload);
  size_t name_width = 11;
  size_t service_width = 12;
  for (const run::DriverInfo& driver : drivers) {
    name_width = std::max(name_width, driver.file.size());
    service_width = std::max(service_width, driver.service.size());
  }
  fmt::print("\n{:<{}} {:<{}} {:<18} {:>10} {}\n", "Module Name", name_width, "Service Name", service_width,
             "Base", "Size", "Path");
  fmt::print("{:=<{}} {:=<{}} {:=<18} {:=<10} {:=<30}\n", "", name_width, "", service_width, "", "", "");
  for (const run::DriverInfo& driver : drivers) {
    fmt::print("{:<{}} {:<{}} {:#018x} {:>10} {}\n", driver.file, name_width, driver.service, service_width,
               driver.base, Grouped(driver.size), driver.path);
  }
  return kClean;
}

int DirCommand(run::MachineClient& client, const std::string& path) {
  auto reply = client.Call(boot::Request::kDirectory, run::FieldWriter().String(path).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("dir " + path, reply->status);
  fmt::print("\n Directory of {}\n\n", path);
  uint64_t files = 0;
  uint64_t bytes = 0;
  uint64_t folders = 0;
  for (const run::DirectoryEntry& entry : run::ParseDirectory(reply->payload)) {
    const bool folder = (entry.attributes & kDirectoryAttribute) != 0;
    fmt::print("{}    {} {}\n", DirTime(entry.last_write),
               folder ? "<DIR>         " : fmt::format("{:>14}", Grouped(entry.size)), entry.name);
    folders += folder ? 1 : 0;
    files += folder ? 0 : 1;
    bytes += folder ? 0 : entry.size;
  }
  fmt::print("{:>16} File(s) {:>14} bytes\n{:>16} Dir(s)\n", files, Grouped(bytes), folders);
  return kClean;
}

int TypeCommand(run::MachineClient& client, const std::string& path) {
  for (uint64_t offset = 0;;) {
    auto reply = client.Call(boot::Request::kReadFile,
                             run::FieldWriter().String(path).U64(offset).U32(kReadChunk).payload());
    if (int status = CheckReply(reply)) return status;
    constexpr auto kEndOfFile = static_cast<int32_t>(0xC0000011);
    if (reply->status == kEndOfFile) return kClean;
    if (!run::Succeeded(reply->status)) return Refused("type " + path, reply->status);
    if (reply->payload.empty()) return kClean;
    std::fwrite(reply->payload.data(), 1, reply->payload.size(), stdout);
    std::fflush(stdout);
    offset += reply->payload.size();
  }
}

int VerifierCommand(run::MachineClient& client, const Arguments& arguments) {
  run::FieldWriter payload;
  auto flags = ParseVerifierFlags(arguments.empty() ? "" : arguments[0]);
  if (!flags) return ReportError("verifier: " + flags.error().message);
  if (arguments.empty()) {
    fmt::print(
        "usage: verifier FLAGS [DRIVER.sys ...]   FLAGS: standard, none, a number, or names joined by "
        "commas\n");
    return kUsageError;
  }
  payload.U32(*flags);
  for (size_t i = 1; i < arguments.size(); i++) payload.String(arguments[i]);
  auto reply = client.Call(boot::Request::kVerifier, payload.payload());
  if (int status = CheckReply(reply)) return status;
  run::FieldReader answer(reply->payload);
  const uint32_t in_force = answer.U32().value_or(0);
  const std::string missing = answer.String().value_or("");
  if (!run::Succeeded(reply->status) && !missing.empty())
    return ReportError("verifier: Driver Verifier has no " + missing);
  if (!run::Succeeded(reply->status)) return Refused("verifier", reply->status);
  fmt::print("verifier flags in force: {:#x}\n", in_force);
  if (!missing.empty()) fmt::print("left out: {}\n", missing);
  return kClean;
}

int DevicesCommand(run::MachineClient& client, const std::string& directory) {
  auto reply = client.Call(boot::Request::kDevices, run::FieldWriter().String(directory).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return Refused("objdir " + directory, reply->status);
  run::FieldReader reader(reply->payload);
  while (!reader.AtEnd()) {
    const auto name = reader.String();
    const auto type = reader.String();
    if (!type) break;
    fmt::print("{:<16} {}\n", *type, *name);
  }
  return kClean;
}

int CrashCommand(run::MachineClient& client) {
  auto reply = client.Call(boot::Request::kCrash, "");
  if (int status = CheckReply(reply)) return status;
  return ReportError("crash: the machine goes on: " + run::StatusText(reply->status));
}

int OnDefaultMachine(const char* name, const char* help,
                     int (*command)(run::MachineClient&, const Arguments&), const Arguments& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h")) {
    fmt::print("{}", help);
    return kClean;
  }
  auto client = run::MachineClient::Connect("default");
  if (!client) return ReportError(fmt::format("{}: {}", name, client.error().message));
  return command(*client, arguments);
}

}  // namespace bin
