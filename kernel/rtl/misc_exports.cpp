// Version and random numbers.
#include "rtl/rtl.h"

namespace {

ULONG major_version = 10;
ULONG minor_version = 0;
ULONG build_number = 22621;

constexpr ULONG kPlatformNt = 2;
constexpr USHORT kSuiteTerminalSingleUser = 0x110;
constexpr UCHAR kProductWorkstation = 1;

// The multiplicative generator x -> 16807 x mod 2^31-1 (Park and Miller).
ULONG NextRandom(ULONG value) {
  value %= 0x7FFFFFFF;
  if (value == 0) value = 1;
  return static_cast<ULONG>(static_cast<ULONGLONG>(value) * 16807 % 0x7FFFFFFF);
}

}  // namespace

extern "C" {

VOID NTAPI RtlpSetVersion(ULONG MajorVersion, ULONG MinorVersion, ULONG BuildNumber) {
  major_version = MajorVersion;
  minor_version = MinorVersion;
  build_number = BuildNumber;
}

/// Fills in the version that the machine is configured to report; the extended structure too, by its size.
/// IRQL: PASSIVE_LEVEL; works at any. Differs from NT: none. Source: WDK wdm/RtlGetVersion.
NT_EXPORT(RtlGetVersion, nt::Exactly(PASSIVE_LEVEL), Full, "RtlMisc.Version");
NTSTATUS NTAPI RtlGetVersion(PRTL_OSVERSIONINFOW VersionInformation) {
  VersionInformation->dwMajorVersion = major_version;
  VersionInformation->dwMinorVersion = minor_version;
  VersionInformation->dwBuildNumber = build_number;
  VersionInformation->dwPlatformId = kPlatformNt;
  VersionInformation->szCSDVersion[0] = 0;
  if (VersionInformation->dwOSVersionInfoSize == sizeof(RTL_OSVERSIONINFOEXW)) {
    auto* extended = reinterpret_cast<PRTL_OSVERSIONINFOEXW>(VersionInformation);
    extended->wServicePackMajor = 0;
    extended->wServicePackMinor = 0;
    extended->wSuiteMask = kSuiteTerminalSingleUser;
    extended->wProductType = kProductWorkstation;
    extended->wReserved = 0;
  }
  return STATUS_SUCCESS;
}

/// Returns the next number of a sequence below 2^31-1 and keeps the state in the caller's seed.
/// IRQL: <= APC_LEVEL; works at any. Differs from NT: another generator, so other numbers. Source: WDK
/// ntddk/RtlRandomEx.
NT_EXPORT(RtlRandomEx, nt::AtMost(APC_LEVEL), Partial, "RtlMisc.Random");
ULONG NTAPI RtlRandomEx(PULONG Seed) {
  return *Seed = NextRandom(*Seed);
}

/// Returns the next number of a sequence below 2^31-1 and keeps the state in the caller's seed.
/// IRQL: <= APC_LEVEL; works at any. Differs from NT: another generator, so other numbers. Source: WDK
/// ntddk/RtlRandom.
NT_EXPORT(RtlRandom, nt::AtMost(APC_LEVEL), Partial, "RtlMisc.Random");
ULONG NTAPI RtlRandom(PULONG Seed) {
  return *Seed = NextRandom(*Seed);
}

}  // extern "C"
