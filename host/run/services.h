// Replies of the machine about services and drivers, and sc.exe's way to print them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "run/run_driver.h"

namespace run {

struct ServiceInfo {
  std::string name;
  std::string image_path;
  uint32_t type = 1;
  uint32_t state = 1;  // 1 stopped, 4 running
  uint64_t base = 0;
  uint64_t size = 0;
};

struct DriverInfo {
  std::string file;
  uint64_t base;
  uint64_t size;
  std::string path;
  std::string service;
};

struct DirectoryEntry {
  std::string name;
  uint32_t attributes;
  uint64_t size;
  uint64_t last_write;  // FILETIME
};

struct DriverActivity {
  uint32_t threads_alive = 0;
  uint32_t devices = 0;
  uint32_t threads_runnable = 0;
  std::vector<ThreadFact> threads;
};

// The detail text of a start.
struct StartDetail {
  std::string refusal;  // why an image with all its imports would not do either
  std::vector<std::string> missing_imports;
  std::vector<std::string> warnings;
  std::vector<std::string> notes;
};

// Broken payloads give what could be read.
std::vector<ServiceInfo> ParseServices(const std::string& payload);
std::vector<DriverInfo> ParseDrivers(const std::string& payload);
std::vector<DirectoryEntry> ParseDirectory(const std::string& payload);
DriverActivity ParseActivity(const std::string& payload);
StartDetail ParseStartDetail(const std::string& payload, int32_t status);
// One string field, its non-empty lines.
std::vector<std::string> ParseLines(const std::string& payload);

// sc.exe's block for one service, as `sc query`, `sc start` (extended: with PID and FLAGS) and `sc stop`
// print it.
std::string ServiceBlock(const ServiceInfo& service, bool extended);

}  // namespace run
