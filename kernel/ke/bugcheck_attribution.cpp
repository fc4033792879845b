// A fault in kernel mode is one of two bug checks, 0xA or 0x50, where it is found; here it becomes the one
// that says whose mistake it was. Runs on the crash path: no lock, no pageable memory.
#include "ke/bugcheck.h"
#include "kd/kd.h"
#include "ke/crash_hooks.h"
#include "ke_internal.h"

#include <ntimage.h>

extern "C" {
PUNICODE_STRING KiBugCheckDriver;
}

namespace {

struct SectionCode {
  char name[8];
  ULONG code;
};
// The sections of the kernel whose code follows pointers that lie in or beside memory of drivers.
constexpr SectionCode kSectionCodes[] = {
    {{'P', 'O', 'O', 'L', 'C', 'O', 'D', 'E'}, DRIVER_CORRUPTED_EXPOOL},
    {{'P', 'O', 'O', 'L', 'M', 'I', 0, 0}, DRIVER_CORRUPTED_MMPOOL},
    {{'M', 'I', 'S', 'Y', 'S', 'P', 'T', 'E'}, DRIVER_CORRUPTED_SYSPTES},
};

bool IsKernelAddress(ULONG_PTR address) {
  return address - KeLoaderBlock->kernel_base < KeLoaderBlock->kernel_size;
}

// What a fault of the kernel's own code is called, by the section it lies in.
ULONG CodeOfKernelSection(ULONG_PTR instruction) {
  const auto* dos = reinterpret_cast<const IMAGE_DOS_HEADER*>(KeLoaderBlock->kernel_base);
  const auto* nt = reinterpret_cast<const IMAGE_NT_HEADERS64*>(KeLoaderBlock->kernel_base +
                                                               static_cast<ULONG>(dos->e_lfanew));
  const IMAGE_SECTION_HEADER* section = IMAGE_FIRST_SECTION(nt);
  const ULONG64 rva = instruction - KeLoaderBlock->kernel_base;
  for (ULONG i = 0; i < nt->FileHeader.NumberOfSections; ++i, ++section) {
    if (rva - section->VirtualAddress >= section->Misc.VirtualSize) continue;
    for (const SectionCode& known : kSectionCodes) {
      if (RtlCompareMemory(section->Name, known.name, sizeof(known.name)) == sizeof(known.name))
        return known.code;
    }
  }
  return IRQL_NOT_LESS_OR_EQUAL;
}

// The loaded driver at an address (not the kernel); 0: none.
PUNICODE_STRING DriverAt(ULONG_PTR address) {
  if (KiCrash.find_image == nullptr || IsKernelAddress(address)) return nullptr;
  PKLDR_DATA_TABLE_ENTRY image = KiCrash.find_image(reinterpret_cast<PVOID>(address));
  return image != nullptr ? &image->BaseDllName : nullptr;
}

PUNICODE_STRING UnloadedDriverAt(ULONG_PTR address) {
  if (KiCrash.find_unloaded_image == nullptr) return nullptr;
  return KiCrash.find_unloaded_image(reinterpret_cast<PVOID>(address));
}

// At DISPATCH_LEVEL or above: (address, IRQL, access, instruction).
VOID AttributeIrqlFault() {
  const ULONG_PTR address = KiBugCheckData[1], instruction = KiBugCheckData[4];
  const PUNICODE_STRING touched = DriverAt(address);
  if (PUNICODE_STRING gone = touched == nullptr ? UnloadedDriverAt(address) : nullptr) {
    KiBugCheckData[0] = SYSTEM_SCAN_AT_RAISED_IRQL_CAUGHT_IMPROPER_DRIVER_UNLOAD;
    KiBugCheckDriver = gone;
  } else if (!IsKernelAddress(instruction)) {
    KiBugCheckData[0] = DRIVER_IRQL_NOT_LESS_OR_EQUAL;
    KiBugCheckDriver = DriverAt(instruction);
  } else if (touched != nullptr) {
    KiBugCheckData[0] = DRIVER_PORTION_MUST_BE_NONPAGED;
    KiBugCheckDriver = touched;
  } else {
    KiBugCheckData[0] = CodeOfKernelSection(instruction);
  }
}

// Below DISPATCH_LEVEL, at a system address that nothing is behind: (address, access, instruction, kind).
VOID AttributePageFault() {
  const ULONG_PTR address = KiBugCheckData[1], instruction = KiBugCheckData[3];
  const bool by_kernel = IsKernelAddress(instruction);
  KiSpecialPoolState state = KiSpecialPoolState::kNone;
  if (KiCrash.special_pool_state != nullptr)
    state = KiCrash.special_pool_state(reinterpret_cast<PVOID>(address));
  if (state == KiSpecialPoolState::kFreed) {
    KiBugCheckData[0] =
        by_kernel ? PAGE_FAULT_IN_FREED_SPECIAL_POOL : DRIVER_PAGE_FAULT_IN_FREED_SPECIAL_POOL;
  } else if (state == KiSpecialPoolState::kBeyondEnd) {
    KiBugCheckData[0] =
        by_kernel ? PAGE_FAULT_BEYOND_END_OF_ALLOCATION : DRIVER_PAGE_FAULT_BEYOND_END_OF_ALLOCATION;
  } else if (PUNICODE_STRING gone = UnloadedDriverAt(address)) {
    KiBugCheckData[0] = DRIVER_UNLOADED_WITHOUT_CANCELLING_PENDING_OPERATIONS;
    KiBugCheckData[4] = 0;
    KiBugCheckDriver = gone;
    return;
  }
  KiBugCheckDriver = DriverAt(instruction);
}

}  // namespace

extern "C" VOID KiAttributeBugCheck(PKPRCB Prcb) {
  if (KiBugCheckData[0] == NMI_HARDWARE_FAILURE &&
      kd::Control()->nmi_reason == boot::NmiReason::kPowerButton) {
    KiBugCheckData[0] = MANUALLY_INITIATED_POWER_BUTTON_HOLD;
    KiBugCheckData[1] = 0;
  }
  if (KiBugCheckData[0] == IRQL_NOT_LESS_OR_EQUAL && Prcb->BugCheckTrapFrame != nullptr) AttributeIrqlFault();
  if (KiBugCheckData[0] == PAGE_FAULT_IN_NONPAGED_AREA) AttributePageFault();
}
