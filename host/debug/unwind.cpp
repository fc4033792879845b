#include "debug/unwind.h"

#include <algorithm>
#include <cstring>

#include "debug/epilogue.h"

namespace debug {

namespace {

enum UnwindOperation : uint8_t {
  kPushNonvolatile = 0,
  kAllocLarge = 1,
  kAllocSmall = 2,
  kSetFrameRegister = 3,
  kSaveNonvolatile = 4,
  kSaveNonvolatileFar = 5,
  kEpilog = 6,
  kSpare = 7,
  kSaveXmm128 = 8,
  kSaveXmm128Far = 9,
  kPushMachineFrame = 10,
};
constexpr uint8_t kFlagChained = 4;
constexpr int kMaxChain = 32;
constexpr uint32_t kMaxFunctions = 4u << 20;
constexpr uint16_t kNonvolatile = 1u << kRbx | 1u << kRbp | 1u << kRsp | 1u << kRsi | 1u << kRdi |
                                  1u << kR12 | 1u << kR13 | 1u << kR14 | 1u << kR15;
constexpr uint16_t kNonvolatileXmm = 0xffc0;  // xmm6..15

struct UnwindInfo {
  uint8_t version = 0, flags = 0, prolog_size = 0, frame_register = 0, frame_offset = 0;
  std::vector<uint16_t> codes;
  pe::RuntimeFunction chained;
};

base::Result<UnwindInfo> ReadUnwindInfo(const VirtualMemory& memory, const Module& module, uint32_t rva) {
  const uint64_t address = module.base + rva;
  std::array<uint8_t, 4> head;
  TRY_WRAP("unwind data", memory.Read(address, std::as_writable_bytes(std::span(head))));
  UnwindInfo info;
  info.version = head[0] & 7;
  info.flags = head[0] >> 3;
  info.prolog_size = head[1];
  info.frame_register = head[3] & 0xf;
  info.frame_offset = head[3] >> 4;
  if (info.version != 1 && info.version != 2) {
    return base::Fail("unwind data at " + FormatAddress(address) + " has the unknown version " +
                      std::to_string(info.version));
  }
  info.codes.resize(head[2]);
  TRY_WRAP("unwind codes", memory.Read(address + 4, std::as_writable_bytes(std::span(info.codes))));
  if ((info.flags & kFlagChained) != 0) {
    const uint64_t at = address + 4 + 2ull * ((head[2] + 1u) & ~1u);
    info.chained = TRY_WRAP("chained unwind data", memory.Get<pe::RuntimeFunction>(at));
  }
  return info;
}

// Slots that an operation takes, itself included.
unsigned SlotsOf(uint8_t operation, uint8_t info, uint8_t version) {
  switch (operation) {
    case kAllocLarge:
      return info == 0 ? 2 : 3;
    case kSaveNonvolatile:
    case kSaveXmm128:
      return 2;
    case kSaveNonvolatileFar:
    case kSaveXmm128Far:
      return 3;
    case kEpilog:
      return version == 2 ? 1 : 2;
    case kSpare:
      return version == 2 ? 2 : 3;
    default:
      return 1;
  }
}

// Version 2 says where the epilogs are; offsets count back from the function's end.
bool InDeclaredEpilog(const UnwindInfo& info, uint32_t function_size, uint32_t offset) {
  uint32_t size = 0;
  for (size_t i = 0; i < info.codes.size(); ++i) {
    const uint8_t operation = info.codes[i] >> 8 & 0xf;
    if (operation != kEpilog) break;
    const uint32_t low = info.codes[i] & 0xff;
    const uint32_t high = info.codes[i] >> 12;
    uint32_t from_end = low | high << 8;
    if (i == 0) {
      size = low;
      if ((high & 1) == 0) continue;
      from_end = size;
    }
    if (from_end == 0 || from_end > function_size) continue;
    const uint32_t start = function_size - from_end;
    if (offset >= start && offset < start + size) return true;
  }
  return false;
}

// Leaves through the frame that the CPU pushed at rsp.
base::Result<void> InterruptReturn(const VirtualMemory& memory, Registers& r, Frame& frame) {
  struct MachineFrame {
    uint64_t rip, cs, eflags, rsp, ss;
  };
  const auto machine = TRY_WRAP("machine frame", memory.Get<MachineFrame>(r.rsp()));
  frame.machine_frame = r.rsp();
  r.rip = machine.rip;
  r.cs = static_cast<uint16_t>(machine.cs);
  r.ss = static_cast<uint16_t>(machine.ss);
  r.eflags = static_cast<uint32_t>(machine.eflags);
  r.gpr[kRsp] = machine.rsp;
  return {};
}

// Undoes the effects of one function's prolog on the registers.
class PrologUndo {
 public:
  PrologUndo(const VirtualMemory& memory, Registers& registers, Frame& frame)
      : memory_(memory), r_(registers), frame_(frame) {}

  // `offset`: how far into the function execution is; UINT32_MAX = past the prolog.
  base::Result<void> Apply(const UnwindInfo& info, uint32_t offset);
  bool has_machine_frame() const { return has_machine_frame_; }

 private:
  base::Result<void> One(const UnwindInfo& info, size_t index, uint64_t frame_base);

  const VirtualMemory& memory_;
  Registers& r_;
  Frame& frame_;
  bool has_machine_frame_ = false;
};

base::Result<void> PrologUndo::Apply(const UnwindInfo& info, uint32_t offset) {
  uint64_t frame_base = r_.rsp();
  if (info.frame_register != 0) {
    bool is_set = offset >= info.prolog_size;
    for (size_t i = 0; i < info.codes.size() && !is_set;) {
      const uint8_t operation = info.codes[i] >> 8 & 0xf;
      if (operation == kSetFrameRegister && (info.codes[i] & 0xff) <= offset) is_set = true;
      i += SlotsOf(operation, static_cast<uint8_t>(info.codes[i] >> 12), info.version);
    }
    if (is_set) {
      if (!r_.IsKnown(info.frame_register)) return base::Fail("the frame register is not known");
      frame_base = r_.gpr[info.frame_register] - 16ull * info.frame_offset;
    }
  }
  for (size_t i = 0; i < info.codes.size();) {
    const uint8_t operation = info.codes[i] >> 8 & 0xf;
    const unsigned slots = SlotsOf(operation, static_cast<uint8_t>(info.codes[i] >> 12), info.version);
    if (i + slots > info.codes.size()) return base::Fail("the unwind codes are cut off");
    const bool is_done = (info.codes[i] & 0xffu) <= offset;
    if (is_done && operation != kEpilog && operation != kSpare) TRY(One(info, i, frame_base));
    i += slots;
  }
  return {};
}

base::Result<void> PrologUndo::One(const UnwindInfo& info, size_t index, uint64_t frame_base) {
  const uint8_t operation = info.codes[index] >> 8 & 0xf;
  const uint8_t argument = static_cast<uint8_t>(info.codes[index] >> 12);
  const auto near = [&] { return static_cast<uint64_t>(info.codes[index + 1]); };
  const auto far = [&] { return info.codes[index + 1] | static_cast<uint64_t>(info.codes[index + 2]) << 16; };
  uint64_t& rsp = r_.gpr[kRsp];
  switch (operation) {
    case kPushNonvolatile:
      r_.Set(argument, TRY(memory_.Get<uint64_t>(rsp)));
      rsp += 8;
      return {};
    case kAllocLarge:
      rsp += argument == 0 ? near() * 8 : far();
      return {};
    case kAllocSmall:
      rsp += argument * 8u + 8;
      return {};
    case kSetFrameRegister:
      rsp = frame_base;
      return {};
    case kSaveNonvolatile:
      r_.Set(argument, TRY(memory_.Get<uint64_t>(frame_base + near() * 8)));
      return {};
    case kSaveNonvolatileFar:
      r_.Set(argument, TRY(memory_.Get<uint64_t>(frame_base + far())));
      return {};
    case kSaveXmm128:
    case kSaveXmm128Far: {
      const uint64_t offset = operation == kSaveXmm128 ? near() * 16 : far();
      r_.xmm[argument] = TRY(memory_.Get<kdump::Xmm>(frame_base + offset));
      r_.xmm_known |= static_cast<uint16_t>(1u << argument);
      return {};
    }
    case kPushMachineFrame:
      if (argument != 0) rsp += 8;  // error code
      has_machine_frame_ = true;
      return InterruptReturn(memory_, r_, frame_);
    default:
      return base::Fail("unknown unwind operation " + std::to_string(operation));
  }
}

base::Result<void> Return(const VirtualMemory& memory, Registers& r) {
  r.rip = TRY_WRAP("return address", memory.Get<uint64_t>(r.rsp()));
  r.gpr[kRsp] += 8;
  return {};
}

}  // namespace

const Unwinder::ModuleTable& Unwinder::TableOf(const Module& module) {
  const auto [slot, is_new] = tables_.try_emplace(module.base);
  ModuleTable& table = slot->second;
  if (!is_new) return table;
  const VirtualMemory& memory = symbols_->memory();
  std::vector<std::byte> page(kPageSize);
  memory.ReadSparse(module.base, page);
  const auto headers = pe::ParseHeaders(page);
  if (!headers) {
    table.problem = "the PE header of " + module.name + " is not in memory";
    return table;
  }
  const pe::DataDirectory& directory = headers->directory(pe::Directory::kException);
  const uint32_t count = directory.size / sizeof(pe::RuntimeFunction);
  if (directory.rva == 0 || count == 0) return table;
  if (count > kMaxFunctions || uint64_t{directory.rva} + directory.size > module.size) {
    table.problem = "the function table of " + module.name + " is damaged";
    return table;
  }
  table.functions.resize(count);
  const auto bytes = std::as_writable_bytes(std::span(table.functions));
  if (memory.ReadSparse(module.base + directory.rva, bytes) == 0) {
    table.problem = "the function table of " + module.name + " is not in memory";
  }
  std::erase_if(table.functions, [](const pe::RuntimeFunction& f) { return f.begin >= f.end; });
  if (!std::ranges::is_sorted(table.functions, {}, &pe::RuntimeFunction::begin)) {
    std::ranges::sort(table.functions, {}, &pe::RuntimeFunction::begin);
  }
  return table;
}

std::optional<pe::RuntimeFunction> Unwinder::FunctionAt(const Module& module, uint64_t address) {
  const ModuleTable& table = TableOf(module);
  const uint32_t rva = static_cast<uint32_t>(address - module.base);
  auto next = std::ranges::upper_bound(table.functions, rva, {}, &pe::RuntimeFunction::begin);
  if (next == table.functions.begin()) return std::nullopt;
  --next;
  if (rva >= next->end) return std::nullopt;
  return *next;
}

// Out of a function with unwind data.
base::Result<void> Unwinder::LeaveFunction(const Module& module, pe::RuntimeFunction function, Frame& frame,
                                           Registers& next) const {
  const VirtualMemory& memory = symbols_->memory();
  frame.function_begin = module.base + function.begin;
  frame.function_end = module.base + function.end;
  if ((function.unwind_info & 1) != 0) {
    const uint64_t other = module.base + (function.unwind_info & ~3u);
    function = TRY_WRAP("indirect unwind data", memory.Get<pe::RuntimeFunction>(other));
  }
  UnwindInfo info = TRY(ReadUnwindInfo(memory, module, function.unwind_info));
  const auto offset = static_cast<uint32_t>(frame.ip - frame.function_begin);
  const auto size = static_cast<uint32_t>(frame.function_end - frame.function_begin);
  if (!frame.is_call_return &&
      (info.version == 1 ? offset >= info.prolog_size : InDeclaredEpilog(info, size, offset))) {
    const auto is_outside = [&](uint64_t target) {
      return target < frame.function_begin || target >= frame.function_end;
    };
    switch (FinishEpilogue(memory, frame.ip, is_outside, next)) {
      case EpilogueEnd::kReturn:
        return Return(memory, next);
      case EpilogueEnd::kInterruptReturn:
        return InterruptReturn(memory, next, frame);
      case EpilogueEnd::kNone:
        break;
    }
  }
  PrologUndo undo(memory, next, frame);
  TRY(undo.Apply(info, offset));
  for (int depth = 0; (info.flags & kFlagChained) != 0; ++depth) {
    if (depth >= kMaxChain)
      return base::Fail("the unwind data of " + FormatAddress(frame.ip) + " is chained in a circle");
    info = TRY(ReadUnwindInfo(memory, module, info.chained.unwind_info));
    TRY(undo.Apply(info, UINT32_MAX));
  }
  if (undo.has_machine_frame()) return {};
  return Return(memory, next);
}

base::Result<std::optional<Registers>> Unwinder::Step(Frame& frame) {
  Registers next = frame.registers;
  next.known &= kNonvolatile;
  next.xmm_known &= kNonvolatileXmm;
  const uint64_t lookup = frame.LookupIp();
  const Module* module = symbols_->ModuleAt(lookup);
  if (module == nullptr && frame.is_call_return) {
    return base::Fail(FormatAddress(frame.ip) + " lies in no loaded image");
  }
  std::optional<pe::RuntimeFunction> function;
  if (module != nullptr) {
    function = FunctionAt(*module, lookup);
    if (!function && !TableOf(*module).problem.empty()) return base::Fail(TableOf(*module).problem);
  }
  if (function) {
    TRY(LeaveFunction(*module, *function, frame, next));
  } else {
    // A leaf function; or, outside every image, a call to a wrong address, which looks the same.
    TRY(Return(symbols_->memory(), next));
  }
  frame.return_address = next.rip;
  frame.return_sp = next.rsp();
  if (next.rip == 0) return std::optional<Registers>();
  if (frame.machine_frame == 0 && next.rsp() <= frame.child_sp)
    return base::Fail("the stack does not grow towards its base");
  return std::optional(next);
}

StackTrace Unwinder::Walk(const Registers& start, size_t limit) {
  StackTrace trace;
  Frame frame;
  frame.registers = start;
  while (true) {
    frame.ip = frame.registers.rip;
    frame.child_sp = frame.registers.rsp();
    auto next = Step(frame);
    trace.frames.push_back(frame);
    if (!next) {
      trace.stop = next.error().message;
      return trace;
    }
    if (!*next) return trace;
    const bool from_machine_frame = frame.machine_frame != 0;
    if (from_machine_frame && ((**next).cs & 3) == 3) return trace;  // came from user mode
    if (trace.frames.size() >= limit) {
      trace.stop = "more than " + std::to_string(limit) + " frames";
      return trace;
    }
    frame = Frame();
    frame.registers = **next;
    frame.is_call_return = !from_machine_frame;
  }
}

}  // namespace debug
