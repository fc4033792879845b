#include "commands/bucket.h"

#include "commands/bugcheck_info.h"

namespace commands {

namespace {

constexpr uint32_t kAccessViolation = 0xC0000005;

bool IsException(uint32_t code) {
  return code == 0x1E || code == 0x3B || code == 0x7E || code == 0x8E || code == 0x1000007E;
}

// A page fault: by what was tried, and on what.
std::string FaultPrefix(const Analysis& a) {
  const std::string_view operation = OperationOf(a);
  const bool is_null = a.touched->address < 0x10000;
  if (a.code == 0x50) {
    if (operation == "execute") return is_null ? "AV_CODE_AV_NULL_IP_" : "AV_CODE_AV_BAD_IP_";
    return operation == "write" ? "AV_W_INVALID_" : "AV_R_INVALID_";
  }
  std::string text = a.code == 0xA || a.code == 0xD1 ? "AV_" : fmt::format("0x{:X}_", a.code);
  if (operation == "execute" && a.code != 0xFC) text += "CODE_AV_";
  if (a.touched->is_pageable) text += "PAGED_CODE_";
  if (is_null) text += "NULL_";
  return text;
}

std::string KindPrefix(const Analysis& a, int parameter) {
  const uint64_t value = a.parameters[static_cast<size_t>(parameter - 1)];
  const auto kind = KindOfBugcheck(a.code, a.parameters);
  const std::string name = kind && !kind->bucket.empty() ? std::string(kind->bucket) + "_" : "";
  if (!name.empty() && a.code != 0x139) return fmt::format("0x{:x}_{}", a.code, name);
  return fmt::format("0x{:x}_{:x}_{}", a.code, value, name);
}

std::string Prefix(const Analysis& a) {
  if (a.code == 0xE2) return "MANUALLY_INITIATED_CRASH_";
  if (a.code == 0x161) return "LIVE_SYSTEM_DUMP_";
  if (a.code == 0x1C8) return "MANUALLY_INITIATED_POWER_BUTTON_HOLD_";
  if (a.code == 0x101) return "CLOCK_WATCHDOG_TIMEOUT_";
  const auto kind = a.code != 0xBE ? KindParameter(a.code) : std::nullopt;
  if (kind) return KindPrefix(a, *kind);
  if (a.is_hang) return "HANG_";
  if (a.touched) return FaultPrefix(a);
  if (IsException(a.code)) {
    const auto status = static_cast<uint32_t>(a.parameters[0]);
    return status == kAccessViolation ? "AV_" : fmt::format("0x{:X}_{:x}_", a.code, status);
  }
  return fmt::format("0x{:X}_", a.code);
}

}  // namespace

std::string FailureBucket(const Analysis& analysis, const std::string& culprit) {
  return Prefix(analysis) + (analysis.is_verified ? "VRF_" : "") + culprit;
}

}  // namespace commands
