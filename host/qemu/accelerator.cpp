#include "qemu/accelerator.h"

#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>

#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "qemu/command_line.h"
#include "qemu/process.h"

namespace qemu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTcgLimitMs = 20000;
constexpr int kProbeExitStatus = 0x10 * 2 + 1;  // isa-debug-exit of the probe's 0x10

// Wall time of the probe in ms; nothing when it did not end well within `limit_ms`.
std::optional<int> TimeProbe(const std::string& program, const std::string& image,
                             boot::Accelerator accelerator, int limit_ms) {
  const auto begin = Clock::now();
  auto child = Child::Start(ProbeCommandLine(program, image, accelerator), {});
  if (!child || !child->WaitForEnd(limit_ms)) return std::nullopt;
  if (!WIFEXITED(child->status()) || WEXITSTATUS(child->status()) != kProbeExitStatus) return std::nullopt;
  return static_cast<int>(
      std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count());
}

// The first line: a key that changes with the host's boot and with QEMU; the second: the answer.
std::string CacheKey(const std::string& program) {
  std::string boot_id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot_id;
  std::error_code error;
  const auto written = std::filesystem::last_write_time(program, error).time_since_epoch().count();
  return fmt::format("{} {} {} {}", boot_id, program, written,
                     access("/dev/kvm", R_OK | W_OK) == 0 ? "kvm" : "no-kvm");
}

std::optional<AcceleratorChoice> ReadCache(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string found_key;
  std::string name;
  AcceleratorChoice choice;
  if (!std::getline(file, found_key) || found_key != key || !std::getline(file, name)) return std::nullopt;
  if (name != "tcg" && name != "kvm") return std::nullopt;
  if (!std::getline(file, choice.reason)) return std::nullopt;
  choice.accelerator = name == "kvm" ? boot::Accelerator::kKvm : boot::Accelerator::kTcg;
  return choice;
}

// A cache that cannot be written costs a probe next time, nothing else.
void WriteCache(const std::string& folder, const std::string& path, const std::string& key,
                const AcceleratorChoice& choice) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  const std::string temporary = fmt::format("{}.{}", path, getpid());
  {
    std::ofstream file(temporary);
    file << key << '\n' << AcceleratorName(choice.accelerator) << '\n' << choice.reason << '\n';
  }
  std::filesystem::rename(temporary, path, error);
  if (error) std::filesystem::remove(temporary, error);
}

AcceleratorChoice Probe(const std::string& program, const std::string& image) {
  if (access("/dev/kvm", R_OK | W_OK) != 0) return {boot::Accelerator::kTcg, "no usable /dev/kvm"};
  const auto tcg = TimeProbe(program, image, boot::Accelerator::kTcg, kTcgLimitMs);
  // Near a tie KVM is the better one: plain code runs faster than in this probe of costly instructions.
  const int limit = tcg ? *tcg * 3 / 2 : kTcgLimitMs;
  const auto kvm = TimeProbe(program, image, boot::Accelerator::kKvm, limit);
  const std::string tcg_text = tcg ? fmt::format("tcg {} ms", *tcg) : "tcg fails";
  if (!kvm)
    return {boot::Accelerator::kTcg,
            fmt::format("probe: {}, kvm fails or takes over {} ms", tcg_text, limit)};
  return {boot::Accelerator::kKvm, fmt::format("probe: {}, kvm {} ms", tcg_text, *kvm)};
}

}  // namespace

const char* AcceleratorName(boot::Accelerator accelerator) {
  switch (accelerator) {
    case boot::Accelerator::kKvm:
      return "kvm";
    case boot::Accelerator::kTcgIcount:
      return "icount";
    case boot::Accelerator::kTcg:
      break;
  }
  return "tcg";
}

base::Result<AcceleratorChoice> ChooseAccelerator(const std::string& request, const std::string& qemu_program,
                                                  const std::string& probe_image,
                                                  const std::string& cache_folder) {
  if (request == "tcg") return AcceleratorChoice{boot::Accelerator::kTcg, "asked for"};
  if (request == "icount") return AcceleratorChoice{boot::Accelerator::kTcgIcount, "asked for"};
  if (request == "kvm") {
    if (access("/dev/kvm", R_OK | W_OK) != 0) return base::FailErrno("cannot use KVM: /dev/kvm", errno);
    return AcceleratorChoice{boot::Accelerator::kKvm, "asked for"};
  }
  if (request != "auto")
    return base::Fail(fmt::format("unknown accelerator '{}': auto, tcg, kvm or icount", request));
  const std::string path = cache_folder + "/accelerator";
  const std::string key = CacheKey(qemu_program);
  if (!cache_folder.empty()) {
    if (auto cached = ReadCache(path, key)) return *cached;
  }
  const AcceleratorChoice choice = Probe(qemu_program, probe_image);
  if (!cache_folder.empty()) WriteCache(cache_folder, path, key, choice);
  return choice;
}

}  // namespace qemu
