// Unwinding one frame: epilogues by their instructions, everything else by unwind codes.
#include "rtl/unwind.h"

namespace rtl {
namespace {

enum Operation : uint8_t {
  kPushNonvolatile = 0,
  kAllocLarge = 1,
  kAllocSmall = 2,
  kSetFrameRegister = 3,
  kSaveNonvolatile = 4,
  kSaveNonvolatileFar = 5,
  kEpilogue = 6,  // version 2; version 1: unused, two slots
  kSpare = 7,
  kSaveXmm = 8,
  kSaveXmmFar = 9,
  kPushMachineFrame = 10,
};

constexpr int kMaxChain = 32;
constexpr uint8_t kRsp = 4;

struct Info {  // UNWIND_INFO
  uint8_t version_and_flags;
  uint8_t prologue_size;
  uint8_t code_count;
  uint8_t frame;  // register, offset / 16

  uint8_t version() const { return version_and_flags & 7; }
  uint8_t flags() const { return version_and_flags >> 3; }
  uint8_t frame_register() const { return frame & 0xF; }
  uint64_t frame_offset() const { return 16ull * (frame >> 4); }
  const uint16_t* codes() const { return reinterpret_cast<const uint16_t*>(this + 1); }
  // Behind the codes: a chained entry, or a handler's address and its data.
  const uint32_t* tail() const {
    return reinterpret_cast<const uint32_t*>(codes() + ((code_count + 1) & ~1));
  }
};

const Info* InfoOf(uint64_t base, const RuntimeFunction* function) {
  return reinterpret_cast<const Info*>(base + function->unwind_info);
}

unsigned SlotsOf(uint8_t operation, uint8_t argument) {
  switch (operation) {
    case kAllocLarge:
      return argument == 0 ? 2 : 3;
    case kSaveNonvolatile:
    case kSaveXmm:
      return 2;
    case kSaveNonvolatileFar:
    case kSaveXmmFar:
      return 3;
    default:
      return 1;
  }
}

class Frame {
 public:
  Frame(StackBounds bounds, const UnwindRegisters& registers) : bounds_(bounds), r_(registers) {}

  bool Epilogue(uint64_t pc, uint64_t begin, uint64_t end, const Info* info);
  bool Prologue(const Info* info, uint64_t offset);
  bool Return();
  bool ok() const { return ok_; }
  bool machine_frame() const { return machine_frame_; }

 private:
  uint64_t Load(uint64_t address, uint64_t** place);
  void LoadRegister(uint8_t index, uint64_t address);
  void LoadXmm(uint8_t index, uint64_t address);
  void Undo(const uint16_t* code, uint8_t operation, uint8_t argument, uint64_t frame_base);
  void LeaveMachineFrame(bool error_code);
  const uint8_t* SkipRelease(const uint8_t* at, const Info* info, uint64_t* stack);

  StackBounds bounds_;
  const UnwindRegisters& r_;
  bool ok_ = true;
  bool machine_frame_ = false;
};

uint64_t Frame::Load(uint64_t address, uint64_t** place) {
  if (address < bounds_.low || address > bounds_.high - sizeof(uint64_t)) {
    ok_ = false;
    return 0;
  }
  auto* at = reinterpret_cast<uint64_t*>(address);
  if (place != nullptr) *place = at;
  return *at;
}

void Frame::LoadRegister(uint8_t index, uint64_t address) {
  uint64_t* place = nullptr;
  const uint64_t value = Load(address, &place);
  if (!ok_) return;
  r_.gpr[index] = value;
  if (r_.gpr_places != nullptr) r_.gpr_places[index] = place;
}

void Frame::LoadXmm(uint8_t index, uint64_t address) {
  if (address < bounds_.low || address > bounds_.high - sizeof(XmmValue)) {
    ok_ = false;
    return;
  }
  auto* at = reinterpret_cast<XmmValue*>(address);
  r_.xmm[index].low = at->low;
  r_.xmm[index].high = at->high;
  if (r_.xmm_places != nullptr) r_.xmm_places[index] = at;
}

bool Frame::Return() {
  const uint64_t address = Load(r_.rsp(), nullptr);
  if (!ok_) return false;
  r_.rip() = address;
  r_.rsp() += sizeof(uint64_t);
  return true;
}

void Frame::LeaveMachineFrame(bool error_code) {
  const uint64_t at = r_.rsp() + (error_code ? sizeof(uint64_t) : 0);
  const uint64_t rip = Load(at, nullptr);
  const uint64_t rsp = Load(at + 3 * sizeof(uint64_t), nullptr);
  if (!ok_) return;
  r_.rip() = rip;
  r_.rsp() = rsp;
  machine_frame_ = true;
}

int32_t Signed32(const uint8_t* at) {
  return static_cast<int32_t>(at[0] | at[1] << 8 | at[2] << 16 | static_cast<uint32_t>(at[3]) << 24);
}

// The instruction that releases the locals, if `at` is one: *stack becomes rsp after it.
const uint8_t* Frame::SkipRelease(const uint8_t* at, const Info* info, uint64_t* stack) {
  if (at[0] == 0x48 && at[1] == 0x83 && at[2] == 0xC4) {  // add rsp, imm8
    *stack += static_cast<uint64_t>(static_cast<int8_t>(at[3]));
    return at + 4;
  }
  if (at[0] == 0x48 && at[1] == 0x81 && at[2] == 0xC4) {  // add rsp, imm32
    *stack += static_cast<uint64_t>(Signed32(at + 3));
    return at + 7;
  }
  // lea rsp, [frame register + displacement]
  if ((at[0] & 0xFE) != 0x48 || at[1] != 0x8D || info->frame_register() == 0) return at;
  const uint8_t base = static_cast<uint8_t>((at[2] & 7) | (at[0] & 1) << 3);
  if ((at[2] & 0x38) != kRsp << 3 || base != info->frame_register()) return at;
  const uint8_t* displacement = at + 3 + ((at[2] & 7) == 4 ? 1 : 0);  // r12 has a SIB byte
  if ((at[2] & 0xC0) == 0x40) {
    *stack = r_.gpr[base] + static_cast<uint64_t>(static_cast<int8_t>(*displacement));
    return displacement + 1;
  }
  if ((at[2] & 0xC0) == 0x80) {
    *stack = r_.gpr[base] + static_cast<uint64_t>(Signed32(displacement));
    return displacement + 4;
  }
  return at;
}

// Does a function end here: a return, or a jump out of it?
bool IsEnd(const uint8_t* at, uint64_t begin, uint64_t end) {
  if (at[0] == 0xC3 || at[0] == 0xC2 || (at[0] == 0xF3 && at[1] == 0xC3)) return true;
  if (at[0] == 0xFF && at[1] == 0x25) return true;                                     // jmp [rip + x]
  if ((at[0] & 0xF8) == 0x48 && at[1] == 0xFF && (at[2] & 0x38) == 0x20) return true;  // rex.w jmp r/m
  if (at[0] != 0xEB && at[0] != 0xE9) return false;
  const uint64_t next = reinterpret_cast<uint64_t>(at) + (at[0] == 0xEB ? 2 : 5);
  const int64_t distance = at[0] == 0xEB ? static_cast<int8_t>(at[1]) : Signed32(at + 1);
  const uint64_t target = next + static_cast<uint64_t>(distance);
  return target < begin || target >= end || target == begin;
}

// True: pc was in an epilogue, and the function has been left.
bool Frame::Epilogue(uint64_t pc, uint64_t begin, uint64_t end, const Info* info) {
  uint64_t stack = r_.rsp();
  const uint8_t* at = SkipRelease(reinterpret_cast<const uint8_t*>(pc), info, &stack);
  const uint8_t* const pops = at;
  while ((at[0] & 0xF8) == 0x58 || (at[0] == 0x41 && (at[1] & 0xF8) == 0x58)) at += at[0] == 0x41 ? 2 : 1;
  const bool interrupt_return = at[0] == 0x48 && at[1] == 0xCF;
  if (!interrupt_return && !IsEnd(at, begin, end)) return false;
  r_.rsp() = stack;
  for (at = pops; (at[0] & 0xF8) == 0x58 || at[0] == 0x41; at += at[0] == 0x41 ? 2 : 1) {
    const auto index = static_cast<uint8_t>(at[0] == 0x41 ? 8 + (at[1] & 7) : at[0] & 7);
    LoadRegister(index, r_.rsp());
    r_.rsp() += sizeof(uint64_t);
  }
  if (interrupt_return) {
    LeaveMachineFrame(false);
  } else {
    Return();
  }
  return true;
}

void Frame::Undo(const uint16_t* code, uint8_t operation, uint8_t argument, uint64_t frame_base) {
  const auto far = [&] { return code[1] | static_cast<uint64_t>(code[2]) << 16; };
  switch (operation) {
    case kPushNonvolatile:
      LoadRegister(argument, r_.rsp());
      r_.rsp() += sizeof(uint64_t);
      break;
    case kAllocLarge:
      r_.rsp() += argument == 0 ? 8ull * code[1] : far();
      break;
    case kAllocSmall:
      r_.rsp() += 8ull * argument + 8;
      break;
    case kSetFrameRegister:
      r_.rsp() = frame_base;
      break;
    case kSaveNonvolatile:
      LoadRegister(argument, frame_base + 8ull * code[1]);
      break;
    case kSaveNonvolatileFar:
      LoadRegister(argument, frame_base + far());
      break;
    case kSaveXmm:
      LoadXmm(argument, frame_base + 16ull * code[1]);
      break;
    case kSaveXmmFar:
      LoadXmm(argument, frame_base + far());
      break;
    case kPushMachineFrame:
      LeaveMachineFrame(argument != 0);
      break;
    default:
      ok_ = false;
  }
}

// The address that save offsets count from.
uint64_t FrameBase(const Info* info, uint64_t offset, const UnwindRegisters& r) {
  if (info->frame_register() == 0) return r.rsp();
  bool is_set = offset >= info->prologue_size;
  for (unsigned i = 0; i < info->code_count && !is_set;) {
    const auto operation = static_cast<uint8_t>(info->codes()[i] >> 8 & 0xF);
    is_set = operation == kSetFrameRegister && (info->codes()[i] & 0xFFu) <= offset;
    i += SlotsOf(operation, static_cast<uint8_t>(info->codes()[i] >> 12));
  }
  return is_set ? r.gpr[info->frame_register()] - info->frame_offset() : r.rsp();
}

bool Frame::Prologue(const Info* info, uint64_t offset) {
  const uint64_t frame_base = FrameBase(info, offset, r_);
  for (unsigned i = 0; i < info->code_count && ok_;) {
    const uint16_t* code = info->codes() + i;
    const auto operation = static_cast<uint8_t>(*code >> 8 & 0xF);
    const auto argument = static_cast<uint8_t>(*code >> 12);
    i += SlotsOf(operation, argument);
    if (i > info->code_count) return ok_ = false;
    if (operation == kEpilogue || operation == kSpare) continue;
    if ((*code & 0xFFu) <= offset) Undo(code, operation, argument, frame_base);
  }
  return ok_;
}

}  // namespace

const RuntimeFunction* FindFunction(uint64_t image_base, const RuntimeFunction* table, uint32_t count,
                                    uint32_t rva) {
  uint32_t low = 0, high = count;
  while (low < high) {
    const uint32_t middle = low + (high - low) / 2;
    if (table[middle].end <= rva) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  if (low == count || rva < table[low].begin) return nullptr;
  const RuntimeFunction* function = table + low;
  if ((function->unwind_info & 1) != 0) {
    function = reinterpret_cast<const RuntimeFunction*>(image_base + (function->unwind_info & ~3u));
  }
  return function;
}

bool UnwindLeaf(StackBounds bounds, const UnwindRegisters& registers) {
  return Frame(bounds, registers).Return();
}

bool UnwindFunction(uint64_t image_base, uint64_t pc, const RuntimeFunction* function, uint32_t handler_flags,
                    bool after_call, StackBounds bounds, const UnwindRegisters& registers,
                    UnwindResult* result) {
  const Info* info = InfoOf(image_base, function);
  if (info->version() != 1 && info->version() != 2) return false;
  uint64_t offset = pc - (image_base + function->begin);
  *result = {FrameBase(info, offset, registers), 0, nullptr, false};
  Frame frame(bounds, registers);
  if (!after_call && offset >= info->prologue_size &&
      frame.Epilogue(pc, image_base + function->begin, image_base + function->end, info)) {
    result->machine_frame = frame.machine_frame();
    return frame.ok();
  }
  frame.Prologue(info, offset);
  for (int depth = 0; frame.ok() && (info->flags() & kUnwindFlagChained) != 0; ++depth) {
    if (depth == kMaxChain) return false;
    info = InfoOf(image_base, reinterpret_cast<const RuntimeFunction*>(info->tail()));
    offset = ~0ull;  // the chained prologue is past
    frame.Prologue(info, offset);
  }
  if (!frame.ok()) return false;
  result->machine_frame = frame.machine_frame();
  if (offset >= info->prologue_size && (info->flags() & handler_flags) != 0) {
    result->handler = image_base + info->tail()[0];
    result->handler_data = info->tail() + 1;
  }
  return frame.machine_frame() || frame.Return();
}

}  // namespace rtl
