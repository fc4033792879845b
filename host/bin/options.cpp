#include "bin/options.h"

#include <cstdlib>
#include <sstream>

#include <fmt/format.h>

#include "qemu/command_line.h"
#include "run/paths.h"
#include "run/units.h"

namespace bin {
namespace {

struct VerifierFlag {
  const char* name;
  uint32_t bits;
};

// The kernel leaves out what it has not, instead of refusing.
constexpr uint32_t kWhatThereIs = 0x80000000;

// Bits as in verifier.exe /flags.
constexpr uint32_t kStandard = 0
#define VERIFIER_OPTION(bit, name, title, standard, there) | (standard ? (bit) : 0u)
#include "verifier_options.inc"
#undef VERIFIER_OPTION
    ;
constexpr VerifierFlag kVerifierFlags[] = {
    {"standard", kStandard | kWhatThereIs},
    {"none", 0},
#define VERIFIER_OPTION(bit, name, title, standard, there) {name, bit},
#include "verifier_options.inc"
#undef VERIFIER_OPTION
};

}  // namespace

int UsageError(const std::string& message) {
  fmt::print(stderr, "bugcheck: {}\n", message);
  return kUsageError;
}

std::optional<int> Parse(CLI::App& app, const Arguments& arguments) {
  try {
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));
  } catch (const CLI::CallForHelp&) {
    fmt::print("{}", app.help());
    return kClean;
  } catch (const CLI::ParseError& error) {
    return UsageError(fmt::format("{}: {} (see {} --help)", app.get_name(), error.what(), app.get_name()));
  }
  return std::nullopt;
}

void MachineArguments::AddTo(CLI::App& app) {
  app.add_option("--cpus", processors, "processors, 1 to 32 (default 6)")->check(CLI::Range(1, 32));
  app.add_option("--memory", memory, "memory, e.g. 256M (the default) or 1G");
  app.add_option("--accel", accelerator, "auto (measured once per boot of the host), tcg, kvm or icount");
  app.add_option("--kernel", kernel, "another kernel image than ours");
  app.add_option("--boot-options", boot_options, "options for the kernel: name=value name=value");
  app.add_option(
      "--verifier", verifier,
      "Driver Verifier for the driver: standard, a number, or names joined by commas (special_pool, irql, "
      "low_resources, pool, io, deadlock, ddi, dma, security, misc, ...: docs/generated/verifier.md)");
  app.add_option("--device", devices,
                 "a PCI device for the machine: edu (QEMU's); may be given several times");
  app.add_option("--build", build_number, "the build number that RtlGetVersion reports (default 22621)");
}

base::Result<run::MachineOptions> MachineArguments::Resolve() const {
  run::MachineOptions options;
  options.processors = processors;
  options.memory = TRY_WRAP("--memory", run::ParseSize(memory));
  options.accelerator = accelerator;
  options.kernel = kernel;
  options.boot_options = boot_options;
  options.build_number = build_number;
  for (const std::string& device : devices) {
    if (qemu::FindDevice(device) == nullptr)
      return base::Fail(
          fmt::format("--device: there is no '{}'; there are: {}", device, qemu::DeviceNames()));
  }
  options.devices = devices;
  options.verifier_flags = TRY_WRAP("--verifier", ParseVerifierFlags(verifier));
  options.cache_folder = run::CacheFolder();
  return options;
}

base::Result<uint32_t> ParseVerifierFlags(const std::string& list) {
  uint32_t flags = 0;
  std::istringstream names(list);
  for (std::string name; std::getline(names, name, ',');) {
    char* end = nullptr;
    const unsigned long number = std::strtoul(name.c_str(), &end, 0);
    bool known = !name.empty() && *end == '\0' && number <= UINT32_MAX;
    if (known) flags |= static_cast<uint32_t>(number);
    for (const VerifierFlag& flag : kVerifierFlags) {
      if (name != flag.name) continue;
      flags |= flag.bits;
      known = true;
    }
    if (!known) return base::Fail(fmt::format("'{}' is not a verifier flag", name));
  }
  return flags;
}

}  // namespace bin
