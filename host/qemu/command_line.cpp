#include "qemu/command_line.h"

#include <cstdlib>
#include <sstream>

#include <unistd.h>

#include <fmt/format.h>

namespace qemu {
namespace {

constexpr char kQemuName[] = "qemu-system-x86_64";
constexpr char kSandbox[] = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

// QEMU's option parser ends a value at a comma unless it is doubled.
std::string Escape(const std::string& value) {
  std::string escaped;
  for (const char c : value) {
    escaped += c;
    if (c == ',') escaped += ',';
  }
  return escaped;
}

constexpr Device kDevices[] = {
    {"edu", R"(PCI\VEN_1234&DEV_11E8)",
     "QEMU's teaching device: registers, factorials, DMA, line and message interrupts"},
};

// QEMU's microvm has a PCI bus only together with ACPI. Without its second I/O APIC all lines stay in the
// first.
std::string MachineOption(bool serial, bool pci) {
  return fmt::format(
      "microvm,{},pic=off,pit=off,rtc=off,isa-serial={},auto-kernel-cmdline=off,x-option-roms=off",
      pci ? "acpi=on,pcie=on,ioapic2=off" : "acpi=off", serial ? "on" : "off");
}

const char* AcceleratorOption(boot::Accelerator accelerator) {
  switch (accelerator) {
    case boot::Accelerator::kKvm:
      return "kvm";
    case boot::Accelerator::kTcgIcount:
      return "tcg,thread=single";
    case boot::Accelerator::kTcg:
      break;
  }
  return "tcg,thread=multi";
}

}  // namespace

std::vector<std::string> CommandLine(const MachineConfig& config, const InheritedFds& fds) {
  std::vector<std::string> argv = {
      config.program,
      "-name",
      "bugcheck",
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-no-reboot",
      "-M",
      MachineOption(true, !config.devices.empty()) + ",memory-backend=ram",
      "-accel",
      AcceleratorOption(config.accelerator),
      "-cpu",
      "max",
      "-m",
      fmt::format("{}M", config.memory >> 20),
      "-smp",
      fmt::format("{}", config.processors),
      "-object",
      fmt::format("memory-backend-file,id=ram,size={}M,mem-path=/proc/self/fd/{},share=on",
                  config.memory >> 20, fds.ram),
      "-kernel",
      config.stub,
      "-chardev",
      fmt::format("socket,id=debugcon,fd={}", fds.debug_console),
      "-device",
      fmt::format("isa-debugcon,chardev=debugcon,iobase={:#x}", 0xE9),
      "-chardev",
      fmt::format("socket,id=com1,fd={}", fds.serial),
      "-serial",
      "chardev:com1",
      "-chardev",
      fmt::format("socket,id=qmp,fd={}", fds.qmp),
      "-mon",
      "chardev=qmp,mode=control",
      "-sandbox",
      kSandbox};
  if (config.accelerator == boot::Accelerator::kTcgIcount) {
    argv.insert(argv.end(), {"-icount", "shift=0,sleep=off"});
  }
  if (!config.drive_c.empty()) {
    argv.insert(argv.end(), {"-global", "virtio-mmio.force-legacy=false", "-fsdev",
                             fmt::format("local,id=c,path={},security_model=none", Escape(config.drive_c)),
                             "-device", "virtio-9p-device,fsdev=c,mount_tag=host"});
  }
  for (const std::string& device : config.devices) argv.insert(argv.end(), {"-device", device});
  return argv;
}

std::vector<std::string> ProbeCommandLine(const std::string& program, const std::string& kernel,
                                          boot::Accelerator accelerator) {
  return {program,
          "-name",
          "bugcheck-probe",
          "-nodefaults",
          "-no-user-config",
          "-display",
          "none",
          "-no-reboot",
          "-M",
          MachineOption(false, false),
          "-accel",
          AcceleratorOption(accelerator),
          "-cpu",
          "max",
          "-m",
          "32M",
          "-kernel",
          kernel,
          "-device",
          "isa-debug-exit,iobase=0x501,iosize=4",
          "-sandbox",
          kSandbox};
}

const Device* FindDevice(std::string_view name) {
  for (const Device& device : kDevices) {
    if (device.name == name) return &device;
  }
  return nullptr;
}

std::string DeviceNames() {
  std::string names;
  for (const Device& device : kDevices) names.append(names.empty() ? "" : ", ").append(device.name);
  return names;
}

std::string FindQemu() {
  if (const char* program = std::getenv("BUGCHECK_QEMU"); program != nullptr && *program != '\0') {
    return access(program, X_OK) == 0 ? program : "";
  }
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string candidate = (folder.empty() ? "." : folder) + "/" + kQemuName;
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

}  // namespace qemu
