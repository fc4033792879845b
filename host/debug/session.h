// One debugging session: a target, its kernel, modules, symbols, processors and threads, and what the user
// has selected. Every fact about NT comes from the target's symbols; where a kernel lacks a type or field the
// Error names it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "debug/memory.h"
#include "debug/registers.h"
#include "debug/symbols.h"
#include "debug/target.h"
#include "debug/type.h"
#include "debug/unwind.h"

namespace debug {

struct Processor {
  uint32_t number = 0;
  uint64_t prcb = 0;            // KPRCB
  uint64_t current_thread = 0;  // KTHREAD
  uint64_t next_thread = 0;
  uint64_t idle_thread = 0;
};

// What is known before any symbol is loaded.
struct KernelFacts {
  uint64_t base = 0;
  uint64_t loaded_module_list = 0;
  uint64_t active_process_head = 0;
  uint64_t debugger_data = 0;   // address of KDDEBUGGER_DATA64, 0 = not found
  std::vector<std::byte> kdbg;  // its (decoded) bytes, may be empty
  bool kdbg_was_encoded = false;
  std::optional<uint64_t> KdbgU64(uint32_t offset) const;
  std::optional<uint16_t> KdbgU16(uint32_t offset) const;
};

struct SessionOptions {
  std::string symbol_path;  // -y; searched first
  std::string
      image_folder;  // where images and PDBs lie beside each other (e.g. the dump's folder); "" = none
  bool use_environment = true;  // _NT_SYMBOL_PATH
};

class Session {
 public:
  static base::Result<std::unique_ptr<Session>> Open(std::unique_ptr<Target> target,
                                                     const SessionOptions& options);

  const Target& target() const { return *target_; }
  const kdump::Header64& header() const { return target_->header(); }
  const VirtualMemory& memory() const { return memory_; }
  const Symbols& symbols() const { return *symbols_; }
  Symbols& symbols() { return *symbols_; }
  const KernelFacts& kernel() const { return facts_; }
  Unwinder& unwinder() { return *unwinder_; }
  // Things the user should know (module list damaged, nt symbols missing, dump cut), one line each.
  const std::vector<std::string>& warnings() const { return warnings_; }

  // Memory of another process's address space (its _KPROCESS.DirectoryTableBase).
  base::Result<VirtualMemory> ProcessMemory(uint64_t process) const;

  // ---- Processors ----
  uint32_t processor_count() const;
  base::Result<Processor> GetProcessor(uint32_t number) const;
  // As saved when the processor was frozen or crashed; of the one that crashed, the header's context where
  // none was saved.
  base::Result<Registers> ProcessorRegisters(uint32_t number) const;
  // The processor that brought the machine down (0 when that is not known).
  uint32_t crash_processor() const { return crash_processor_; }

  // ---- Processes and threads ----
  // EPROCESS addresses: Idle (nt!PsIdleProcess, when there is one) first, then PsActiveProcessHead in order.
  ListWalk Processes() const;
  // ETHREAD addresses of one process. For Idle: the processors' idle threads.
  ListWalk Threads(uint64_t process) const;
  // The processor that runs `thread` now.
  std::optional<uint32_t> RunningOn(uint64_t thread) const;
  // Where the thread is: its processor's registers when it runs, else its switched-out frame.
  base::Result<Registers> ThreadRegisters(uint64_t thread) const;
  base::Result<StackTrace> ThreadStack(uint64_t thread, size_t limit = 256);
  // The registers in a _KTRAP_FRAME or _CONTEXT at `address`.
  base::Result<Registers> TrapFrameRegisters(uint64_t address) const;
  base::Result<Registers> ContextRegisters(uint64_t address) const;

  // ---- Selection: what `k`, `r`, `@rip` and `dv` speak of ----
  uint32_t current_processor() const { return current_processor_; }
  base::Result<void> SelectProcessor(uint32_t number);  // ~Ns: drops an explicit thread or context
  uint64_t current_thread() const;                      // explicit, or the current processor's
  base::Result<void> SelectThread(uint64_t thread);     // .thread
  void SelectRegisters(const Registers& registers) { explicit_registers_ = registers; }  // .trap, .cxr
  void ResetSelection();  // .cxr without argument: back to the crash
  base::Result<Registers> CurrentRegisters() const;

 private:
  Session(std::unique_ptr<Target> target, SymbolPath path);
  base::Result<void> FindKernel();
  void FindDebuggerData();
  bool DecodeDebuggerData();
  void LoadModuleList();
  void LoadUnloadedModules();
  void LearnFromSymbols();
  base::Result<uint64_t> PrcbAddress(uint32_t number) const;
  base::Result<Registers> SavedProcessorRegisters(uint32_t number) const;
  base::Result<Registers> SwitchedOutRegisters(uint64_t thread) const;
  uint32_t FindCrashProcessor() const;

  std::unique_ptr<Target> target_;
  VirtualMemory memory_;
  std::unique_ptr<Symbols> symbols_;
  std::unique_ptr<Unwinder> unwinder_;
  KernelFacts facts_;
  std::vector<std::string> warnings_;
  mutable std::map<uint32_t, Processor> processors_;  // a dump's never change
  uint32_t crash_processor_ = 0;
  uint32_t current_processor_ = 0;
  std::optional<uint64_t> explicit_thread_;
  std::optional<Registers> explicit_registers_;
};

}  // namespace debug
