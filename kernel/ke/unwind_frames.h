// Walking the frames of the running processor: whose code, whose stack.
#pragma once

#include "ke_internal.h"
#include "nt/seh.h"

namespace ki {

// The stack that contains `address`: a segment of the current thread's, or one of this processor's. False:
// none.
bool StackOf(ULONG64 address, rtl::StackBounds* bounds);

// The function tables of the image looked at last: frames of one image follow each other.
struct ImageFunctions {
  ULONG64 base = 0, size = 0;
  const RUNTIME_FUNCTION* table = nullptr;
  ULONG count = 0;

  // The entry for `pc`; null: a leaf function, or (base == 0) no image.
  const RUNTIME_FUNCTION* Find(ULONG64 pc);
};

inline rtl::UnwindRegisters RegistersOf(PCONTEXT context, PKNONVOLATILE_CONTEXT_POINTERS places = nullptr) {
  auto* xmm = reinterpret_cast<rtl::XmmValue*>(context->FltSave.XmmRegisters);
  if (places == nullptr) return {&context->Rax, xmm, nullptr, nullptr};
  return {&context->Rax, xmm, places->FloatingContext, places->IntegerContext};
}
static_assert(FIELD_OFFSET(CONTEXT, Rip) == FIELD_OFFSET(CONTEXT, Rax) + 16 * sizeof(ULONG64));

// Goes from frame to frame of `registers`, which it changes. Stops where the stack ends or is not to be
// trusted.
class FrameWalk {
 public:
  // after_call: rip is a return address.
  FrameWalk(PCONTEXT context, bool after_call) : registers_(RegistersOf(context)), after_call_(after_call) {
    valid_ = StackOf(registers_.rsp(), &bounds_);
  }

  bool valid() const { return valid_; }
  bool at_end() const { return registers_.rip() == 0 && !first_; }  // a call of address 0 is none
  ULONG64 pc() const { return registers_.rip(); }
  const ImageFunctions& image() const { return image_; }
  const RUNTIME_FUNCTION* function() const { return function_; }
  const rtl::UnwindResult& result() const { return result_; }

  // Leaves the frame at pc(); `handlers`: UNW_FLAG_... A leaf function leaves result().handler 0. False:
  // stop.
  bool Leave(ULONG handlers);
  // The context was replaced (collided unwind).
  void Restart(bool after_call) { after_call_ = after_call, valid_ = StackOf(registers_.rsp(), &bounds_); }

 private:
  rtl::UnwindRegisters registers_;
  rtl::StackBounds bounds_{};
  ImageFunctions image_;
  const RUNTIME_FUNCTION* function_ = nullptr;
  rtl::UnwindResult result_{};
  bool after_call_;
  bool valid_;
  bool first_ = true;
};

}  // namespace ki
