// bugcheck sc: sc.exe's commands for kernel drivers, on the default machine.
#include <cstdio>
#include <filesystem>

#include <strings.h>
#include <unistd.h>

#include <fmt/format.h>

#include "bin/machine_commands.h"
#include "run/fields.h"
#include "run/nt_status.h"
#include "run/paths.h"
#include "run/services.h"

namespace bin {
namespace {

namespace fs = std::filesystem;

constexpr char kHelp[] =
    "usage: bugcheck sc create NAME type= kernel binPath= PATH   PATH: on the machine's C:, or a .sys of "
    "this host\n"
    "       bugcheck sc start | stop | query | delete NAME       query without a name: all services\n"
    "The machine must be up (bugcheck up).\n";
constexpr uint32_t kErrorNotFound = 1060;
constexpr uint32_t kErrorExists = 1073;

bool Is(const std::string& text, const char* word) {
  return strcasecmp(text.c_str(), word) == 0;
}

// As sc.exe on stdout; the same in one line on stderr. `status` 0: the Win32 error alone says it.
int Failed(const std::string& what, uint32_t win32, int32_t status = 0) {
  const run::Win32Error error = run::Win32ErrorByCode(win32);
  fmt::print("[SC] {} FAILED {}:\n\n{}\n\n", what, error.code, error.text);
  std::fflush(stdout);
  fmt::print(stderr, "bugcheck: {}: {}\n", what, status == 0 ? error.text : run::StatusText(status));
  return kInternalError;
}

int FailedStatus(const std::string& what, int32_t status) {
  return Failed(what, run::Win32ErrorOf(status).code, status);
}

struct CreateOptions {
  std::string name;
  std::string path;
  uint32_t type = 1;
  uint32_t start = 3;
  uint32_t error = 1;
};

// sc.exe's options: `name= value`, the value usually a word of its own. False: said what is wrong.
bool ParseCreate(const Arguments& arguments, CreateOptions& options) {
  if (arguments.size() < 2) {
    fmt::print(stderr, "bugcheck: sc create: no service name\n");
    return false;
  }
  options.name = arguments[1];
  for (size_t i = 2; i < arguments.size(); i++) {
    const size_t equals = arguments[i].find('=');
    if (equals == std::string::npos) {
      fmt::print(stderr, "bugcheck: sc create: '{}' is not of the form option= value\n", arguments[i]);
      return false;
    }
    const std::string key = arguments[i].substr(0, equals);
    std::string value = arguments[i].substr(equals + 1);
    if (value.empty() && i + 1 < arguments.size()) value = arguments[++i];
    if (Is(key, "binPath")) {
      options.path = value;
    } else if (Is(key, "type")) {
      if (!Is(value, "kernel") && !Is(value, "filesys")) {
        fmt::print(stderr, "bugcheck: sc create: type= {}: only kernel and filesys drivers run here\n",
                   value);
        return false;
      }
      options.type = Is(value, "filesys") ? 2 : 1;
    } else if (Is(key, "start")) {
      options.start = Is(value, "boot")       ? 0
                      : Is(value, "system")   ? 1
                      : Is(value, "auto")     ? 2
                      : Is(value, "disabled") ? 4
                                              : 3;
    } else if (!Is(key, "DisplayName") && !Is(key, "error") && !Is(key, "group") && !Is(key, "tag") &&
               !Is(key, "depend")) {
      fmt::print(stderr, "bugcheck: sc create: unknown option: {}=\n", key);
      return false;
    }
  }
  if (options.path.empty()) fmt::print(stderr, "bugcheck: sc create: binPath= is missing\n");
  return !options.path.empty();
}

// A .sys of this host goes to C:\Windows\System32\drivers first, with the .pdb beside it. False: said why
// not.
bool BringImage(const std::string& drive_c, std::string& path) {
  const bool on_guest = path.find('\\') != std::string::npos || (path.size() > 1 && path[1] == ':');
  if (on_guest || drive_c.empty()) return true;
  const std::string name = fs::path(path).filename().string();
  const std::string windows = "C:\\Windows\\System32\\drivers\\" + name;
  std::error_code error;
  fs::copy_file(path, run::HostPath(drive_c, windows), fs::copy_options::overwrite_existing, error);
  if (error) {
    fmt::print(stderr, "bugcheck: cannot copy {} to {}: {}\n", path, windows, error.message());
    return false;
  }
  const fs::path pdb = fs::path(path).replace_extension(".pdb");
  if (fs::exists(pdb, error)) {
    fs::copy_file(pdb, run::HostPath(drive_c, "C:\\Windows\\System32\\drivers\\" + pdb.filename().string()),
                  fs::copy_options::overwrite_existing, error);
  }
  path = windows;
  return true;
}

int Create(run::MachineClient& client, const std::string& drive_c, const Arguments& arguments) {
  CreateOptions options;
  if (!ParseCreate(arguments, options)) return kUsageError;
  if (!BringImage(drive_c, options.path)) return kInternalError;
  const std::string payload = run::FieldWriter()
                                  .String(options.name)
                                  .String(options.path)
                                  .U32(options.type)
                                  .U32(options.start)
                                  .U32(options.error)
                                  .payload();
  auto reply = client.Call(boot::Request::kServiceCreate, payload);
  if (int status = CheckReply(reply)) return status;
  constexpr auto kCollision = static_cast<int32_t>(0xC0000035);
  if (reply->status == kCollision) return Failed("CreateService", kErrorExists);
  if (!run::Succeeded(reply->status)) return FailedStatus("CreateService", reply->status);
  fmt::print("[SC] CreateService SUCCESS\n");
  return kClean;
}

// The service, or an exit status when it is not there.
int Find(run::MachineClient& client, const std::string& name, const char* what, run::ServiceInfo& service) {
  auto reply = client.Call(boot::Request::kServiceQuery, run::FieldWriter().String(name).payload());
  if (int status = CheckReply(reply)) return status;
  const auto services = run::ParseServices(reply->payload);
  if (!run::Succeeded(reply->status) || services.empty()) return Failed(what, kErrorNotFound);
  service = services[0];
  return kClean;
}

int Query(run::MachineClient& client, const Arguments& arguments) {
  run::ServiceInfo service;
  if (arguments.size() > 1) {
    if (int status = Find(client, arguments[1], "EnumQueryServicesStatus:OpenService", service))
      return status;
    fmt::print("{}", run::ServiceBlock(service, false));
    return kClean;
  }
  auto reply = client.Call(boot::Request::kServiceQuery, run::FieldWriter().String("").payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return FailedStatus("EnumServicesStatus", reply->status);
  for (const run::ServiceInfo& entry : run::ParseServices(reply->payload))
    fmt::print("{}", run::ServiceBlock(entry, false));
  return kClean;
}

int Start(run::MachineClient& client, const std::string& name) {
  run::ServiceInfo service;
  if (int status = Find(client, name, "StartService: OpenService", service)) return status;
  if (service.state == 4) return Failed("StartService", 1056);
  auto reply = client.Call(boot::Request::kServiceStart, run::FieldWriter().String(name).payload());
  if (int status = CheckReply(reply)) return status;
  const run::StartDetail detail = run::ParseStartDetail(reply->payload, reply->status);
  for (const std::string& warning : detail.warnings) fmt::print(stderr, "bugcheck: warning: {}\n", warning);
  if (!detail.refusal.empty()) fmt::print(stderr, "bugcheck: {}: {}\n", name, detail.refusal);
  for (const std::string& import : detail.missing_imports)
    fmt::print(stderr, "bugcheck: missing import: {}\n", import);
  for (const std::string& note : detail.notes) fmt::print(stderr, "bugcheck: {}: {}\n", name, note);
  if (!run::Succeeded(reply->status)) return FailedStatus("StartService", reply->status);
  service.state = 4;
  fmt::print("{}", run::ServiceBlock(service, true));
  return kClean;
}

int Stop(run::MachineClient& client, const std::string& name) {
  run::ServiceInfo service;
  if (int status = Find(client, name, "OpenService", service)) return status;
  if (service.state != 4) return Failed("ControlService", 1062);
  auto reply = client.Call(boot::Request::kServiceStop, run::FieldWriter().String(name).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) {
    return Failed("ControlService", 1052, reply->status);
  }
  service.state = 1;
  fmt::print("{}", run::ServiceBlock(service, false));
  for (const std::string& finding : run::ParseLines(reply->payload)) fmt::print("left behind: {}\n", finding);
  return kClean;
}

int Delete(run::MachineClient& client, const std::string& name) {
  run::ServiceInfo service;
  if (int status = Find(client, name, "OpenService", service)) return status;
  auto reply = client.Call(boot::Request::kServiceDelete, run::FieldWriter().String(name).payload());
  if (int status = CheckReply(reply)) return status;
  if (!run::Succeeded(reply->status)) return FailedStatus("DeleteService", reply->status);
  fmt::print("[SC] DeleteService SUCCESS\n");
  return kClean;
}

}  // namespace

void PrintScHelp() {
  fmt::print("{}", kHelp);
}

int CheckReply(const base::Result<run::RpcMessage>& reply) {
  if (!reply) return ReportError(reply.error().message);
  switch (static_cast<run::RpcOutcome>(reply->kind)) {
    case run::RpcOutcome::kAnswered:
      return kClean;
    case run::RpcOutcome::kCrashed:
      fmt::print("{}", reply->payload);
      return kBugcheck;
    case run::RpcOutcome::kFailed:
      break;
  }
  return ReportError("the machine does not answer: " + reply->payload);
}

int ScCommand(run::MachineClient& client, const std::string& drive_c, const Arguments& arguments) {
  const std::string verb = arguments.empty() ? "" : arguments[0];
  if (Is(verb, "create")) return Create(client, drive_c, arguments);
  if (Is(verb, "query") || Is(verb, "queryex")) return Query(client, arguments);
  const bool known = Is(verb, "start") || Is(verb, "stop") || Is(verb, "delete");
  if (!known || arguments.size() < 2) {
    fmt::print(stderr, "bugcheck: sc: {}\n{}", known ? "no service name" : "unknown command: " + verb, kHelp);
    return kUsageError;
  }
  if (Is(verb, "start")) return Start(client, arguments[1]);
  return Is(verb, "stop") ? Stop(client, arguments[1]) : Delete(client, arguments[1]);
}

int ScMain(const Arguments& arguments) {
  if (!arguments.empty() && (arguments[0] == "--help" || arguments[0] == "-h" || arguments[0] == "/?")) {
    PrintScHelp();
    return kClean;
  }
  if (arguments.empty()) {
    fmt::print(stderr, "bugcheck: sc: no command\n{}", kHelp);
    return kUsageError;
  }
  auto client = run::MachineClient::Connect("default");
  if (!client) return ReportError(fmt::format("sc {}: {}", arguments[0], client.error().message));
  return ScCommand(*client, run::MachineFolder("default") + "/C", arguments);
}

}  // namespace bin
