// Version and random numbers.
#include "rtl/rtl.h"

#undef RtlIsNtDdiVersionAvailable  // a macro for drivers

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

// One condition of RtlVerifyVersionInfo: VER_EQUAL 1, GREATER 2, GREATER_EQUAL 3, LESS 4, LESS_EQUAL 5.
bool Holds(ULONG actual, ULONG wanted, ULONG condition) {
  switch (condition) {
    case 1:
      return actual == wanted;
    case 2:
      return actual > wanted;
    case 3:
      return actual >= wanted;
    case 4:
      return actual < wanted;
    case 5:
      return actual <= wanted;
    default:
      return false;
  }
}

// The three bits of a condition mask that belong to the type bit of that number.
ULONG ConditionOf(ULONGLONG mask, ULONG type_bit) {
  return static_cast<ULONG>(mask >> (3 * type_bit)) & 7;
}

struct Field {
  ULONG bit;
  ULONG actual;
  ULONG wanted;
};

// The first field that differs decides, by its own condition; where all are equal, the last one's.
template <size_t N>
bool SequenceHolds(const Field (&fields)[N], ULONG types, ULONGLONG mask) {
  bool holds = true;
  for (const Field& field : fields) {
    if ((types >> field.bit & 1) == 0) continue;
    holds = Holds(field.actual, field.wanted, ConditionOf(mask, field.bit));
    if (field.actual != field.wanted) break;
  }
  return holds;
}

ULONG random_state = 1;

}  // namespace

extern "C" {

VOID NTAPI RtlpSetVersion(ULONG MajorVersion, ULONG MinorVersion, ULONG BuildNumber) {
  major_version = MajorVersion;
  minor_version = MinorVersion;
  build_number = BuildNumber;
}

/// Fills in the version that the machine is configured to report; the extended structure too, by its size.
/// IRQL: PASSIVE_LEVEL; works at any.
/// Differs from NT: none.
/// Source: WDK wdm/RtlGetVersion.
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
/// IRQL: <= APC_LEVEL; works at any.
/// Differs from NT: none; the numbers are not documented, and are others.
/// Source: WDK ntddk/RtlRandomEx.
NT_EXPORT(RtlRandomEx, nt::AtMost(APC_LEVEL), Full, "RtlMisc.Random");
ULONG NTAPI RtlRandomEx(PULONG Seed) {
  return *Seed = NextRandom(*Seed);
}

/// Returns the next number of a sequence below 2^31-1 and keeps the state in the caller's seed.
/// IRQL: <= APC_LEVEL; works at any.
/// Differs from NT: none; the numbers are not documented, and are others.
/// Source: WDK ntddk/RtlRandom.
NT_EXPORT(RtlRandom, nt::AtMost(APC_LEVEL), Full, "RtlMisc.Random");
ULONG NTAPI RtlRandom(PULONG Seed) {
  return *Seed = NextRandom(*Seed);
}

/// Compares the version with a wanted one by the fields of the type mask; STATUS_REVISION_MISMATCH if it does
/// not meet it. Major, minor and service pack are tested in that order, the next only where they are equal.
/// IRQL: PASSIVE_LEVEL; works at any.
/// Differs from NT: none.
/// Source: WDK wdm/RtlVerifyVersionInfo.
NT_EXPORT(RtlVerifyVersionInfo, nt::Exactly(PASSIVE_LEVEL), Full, "RtlMisc.VerifyVersion*");
NTSTATUS NTAPI RtlVerifyVersionInfo(PRTL_OSVERSIONINFOEXW VersionInfo, ULONG TypeMask,
                                    ULONGLONG ConditionMask) {
  const Field sequence[] = {{1, major_version, VersionInfo->dwMajorVersion},
                            {0, minor_version, VersionInfo->dwMinorVersion},
                            {5, 0, VersionInfo->wServicePackMajor},
                            {4, 0, VersionInfo->wServicePackMinor}};
  const Field single[] = {{2, build_number, VersionInfo->dwBuildNumber},
                          {3, kPlatformNt, VersionInfo->dwPlatformId},
                          {7, kProductWorkstation, VersionInfo->wProductType}};
  if (TypeMask == 0) return STATUS_INVALID_PARAMETER;
  for (ULONG bit = 0; bit < 8; ++bit) {
    if ((TypeMask >> bit & 1) != 0 && ConditionOf(ConditionMask, bit) == 0) return STATUS_INVALID_PARAMETER;
  }
  if (!SequenceHolds(sequence, TypeMask, ConditionMask)) return STATUS_REVISION_MISMATCH;
  for (const Field& field : single) {
    if ((TypeMask >> field.bit & 1) == 0) continue;
    if (!Holds(field.actual, field.wanted, ConditionOf(ConditionMask, field.bit)))
      return STATUS_REVISION_MISMATCH;
  }
  if ((TypeMask & VER_SUITENAME) != 0) {
    const USHORT common = VersionInfo->wSuiteMask & kSuiteTerminalSingleUser;
    const bool all = ConditionOf(ConditionMask, 6) == 6;  // VER_AND; VER_OR is 7
    if (all ? common != VersionInfo->wSuiteMask : common == 0) return STATUS_REVISION_MISMATCH;
  }
  return STATUS_SUCCESS;
}

/// Adds the comparison of a field (a VER_ bit of the type mask) to a condition mask; of several bits the
/// highest.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/VerSetConditionMask.
NT_EXPORT(VerSetConditionMask, nt::AnyIrql(), Full, "RtlMisc.VerifyVersion*");
ULONGLONG NTAPI VerSetConditionMask(ULONGLONG ConditionMask, ULONG TypeMask, UCHAR Condition) {
  for (ULONG bit = 8; bit-- > 0;) {
    if ((TypeMask >> bit & 1) != 0) return ConditionMask | static_cast<ULONGLONG>(Condition & 7) << (3 * bit);
  }
  return ConditionMask;
}

#undef RtlIsNtDdiVersionAvailable  // wdm.h makes it a name of its own library
/// Tells whether the version is at least that of an NTDDI_ constant.
/// IRQL: PASSIVE_LEVEL; works at any.
/// Differs from NT: versions of Windows 10 are told apart by the build number.
/// Source: WDK wdm/RtlIsNtDdiVersionAvailable.
NT_EXPORT(RtlIsNtDdiVersionAvailable, nt::Exactly(PASSIVE_LEVEL), Full, "RtlMisc.NtDdi");
extern "C" BOOLEAN NTAPI RtlIsNtDdiVersionAvailable(ULONG Version) {
  const ULONG wanted = Version >> 16;
  const ULONG own = major_version << 8 | minor_version;
  if (own != wanted || wanted != 0x0A00) return own >= wanted;
  // The releases of Windows 10 count in the lowest byte: RTM, TH2, RS1 to RS5, 19H1, VB, MN, FE, one unused,
  // CO, NI.
  constexpr ULONG kBuilds[] = {10240, 10586, 14393, 15063, 16299, 17134, 17763,
                               18362, 19041, 20201, 20348, 20348, 22000, 22621};
  const ULONG release = Version & 0xFF;
  return release < sizeof kBuilds / sizeof kBuilds[0] && build_number >= kBuilds[release];
}

/// Replaces generic access rights in a mask by the specific ones of an object type.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlMapGenericMask.
NT_EXPORT(RtlMapGenericMask, nt::AtMost(APC_LEVEL), Full, "RtlMisc.Access");
VOID NTAPI RtlMapGenericMask(PACCESS_MASK AccessMask, PGENERIC_MAPPING GenericMapping) {
  ACCESS_MASK mask = *AccessMask;
  if ((mask & GENERIC_READ) != 0) mask |= GenericMapping->GenericRead;
  if ((mask & GENERIC_WRITE) != 0) mask |= GenericMapping->GenericWrite;
  if ((mask & GENERIC_EXECUTE) != 0) mask |= GenericMapping->GenericExecute;
  if ((mask & GENERIC_ALL) != 0) mask |= GenericMapping->GenericAll;
  *AccessMask = mask & ~(GENERIC_READ | GENERIC_WRITE | GENERIC_EXECUTE | GENERIC_ALL);
}

/// Tells whether every desired right was granted.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlAreAllAccessesGranted.
NT_EXPORT(RtlAreAllAccessesGranted, nt::AnyIrql(), Full, "RtlMisc.Access");
BOOLEAN NTAPI RtlAreAllAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess) {
  return (DesiredAccess & ~GrantedAccess) == 0;
}

/// Tells whether any desired right was granted.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlAreAnyAccessesGranted.
NT_EXPORT(RtlAreAnyAccessesGranted, nt::AnyIrql(), Full, "RtlMisc.Access");
BOOLEAN NTAPI RtlAreAnyAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess) {
  return (DesiredAccess & GrantedAccess) != 0;
}

/// Seeds rand.
/// IRQL: any.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, srand.
NT_EXPORT(srand, nt::AnyIrql(), Full, "RtlMisc.CRandom");
void __cdecl srand(unsigned seed) {
  random_state = seed;
}

/// Returns the next number of one sequence for the whole system, 0 to 32767.
/// IRQL: any.
/// Differs from NT: none.
/// Source: Microsoft C run-time library, rand.
NT_EXPORT(rand, nt::AnyIrql(), Full, "RtlMisc.CRandom");
int __cdecl rand(void) {
  random_state = random_state * 214013 + 2531011;
  return static_cast<int>(random_state >> 16 & 0x7FFF);
}

}  // extern "C"
