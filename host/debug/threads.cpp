// The session's processors, processes and threads.
#include <algorithm>

#include "debug/session.h"

namespace debug {

using kdump::KdDebuggerData;

uint32_t Session::processor_count() const {
  constexpr uint32_t kMaxProcessors = 2048;
  const uint32_t count = header().NumberProcessors;
  return count >= 1 && count <= kMaxProcessors ? count : 1;
}

base::Result<uint64_t> Session::PrcbAddress(uint32_t number) const {
  if (number >= processor_count()) return base::Fail("there is no processor " + std::to_string(number));
  uint64_t block = facts_.KdbgU64(KdDebuggerData::kKiProcessorBlock).value_or(0);
  if (block == 0) block = TRY(symbols_->AddressOf("nt!KiProcessorBlock"));
  const uint64_t prcb = TRY_WRAP("KiProcessorBlock", memory_.Get<uint64_t>(block + 8ull * number));
  if (prcb == 0) return base::Fail("processor " + std::to_string(number) + " was not started");
  return prcb;
}

base::Result<Processor> Session::GetProcessor(uint32_t number) const {
  constexpr uint32_t kOffsetPrcbIdleThread = 0x350;
  if (const auto known = processors_.find(number); known != processors_.end()) return known->second;
  Processor processor;
  processor.number = number;
  processor.prcb = TRY(PrcbAddress(number));
  // A kernel's symbols may cut _KPRCB short; KDDEBUGGER_DATA64 repeats the offsets that matter.
  const auto prcb = symbols_->ObjectAt("nt!_KPRCB", processor.prcb);
  const auto field = [&](const char* name, uint32_t kdbg_offset) -> base::Result<uint64_t> {
    if (prcb) {
      if (auto value = prcb->U64(name)) return value;
    }
    const auto offset = kdbg_offset != 0 ? facts_.KdbgU16(kdbg_offset) : std::nullopt;
    if (offset && *offset != 0) return memory_.Get<uint64_t>(processor.prcb + *offset);
    return base::Fail(std::string("_KPRCB.") + name + " is not known");
  };
  processor.current_thread = TRY(field("CurrentThread", KdDebuggerData::kOffsetPrcbCurrentThread));
  processor.idle_thread = field("IdleThread", kOffsetPrcbIdleThread).value_or(0);
  processor.next_thread = field("NextThread", 0).value_or(0);
  if (!target_->is_live()) processors_[number] = processor;
  return processor;
}

base::Result<Registers> Session::ContextRegisters(uint64_t address) const {
  return FromContext(TRY_WRAP("context", memory_.Get<kdump::ContextX64>(address)));
}

// The context that was saved in the PRCB when the processor was stopped.
base::Result<Registers> Session::SavedProcessorRegisters(uint32_t number) const {
  const uint64_t address = TRY(PrcbAddress(number));
  const auto usable = [](const Registers& r) { return r.rip != 0 && IsCanonical(r.rip) && r.rsp() != 0; };
  const auto prcb = symbols_->ObjectAt("nt!_KPRCB", address);
  if (prcb) {
    if (const auto context = prcb->At("ProcessorState.ContextFrame")) {
      const auto registers = ContextRegisters(context->address());
      if (registers && usable(*registers)) return registers;
    }
    if (const auto pointer = prcb->U64("Context"); pointer && *pointer != 0) {
      const auto registers = ContextRegisters(*pointer);
      if (registers && usable(*registers)) return registers;
    }
  }
  if (const auto offset = facts_.KdbgU16(KdDebuggerData::kOffsetPrcbProcStateContext);
      offset && *offset != 0) {
    const auto registers = ContextRegisters(address + *offset);
    if (registers && usable(*registers)) return registers;
  }
  if (const auto offset = facts_.KdbgU16(KdDebuggerData::kOffsetPrcbContext); offset && *offset != 0) {
    const auto pointer = memory_.Get<uint64_t>(address + *offset);
    const auto registers =
        pointer ? ContextRegisters(*pointer) : base::Result<Registers>(base::Fail("no context"));
    if (registers && usable(*registers)) return registers;
  }
  return base::Fail("the registers of processor " + std::to_string(number) + " were not saved");
}

base::Result<Registers> Session::ProcessorRegisters(uint32_t number) const {
  if (target_->is_live()) {
    return base::Fail("processor " + std::to_string(number) + " is running: its registers are not known");
  }
  // As WinDbg: the processor that crashed stands in nt!KeBugCheckEx; the dump's header says where it came
  // from.
  auto saved = SavedProcessorRegisters(number);
  if (!saved && number == crash_processor_ && header().Context.Rip != 0) {
    return FromContext(header().Context);
  }
  return saved;
}

uint32_t Session::FindCrashProcessor() const {
  constexpr uint32_t kOffsetKThreadStackLimit = 0x340, kOffsetKThreadStackBase = 0x344;
  constexpr uint64_t kStackGuard = 0x1000;  // an exhausted stack ends below its limit
  const kdump::ContextX64& context = header().Context;
  for (uint32_t i = 0; i < processor_count(); ++i) {
    const auto saved = SavedProcessorRegisters(i);
    if (saved && saved->rsp() == context.Rsp && saved->rip == context.Rip) return i;
  }
  for (uint32_t i = 0; i < processor_count(); ++i) {
    const auto processor = GetProcessor(i);
    if (!processor) continue;
    const auto thread = symbols_->ObjectAt("nt!_KTHREAD", processor->current_thread);
    const auto field = [&](const char* name, uint32_t kdbg_offset) -> base::Result<uint64_t> {
      if (thread) return thread->U64(name);
      const auto offset = facts_.KdbgU16(kdbg_offset);
      if (!offset || *offset == 0) return base::Fail(std::string("_KTHREAD.") + name + " is not known");
      return memory_.Get<uint64_t>(processor->current_thread + *offset);
    };
    const auto limit = field("StackLimit", kOffsetKThreadStackLimit);
    const auto top = field("StackBase", kOffsetKThreadStackBase);
    if (limit && top && context.Rsp >= *limit - kStackGuard && context.Rsp < *top) return i;
  }
  // On a stack that is no thread's: the processor that stands in the bug check.
  for (uint32_t i = 0; i < processor_count(); ++i) {
    const auto saved = SavedProcessorRegisters(i);
    const auto symbol = saved ? symbols_->At(saved->rip) : std::nullopt;
    if (symbol && symbol->name == "KeBugCheckEx") return i;
  }
  return 0;
}

ListWalk Session::Processes() const {
  ListWalk processes;
  if (const auto idle = symbols_->GlobalU64("nt!PsIdleProcess"); idle && *idle != 0) {
    processes.entries.push_back(*idle);
  } else if (const auto object = symbols_->AddressOf("nt!KiInitialProcess")) {
    processes.entries.push_back(*object);
  }
  const auto type = symbols_->FindType("nt!_EPROCESS");
  const auto links = type ? type->OffsetOf("ActiveProcessLinks") : tl::make_unexpected(type.error());
  if (!links) {
    processes.damage = links.error().message;
    return processes;
  }
  ListWalk walk = WalkList(memory_, facts_.active_process_head);
  processes.damage = std::move(walk.damage);
  for (const uint64_t entry : walk.entries) {
    const uint64_t process = entry - *links;
    if (std::ranges::find(processes.entries, process) == processes.entries.end())
      processes.entries.push_back(process);
  }
  return processes;
}

ListWalk Session::Threads(uint64_t process) const {
  ListWalk threads;
  const auto idle = symbols_->GlobalU64("nt!PsIdleProcess");
  const auto initial = symbols_->AddressOf("nt!KiInitialProcess");
  if ((idle && *idle == process) || (initial && *initial == process)) {
    for (uint32_t i = 0; i < processor_count(); ++i) {
      const auto processor = GetProcessor(i);
      if (processor && processor->idle_thread != 0) threads.entries.push_back(processor->idle_thread);
    }
    return threads;
  }
  const auto object = symbols_->ObjectAt("nt!_EPROCESS", process);
  const auto thread_type = symbols_->FindType("nt!_ETHREAD");
  const auto head = object ? object->At("ThreadListHead") : tl::make_unexpected(object.error());
  const auto links =
      thread_type ? thread_type->OffsetOf("ThreadListEntry") : tl::make_unexpected(thread_type.error());
  if (!head || !links) {
    threads.damage = !head ? head.error().message : links.error().message;
    return threads;
  }
  threads = WalkList(memory_, head->address());
  for (uint64_t& entry : threads.entries) entry -= *links;
  return threads;
}

std::optional<uint32_t> Session::RunningOn(uint64_t thread) const {
  for (uint32_t i = 0; i < processor_count(); ++i) {
    const auto processor = GetProcessor(i);
    if (processor && processor->current_thread == thread) return i;
  }
  return std::nullopt;
}

base::Result<Registers> Session::SwitchedOutRegisters(uint64_t thread) const {
  const Object object = TRY(symbols_->ObjectAt("nt!_KTHREAD", thread));
  const uint64_t stack = TRY(object.U64("KernelStack"));
  Registers registers;
  if (const auto frame = symbols_->ObjectAt("nt!_KSWITCH_FRAME", stack)) {
    registers.rip = TRY_WRAP("switch frame", frame->U64("Return"));
    registers.Set(kRbp, TRY_WRAP("switch frame", frame->U64("Rbp")));
    registers.Set(kRsp, stack + frame->type().size());
    return registers;
  }
  // Without the frame's type: the first return address into nt!KiSwapContext from the saved stack pointer
  // upward; the value below it is the saved rbp.
  const ResolvedSymbol swap = TRY(symbols_->Find("nt!KiSwapContext"));
  const Module* kernel = symbols_->ModuleAt(swap.address);
  const auto function = kernel != nullptr ? unwinder_->FunctionAt(*kernel, swap.address) : std::nullopt;
  if (!function) return base::Fail("nt!KiSwapContext has no unwind data");
  constexpr int kSlots = 16;
  for (int i = 1; i < kSlots; ++i) {
    const uint64_t at = stack + 8ull * i;
    const uint64_t value = TRY_WRAP("kernel stack", memory_.Get<uint64_t>(at));
    if (value <= kernel->base + function->begin || value > kernel->base + function->end) continue;
    registers.rip = value;
    registers.Set(kRbp, TRY(memory_.Get<uint64_t>(at - 8)));
    registers.Set(kRsp, at + 8);
    return registers;
  }
  return base::Fail("no switch frame at the thread's kernel stack " + FormatAddress(stack));
}

base::Result<Registers> Session::ThreadRegisters(uint64_t thread) const {
  if (const auto processor = RunningOn(thread)) return ProcessorRegisters(*processor);
  return SwitchedOutRegisters(thread);
}

base::Result<StackTrace> Session::ThreadStack(uint64_t thread, size_t limit) {
  return unwinder_->Walk(TRY(ThreadRegisters(thread)), limit);
}

base::Result<Registers> Session::TrapFrameRegisters(uint64_t address) const {
  const Object frame = TRY(symbols_->ObjectAt("nt!_KTRAP_FRAME", address));
  static constexpr std::pair<uint8_t, const char*> kFields[] = {
      {kRax, "Rax"}, {kRcx, "Rcx"}, {kRdx, "Rdx"}, {kR8, "R8"},   {kR9, "R9"},
      {kR10, "R10"}, {kR11, "R11"}, {kRbp, "Rbp"}, {kRsp, "Rsp"},
  };
  Registers registers;
  for (const auto& [reg, field] : kFields) registers.Set(reg, TRY(frame.U64(field)));
  registers.rip = TRY(frame.U64("Rip"));
  registers.eflags = static_cast<uint32_t>(frame.U64("EFlags").value_or(0));
  registers.cs = static_cast<uint16_t>(frame.U64("SegCs").value_or(0));
  registers.ss = static_cast<uint16_t>(frame.U64("SegSs").value_or(0));
  return registers;
}

}  // namespace debug
