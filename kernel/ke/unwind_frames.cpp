#include "unwind_frames.h"

#include "ke/crash_hooks.h"
#include "ke/stack_segment.h"
#include "mm/mm.h"

namespace ki {
namespace {

constexpr ULONG64 kIstStackSize = 8192;  // processor.cpp

bool InRange(ULONG64 address, PVOID limit, PVOID base, rtl::StackBounds* bounds) {
  *bounds = {reinterpret_cast<ULONG64>(limit), reinterpret_cast<ULONG64>(base)};
  return address >= bounds->low && address < bounds->high;
}

bool ProcessorStackOf(ULONG64 address, PKPRCB prcb, rtl::StackBounds* bounds) {
  const auto* task = reinterpret_cast<const arch::TaskState*>(KeGetPcr()->TssBase);
  for (int ist = arch::kIstDoubleFault; ist <= arch::kIstNmi; ++ist) {
    *bounds = {task->ist[ist] - kIstStackSize, task->ist[ist]};
    if (address >= bounds->low && address < bounds->high) return true;
  }
  auto* dpc_stack = static_cast<UCHAR*>(prcb->DpcStack);
  return dpc_stack != nullptr && InRange(address, dpc_stack - kKernelStackSize, dpc_stack, bounds);
}

}  // namespace

bool StackOf(ULONG64 address, rtl::StackBounds* bounds) {
  PKPRCB prcb = KeGetCurrentPrcb();
  PKTHREAD thread = prcb->CurrentThread;
  if (InRange(address, thread->StackLimit, thread->StackBase, bounds)) return true;
  for (const KSTACK_CONTROL* control = thread->StackControl; control != nullptr;
       control = control->PreviousControl) {
    if (InRange(address, control->PreviousLimit, control->PreviousBase, bounds)) return true;
  }
  return ProcessorStackOf(address, prcb, bounds);
}

const RUNTIME_FUNCTION* ImageFunctions::Find(ULONG64 pc) {
  if (pc - base >= size) {
    *this = {};
    PKLDR_DATA_TABLE_ENTRY entry =
        KiCrash.find_image != nullptr ? KiCrash.find_image(reinterpret_cast<PVOID>(pc)) : nullptr;
    if (entry == nullptr) return nullptr;
    base = reinterpret_cast<ULONG64>(entry->DllBase);
    size = entry->SizeOfImage;
    table = static_cast<const RUNTIME_FUNCTION*>(entry->ExceptionTable);
    count = table != nullptr ? entry->ExceptionTableSize / sizeof(RUNTIME_FUNCTION) : 0;
  }
  return rtl::FindFunction(base, table, count, static_cast<ULONG>(pc - base));
}

bool FrameWalk::Leave(ULONG handlers) {
  const ULONG64 pc = registers_.rip();
  const bool after_call = after_call_;
  if ((registers_.rsp() & 7) != 0 || (registers_.rsp() - bounds_.low >= bounds_.high - bounds_.low &&
                                      !StackOf(registers_.rsp(), &bounds_))) {
    return valid_ = false;
  }
  function_ = image_.Find(pc);
  result_ = {registers_.rsp(), 0, nullptr, false};
  // Only the first frame may lie outside every image: a call to a wrong address.
  if (function_ == nullptr && image_.base == 0 && !first_) return valid_ = false;
  first_ = false;
  after_call_ = true;
  if (function_ == nullptr) return valid_ = rtl::UnwindLeaf(bounds_, registers_);
  valid_ =
      rtl::UnwindFunction(image_.base, pc, function_, handlers, after_call, bounds_, registers_, &result_);
  if (result_.machine_frame) after_call_ = false;
  return valid_;
}

}  // namespace ki
