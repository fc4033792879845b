// Processors: PCR and PRCB, descriptor tables, the start of the others.
#include "ke_internal.h"

#include "arch/ap_trampoline.h"
#include "kd/kd.h"
#include "mm/mm.h"

extern "C" {
EPROCESS KiInitialProcess;
ETHREAD KiInitialThread;
PKPRCB KiProcessorBlock[64];
volatile CCHAR KeNumberProcessors;
volatile KAFFINITY KeActiveProcessors;
boot::LoaderBlock* KeLoaderBlock;
VOID KiSystemCall64();
}

namespace {

constexpr ULONG kIstStackSize = 8192;

// One processor's static needs, page aligned, nonpaged, never freed.
struct alignas(4096) ProcessorArea {
  KPCR pcr;
  arch::ProcessorTables tables;
  alignas(16) UCHAR double_fault_stack[kIstStackSize];
  alignas(16) UCHAR machine_check_stack[kIstStackSize];
  alignas(16) UCHAR nmi_stack[kIstStackSize];
  ETHREAD idle_thread;  // of all but processor 0
};

ProcessorArea boot_area;
ProcessorArea* areas[kMaximumProcessors];

// Above the first frame lies the PCR's address, for entries that cannot trust gs (TRAP_ENTER_PARANOID).
ULONG64 TopOfIst(UCHAR* stack, PKPCR pcr) {
  UCHAR* top = stack + kIstStackSize - 16;
  *reinterpret_cast<PKPCR*>(top) = pcr;
  return reinterpret_cast<ULONG64>(top);
}

void InitializePcr(ProcessorArea* area, ULONG number, ULONG apic_id) {
  PKPCR pcr = &area->pcr;
  PKPRCB prcb = &pcr->Prcb;
  pcr->Self = pcr;
  pcr->CurrentPrcb = prcb;
  pcr->LockArray = prcb->LockQueue;
  pcr->GdtBase = reinterpret_cast<_KGDTENTRY64*>(area->tables.gdt);
  pcr->TssBase = reinterpret_cast<_KTSS64*>(&area->tables.tss);
  pcr->MajorVersion = 1;
  pcr->MinorVersion = 1;
  prcb->Number = number;
  prcb->LegacyNumber = static_cast<UCHAR>(number);
  prcb->ApicId = apic_id;
  prcb->SetMember = 1ull << number;
  prcb->MxCsr = 0x1F80;
  for (LIST_ENTRY& head : prcb->DispatcherReadyListHead) InitializeListHead(&head);
  KiInitializeDpcData(prcb);
  KiInitializeTimerTable(prcb);
  KiInitializeWatchdogs(prcb);
  KiInitializeQueuedSpinLocks(prcb);
  area->tables.tss.ist[arch::kIstDoubleFault] = TopOfIst(area->double_fault_stack, pcr);
  area->tables.tss.ist[arch::kIstMachineCheck] = TopOfIst(area->machine_check_stack, pcr);
  area->tables.tss.ist[arch::kIstNmi] = TopOfIst(area->nmi_stack, pcr);
}

void CopyText(UCHAR* to, ULONG size, const void* from, ULONG length) {
  for (ULONG i = 0; i < length && i + 1 < size; ++i) to[i] = static_cast<const UCHAR*>(from)[i];
}

// On the processor itself.
void IdentifyProcessor(PKPRCB prcb) {
  const arch::CpuidResult vendor = arch::Cpuid(0);
  const ULONG words[3] = {vendor.ebx, vendor.edx, vendor.ecx};
  CopyText(prcb->VendorString, sizeof prcb->VendorString, words, sizeof words);
  const ULONG signature = arch::Cpuid(1).eax;
  ULONG family = (signature >> 8) & 0xF;
  if (family == 0xF) family += (signature >> 20) & 0xFF;
  const ULONG model = ((signature >> 4) & 0xF) | (((signature >> 16) & 0xF) << 4);
  prcb->CpuType = static_cast<UCHAR>(family);
  prcb->CpuID = 1;
  prcb->CpuStep = static_cast<USHORT>((model << 8) | (signature & 0xF));
  if (arch::Cpuid(0x80000000).eax < 0x80000004) return;
  ULONG brand[12];
  for (ULONG leaf = 0; leaf < 3; ++leaf) {
    const arch::CpuidResult part = arch::Cpuid(0x80000002 + leaf);
    brand[4 * leaf] = part.eax, brand[4 * leaf + 1] = part.ebx, brand[4 * leaf + 2] = part.ecx,
              brand[4 * leaf + 3] = part.edx;
  }
  CopyText(prcb->ProcessorBrand, sizeof prcb->ProcessorBrand, brand, sizeof brand);
}

// What PWT and PCD of a page-table entry select, as on Windows: write-back, write-combining, uncached unless
// an MTRR says write-combining, uncached; the upper four entries (PAT bit) the same.
constexpr uint32_t kMsrPat = 0x277;
constexpr ULONG64 kPageAttributes = 0x00070106'00070106;

// syscall: to KiSystemCall64 (from 32-bit code too) with these flags cleared: AC, NT, IOPL, DF, IF, TF.
void EnableSystemCalls() {
  constexpr ULONG64 kEferSce = 1, kCleared = 0x47700;
  // syscall loads CS and SS from 0x10 on, sysret from 0x23 + 16 and + 8.
  arch::WriteMsr(arch::kMsrStar, ULONG64{0x23} << 48 | ULONG64{arch::kCodeSelector} << 32);
  arch::WriteMsr(arch::kMsrLStar, reinterpret_cast<ULONG64>(&KiSystemCall64));
  arch::WriteMsr(arch::kMsrCStar, reinterpret_cast<ULONG64>(&KiSystemCall64));
  arch::WriteMsr(arch::kMsrSyscallMask, kCleared);
  arch::WriteMsr(arch::kMsrEfer, arch::ReadMsr(arch::kMsrEfer) | kEferSce);
}

// On the processor itself: tables, GS, features.
void LoadProcessor(ProcessorArea* area, const arch::Gate* idt) {
  arch::EnableProcessorFeatures();
  arch::LoadTables(area->tables, idt, 256);
  arch::WriteMsr(arch::kMsrGsBase, reinterpret_cast<ULONG64>(&area->pcr));
  arch::WriteMsr(arch::kMsrKernelGsBase, 0);
  arch::WriteMsr(kMsrPat, kPageAttributes);
  EnableSystemCalls();
  area->pcr.IdtBase = reinterpret_cast<union _KIDTENTRY64*>(const_cast<arch::Gate*>(idt));
  area->pcr.Prcb.ProcessorState.SpecialRegisters.Cr3 = arch::ReadCr3();
  IdentifyProcessor(&area->pcr.Prcb);
}

void InitializeIdleProcess(ULONG64 directory_table_base) {
  KeInitializeProcess(&KiInitialProcess.Pcb, 0, ~0ull, directory_table_base);
  InitializeListHead(&KiInitialProcess.ThreadListHead);
}

// The idle thread runs already (or will, from the start code): only its description.
void InitializeIdleThread(PETHREAD thread, PKPRCB prcb, PVOID stack_base, PVOID stack_limit) {
  prcb->CurrentThread = prcb->IdleThread = &thread->Tcb;  // leaving the dispatcher looks at them
  KiInitializeProcessorScheduling(prcb, &thread->Tcb);
  KeInitThread(&thread->Tcb, stack_base, stack_limit, nullptr, nullptr, nullptr, &KiInitialProcess.Pcb);
  thread->Tcb.State = Running;
  thread->Tcb.Priority = 0;
  thread->Tcb.BasePriority = 0;
  thread->Tcb.Running = TRUE;
  thread->Tcb.Affinity = thread->Tcb.UserAffinity = prcb->SetMember;
  thread->Tcb.NextProcessor = thread->Tcb.IdealProcessor = prcb->Number;
  InsertTailList(&KiInitialProcess.ThreadListHead, &thread->ThreadListEntry);
  KiInitialProcess.ActiveThreads = KiInitialProcess.ActiveThreads + 1;
  prcb->RspBase = reinterpret_cast<ULONG64>(stack_base);
}

// The page of the trampoline and everything else below 1 MiB never becomes ordinary memory.
void ReserveLowMemory(boot::LoaderBlock* block) {
  for (uint32_t i = 0; i < block->memory_descriptor_count; ++i) {
    boot::MemoryDescriptor& range = block->memory[i];
    if (range.base_page + range.page_count <= 0x100 && range.type == boot::MemoryType::kFree) {
      range.type = boot::MemoryType::kFirmwareTemporary;
    }
  }
}

}  // namespace

// Takes pages from the end of the highest free range below 4 GiB that has them: before mm owns memory.
// Zeroed.
PVOID KiAllocateBootPages(ULONG count) {
  boot::LoaderBlock* block = KeLoaderBlock;
  for (uint32_t i = block->memory_descriptor_count; i-- > 0;) {
    boot::MemoryDescriptor& range = block->memory[i];
    if (range.type != boot::MemoryType::kFree || range.page_count <= count || range.base_page < 0x100 ||
        range.base_page + range.page_count > 0x100000) {
      continue;
    }
    if (block->memory_descriptor_count == boot::kMaxMemoryDescriptors) return nullptr;
    range.page_count -= count;
    const uint64_t page = range.base_page + range.page_count;
    for (uint32_t k = block->memory_descriptor_count; k > i + 1; --k) block->memory[k] = block->memory[k - 1];
    block->memory[i + 1] = {boot::MemoryType::kMemoryData, 0, page, count};
    ++block->memory_descriptor_count;
    auto* bytes = reinterpret_cast<ULONG64*>(boot::kPhysicalMapBase + page * PAGE_SIZE);
    for (SIZE_T k = 0; k < SIZE_T{count} * PAGE_SIZE / sizeof(ULONG64); ++k) bytes[k] = 0;
    return bytes;
  }
  return nullptr;
}

VOID KeInitializePhase0(boot::LoaderBlock* block) {
  KeLoaderBlock = block;
  KiInitializeScheduler();
  KiInitializeLongHolds();
  ReserveLowMemory(block);
  areas[0] = &boot_area;
  InitializePcr(&boot_area, 0, 0);
  LoadProcessor(&boot_area, KiInterruptTable());
  KiInitializeExtendedState();
  hal::InitializeLocalApic();
  boot_area.pcr.Prcb.ApicId = hal::LocalApicId();
  hal::InitializeIoApic();
  hal::CalibrateTimers();
  boot_area.pcr.Prcb.MHz = static_cast<ULONG>(hal::TscFrequency() / 1'000'000);
  KiProcessorBlock[0] = &boot_area.pcr.Prcb;
  KeNumberProcessors = 1;
  KeActiveProcessors = 1;
  InitializeIdleProcess(arch::ReadCr3() & ~0xFFFull);
  InitializeIdleThread(&KiInitialThread, &boot_area.pcr.Prcb, reinterpret_cast<PVOID>(block->boot_stack_base),
                       reinterpret_cast<PVOID>(block->boot_stack_limit));
  ULONG others = block->processors > kMaximumProcessors ? kMaximumProcessors : block->processors;
  for (ULONG i = 1; i < others; ++i) {
    areas[i] = static_cast<ProcessorArea*>(KiAllocateBootPages(sizeof(ProcessorArea) / PAGE_SIZE));
    if (areas[i] == nullptr) break;  // KeStartAllProcessors starts those that have one
    InitializePcr(areas[i], i, i);
  }
}

// First C++ code of the other processors, on their idle threads' stacks.
extern "C" [[noreturn]] void KiApplicationProcessorStart(ULONG apic_id) {
  ProcessorArea* area = areas[apic_id];
  PKPRCB prcb = &area->pcr.Prcb;
  LoadProcessor(area, reinterpret_cast<const arch::Gate*>(boot_area.pcr.IdtBase));
  hal::InitializeLocalApic();
  prcb->MHz = boot_area.pcr.Prcb.MHz;
  arch::WriteCr8(DISPATCH_LEVEL);
  arch::EnableInterrupts();
  KiJoinScheduling(prcb);
  __atomic_add_fetch(&kd::Control()->processors_running, 1, __ATOMIC_RELAXED);
  KiIdleLoop();
}

NTSTATUS KeStartAllProcessors() {
  const ULONG wanted = KeLoaderBlock->processors;
  auto* stacks =
      static_cast<PVOID*>(ExAllocatePoolWithTag(NonPagedPoolNx, kMaximumProcessors * sizeof(PVOID), 'rpeK'));
  if (stacks == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ULONG count = 1;
  stacks[0] = nullptr;
  for (; count < wanted && count < kMaximumProcessors && areas[count] != nullptr; ++count) {
    stacks[count] = MmCreateKernelStack(FALSE);
    if (stacks[count] == nullptr) break;
    InitializeIdleThread(&areas[count]->idle_thread, &areas[count]->pcr.Prcb, stacks[count],
                         static_cast<UCHAR*>(stacks[count]) - kKernelStackSize);
  }
  if (count < wanted) kd::Print("ke: memory for %u of %u processors only\n", count, wanted);
  if (count > 1) {
    auto* page = reinterpret_cast<UCHAR*>(boot::kPhysicalMapBase + arch::kTrampolinePhysical);
    const SIZE_T size = static_cast<SIZE_T>(KiApTrampolineEnd - KiApTrampoline);
    for (SIZE_T i = 0; i < size; ++i) page[i] = KiApTrampoline[i];
    auto* parameters =
        reinterpret_cast<arch::ApParameters*>(page + (KiApTrampolineParameters - KiApTrampoline));
    *parameters = {arch::ReadCr3(), reinterpret_cast<ULONG64>(&KiApplicationProcessorStart),
                   reinterpret_cast<ULONG64>(stacks), count};
    hal::StartProcessors(arch::kTrampolinePhysical >> 12);
    // Tails of hundreds of milliseconds are normal when the host has fewer processors than the guest.
    const ULONG64 end = hal::PerformanceNow() + 20 * hal::kPerformanceFrequency;
    while (static_cast<ULONG>(KeNumberProcessors) < count && hal::PerformanceNow() < end) arch::Pause();
  }
  const ULONG running = static_cast<ULONG>(KeNumberProcessors);
  ExFreePoolWithTag(stacks, 'rpeK');
  if (running < count) {
    kd::Print("ke: %u of %u processors did not start\n", count - running, count);
    return STATUS_UNSUCCESSFUL;
  }
  return STATUS_SUCCESS;
}
