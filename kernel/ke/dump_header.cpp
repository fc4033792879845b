// DUMP_HEADER64 and the special registers.
#include "nt/dump_header.h"

#include "kd/kd.h"
#include "ke_internal.h"

extern "C" alignas(4096) UCHAR IopDumpHeader[0x2000] = {};

namespace {

constexpr ULONG kSignature = 0x45474150, kValid64 = 0x34365544;  // 'PAGE', 'DU64'
constexpr ULONG kFreeBuild = 15, kWorkstation = 1, kSingleUserTs = 0x110;

// RAM as the dump has it: everything but permanent firmware ranges; neighbours joined.
void FillRuns(DUMP_HEADER64* header) {
  auto& block = header->PhysicalMemoryBlock;
  block.NumberOfRuns = 0;
  block.NumberOfPages = 0;
  for (uint32_t i = 0; i < KeLoaderBlock->memory_descriptor_count; ++i) {
    const boot::MemoryDescriptor& range = KeLoaderBlock->memory[i];
    if (range.type == boot::MemoryType::kFirmwarePermanent || range.page_count == 0) continue;
    PHYSICAL_MEMORY_RUN64* last = block.NumberOfRuns > 0 ? &block.Run[block.NumberOfRuns - 1] : nullptr;
    if (last != nullptr && last->BasePage + last->PageCount == range.base_page) {
      last->PageCount += range.page_count;
    } else if (block.NumberOfRuns < DMP_PHYSICAL_MEMORY_RUNS) {
      block.Run[block.NumberOfRuns] = {range.base_page, range.page_count};
      ++block.NumberOfRuns;
    } else {
      continue;
    }
    block.NumberOfPages += range.page_count;
  }
}

void FillException(DUMP_HEADER64* header, PVOID where) {
  RtlZeroMemory(&header->Exception, sizeof(header->Exception));
  header->Exception.ExceptionCode = STATUS_BREAKPOINT;
  header->Exception.ExceptionFlags = EXCEPTION_NONCONTINUABLE;
  header->Exception.ExceptionAddress = reinterpret_cast<ULONG64>(where);
}

}  // namespace

extern "C" {

VOID KiBuildDumpHeader(ULONG code, PCONTEXT context, PVOID where) {
  auto* header = reinterpret_cast<DUMP_HEADER64*>(IopDumpHeader);
  for (ULONG i = 0; i < sizeof(IopDumpHeader) / sizeof(ULONG); ++i) {
    reinterpret_cast<ULONG*>(IopDumpHeader)[i] = DMP_FILL;
  }
  header->Signature = kSignature;
  header->ValidDump = kValid64;
  header->MajorVersion = kFreeBuild;
  header->MinorVersion = KeLoaderBlock->build_number;
  header->DirectoryTableBase = arch::ReadCr3() & ~0xFFFull;
  header->PfnDataBase = *reinterpret_cast<ULONG64*>(KdDebuggerDataBlock + 0xC0);
  header->PsLoadedModuleList = *reinterpret_cast<ULONG64*>(KdDebuggerDataBlock + 0x48);
  header->PsActiveProcessHead = *reinterpret_cast<ULONG64*>(KdDebuggerDataBlock + 0x50);
  header->MachineImageType = 0x8664;
  header->NumberProcessors = static_cast<ULONG>(KeNumberProcessors);
  header->BugCheckCode = code;
  for (int i = 0; i < 4; ++i) header->BugCheckParameter[i] = KiBugCheckData[1 + i];
  header->KdDebuggerDataBlock = reinterpret_cast<ULONG64>(KdDebuggerDataBlock);
  FillRuns(header);
  RtlZeroMemory(header->ContextRecord, sizeof(header->ContextRecord));
  *reinterpret_cast<PCONTEXT>(header->ContextRecord) = *context;
  FillException(header, where);
  const ULONG64 now = hal::PerformanceNow();
  header->SystemTime = KiSystemTimeBase() + now;
  header->SystemUpTime = now;
  RtlZeroMemory(header->Comment, sizeof(header->Comment));
  header->MiniDumpFields = 0;
  header->SecondaryDataState = 0;
  header->ProductType = kWorkstation;
  header->SuiteMask = kSingleUserTs;
  header->WriterStatus = 0;
  header->Unused1 = 0;
  header->KdSecondaryVersion = 0;
  header->Attributes = 0;
  header->BootId = 1;
}

VOID KiSaveSpecialRegisters(KSPECIAL_REGISTERS* special) {
  struct __attribute__((packed)) {
    USHORT limit;
    PVOID base;
  } table;
  special->Cr0 = arch::ReadCr0();
  special->Cr2 = arch::ReadCr2();
  special->Cr3 = arch::ReadCr3();
  special->Cr4 = arch::ReadCr4();
  special->Cr8 = arch::ReadCr8();
  __asm__ volatile("sgdt %0" : "=m"(table));
  special->Gdtr.Limit = table.limit, special->Gdtr.Base = table.base;
  __asm__ volatile("sidt %0" : "=m"(table));
  special->Idtr.Limit = table.limit, special->Idtr.Base = table.base;
  special->Tr = arch::kTssSelector;
  special->Ldtr = 0;
  special->MxCsr = KeGetCurrentPrcb()->MxCsr;
  special->MsrGsBase = arch::ReadMsr(arch::kMsrGsBase);
  special->MsrGsSwap = arch::ReadMsr(arch::kMsrKernelGsBase);
  special->MsrStar = arch::ReadMsr(arch::kMsrStar);
  special->MsrLStar = arch::ReadMsr(arch::kMsrLStar);
  special->MsrCStar = arch::ReadMsr(arch::kMsrCStar);
  special->MsrSyscallMask = arch::ReadMsr(arch::kMsrSyscallMask);
  __asm__ volatile("mov %%dr0, %0" : "=r"(special->KernelDr0));
  __asm__ volatile("mov %%dr1, %0" : "=r"(special->KernelDr1));
  __asm__ volatile("mov %%dr2, %0" : "=r"(special->KernelDr2));
  __asm__ volatile("mov %%dr3, %0" : "=r"(special->KernelDr3));
  __asm__ volatile("mov %%dr6, %0" : "=r"(special->KernelDr6));
  __asm__ volatile("mov %%dr7, %0" : "=r"(special->KernelDr7));
}

}  // extern "C"
