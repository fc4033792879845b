#include "commands/system_lines.h"

#include "commands/nt_kernel.h"
#include "commands/nt_system.h"
#include "commands/text.h"

namespace commands {

bool HasBugcheck(const Context& context) {
  const uint32_t code = context.session.header().BugCheckCode;
  return code != 0 && code != kdump::kSignature;
}

std::string BugcheckLine(const Context& context) {
  const auto& header = context.session.header();
  const auto& p = header.BugCheckParameter;
  return fmt::format("{:X} ({:X}, {:X}, {:X}, {:X})", header.BugCheckCode, p[0], p[1], p[2], p[3]);
}

// Of a live machine the header is as old as its boot: the shared page has the clock.
std::string SessionTimeLine(Context& context) {
  const auto clock = context.kernel.memory().Get<uint64_t>(nt::kSharedUserData + 0x14);
  const bool live = context.session.target().is_live() && clock && *clock != 0;
  return SessionTime(live ? *clock : context.session.header().SystemTime, context.kernel.TimeZoneBias());
}

uint64_t UptimeUnits(Context& context) {
  const uint64_t units = context.session.header().SystemUpTime;
  constexpr uint64_t kFill = 0x4547415045474150;
  return units == kFill || context.session.target().is_live()
             ? context.kernel.TickCount() * context.kernel.TimeIncrement()
             : units;
}

void PrintDumpInfo(Context& context) {
  Output& out = context.out;
  auto fact = [&](const char* name, const std::string& value) { out.Fact(name, value); };
  const std::string computer = nt::ComputerName(context.kernel), version = nt::VersionLine(context.kernel),
                    product = nt::ProductLine(context.kernel), lab = nt::BuildLab(context.kernel);
  const auto& kernel = context.session.kernel();
  out.Line("Computer Name:  {}", computer);
  out.Line("{}", version);
  out.Line("Product: {}", product);
  if (!lab.empty()) out.Line("Edition build lab: {}", lab);
  out.Line("Kernel base = {} PsLoadedModuleList = {}", TickAddress(kernel.base),
           TickAddress(kernel.loaded_module_list));
  const std::string time = SessionTimeLine(context), uptime = Uptime(UptimeUnits(context));
  out.Line("Debug session time: {}", time);
  out.Line("System Uptime: {}", uptime);
  const nt::HardwareNames hardware = nt::Hardware(context.kernel);
  out.Line("SystemManufacturer = {}", hardware.manufacturer.empty() ? "Not Found" : hardware.manufacturer);
  out.Line("SystemProductName = {}", hardware.product.empty() ? "Not Found" : hardware.product);
  out.Line("Processor: {}", hardware.processor.empty() ? "Not Found" : hardware.processor);
  if (HasBugcheck(context)) out.Line("Bugcheck: {}", BugcheckLine(context));
  fact("computer_name", computer);
  fact("version", version);
  fact("product", product);
  fact("build_lab", lab);
  fact("kernel_base", Hex16(kernel.base));
  fact("session_time", time);
  fact("uptime", uptime);
  fact("processor", hardware.processor);
  if (HasBugcheck(context)) fact("bugcheck", BugcheckLine(context));
}

}  // namespace commands
