// What !analyze finds out: facts derived from the dump, without wording.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "commands/command.h"
#include "commands/ddi_irql.h"
#include "commands/nt_locks.h"
#include "commands/nt_pool.h"
#include "commands/nt_process.h"
#include "commands/nt_pte.h"
#include "debug/unwind.h"

namespace commands {

// A driver's call of a kernel routine at an IRQL where it is not allowed.
struct MisusedCall {
  std::string routine;  // "ZwCreateFile"
  IrqlRange allowed;
  uint8_t irql = 0;
  size_t caller_frame = 0;  // index in Analysis::stack
};

// What lies at an address that was touched.
struct AddressFacts {
  uint64_t address = 0;
  const debug::Module* module = nullptr;
  std::string section;       // of the module; "" when not known
  bool is_pageable = false;  // the section may be paged out
  nt::PageState state = nt::PageState::kNotPresent;
};

struct Analysis {
  uint32_t code = 0;
  std::array<uint64_t, 4> parameters{};
  uint32_t processor = 0;
  std::optional<nt::Thread> thread;  // that crashed
  std::string process_name;
  std::optional<uint8_t> irql;  // where it crashed
  uint64_t trap_frame = 0;      // 0 = none
  debug::StackTrace stack;      // from the bug check outward
  size_t fault_frame = 0;  // index of the code at fault: behind the trap frame, or where the stack begins
  std::optional<size_t> driver_frame;  // the innermost frame of a driver at or behind fault_frame
  std::optional<AddressFacts> touched;
  uint64_t driver_address =
      0;  // a parameter that points into a driver, when no driver is on the stack; 0 = none
  std::optional<MisusedCall> call;
  std::vector<nt::LockTraceEntry> locks;  // the whole trace
  std::vector<nt::LockTraceEntry> held;   // by the thread that crashed
  bool has_lock_trace = false;
  bool is_hang = false;
  bool is_verified = false;  // Driver Verifier was on

  // The module to blame when it is not on the stack.
  const debug::Module* DriverOffStack(const debug::Symbols& symbols) const;
  // The frame to blame: the misused call's caller, else the driver's, else the fault's. Nothing for an empty
  // stack.
  std::optional<size_t> BlameFrame() const;
};

base::Result<Analysis> Analyze(Context& context);

bool IsMemoryFault(uint32_t code);  // 0xA, 0xD1, 0x50 and their kin: the first parameter is the address
// analysis_pool.cpp. The pool block that the crash is about, if there is one that is known.
std::optional<nt::PoolBlock> PoolBlockOf(Context& context, const Analysis& analysis);
// A sentence about it: tag, size, who allocated and freed it.
void AddPoolWords(Context& context, const Analysis& analysis, std::vector<std::string>& words);
// What the kernel's own check at the crash found: one sentence a place.
std::string PoolDamageSentence(Context& context, const nt::PoolDamage& damage);
// The code of a driver that freed or allocated it; 0 = none.
uint64_t DriverOfPoolBlock(Context& context, const Analysis& analysis);

// Where a bug check's parameters name a context record: its address, else 0.
uint64_t ContextRecordOf(const Analysis& analysis);
// The same of an exception record.
uint64_t ExceptionRecordOf(const Analysis& analysis);
// What an access violation tried: "write of address 0x10"; "" where the parameters do not tell.
struct FailedAccess {
  std::string_view operation;
  uint64_t address = 0;
};
std::optional<FailedAccess> AccessOf(Context& context, const Analysis& analysis);
// The operation of a memory fault ("read", "write", "execute"), "" for other codes.
std::string_view OperationOf(const Analysis& analysis);
// The image at an address: loaded, or else the one that lay there last.
const debug::Module* OwnerOf(const debug::Symbols& symbols, uint64_t address);
// nt, hal: the kernel's own images.
bool IsKernelModule(const debug::Module* module);

// The explanation, one paragraph a line.
std::vector<std::string> PlainWords(Context& context, const Analysis& analysis);
// Of a machine that hangs: who spins, who holds, who waits.
std::vector<std::string> HangWords(Context& context, const Analysis& analysis);

}  // namespace commands
