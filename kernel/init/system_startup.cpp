// The kernel's entry and the order of the boot. Phase 0 runs on the idle thread of processor 0 with
// interrupts on but nothing to switch to; phase 1 in the first system thread. Each module names its own
// function; what stands before it in the table is what it may use.
#include "boot/loader_block.h"
#include "cm/cm.h"
#include "ex/ex.h"
#include "init/init.h"
#include "init/kernel_settings.h"
#include "io/io.h"
#include "kd/control.h"
#include "kd/kd.h"
#include "ke/bugcheck.h"
#include "ke/crash_hooks.h"
#include "ke/ke.h"
#include "mm/image.h"
#include "mm/mm.h"
#include "ob/ob.h"
#include "pcw/pcw.h"
#include "ps/ps.h"
#include "se/se.h"
#include "vf/vf.h"

extern "C" {
extern PVOID MmPfnDatabase;
extern LIST_ENTRY KeBugCheckCallbackListHead;
extern volatile ULONG64 MmAvailablePages;
extern struct _POOL_TRACKER_TABLE* PoolTrackTable;
extern ULONG64 MmNumberOfPhysicalPages, MmLowestPhysicalPage, MmHighestPhysicalPage;
VOID NTAPI Phase1Initialization(PVOID context);
}

namespace {

using boot::LoaderBlock;

NTSTATUS ReserveCrashMemory(const LoaderBlock*) {
  KiReserveDumpBitmap();
  return STATUS_SUCCESS;
}
NTSTATUS StartClock(const LoaderBlock*) {
  KeStartClock();
  return STATUS_SUCCESS;
}
NTSTATUS ObjectManager(const LoaderBlock*) {
  return ObInitSystem();
}
NTSTATUS Sections(const LoaderBlock*) {
  return MmInitSections();
}
NTSTATUS Security(const LoaderBlock*) {
  return SeInitSystem();
}
NTSTATUS Processes(const LoaderBlock*) {
  return PsInitSystem();
}

KiSpecialPoolState SpecialPoolState(PVOID address) {
  switch (MmClassifySpecialPoolAddress(address)) {
    case MmSpecialPoolGuard:
      return KiSpecialPoolState::kBeyondEnd;
    case MmSpecialPoolFreed:
      return KiSpecialPoolState::kFreed;
    case MmNotSpecialPool:
      break;
  }
  return KiSpecialPoolState::kNone;
}

NTSTATUS CrashInformation(const LoaderBlock*) {
  KiCrash.special_pool_state = SpecialPoolState;
  KiCrash.find_image = MiLookupDataTableEntry;
  KiCrash.find_unloaded_image = MiLookupUnloadedDriver;
  KiCrash.describe_pages = MmDescribeDumpPages;
  KiCrash.update_debugger_data = kd::UpdateDebuggerData;
  KiCrash.check_pools = ExCheckPoolsAtCrash;
  kd::RegisterDebuggerVariable(0x48, &PsLoadedModuleList);
  kd::RegisterDebuggerVariable(0x50, &PsActiveProcessHead);
  kd::RegisterDebuggerVariable(0x80, &KeBugCheckCallbackListHead);
  kd::RegisterDebuggerVariable(0x98, &ObpRootDirectoryObject);
  kd::RegisterDebuggerVariable(0xA0, &ObpTypeObjectType);
  kd::RegisterDebuggerVariable(0xC0, &MmPfnDatabase);
  kd::RegisterDebuggerVariable(0xE8, &MmLowestPhysicalPage);
  kd::RegisterDebuggerVariable(0xF0, &MmHighestPhysicalPage);
  kd::RegisterDebuggerVariable(0xF8, &MmNumberOfPhysicalPages);
  kd::RegisterDebuggerVariable(0x1A8, const_cast<ULONG64*>(&MmAvailablePages));
  kd::RegisterDebuggerVariable(0x1B8, &PoolTrackTable);
  kd::RegisterDebuggerVariable(0x1C8, &MmHighestUserAddress);
  kd::RegisterDebuggerVariable(0x1D0, &MmSystemRangeStart);
  kd::RegisterDebuggerVariable(0x1D8, &MmUserProbeAddress);
  kd::RegisterDebuggerVariable(0x220, &MmUnloadedDrivers);
  kd::RegisterDebuggerVariable(0x228, &MmLastUnloadedDriver);
  kd::UpdateDebuggerData();
  return STATUS_SUCCESS;
}

NTSTATUS FirstThread(const LoaderBlock* block) {
  return ps::CreateSystemThread(Phase1Initialization, const_cast<LoaderBlock*>(block), nullptr);
}

constexpr init::Task kPhase0[] = {
    {"crash memory", ReserveCrashMemory, "the loader's memory list, before mm owns it"},
    {"clock", StartClock, "processor 0"},
    {"memory", MmInitSystem, "processor 0, faults"},
    {"objects", ObjectManager, "pools"},
    {"sections", Sections, "objects"},
    {"security", Security, "objects"},
    {"processes", Processes, "objects, security"},
    {"crash information", CrashInformation, "module and process lists"},
    {"first thread", FirstThread, "processes"},
};

NTSTATUS Reaper(const LoaderBlock*) {
  return ps::CreateSystemThread(KiReaperThread, nullptr, nullptr);
}
NTSTATUS AllProcessors(const LoaderBlock*) {
  const NTSTATUS status = KeStartAllProcessors();
  if (NT_SUCCESS(status)) {
    MmRemoveIdentityMap();
    kd::SetMachineState(boot::MachineState::kProcessorsUp);
  }
  return status;
}
NTSTATUS DpcThreads(const LoaderBlock*) {
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    const NTSTATUS status =
        ps::CreateSystemThread(KiExecuteDpc, reinterpret_cast<PVOID>(ULONG_PTR{i}), nullptr);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}
NTSTATUS Executive(const LoaderBlock*) {
  return ExInitSystem();
}
NTSTATUS Registry(const LoaderBlock*) {
  return CmInitSystem();
}
NTSTATUS DriverVerifier(const LoaderBlock*) {
  return VfInitSystem();
}
NTSTATUS PerformanceCounters(const LoaderBlock*) {
  return PcwInitSystem();
}
NTSTATUS BalanceSetManager(const LoaderBlock*) {
  return ps::CreateSystemThread(KeBalanceSetManager, nullptr, nullptr);
}
NTSTATUS BootDriverFiles(const LoaderBlock*) {
  MmReclaimBootFiles();
  return STATUS_SUCCESS;
}
NTSTATUS ControlRings(const LoaderBlock*) {
  return kd::StartControlServer();
}
NTSTATUS ProcessControl(const LoaderBlock*) {
  return ps::InitProcessControl();
}
NTSTATUS ControlThread(const LoaderBlock*) {
  return ps::CreateSystemThread(KdpControlThread, nullptr, nullptr);
}

constexpr init::Task kPhase1[] = {
    {"reaper", Reaper, "threads"},
    {"processors", AllProcessors, "stacks, threads, IPIs"},
    {"threaded DPCs", DpcThreads, "threads, processors"},
    {"control rings", ControlRings, "pools, interrupts"},
    {"executive", Executive, "threads, objects"},
    {"registry", Registry, "executive"},
    {"input and output", IoInitSystem, "registry, executive; loads the boot drivers"},
    {"performance counters", PerformanceCounters, "input and output"},
    {"driver verifier", DriverVerifier, "control rings; looks at drivers that are loaded from now on"},
    {"settings", init::ApplyKernelSettings, "the registry as it was saved on C:"},
    {"balance set manager", BalanceSetManager, "settings"},
    {"boot files", BootDriverFiles, "the boot drivers are loaded: their files' memory is free"},
    {"process control", ProcessControl, "control rings"},
    {"control thread", ControlThread, "every handler is registered"},
};

}  // namespace

namespace init {

void RunPhase(const Task* tasks, ULONG count, ULONG phase, const boot::LoaderBlock* block) {
  for (ULONG i = 0; i < count; ++i) {
    kd::SetBootStep(reinterpret_cast<PVOID>(tasks[i].run));
    const NTSTATUS status = tasks[i].run(block);
    if (NT_SUCCESS(status)) continue;
    kd::Print("boot: %s failed: 0x%08x\n", tasks[i].name, static_cast<ULONG>(status));
    KeBugCheckEx(phase == 0 ? PHASE0_INITIALIZATION_FAILED : PHASE1_INITIALIZATION_FAILED,
                 static_cast<ULONG>(status), reinterpret_cast<ULONG_PTR>(tasks[i].name), i, 0);
  }
}

}  // namespace init

extern "C" {

VOID NTAPI Phase1Initialization(PVOID context) {
  init::RunPhase(kPhase1, ARRAYSIZE(kPhase1), 1, static_cast<const boot::LoaderBlock*>(context));
  kd::SetBootStep(nullptr);
  KiPublishDumpHeader();
  kd::SetMachineState(boot::MachineState::kReady);
}

[[noreturn]] void KiSystemStartup(boot::LoaderBlock* block) {
  kd::InitializeConsole(block);
  kd::SetBootStep(reinterpret_cast<PVOID>(&KeInitializePhase0));
  KeInitializePhase0(block);
  kd::SetMachineState(boot::MachineState::kConsoleUp);
  kd::Print("Bugcheck %s: %u processor(s)\n", NtBuildLab, block->processors);
  kd::Control()->processors_running = 1;
  init::RunPhase(kPhase0, ARRAYSIZE(kPhase0), 0, block);
  KiIdleLoop();
}

}  // extern "C"
