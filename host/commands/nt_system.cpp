#include "commands/nt_system.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "commands/text.h"

namespace nt {

namespace {

constexpr uint32_t kUnset = kdump::kSignature;

std::string UnicodeGlobal(Kernel& kernel, std::string_view symbol) {
  const auto address = kernel.symbols().AddressOf(symbol);
  if (!address) return "";
  const auto length = kernel.memory().Get<uint16_t>(*address);
  const auto buffer = kernel.memory().Get<uint64_t>(*address + 8);
  if (!length || !buffer || *buffer == 0 || *length > 512) return "";
  const auto text = kernel.memory().ReadUtf16(*buffer, *length);
  return text ? *text : "";
}

}  // namespace

std::string ComputerName(Kernel& kernel) {
  const std::string name = UnicodeGlobal(kernel, "nt!CmpComputerName");
  if (!name.empty()) return name;
  // Our kernel: what its loader was told.
  const auto loader = kernel.symbols().Global("nt!KeLoaderBlock");
  const auto block = loader ? loader->Deref() : loader;
  const auto given = block ? block->CharArray("machine_name") : base::Result<std::string>(std::string());
  return given && !given->empty() ? *given : "Not Found";
}

std::string VersionLine(Kernel& kernel) {
  const auto& header = kernel.session().header();
  const uint32_t processors = kernel.session().processor_count();
  const std::string kind = processors == 1 ? "UP" : fmt::format("MP ({} procs)", processors);
  const char* build = header.MajorVersion == 0xC ? "Checked" : "Free";
  return fmt::format("Windows 10 Kernel Version {} {} {} x64", header.MinorVersion & 0xFFFF, kind, build);
}

std::string ProductLine(Kernel& kernel) {
  const auto& header = kernel.session().header();
  static constexpr std::array<const char*, 4> kProducts = {"Unknown", "WinNt", "LanManNt", "ServerNt"};
  static constexpr std::array<const char*, 18> kSuites = {"SmallBusiness",
                                                          "Enterprise",
                                                          "BackOffice",
                                                          "CommunicationServer",
                                                          "TerminalServer",
                                                          "SmallBusinessRestricted",
                                                          "EmbeddedNT",
                                                          "DataCenter",
                                                          "SingleUserTS",
                                                          "Personal",
                                                          "Blade",
                                                          "EmbeddedRestricted",
                                                          "SecurityAppliance",
                                                          "StorageServer",
                                                          "ComputeServer",
                                                          "HomeServer",
                                                          "",
                                                          "MultiUserTS"};
  std::string text = header.ProductType < kProducts.size() ? kProducts[header.ProductType] : kProducts[0];
  if (header.SuiteMask == kUnset || header.SuiteMask == 0) return text;
  text += ", suite:";
  for (size_t bit = 0; bit < kSuites.size(); ++bit) {
    if ((header.SuiteMask >> bit & 1) != 0 && *kSuites[bit] != 0) text += std::string(" ") + kSuites[bit];
  }
  return text;
}

std::string BuildLab(Kernel& kernel) {
  const std::string extended = kernel.GlobalString("nt!NtBuildLabEx");
  if (!extended.empty()) return extended;
  const std::string plain = kernel.GlobalString("nt!NtBuildLab");
  if (!plain.empty()) return plain;
  const auto pointer = kernel.session().kernel().KdbgU64(kdump::KdDebuggerData::kNtBuildLab);
  return pointer && *pointer != 0 ? kernel.memory().ReadCString(*pointer, 128) : "";
}

namespace {

// The `index`th string (1-based) behind a structure's formatted part.
std::string SmbiosString(base::Bytes table, size_t strings, uint8_t index) {
  for (uint8_t i = 1; index != 0 && strings < table.size() && table[strings] != std::byte{0}; ++i) {
    size_t end = strings;
    while (end < table.size() && table[end] != std::byte{0}) ++end;
    if (i == index) {
      std::string text;
      for (size_t at = strings; at < end; ++at) text += commands::Printable(static_cast<uint8_t>(table[at]));
      return std::string(commands::Trim(text));
    }
    strings = end + 1;
  }
  return "";
}

void ReadSmbios(Kernel& kernel, HardwareNames& names) {
  const auto physical = kernel.GlobalU64("nt!WmipSMBiosTablePhysicalAddress");
  const auto length = kernel.GlobalU64("nt!WmipSMBiosTableLength", 4);
  if (!physical || !length || *physical == 0 || *length == 0 || *length > 0x10000) return;
  std::vector<std::byte> table(*length);
  if (!kernel.memory().physical().Read(*physical, table)) return;
  auto byte = [&](size_t at) { return at < table.size() ? static_cast<uint8_t>(table[at]) : uint8_t{0}; };
  for (size_t at = 0; at + 4 <= table.size();) {
    const uint8_t type = byte(at), size = byte(at + 1);
    if (size < 4 || type == 127) break;
    const size_t strings = at + size;
    if (type == 1 && names.manufacturer.empty()) {
      names.manufacturer = SmbiosString(table, strings, byte(at + 4));
      names.product = SmbiosString(table, strings, byte(at + 5));
    } else if (type == 4 && names.processor.empty()) {
      names.processor = SmbiosString(table, strings, byte(at + 0x10));
    }
    size_t end = strings;
    while (end + 1 < table.size() && (byte(end) != 0 || byte(end + 1) != 0)) ++end;
    at = end + 2;
  }
}

}  // namespace

HardwareNames Hardware(Kernel& kernel) {
  HardwareNames names;
  ReadSmbios(kernel, names);
  if (!names.processor.empty()) return names;
  const auto processor = kernel.session().GetProcessor(0);
  if (!processor) return names;
  auto array = [&](const char* field) {
    const auto prcb = kernel.symbols().ObjectAt("nt!_KPRCB", processor->prcb);
    const auto text = prcb ? prcb->CharArray(field) : base::Result<std::string>(std::string());
    return text ? std::string(commands::Trim(*text)) : std::string();
  };
  names.processor = array("ProcessorBrand");
  if (names.processor.empty()) names.processor = array("VendorString");
  return names;
}

}  // namespace nt
