// The machine as a whole: version, product, hardware names.
#pragma once

#include <cstdint>
#include <string>

#include "commands/nt_kernel.h"

namespace nt {

std::string ComputerName(Kernel& kernel);  // "Not Found" when the dump does not tell
// "Windows 10 Kernel Version 22621 MP (6 procs) Free x64"
std::string VersionLine(Kernel& kernel);
// "WinNt, suite: TerminalServer SingleUserTS"
std::string ProductLine(Kernel& kernel);
std::string BuildLab(Kernel& kernel);  // nt!NtBuildLabEx, else nt!NtBuildLab; "" when unknown

struct HardwareNames {
  std::string manufacturer;  // each "" when unknown
  std::string product;
  std::string processor;
};
// From the SMBIOS table that the kernel found, and from the PRCB.
HardwareNames Hardware(Kernel& kernel);

}  // namespace nt
