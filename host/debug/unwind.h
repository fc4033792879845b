// x64 stack unwinding by .pdata and .xdata alone: no frame-pointer guessing, no scanning of the stack for
// return addresses.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "debug/memory.h"
#include "debug/registers.h"
#include "debug/symbols.h"

namespace debug {

struct Frame {
  Registers registers;          // in this frame: rip, rsp and what is known of the rest
  uint64_t ip = 0;              // == registers.rip
  uint64_t child_sp = 0;        // == registers.rsp
  uint64_t return_address = 0;  // 0 in the last frame
  uint64_t return_sp = 0;       // rsp of the caller
  uint64_t function_begin = 0;  // of the .pdata entry; 0 for a leaf function
  uint64_t function_end = 0;
  uint64_t machine_frame = 0;   // address of the frame that the CPU pushed (RIP, CS, EFLAGS, RSP, SS) which
                                // leads to the caller; 0 = none
  bool is_call_return = false;  // ip is a return address: names and lines are looked up at ip - 1
  // The address to look up names, lines and variables with.
  uint64_t LookupIp() const { return is_call_return && ip != 0 ? ip - 1 : ip; }
};

struct StackTrace {
  std::vector<Frame> frames;  // innermost first
  std::string stop;           // "" = the stack's natural end; else why it could not go on
};

class Unwinder {
 public:
  explicit Unwinder(const Symbols& symbols) : symbols_(&symbols) {}

  // From `start` outward, at most `limit` frames.
  StackTrace Walk(const Registers& start, size_t limit = 256);

  // One step: the caller's registers. `frame` gets its function range, return address and machine frame.
  // Nothing at the natural end (return address 0). An Error when unwind data or stack cannot be read.
  base::Result<std::optional<Registers>> Step(Frame& frame);

  // The .pdata entry for `address`, with chained entries not followed; nothing for leaf functions.
  std::optional<pe::RuntimeFunction> FunctionAt(const Module& module, uint64_t address);

 private:
  struct ModuleTable {
    std::vector<pe::RuntimeFunction> functions;
    std::string problem;
  };
  const ModuleTable& TableOf(const Module& module);
  base::Result<void> LeaveFunction(const Module& module, pe::RuntimeFunction function, Frame& frame,
                                   Registers& next) const;

  const Symbols* symbols_;
  std::map<uint64_t, ModuleTable> tables_;  // by module base
};

}  // namespace debug
