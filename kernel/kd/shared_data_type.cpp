// _KUSER_SHARED_DATA with Windows's layout, for the kernel's symbols: the public header's is wrong in its
// second half, so its tag is set aside here. The part behind TimeZoneBiasEffectiveEnd is not kept by this
// kernel.
#define _KUSER_SHARED_DATA _KUSER_SHARED_DATA_OF_THE_HEADERS
#include "nt/ntos.h"
#undef _KUSER_SHARED_DATA

struct _KUSER_SHARED_DATA {  // NOLINT(readability-identifier-naming): NT's name
  ULONG TickCountLowDeprecated;
  ULONG TickCountMultiplier;
  KSYSTEM_TIME InterruptTime;
  KSYSTEM_TIME SystemTime;
  KSYSTEM_TIME TimeZoneBias;
  USHORT ImageNumberLow;
  USHORT ImageNumberHigh;
  WCHAR NtSystemRoot[260];
  ULONG MaxStackTraceDepth;
  ULONG CryptoExponent;
  ULONG TimeZoneId;
  ULONG LargePageMinimum;
  ULONG AitSamplingValue;
  ULONG AppCompatFlag;
  ULONG64 RNGSeedVersion;
  ULONG GlobalValidationRunlevel;
  LONG TimeZoneBiasStamp;
  ULONG NtBuildNumber;
  NT_PRODUCT_TYPE NtProductType;
  BOOLEAN ProductTypeIsValid;
  UCHAR Reserved0[1];
  USHORT NativeProcessorArchitecture;
  ULONG NtMajorVersion;
  ULONG NtMinorVersion;
  BOOLEAN ProcessorFeatures[64];
  ULONG Reserved1;
  ULONG Reserved3;
  ULONG TimeSlip;
  ULONG AlternativeArchitecture;
  ULONG BootId;
  LARGE_INTEGER SystemExpirationDate;
  ULONG SuiteMask;
  BOOLEAN KdDebuggerEnabled;
  UCHAR MitigationPolicies;
  USHORT CyclesPerYield;
  ULONG ActiveConsoleId;
  ULONG DismountCount;
  ULONG ComPlusPackage;
  ULONG LastSystemRITEventTickCount;
  ULONG NumberOfPhysicalPages;
  BOOLEAN SafeBootMode;
  UCHAR VirtualizationFlags;
  UCHAR Reserved12[2];
  ULONG SharedDataFlags;
  ULONG DataFlagsPad[1];
  ULONG64 TestRetInstruction;
  LONG64 QpcFrequency;
  ULONG SystemCall;
  ULONG Reserved2;
  ULONG64 SystemCallPad[2];
  union {
    KSYSTEM_TIME TickCount;
    ULONG64 TickCountQuad;
    ULONG ReservedTickCountOverlay[3];
  };
  ULONG Cookie;
  ULONG CookiePad[1];
  LONG64 ConsoleSessionForegroundProcessId;
  ULONG64 TimeUpdateLock;
  ULONG64 BaselineSystemTimeQpc;
  ULONG64 BaselineInterruptTimeQpc;
  ULONG64 QpcSystemTimeIncrement;
  ULONG64 QpcInterruptTimeIncrement;
  UCHAR QpcSystemTimeIncrementShift;
  UCHAR QpcInterruptTimeIncrementShift;
  USHORT UnparkedProcessorCount;
  ULONG EnclaveFeatureMask[4];
  ULONG TelemetryCoverageRound;
  USHORT UserModeGlobalLogger[16];
  ULONG ImageFileExecutionOptions;
  ULONG LangGenerationCount;
  ULONG64 Reserved4;
  ULONG64 InterruptTimeBias;
  ULONG64 QpcBias;
  ULONG ActiveProcessorCount;
  UCHAR ActiveGroupCount;
  UCHAR Reserved9;
  USHORT QpcData;
  LARGE_INTEGER TimeZoneBiasEffectiveStart;
  LARGE_INTEGER TimeZoneBiasEffectiveEnd;
};

static_assert(FIELD_OFFSET(_KUSER_SHARED_DATA, NtBuildNumber) == 0x260);
static_assert(FIELD_OFFSET(_KUSER_SHARED_DATA, SuiteMask) == 0x2D0);
static_assert(FIELD_OFFSET(_KUSER_SHARED_DATA, QpcFrequency) == 0x300);
static_assert(FIELD_OFFSET(_KUSER_SHARED_DATA, TickCount) == 0x320);
static_assert(FIELD_OFFSET(_KUSER_SHARED_DATA, Cookie) == 0x330);
static_assert(FIELD_OFFSET(_KUSER_SHARED_DATA, ActiveProcessorCount) == 0x3C0);
static_assert(sizeof(_KUSER_SHARED_DATA) == 0x3D8);

// The variable that leads to the type; debuggers find the page by its fixed address.
extern "C" const _KUSER_SHARED_DATA* KdSharedUserData;
const _KUSER_SHARED_DATA* KdSharedUserData = reinterpret_cast<const _KUSER_SHARED_DATA*>(0xFFFFF78000000000);
