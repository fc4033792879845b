// Page faults: which addresses may be touched how, and what becomes of a touch that may not.
#include "mm/address_space.h"

#include "ke/ke.h"
#include "mm/balance_set.h"

namespace mm {
namespace {

constexpr NTSTATUS kNotResident = STATUS_IN_PAGE_ERROR | 0x10000000;
constexpr ULONG kAlignmentCheck = 1u << 18;  // RFLAGS.AC: with SMAP, supervisor code may touch user pages

// 0x50's fourth parameter.
enum class Nonpaged : ULONG_PTR { kFreedPte = 0, kNoPageTable = 2 };

// 0x50's second parameter, as Windows 10 and later write it on x64.
ULONG_PTR BugCheckAccess(Access access) {
  return access == Access::kWrite ? 2 : access == Access::kExecute ? 0x10 : 0;
}

// The page is valid for this kind of access, so the TLB was stale; or it is not, and the machine stops.
NTSTATUS CheckValidPage(Access access, ULONG64 va, MMPTE pte, PKTRAP_FRAME trap_frame) {
  const auto trap = reinterpret_cast<ULONG_PTR>(trap_frame);
  if (access == Access::kWrite && pte.u.Hard.Dirty1 == 0) {
    KeBugCheckEx(ATTEMPTED_WRITE_TO_READONLY_MEMORY, va, pte.u.Long, trap, 0xB);
  }
  if (access == Access::kExecute && pte.u.Hard.NoExecute != 0) {
    KeBugCheckEx(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, va, pte.u.Long, trap, 2);
  }
  FlushPage(va);
  return STATUS_SUCCESS;
}

// A fault at a system address below DISPATCH_LEVEL, outside the views.
extern "C" DECLSPEC_NOINLINE NTSTATUS MiSystemFault(Access access, ULONG64 va, const Walk& walk,
                                                    PKTRAP_FRAME trap_frame) {
  const ULONG_PTR rip = trap_frame != nullptr ? trap_frame->Rip : 0;
  const auto stop = [&](Nonpaged kind) {
    KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, va, BugCheckAccess(access), rip, static_cast<ULONG_PTR>(kind));
  };
  if (walk.level != 1) stop(Nonpaged::kNoPageTable);
  const PMMPTE pte = PteOf(va);
  NTSTATUS status = BringIn(pte);
  for (ULONG attempt = 0; status == STATUS_NO_MEMORY && WaitForPages(attempt); ++attempt)
    status = BringIn(pte);
  if (NT_SUCCESS(status) || status == STATUS_NO_MEMORY) return status;
  const MMPTE now = Load(pte);
  if (status != STATUS_ACCESS_VIOLATION) {
    KeBugCheckEx(KERNEL_DATA_INPAGE_ERROR, Va(pte), static_cast<ULONG_PTR>(static_cast<LONG_PTR>(status)),
                 now.u.Long, va);
  }
  // Nothing of ours writes a system PTE of this form.
  if (now.u.Long != 0)
    KeBugCheckEx(MEMORY_MANAGEMENT, 0x41792, Va(pte), now.u.Long & 0xFFFFFFFF, now.u.Long >> 32);
  stop(Nonpaged::kFreedPte);
  return STATUS_ACCESS_VIOLATION;
}

// As ResolveSpaceFault, which here may wait for a page.
NTSTATUS ResolveOrWait(AddressSpace& space, ULONG64 va, Access access) {
  NTSTATUS status = ResolveSpaceFault(space, va, access);
  for (ULONG attempt = 0; status == STATUS_NO_MEMORY && WaitForPages(attempt); ++attempt)
    status = ResolveSpaceFault(space, va, access);
  return status;
}

// A view of MmMapViewInSystemSpace: what a driver does wrong with it stops the machine, as for any system
// address.
NTSTATUS SystemViewFault(Access access, ULONG64 va, const Walk& walk, PKTRAP_FRAME trap_frame) {
  const NTSTATUS status = ResolveOrWait(SystemViews(), va, access);
  if (status != STATUS_ACCESS_VIOLATION) return status;
  if (walk.valid) return CheckValidPage(access, va, walk.entry, trap_frame);
  KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, va, BugCheckAccess(access),
               trap_frame != nullptr ? trap_frame->Rip : 0, static_cast<ULONG_PTR>(Nonpaged::kFreedPte));
}

NTSTATUS UserFault(Access access, ULONG64 va, const Walk& walk, KPROCESSOR_MODE mode,
                   PKTRAP_FRAME trap_frame) {
  if (access == Access::kExecute && walk.valid && mode == KernelMode) {
    // Supervisor mode does not execute user pages (SMEP), whatever their protection.
    KeBugCheckEx(ATTEMPTED_EXECUTE_OF_NOEXECUTE_MEMORY, va, walk.entry.u.Long,
                 reinterpret_cast<ULONG_PTR>(trap_frame), 2);
  }
  AddressSpace* space = CurrentSpace();
  if (space == nullptr) return STATUS_ACCESS_VIOLATION;
  const NTSTATUS status = ResolveOrWait(*space, va, access);
  // Drivers touch user memory without stac: the first touch of a valid page with SMAP's permission off gives
  // the thread that permission.
  if (NT_SUCCESS(status) && mode == KernelMode && trap_frame != nullptr)
    trap_frame->EFlags |= kAlignmentCheck;
  return status;
}

}  // namespace

NTSTATUS ResolveFault(ULONG64 va, Access access) {
  if (!IsSystemAddress(va)) {
    AddressSpace* space = CurrentSpace();
    return space != nullptr ? ResolveSpaceFault(*space, va, access) : STATUS_ACCESS_VIOLATION;
  }
  if (SystemViews().Contains(va)) return ResolveSpaceFault(SystemViews(), va, access);
  const Walk walk = WalkTables(va);
  if (walk.level == 0 || (!walk.valid && walk.level != 1)) return STATUS_ACCESS_VIOLATION;
  if (!walk.valid) {
    const NTSTATUS status = BringIn(PteOf(va));
    return status == STATUS_SUCCESS ? ResolveFault(va, access) : status;
  }
  return access == Access::kWrite && walk.entry.u.Hard.Dirty1 == 0 ? STATUS_ACCESS_VIOLATION : STATUS_SUCCESS;
}

bool MakeResident(ULONG64 va) {
  return WalkTables(va).valid || NT_SUCCESS(ResolveFault(va, Access::kRead));
}

}  // namespace mm

extern "C" NTSTATUS MmAccessFault(ULONG FaultCode, PVOID VirtualAddress, KPROCESSOR_MODE PreviousMode,
                                  PKTRAP_FRAME TrapFrame) {
  using namespace mm;
  const ULONG64 va = Va(VirtualAddress);
  const auto access = static_cast<Access>(FaultCode);
  if (PreviousMode == UserMode && (IsSystemAddress(va) || !IsCanonical(va))) return STATUS_ACCESS_VIOLATION;
  const Walk walk = WalkTables(va);
  const bool view = SystemViews().Contains(va);
  if (walk.valid && IsSystemAddress(va) && !view) return CheckValidPage(access, va, walk.entry, TrapFrame);
  // Where special pool has no page there is none at any IRQL: the mistake is told from a page that is out.
  if (!walk.valid && !IsTransition(walk.entry) &&
      MmClassifySpecialPoolAddress(VirtualAddress) != MmNotSpecialPool) {
    KeBugCheckEx(PAGE_FAULT_IN_NONPAGED_AREA, va, BugCheckAccess(access),
                 TrapFrame != nullptr ? TrapFrame->Rip : 0, 0);
  }
  if (KeGetCurrentIrql() >= DISPATCH_LEVEL) return kNotResident;
  if (view) return SystemViewFault(access, va, walk, TrapFrame);
  if (!IsSystemAddress(va)) {
    return IsCanonical(va) ? UserFault(access, va, walk, PreviousMode, TrapFrame) : STATUS_ACCESS_VIOLATION;
  }
  return MiSystemFault(access, va, walk, TrapFrame);
}
