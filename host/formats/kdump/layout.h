// The 64-bit crash dump format, as it lies in the file. Offsets are checked below; docs: each field keeps
// Microsoft's name.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kdump {

inline constexpr uint64_t kPageSize = 0x1000;
inline constexpr uint64_t kHeaderSize = 0x2000;
inline constexpr uint32_t kSignature = 0x45474150;    // 'PAGE', also the fill of every unset field
inline constexpr uint32_t kValidDump64 = 0x34365544;  // 'DU64'
inline constexpr uint32_t kValidDump32 = 0x504d5544;  // 'DUMP'
inline constexpr uint32_t kMaxRuns = 42;

enum class DumpType : uint32_t {
  kFull = 1,
  kSummary = 2,
  kHeaderOnly = 3,
  kTriage = 4,
  kBitmapFull = 5,
  kBitmapKernel = 6,
  kAutomatic = 7,
  kKernelRanges = 8,
  kKernelUserRanges = 9,
  kCompleteRanges = 0xA,
};

struct PhysicalRun {
  uint64_t BasePage;
  uint64_t PageCount;
};

struct PhysicalMemoryDescriptor64 {
  uint32_t NumberOfRuns;
  uint32_t Padding;
  uint64_t NumberOfPages;
  PhysicalRun Run[kMaxRuns];
  uint8_t Tail[12];
};
static_assert(sizeof(PhysicalMemoryDescriptor64) == 704);

struct ExceptionRecord64 {
  uint32_t ExceptionCode;
  uint32_t ExceptionFlags;
  uint64_t ExceptionRecord;
  uint64_t ExceptionAddress;
  uint32_t NumberParameters;
  uint32_t Unused;
  uint64_t ExceptionInformation[15];
};
static_assert(sizeof(ExceptionRecord64) == 0x98);

struct Xmm {
  uint64_t Low;
  uint64_t High;
};

// CONTEXT of x64, 0x4D0 bytes.
struct ContextX64 {
  uint64_t P1Home, P2Home, P3Home, P4Home, P5Home, P6Home;
  uint32_t ContextFlags;
  uint32_t MxCsr;
  uint16_t SegCs, SegDs, SegEs, SegFs, SegGs, SegSs;
  uint32_t EFlags;
  uint64_t Dr0, Dr1, Dr2, Dr3, Dr6, Dr7;
  uint64_t Rax, Rcx, Rdx, Rbx, Rsp, Rbp, Rsi, Rdi, R8, R9, R10, R11, R12, R13, R14, R15;
  uint64_t Rip;
  uint16_t ControlWord, StatusWord;
  uint8_t TagWord, Reserved1;
  uint16_t ErrorOpcode;
  uint32_t ErrorOffset;
  uint16_t ErrorSelector, Reserved2;
  uint32_t DataOffset;
  uint16_t DataSelector, Reserved3;
  uint32_t FltSaveMxCsr, FltSaveMxCsrMask;
  Xmm FloatRegisters[8];
  Xmm XmmRegisters[16];
  uint8_t Reserved4[96];
  Xmm VectorRegister[26];
  uint64_t VectorControl, DebugControl, LastBranchToRip, LastBranchFromRip, LastExceptionToRip,
      LastExceptionFromRip;
};
static_assert(sizeof(ContextX64) == 0x4D0);
static_assert(offsetof(ContextX64, ContextFlags) == 0x30);
static_assert(offsetof(ContextX64, SegCs) == 0x38);
static_assert(offsetof(ContextX64, EFlags) == 0x44);
static_assert(offsetof(ContextX64, Rax) == 0x78);
static_assert(offsetof(ContextX64, Rip) == 0xF8);
static_assert(offsetof(ContextX64, FltSaveMxCsr) == 0x118);
static_assert(offsetof(ContextX64, XmmRegisters) == 0x1A0);
inline constexpr uint32_t kContextAmd64 = 0x100000;
inline constexpr uint32_t kContextFullAmd64 = 0x10000F;  // control, integer, segments, floating point

struct Header64 {
  uint32_t Signature;
  uint32_t ValidDump;
  uint32_t MajorVersion;
  uint32_t MinorVersion;
  uint64_t DirectoryTableBase;
  uint64_t PfnDataBase;
  uint64_t PsLoadedModuleList;
  uint64_t PsActiveProcessHead;
  uint32_t MachineImageType;
  uint32_t NumberProcessors;
  uint32_t BugCheckCode;
  uint32_t Padding0;
  uint64_t BugCheckParameter[4];
  char VersionUser[32];
  uint64_t KdDebuggerDataBlock;
  PhysicalMemoryDescriptor64 PhysicalMemoryBlock;
  union {
    ContextX64 Context;
    uint8_t ContextRecord[3000];
  };
  ExceptionRecord64 Exception;
  uint32_t Type;  // DumpType
  uint32_t Padding1;
  uint64_t RequiredDumpSpace;
  uint64_t SystemTime;  // FILETIME, UTC
  char Comment[128];
  uint64_t SystemUpTime;  // 100 ns
  uint32_t MiniDumpFields;
  uint32_t SecondaryDataState;
  uint32_t ProductType;
  uint32_t SuiteMask;
  uint32_t WriterStatus;
  uint8_t Unused1;
  uint8_t KdSecondaryVersion;
  uint8_t Unused2[2];
  uint32_t Attributes;
  uint32_t BootId;
  uint8_t Reserved[0x2000 - 0x1058];
};
static_assert(sizeof(Header64) == kHeaderSize);
static_assert(offsetof(Header64, DirectoryTableBase) == 0x10);
static_assert(offsetof(Header64, MachineImageType) == 0x30);
static_assert(offsetof(Header64, BugCheckParameter) == 0x40);
static_assert(offsetof(Header64, VersionUser) == 0x60);
static_assert(offsetof(Header64, KdDebuggerDataBlock) == 0x80);
static_assert(offsetof(Header64, PhysicalMemoryBlock) == 0x88);
static_assert(offsetof(Header64, Context) == 0x348);
static_assert(offsetof(Header64, Exception) == 0xF00);
static_assert(offsetof(Header64, Type) == 0xF98);
static_assert(offsetof(Header64, RequiredDumpSpace) == 0xFA0);
static_assert(offsetof(Header64, SystemTime) == 0xFA8);
static_assert(offsetof(Header64, Comment) == 0xFB0);
static_assert(offsetof(Header64, SystemUpTime) == 0x1030);
static_assert(offsetof(Header64, ProductType) == 0x1040);
static_assert(offsetof(Header64, Attributes) == 0x1050);

// At 0x2000 of types 5 and 6; the bitmap follows, bit n = PFN n, then pages in PFN order from FirstPage.
struct BitmapHeader {
  uint32_t Signature;  // 'FDMP' or 'SDMP'
  uint32_t ValidDump;  // 'DUMP'
  uint32_t DumpOptions;
  uint32_t Padding[5];
  uint64_t FirstPage;  // offset in the file
  uint64_t TotalPresentPages;
  uint64_t Pages;  // bits in the bitmap
};
static_assert(sizeof(BitmapHeader) == 0x38);
inline constexpr uint32_t kFullBitmapSignature = 0x504d4446;    // 'FDMP'
inline constexpr uint32_t kKernelBitmapSignature = 0x504d4453;  // 'SDMP'
inline constexpr uint32_t kRangesSignature = 0x504d4452;        // 'RDMP'

// At 0x2000 of type 4: where the pieces of a triage dump are. Every offset counts from the start of the file.
struct TriageHeader {
  uint32_t ServicePackBuild, SizeOfDump, ValidOffset, ContextOffset, ExceptionOffset, MmOffset,
      UnloadedDriversOffset, PrcbOffset, ProcessOffset, ThreadOffset, CallStackOffset, SizeOfCallStack,
      DriverListOffset, DriverCount, StringPoolOffset, StringPoolSize, BrokenDriverOffset, TriageOptions;
  uint64_t TopOfStack;
  uint32_t BStoreOffset, SizeOfBStore;
  uint64_t LimitOfBStore, DataPageAddress;
  uint32_t DataPageOffset, DataPageSize, DebuggerDataOffset, DebuggerDataSize, DataBlocksOffset,
      DataBlocksCount;
};
static_assert(offsetof(TriageHeader, TopOfStack) == 0x48);
static_assert(offsetof(TriageHeader, DataBlocksCount) == 0x7C);

// KDDEBUGGER_DATA64: the fields at fixed offsets that this project reads or writes; Size says how much there
// is.
struct KdDebuggerData {
  static constexpr uint32_t kTag = 0x4742444b;  // 'KDBG'
  static constexpr uint32_t kSize = 0x380;
  enum Offset : uint32_t {
    kOwnerTag = 0x10,
    kSizeField = 0x14,
    kKernBase = 0x18,
    kPsLoadedModuleList = 0x48,
    kPsActiveProcessHead = 0x50,
    kPspCidTable = 0x58,
    kKeTimeIncrement = 0x78,
    kKiBugcheckData = 0x88,
    kMmPfnDatabase = 0xC0,
    kNtBuildLab = 0x208,
    kKiProcessorBlock = 0x218,
    kMmUnloadedDrivers = 0x220,
    kMmLastUnloadedDriver = 0x228,
    kCmNtCSDVersion = 0x268,
    kOffsetKThreadKernelStack = 0x29C,
    kOffsetKThreadInitialStack = 0x29E,
    kOffsetKThreadState = 0x2A2,
    kSizePrcb = 0x2B0,
    kOffsetPrcbCurrentThread = 0x2B4,
    kOffsetPrcbMhz = 0x2B6,
    kOffsetPrcbVendorString = 0x2BA,
    kOffsetPrcbProcStateContext = 0x2BC,
    kOffsetPrcbNumber = 0x2BE,
    kOffsetPrcbContext = 0x338,
    kPteBase = 0x360,
  };
};

}  // namespace kdump
