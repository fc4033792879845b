// The crash path. KeBugCheckEx (arch/x64/context_switch.S) saves the registers and comes here; nothing below
// takes a lock, waits without a limit or trusts a structure more than it must. A fault in here ends in the
// nested branch of KeBugCheck2 and leaves what was written so far.
#include "ke/bugcheck.h"

#include "kd/kd.h"
#include "ke/crash_hooks.h"
#include "ke_internal.h"
#include "ktl/format.h"
#include "nt/export.h"

extern "C" {
ULONG_PTR KiBugCheckData[5];
volatile ULONG KiBugCheckActive;
ULONG64 KiBugCheckPerformanceCounter;
}
KiCrashHooks KiCrash;

namespace {

constexpr ULONG kSystemServiceException = 0x3B;
constexpr ULONG kSecondaryArea = 64 * PAGE_SIZE;  // tagged data of drivers
constexpr ULONG64 kFreezeLimit =
    10 * hal::kPerformanceFrequency;  // with few host processors NMIs take a while

CONTEXT crash_context;
ULONG64* dump_bitmap;
UCHAR* secondary_area;
ULONG64 dump_bitmap_bits;
volatile bool recorded;  // the dump is described: whatever happens now is no matter

// The registers that the crash is about: the trap's where there was one, else the caller of KeBugCheckEx.
// `code`: as KeBugCheckEx was called.
PKTRAP_FRAME CrashTrapFrame(PKPRCB prcb, ULONG code) {
  if (prcb->BugCheckTrapFrame != nullptr) return prcb->BugCheckTrapFrame;
  // mm bug checks in the middle of a fault (50, BE, FC): the thread knows the frame.
  const bool memory = code == PAGE_FAULT_IN_NONPAGED_AREA || code == ATTEMPTED_WRITE_TO_READONLY_MEMORY ||
                      code == ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY || code == MEMORY_MANAGEMENT;
  return memory && prcb->CurrentThread != nullptr ? prcb->CurrentThread->TrapFrame : nullptr;
}

// An exception's own context, where the bug check has one.
const CONTEXT* ExceptionContext(PKPRCB prcb) {
  switch (KiBugCheckData[0]) {
    case SYSTEM_THREAD_EXCEPTION_NOT_HANDLED:
      return reinterpret_cast<const CONTEXT*>(KiBugCheckData[4]);
    case kSystemServiceException:
      return reinterpret_cast<const CONTEXT*>(KiBugCheckData[3]);
    default:
      return prcb->BugCheckContext;
  }
}

void FreezeOthers(PKPRCB self) {
  const ULONG count = static_cast<ULONG>(KeNumberProcessors);
  for (ULONG i = 0; i < count; ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    ULONG running = 0;  // one that crashed itself meanwhile has frozen, with its own context
    if (prcb != nullptr && prcb != self &&
        __atomic_compare_exchange_n(&prcb->IpiFrozen, &running, ULONG{kTargetFreeze}, false, __ATOMIC_ACQ_REL,
                                    __ATOMIC_ACQUIRE)) {
      hal::SendNmi(prcb->ApicId);
    }
  }
  const ULONG64 end = hal::PerformanceNow() + kFreezeLimit;
  for (ULONG i = 0; i < count; ++i) {
    PKPRCB prcb = KiProcessorBlock[i];
    if (prcb == nullptr || prcb == self) continue;
    while (prcb->IpiFrozen != kTargetFrozen && hal::PerformanceNow() < end) arch::Pause();
    if (prcb->IpiFrozen != kTargetFrozen) kd::Print("*** processor %u could not be frozen\n", i);
  }
}

void CopyName(volatile char* to, SIZE_T size, const UNICODE_STRING& name) {
  SIZE_T length = name.Buffer != nullptr ? name.Length / sizeof(WCHAR) : 0;
  if (length > size - 1) length = size - 1;
  for (SIZE_T i = 0; i < length; ++i) to[i] = name.Buffer[i] < 0x80 ? static_cast<char>(name.Buffer[i]) : '?';
  to[length] = 0;
}

void WriteStopFacts(PKPRCB prcb, PVOID where, KIRQL irql) {
  volatile boot::StopFacts& facts = kd::Control()->stop;
  facts.code = static_cast<ULONG>(KiBugCheckData[0]);
  facts.irql = irql;
  for (int i = 0; i < 4; ++i) facts.parameters[i] = KiBugCheckData[1 + i];
  facts.instruction = reinterpret_cast<ULONG64>(where);
  facts.thread = reinterpret_cast<ULONG64>(prcb->CurrentThread);
  facts.processor = prcb->Number;
  facts.driver[0] = 0;
  facts.driver_base = 0;
  PKLDR_DATA_TABLE_ENTRY image = KiCrash.find_image != nullptr ? KiCrash.find_image(where) : nullptr;
  if (image != nullptr) {
    CopyName(facts.driver, sizeof facts.driver, image->BaseDllName);
    facts.driver_base = reinterpret_cast<ULONG64>(image->DllBase);
  }
  if (KiBugCheckDriver == nullptr || (image != nullptr && KiBugCheckDriver == &image->BaseDllName)) return;
  CopyName(facts.driver, sizeof facts.driver, *KiBugCheckDriver);
  facts.driver_base = 0;
}

struct BugCheckName {
  ULONG code;
  const char* name;
};
constexpr BugCheckName kNames[] = {
#define BUGCHECK_NAME(code, name) {code, name},
#include "bugcheck_raised.inc"
#undef BUGCHECK_NAME
};

const char* NameOf(ULONG code) {
  for (const BugCheckName& known : kNames) {
    if (known.code == code) return known.name;
  }
  return "";
}

void PrintStop() {
  kd::Print("\n*** STOP: 0x%08X (0x%p, 0x%p, 0x%p, 0x%p) %s\n", static_cast<ULONG>(KiBugCheckData[0]),
            KiBugCheckData[1], KiBugCheckData[2], KiBugCheckData[3], KiBugCheckData[4],
            NameOf(static_cast<ULONG>(KiBugCheckData[0])));
}

ULONG64 PhysicalOfImage(const void* address) {
  return KeLoaderBlock->kernel_physical + (reinterpret_cast<ULONG64>(address) - KeLoaderBlock->kernel_base);
}

void DescribeDump() {
  volatile boot::DumpDescription& dump = kd::Control()->dump;
  dump.header_physical = PhysicalOfImage(IopDumpHeader);
  dump.bitmap_bits = 0;
  dump.blob_bytes = 0;
  if (dump_bitmap == nullptr || KiCrash.describe_pages == nullptr) return;
  dump.pages_in_bitmap = KiCrash.describe_pages(dump_bitmap, dump_bitmap_bits);
  dump.bitmap_physical = reinterpret_cast<ULONG64>(dump_bitmap) - boot::kPhysicalMapBase;
  dump.bitmap_bits = dump_bitmap_bits;
}

ULONG64 CountBits(const ULONG64* words, ULONG64 bits) {
  ULONG64 count = 0;
  for (ULONG64 i = 0; i < bits / 64; ++i) {
    for (ULONG64 word = words[i]; word != 0; word &= word - 1) ++count;
  }
  return count;
}

// What goes into the dump, in the order of the file.
void ShowDumpToDrivers() {
  if (!KiAnyDumpIoCallback()) return;
  volatile boot::DumpDescription& dump = kd::Control()->dump;
  KiRunDumpIoCallbacks(KbDumpIoHeader, IopDumpHeader, sizeof(IopDumpHeader));
  for (ULONG64 page = 0; page < dump.bitmap_bits; ++page) {
    if ((dump_bitmap[page / 64] >> (page % 64) & 1) == 0) continue;
    KiRunDumpIoCallbacks(KbDumpIoBody, reinterpret_cast<PVOID>(boot::kPhysicalMapBase + page * PAGE_SIZE),
                         PAGE_SIZE);
  }
  if (dump.blob_bytes != 0) {
    KiRunDumpIoCallbacks(KbDumpIoSecondaryData, secondary_area, static_cast<ULONG>(dump.blob_bytes));
  }
  KiRunDumpIoCallbacks(KbDumpIoComplete, nullptr, 0);
}

// Damaged pool around what the bug check is about: its parameters and the registers.
void CheckPools() {
  constexpr ULONG kParameters = 4, kRegisters = 16;
  if (KiCrash.check_pools == nullptr) return;
  ULONG_PTR about[kParameters + kRegisters];
  for (ULONG i = 0; i < kParameters; ++i) about[i] = KiBugCheckData[1 + i];
  const ULONG64* registers = &crash_context.Rax;  // Rax to R15, one behind the other
  for (ULONG i = 0; i < kRegisters; ++i) about[kParameters + i] = registers[i];
  KiCrash.check_pools(about, RTL_NUMBER_OF(about));
}

// A routine of a driver that crashes ends in NestedCrash, which finishes with what is there.
void RunCallbacks() {
  volatile boot::DumpDescription& dump = kd::Control()->dump;
  if (dump.bitmap_bits != 0) {
    KiRunPageCallbacks(dump_bitmap, dump_bitmap_bits);
    dump.pages_in_bitmap = CountBits(dump_bitmap, dump_bitmap_bits);
  }
  if (secondary_area != nullptr) {
    const ULONG64 bytes = KiRunSecondaryDataCallbacks(secondary_area, kSecondaryArea);
    dump.blob_physical = reinterpret_cast<ULONG64>(secondary_area) - boot::kPhysicalMapBase;
    dump.blob_bytes = bytes;
  }
  ShowDumpToDrivers();
}

// The host writes the dump. Then drivers' plain callbacks run: one that crashes comes here again.
[[noreturn]] void Finish() {
  static bool dump_is_written;
  volatile boot::CrashCallbacks& callbacks = kd::Control()->crash_callbacks;
  if (!dump_is_written) {
    const bool any = recorded && KiAnyBugCheckCallback();
    if (any) callbacks = boot::CrashCallbacks::kWaiting;
    kd::SetMachineState(boot::MachineState::kCrashed);
    if (!any) hal::HaltForEver();
    while (callbacks != boot::CrashCallbacks::kGoOn) arch::Pause();
    dump_is_written = true;
    KiRunBugCheckCallbacks();
  }
  callbacks = boot::CrashCallbacks::kDone;
  hal::RingHost();
  hal::HaltForEver();
}

// A second crash on the crashing processor: what exists has to do.
[[noreturn]] void NestedCrash(ULONG code) {
  static volatile long depth;
  if (recorded) {  // in a driver's callback, or in damaged pool
    kd::Print("*** bug check 0x%08X in a driver's bug check callback or the check of the pools\n", code);
    Finish();
  }
  if (__atomic_add_fetch(&depth, 1, __ATOMIC_RELAXED) > 1) hal::HaltForEver();
  kd::Print("*** a second bug check, 0x%08X, while the first was being recorded\n", code);
  kd::Control()->dump.header_physical = PhysicalOfImage(IopDumpHeader);
  kd::Control()->dump.bitmap_bits = 0;
  Finish();
}

}  // namespace

extern "C" {

// Boot: the bitmap lies in pages of its own.
VOID KiReserveDumpBitmap() {
  ULONG64 highest = 0;
  for (uint32_t i = 0; i < KeLoaderBlock->memory_descriptor_count; ++i) {
    const boot::MemoryDescriptor& range = KeLoaderBlock->memory[i];
    if (range.type != boot::MemoryType::kFirmwarePermanent && range.base_page + range.page_count > highest) {
      highest = range.base_page + range.page_count;
    }
  }
  dump_bitmap_bits = (highest + 63) & ~63ull;
  dump_bitmap = static_cast<ULONG64*>(
      KiAllocateBootPages(static_cast<ULONG>((dump_bitmap_bits / 8 + PAGE_SIZE - 1) / PAGE_SIZE)));
  secondary_area = static_cast<UCHAR*>(KiAllocateBootPages(kSecondaryArea / PAGE_SIZE));
}

[[noreturn]] VOID KiFreezeSelf(PKPRCB prcb) {
  KiSaveSpecialRegisters(&prcb->ProcessorState.SpecialRegisters);
  KiResolveLockTrace(prcb);
  prcb->Context = &prcb->ProcessorState.ContextFrame;
  __atomic_store_n(&prcb->IpiFrozen, ULONG{kTargetFrozen}, __ATOMIC_RELEASE);
  hal::HaltForEver();
}

// Non-zero: not a freeze; the stub makes bug check 80 of it.
ULONG KiHandleNmi(PKTRAP_FRAME trap, PKEXCEPTION_FRAME frame) {
  PKPRCB prcb = KeGetCurrentPrcb();
  if (prcb->IpiFrozen == kTargetFreeze) {
    KiContextFromFrames(trap, frame, &prcb->ProcessorState.ContextFrame);
    KiFreezeSelf(prcb);
  }
  if (prcb->IpiFrozen == kTargetFrozen) hal::HaltForEver();
  if (KiAnswerClockPing(prcb) || KiRunNmiCallbacks()) return 0;
  return KiBugCheckActive == 0;
}

[[noreturn]] VOID KeBugCheck2(ULONG code, ULONG_PTR p1, ULONG_PTR p2, ULONG_PTR p3, ULONG_PTR p4) {
  PKPRCB prcb = KeGetCurrentPrcb();
  const KIRQL irql = KeGetCurrentIrql();
  ULONG expected = 0;
  const ULONG me = prcb->Number + 1;
  if (!__atomic_compare_exchange_n(&KiBugCheckActive, &expected, me, false, __ATOMIC_ACQ_REL,
                                   __ATOMIC_ACQUIRE)) {
    if (expected == me) NestedCrash(code);
    // Another processor was first. This one's own crash is its context.
    if (prcb->BugCheckTrapFrame != nullptr) {
      KiContextFromFrames(prcb->BugCheckTrapFrame, prcb->BugCheckExceptionFrame,
                          &prcb->ProcessorState.ContextFrame);
    }
    KiFreezeSelf(prcb);
  }
  KiBugCheckPerformanceCounter = hal::PerformanceNow();
  kd::EnterCrash();
  KiBugCheckData[0] = code, KiBugCheckData[1] = p1, KiBugCheckData[2] = p2, KiBugCheckData[3] = p3,
  KiBugCheckData[4] = p4;
  KiAttributeBugCheck(prcb);
  KiSaveSpecialRegisters(&prcb->ProcessorState.SpecialRegisters);
  prcb->ProcessorState.SpecialRegisters.Cr8 = irql;
  arch::WriteCr8(HIGH_LEVEL);
  kd::SetMachineState(boot::MachineState::kCrashing);
  prcb->Context = &prcb->ProcessorState.ContextFrame;
  FreezeOthers(prcb);
  KiResolveLockTrace(prcb);

  PKTRAP_FRAME trap = CrashTrapFrame(prcb, code);
  crash_context = prcb->ProcessorState.ContextFrame;
  const CONTEXT* about = ExceptionContext(prcb);
  if (about != nullptr) {
    crash_context = *about;
  } else if (trap != nullptr) {
    KiContextFromFrames(trap, prcb->BugCheckExceptionFrame, &crash_context);
  }
  auto* where = reinterpret_cast<PVOID>(crash_context.Rip);
  PrintStop();
  WriteStopFacts(prcb, where, trap != nullptr ? trap->PreviousIrql : irql);
  if (KiCrash.update_debugger_data != nullptr) KiCrash.update_debugger_data();
  KiBuildDumpHeader(static_cast<ULONG>(KiBugCheckData[0]), &crash_context,
                    reinterpret_cast<PVOID>(prcb->ProcessorState.ContextFrame.Rip));
  DescribeDump();
  recorded = true;
  CheckPools();
  RunCallbacks();
  Finish();
}

// All processors but this one wait in KiTakeLiveDump. The dump's description is the crash's own: a crash
// later writes it anew.
VOID KiDescribeLiveDump(PCONTEXT context) {
  KiBugCheckData[0] = LIVE_SYSTEM_DUMP;
  if (KiCrash.update_debugger_data != nullptr) KiCrash.update_debugger_data();
  KiBuildDumpHeader(LIVE_SYSTEM_DUMP, context, reinterpret_cast<PVOID>(context->Rip));
  DescribeDump();
  KiBugCheckData[0] = 0;
}

VOID KiPublishDumpHeader() {
  if (KiCrash.update_debugger_data != nullptr) KiCrash.update_debugger_data();
  RtlZeroMemory(&crash_context, sizeof(crash_context));
  KiBuildDumpHeader(0, &crash_context, nullptr);
  kd::Control()->dump.header_physical = PhysicalOfImage(IopDumpHeader);
}

[[noreturn]] VOID KiAssertFailed(const char* text, const char* file, ULONG line) {
  kd::Print("assertion failed: %s, %s:%u\n", text, file, line);
  KeBugCheckEx(0xDEADDEAD, reinterpret_cast<ULONG_PTR>(text), line, 0, 0);
}

/// Stops the machine: freezes the other processors, records everything a crash dump needs, tells the host.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeBugCheckEx.
NT_EXPORT(KeBugCheckEx, nt::AnyIrql(), Full, "KeBugCheck.*");

/// KeBugCheckEx without parameters.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/KeBugCheck.
NT_EXPORT(KeBugCheck, nt::AnyIrql(), Full, "KeBugCheck.*");
VOID NTAPI KeBugCheck(ULONG BugCheckCode) {
  KeBugCheckEx(BugCheckCode, 0, 0, 0, 0);
}

}  // extern "C"
