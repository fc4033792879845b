#include "run/services.h"

#include <sstream>

#include <fmt/format.h>

#include "run/fields.h"

namespace run {
namespace {

constexpr size_t kMaxRecords = 65536;

bool IsMissingImport(int32_t status) {
  switch (static_cast<uint32_t>(status)) {
    case 0xC0000262:  // STATUS_DRIVER_ORDINAL_NOT_FOUND
    case 0xC0000263:  // STATUS_DRIVER_ENTRYPOINT_NOT_FOUND
      return true;
    default:
      return false;
  }
}

const char* StateName(uint32_t state) {
  constexpr const char* kNames[] = {"?", "STOPPED", "START_PENDING", "STOP_PENDING", "RUNNING"};
  return state < 5 ? kNames[state] : "?";
}

}  // namespace

std::vector<ServiceInfo> ParseServices(const std::string& payload) {
  FieldReader reader(payload);
  std::vector<ServiceInfo> services;
  while (!reader.AtEnd() && services.size() < kMaxRecords) {
    auto name = reader.String();
    auto path = reader.String();
    auto type = reader.U32();
    auto state = reader.U32();
    auto base = reader.U64();
    auto size = reader.U64();
    if (!size) break;
    services.push_back({*name, *path, *type, *state, *base, *size});
  }
  return services;
}

std::vector<DriverInfo> ParseDrivers(const std::string& payload) {
  FieldReader reader(payload);
  std::vector<DriverInfo> drivers;
  while (!reader.AtEnd() && drivers.size() < kMaxRecords) {
    auto file = reader.String();
    auto base = reader.U64();
    auto size = reader.U64();
    auto path = reader.String();
    auto service = reader.String();
    if (!service) break;
    drivers.push_back({*file, *base, *size, *path, *service});
  }
  return drivers;
}

std::vector<DirectoryEntry> ParseDirectory(const std::string& payload) {
  FieldReader reader(payload);
  std::vector<DirectoryEntry> entries;
  while (!reader.AtEnd() && entries.size() < kMaxRecords) {
    auto name = reader.String();
    auto attributes = reader.U32();
    auto size = reader.U64();
    auto last_write = reader.U64();
    if (!last_write) break;
    entries.push_back({*name, *attributes, *size, *last_write});
  }
  return entries;
}

DriverActivity ParseActivity(const std::string& payload) {
  FieldReader reader(payload);
  DriverActivity activity;
  activity.threads_alive = reader.U32().value_or(0);
  activity.devices = reader.U32().value_or(0);
  activity.threads_runnable = reader.U32().value_or(0);
  while (!reader.AtEnd() && activity.threads.size() < kMaxRecords) {
    auto thread = reader.U64();
    auto state = reader.U32();
    auto reason = reader.U32();
    auto switches = reader.U64();
    if (!switches) break;
    activity.threads.push_back({*thread, *state, *reason, *switches});
  }
  return activity;
}

std::vector<std::string> ParseLines(const std::string& payload) {
  std::vector<std::string> lines;
  std::istringstream text(FieldReader(payload).String().value_or(""));
  for (std::string line; std::getline(text, line);) {
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!line.empty()) lines.push_back(line);
  }
  return lines;
}

StartDetail ParseStartDetail(const std::string& payload, int32_t status) {
  // As mm's image loader writes them; a missing import is the bare MODULE!NAME.
  constexpr std::string_view kWarning = "warning: ";
  constexpr std::string_view kLibrary = "missing library: ";
  constexpr std::string_view kRefused = "refused: ";
  StartDetail detail;
  for (std::string& line : ParseLines(payload)) {
    if (line.starts_with(kWarning)) {
      detail.warnings.push_back(line.substr(kWarning.size()));
    } else if (line.starts_with(kLibrary)) {
      detail.missing_imports.push_back(line.substr(kLibrary.size()) + " (the whole library)");
    } else if (line.starts_with(kRefused)) {
      detail.refusal = line.substr(kRefused.size());
    } else if (IsMissingImport(status)) {
      detail.missing_imports.push_back(std::move(line));
    } else if (status >= 0) {
      detail.warnings.push_back(std::move(line));
    } else {
      detail.notes.push_back(std::move(line));
    }
  }
  return detail;
}

std::string ServiceBlock(const ServiceInfo& service, bool extended) {
  const bool running = service.state == 4;
  std::string text = fmt::format("\nSERVICE_NAME: {} \n", service.name);
  text += fmt::format("        TYPE               : {:x}  {}  \n", service.type,
                      service.type == 2 ? "FILE_SYSTEM_DRIVER" : "KERNEL_DRIVER");
  text += fmt::format("        STATE              : {:x}  {} \n", service.state, StateName(service.state));
  if (running) text += "                                (STOPPABLE, NOT_PAUSABLE, IGNORES_SHUTDOWN)\n";
  text +=
      fmt::format("        WIN32_EXIT_CODE    : {0}  ({0:#x})\n", running || service.state == 1 ? 0 : 1077);
  text += "        SERVICE_EXIT_CODE  : 0  (0x0)\n";
  text += "        CHECKPOINT         : 0x0\n";
  text += "        WAIT_HINT          : 0x0\n";
  if (extended) text += "        PID                : 0\n        FLAGS              : \n";
  return text;
}

}  // namespace run
