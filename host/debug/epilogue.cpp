#include "debug/epilogue.h"

#include <array>
#include <cstring>

namespace debug {

namespace {

constexpr size_t kMaxEpilogue = 64;  // 9 pops of 2 bytes, an addition, a jump: well below

template <typename T>
T Load(const uint8_t* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

class Epilogue {
 public:
  Epilogue(const VirtualMemory& memory, uint64_t ip, Registers registers)
      : memory_(memory), ip_(ip), r_(registers) {
    size_ = memory.ReadUpTo(ip, std::as_writable_bytes(std::span(code_)));
  }

  EpilogueEnd Run(const std::function<bool(uint64_t)>& is_outside) {
    TakeDeallocation();
    while (TakePop()) {
    }
    if (!is_sound_) return EpilogueEnd::kNone;
    if (Has(2) && Code()[0] == 0x48 && Code()[1] == 0xcf) return EpilogueEnd::kInterruptReturn;
    return EndsHere(is_outside) ? EpilogueEnd::kReturn : EpilogueEnd::kNone;
  }
  const Registers& registers() const { return r_; }

 private:
  bool Has(size_t count) const { return at_ + count <= size_; }
  const uint8_t* Code() const { return code_.data() + at_; }

  void TakeDeallocation() {
    if (!Has(4) || (Code()[0] & 0xf8) != 0x48) return;
    const uint8_t rex = Code()[0];
    const uint8_t opcode = Code()[1];
    const uint8_t modrm = Code()[2];
    if (rex == 0x48 && opcode == 0x83 && modrm == 0xc4) {  // add rsp, imm8
      r_.gpr[kRsp] += static_cast<int64_t>(static_cast<int8_t>(Code()[3]));
      at_ += 4;
    } else if (rex == 0x48 && opcode == 0x81 && modrm == 0xc4 && Has(7)) {  // add rsp, imm32
      r_.gpr[kRsp] += static_cast<int64_t>(Load<int32_t>(Code() + 3));
      at_ += 7;
    } else if ((rex & 0xfe) == 0x48 && opcode == 0x8d && (modrm >> 3 & 7) == 4 &&
               (modrm & 7) != 4) {  // lea rsp, [reg+disp]
      const uint8_t base = static_cast<uint8_t>((modrm & 7) | (rex & 1) << 3);
      int64_t displacement = 0;
      size_t length = 3;
      switch (modrm >> 6) {
        case 0:
          if ((modrm & 7) == 5) return;  // rip relative
          break;
        case 1:
          displacement = static_cast<int8_t>(Code()[3]);
          length = 4;
          break;
        case 2:
          if (!Has(7)) return;
          displacement = Load<int32_t>(Code() + 3);
          length = 7;
          break;
        default:
          return;
      }
      if (!r_.IsKnown(base)) return;
      r_.gpr[kRsp] = r_.gpr[base] + static_cast<uint64_t>(displacement);
      at_ += length;
    }
  }

  bool TakePop() {
    size_t length = 1;
    uint8_t high = 0;
    if (Has(2) && (Code()[0] & 0xf0) == 0x40) {
      high = static_cast<uint8_t>((Code()[0] & 1) << 3);
      length = 2;
    }
    if (!Has(length) || (Code()[length - 1] & 0xf8) != 0x58) return false;
    const auto value = memory_.Get<uint64_t>(r_.rsp());
    if (!value) {
      is_sound_ = false;
      return false;
    }
    r_.Set(static_cast<uint8_t>((Code()[length - 1] & 7) | high), *value);
    r_.gpr[kRsp] += 8;
    at_ += length;
    return true;
  }

  bool EndsHere(const std::function<bool(uint64_t)>& is_outside) const {
    if (!Has(1)) return false;
    const uint8_t* code = Code();
    const uint64_t here = ip_ + at_;
    if (code[0] == 0xc3 || code[0] == 0xc2) return true;            // ret
    if (Has(2) && code[0] == 0xf3 && code[1] == 0xc3) return true;  // rep ret
    if (Has(2) && code[0] == 0xeb)
      return is_outside(here + 2 + static_cast<int64_t>(static_cast<int8_t>(code[1])));
    if (Has(5) && code[0] == 0xe9)
      return is_outside(here + 5 + static_cast<int64_t>(Load<int32_t>(code + 1)));
    if (Has(2) && code[0] == 0xff && code[1] == 0x25) return true;                             // jmp [rip+n]
    return Has(3) && (code[0] & 0xf8) == 0x48 && code[1] == 0xff && (code[2] & 0x38) == 0x20;  // rex.w jmp
  }

  const VirtualMemory& memory_;
  uint64_t ip_;
  Registers r_;
  std::array<uint8_t, kMaxEpilogue> code_{};
  size_t size_ = 0;
  size_t at_ = 0;
  bool is_sound_ = true;
};

}  // namespace

EpilogueEnd FinishEpilogue(const VirtualMemory& memory, uint64_t ip,
                           const std::function<bool(uint64_t)>& is_outside, Registers& registers) {
  Epilogue epilogue(memory, ip, registers);
  const EpilogueEnd end = epilogue.Run(is_outside);
  if (end != EpilogueEnd::kNone) registers = epilogue.registers();
  return end;
}

}  // namespace debug
