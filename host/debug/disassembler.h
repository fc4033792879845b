// x64 disassembly as the Windows debugger prints it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "debug/symbols.h"

namespace debug {

struct Instruction {
  uint64_t address = 0;
  std::vector<uint8_t> bytes;
  std::string mnemonic;  // "call"
  std::string operands;  // "nt!KeBugCheckEx (fffff802`0012a3c0)", "rax,qword ptr [rsp+20h]"
  bool is_call = false;
  bool is_branch = false;  // jumps, conditional or not
  bool is_return = false;
  uint64_t target = 0;  // of a direct call or jump; 0 = none
  bool valid = true;    // false: undecodable byte, printed as "???"
};

class Disassembler {
 public:
  explicit Disassembler(const Symbols& symbols);
  ~Disassembler();
  Disassembler(const Disassembler&) = delete;
  Disassembler& operator=(const Disassembler&) = delete;

  // The instruction at `address`; an Error only when memory is not readable.
  base::Result<Instruction> Decode(uint64_t address) const;
  // `count` instructions from `address`, fewer at unreadable memory.
  base::Result<std::vector<Instruction>> Forward(uint64_t address, size_t count) const;
  // The `count` instructions before `address` (ub): decoded from the start of its function.
  base::Result<std::vector<Instruction>> Backward(uint64_t address, size_t count) const;
  // "fffff802`00123456 4883ec28        sub     rsp,28h"
  static std::string FormatLine(const Instruction& instruction);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace debug
