// QEMU's command line for our machine.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "boot/loader_block.h"

namespace qemu {

// What is passed to QEMU by descriptor number.
struct InheritedFds {
  int ram;
  int debug_console;
  int serial;
  int qmp;
};

struct MachineConfig {
  std::string program;  // path of qemu-system-x86_64
  std::string stub;     // path of boot.elf
  uint64_t memory = 256ull << 20;
  uint32_t processors = 1;
  boot::Accelerator accelerator = boot::Accelerator::kTcg;
  std::string drive_c;               // host folder behind C:, "" for none
  std::vector<std::string> devices;  // names of FindDevice
};

// A PCI device that a machine can be given.
struct Device {
  std::string_view name;
  std::string_view hardware_id;  // by which plug and play finds its driver
  std::string_view summary;
};
// 0: there is no such device.
const Device* FindDevice(std::string_view name);
// "edu, ..."
std::string DeviceNames();

// The whole argv. The machine has no network and no devices but those named here; the sandbox is on.
std::vector<std::string> CommandLine(const MachineConfig& config, const InheritedFds& fds);

// argv for a bare microvm that runs `kernel` and can end itself through isa-debug-exit at port 0x501.
std::vector<std::string> ProbeCommandLine(const std::string& program, const std::string& kernel,
                                          boot::Accelerator accelerator);

// The path of qemu-system-x86_64: $BUGCHECK_QEMU, else the first in $PATH; "" when there is none.
std::string FindQemu();

}  // namespace qemu
