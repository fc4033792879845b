#include "commands/analysis.h"

#include <algorithm>

#include "commands/nt_irql.h"
#include "commands/stack_text.h"
#include "commands/system_lines.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

bool IsMemoryFault(uint32_t code) {
  static constexpr uint32_t kCodes[] = {0xA,  0x50, 0xBE, 0xC5, 0xCC, 0xCD, 0xCE, 0xD0,
                                        0xD1, 0xD3, 0xD4, 0xD5, 0xD6, 0xDB, 0xFC};
  return std::find(std::begin(kCodes), std::end(kCodes), code) != std::end(kCodes);
}

uint64_t ContextRecordOf(const Analysis& a) {
  switch (a.code) {
    case 0x3B:
      return a.parameters[2];
    case 0x3D:
      return a.parameters[1];
    case 0x7E:
    case 0x1000007E:
      return a.parameters[3];
    default:
      return 0;
  }
}

uint64_t ExceptionRecordOf(const Analysis& a) {
  switch (a.code) {
    case 0x3D:
      return a.parameters[0];
    case 0x7E:
    case 0x1000007E:
    case 0x139:
      return a.parameters[2];
    case 0x1AA:
      return a.parameters[3];
    default:
      return 0;
  }
}

std::optional<FailedAccess> AccessOf(Context& context, const Analysis& a) {
  constexpr uint32_t kAccessViolation = 0xC0000005;
  std::array<uint64_t, 2> information{};
  if (a.code == 0x1E && static_cast<uint32_t>(a.parameters[0]) == kAccessViolation) {
    information = {a.parameters[2], a.parameters[3]};
  } else {
    const uint64_t address = ExceptionRecordOf(a);
    if (address == 0) return std::nullopt;
    const auto record = context.session.memory().Get<kdump::ExceptionRecord64>(address);
    if (!record || record->ExceptionCode != kAccessViolation || record->NumberParameters < 2)
      return std::nullopt;
    information = {record->ExceptionInformation[0], record->ExceptionInformation[1]};
  }
  const std::string_view operation = information[0] == 8 ? "execute" : information[0] == 1 ? "write" : "read";
  return FailedAccess{operation, information[1]};
}

std::string_view OperationOf(const Analysis& a) {
  switch (a.code) {
    case 0xA:
    case 0xC5:
    case 0xD0:
    case 0xD1:
    case 0xD3:
    case 0xD4:
    case 0xDB:
      if ((a.parameters[2] & 8) != 0 || a.parameters[2] == 2) return "execute";
      return (a.parameters[2] & 1) != 0 ? "write" : "read";
    case 0x50:
    case 0xCC:
    case 0xCD:
    case 0xCE:
    case 0xD5:
    case 0xD6:
      if (a.parameters[1] == 0x10 || a.parameters[1] == 8) return "execute";
      return a.parameters[1] != 0 ? "write" : "read";
    case 0xBE:
      return "write";
    case 0xFC:
      return "execute";
    default:
      return "";
  }
}

const debug::Module* OwnerOf(const debug::Symbols& symbols, uint64_t address) {
  const debug::Module* module = symbols.ModuleAt(address);
  return module != nullptr ? module : symbols.UnloadedModuleAt(address);
}

bool IsKernelModule(const debug::Module* module) {
  return module != nullptr && (EqualsNoCase(module->name, "nt") || EqualsNoCase(module->name, "hal"));
}

std::optional<size_t> Analysis::BlameFrame() const {
  if (stack.frames.empty()) return std::nullopt;
  if (call) return call->caller_frame;
  if (driver_frame) return driver_frame;
  return std::min(fault_frame, stack.frames.size() - 1);
}

const debug::Module* Analysis::DriverOffStack(const debug::Symbols& symbols) const {
  return driver_address != 0 ? OwnerOf(symbols, driver_address) : nullptr;
}

namespace {

// Kernel functions between the fault and the interrupted code, or in front of the call that stopped the
// machine.
bool IsCrashPath(const std::string& function) {
  static constexpr const char* kNames[] = {
      "KeBugCheckEx",         "KeBugCheck",  "KeBugCheck2",        "KiBugCheckDispatch",
      "KiBugCheckDebugBreak", "KiPageFault", "KiFastFailDispatch", "KiRaiseSecurityCheckFailure"};
  return std::any_of(std::begin(kNames), std::end(kNames),
                     [&](const char* name) { return function == name; });
}

void FindFault(Context& context, Analysis& a) {
  const auto rip = context.kernel.type("_KTRAP_FRAME").OffsetOf("Rip");
  const auto& frames = a.stack.frames;
  size_t start = 0;
  while (start < frames.size() && IsCrashPath(SymbolOf(context.session.symbols(), frames[start]).function))
    ++start;
  const bool crashed_here = a.code != 0x101;  // the silent processor's stack has no way to a bug check
  for (size_t i = 0; crashed_here && i < frames.size() && i <= start + 4; ++i) {
    if (frames[i].machine_frame == 0) continue;
    a.fault_frame = i + 1;
    if (rip) a.trap_frame = frames[i].machine_frame - *rip;
    break;
  }
  if (a.fault_frame == 0) a.fault_frame = start;
  // The frames in front of an exception's context only dispatched it.
  uint64_t raised_at = a.code == 0x1E || a.code == 0x8E ? a.parameters[1] : 0;
  if (const uint64_t record = ContextRecordOf(a)) {
    if (const auto registers = context.session.ContextRegisters(record)) raised_at = registers->rip;
  }
  for (size_t i = 0; raised_at != 0 && i < frames.size(); ++i) {
    if (frames[i].ip != raised_at) continue;
    a.fault_frame = i;
    break;
  }
  for (size_t i = a.fault_frame; i < frames.size(); ++i) {
    const debug::Module* module = OwnerOf(context.session.symbols(), frames[i].ip);
    if (module == nullptr || IsKernelModule(module)) continue;
    a.driver_frame = i;
    break;
  }
}

AddressFacts FactsOf(Context& context, uint64_t address) {
  AddressFacts facts;
  facts.address = address;
  facts.state = nt::StateOf(context.kernel, address);
  facts.module = context.session.symbols().ModuleAt(address);
  if (facts.module == nullptr) return facts;
  std::vector<std::byte> page(debug::kPageSize);
  if (!context.session.memory().Read(facts.module->base, page)) return facts;
  const auto headers = pe::ParseHeaders(page);
  if (!headers) return facts;
  const pe::Section* section = headers->SectionAt(static_cast<uint32_t>(address - facts.module->base));
  if (section == nullptr) return facts;
  facts.section = section->name;
  facts.is_pageable =
      section->name.starts_with("PAGE") && (section->characteristics & pe::kSectionNotPaged) == 0;
  return facts;
}

// The stubs between a driver's Zw call and the service carry no name of their own.
bool IsServiceStub(const std::string& function) {
  return function == "KiServiceLinkage" || function == "KiSystemServiceCopyEnd" ||
         function == "KiServiceInternal" || function == "KiSystemServiceHandler";
}

// The outermost call from a driver into the kernel that is not allowed at this IRQL: it was the first
// mistake.
void FindMisusedCall(Context& context, Analysis& a) {
  if (!a.irql || *a.irql == 0) return;
  const debug::Symbols& symbols = context.session.symbols();
  const auto& frames = a.stack.frames;
  for (size_t i = a.fault_frame; i + 1 < frames.size(); ++i) {
    const FrameSymbol callee = SymbolOf(symbols, frames[i]), caller = SymbolOf(symbols, frames[i + 1]);
    if (!IsKernelModule(callee.module) || caller.module == nullptr || IsKernelModule(caller.module)) continue;
    std::string routine = callee.function;
    for (size_t inner = i; IsServiceStub(routine) && inner > a.fault_frame; --inner) {
      routine = SymbolOf(symbols, frames[inner - 1]).function;
    }
    if (routine.starts_with("Nt") && IsServiceStub(callee.function)) routine = "Zw" + routine.substr(2);
    const auto allowed = DocumentedIrql(routine);
    if (allowed && *a.irql > allowed->maximum) a.call = MisusedCall{routine, *allowed, *a.irql, i + 1};
  }
}

// A driver that is gone from the stack by the time its mistake is noticed is often named by a parameter.
void FindDriverInParameters(Context& context, Analysis& a) {
  if (a.driver_frame) return;
  for (uint64_t parameter : a.parameters) {
    const debug::Module* module = OwnerOf(context.session.symbols(), parameter);
    if (module == nullptr || IsKernelModule(module)) continue;
    a.driver_address = parameter;
    return;
  }
}

// How much a thread tells about a hang: a driver's code in it, and what it does there; 0 = nothing.
int HangWeight(Context& context, const Analysis& a, const nt::Thread& thread) {
  if (thread.is_idle || thread.state == nt::ThreadState::kTerminated) return 0;
  const auto stack = context.session.ThreadStack(thread.address);
  if (!stack) return 0;
  const bool driver = std::any_of(stack->frames.begin(), stack->frames.end(), [&](const debug::Frame& frame) {
    const debug::Module* module = context.session.symbols().ModuleAt(frame.ip);
    return module != nullptr && !IsKernelModule(module) && !EqualsNoCase(module->image_name, "hostfs.sys");
  });
  if (!driver) return 0;
  const bool spins = std::any_of(a.locks.begin(), a.locks.end(), [&](const auto& entry) {
    return entry.spinning && entry.thread == thread.address;
  });
  if (spins) return 4;
  if (thread.state == nt::ThreadState::kRunning) return 3;
  return thread.IsReadyish() ? 1 : 2;
}

// The thread that a hang is about, instead of the one that the host's interrupt happened to hit.
void ChooseHangThread(Context& context, Analysis& a) {
  int best = 0;
  for (const nt::Process& process : context.kernel.Processes()) {
    for (const nt::Thread& thread : process.threads) {
      const int weight = HangWeight(context, a, thread);
      if (weight <= best) continue;
      best = weight;
      a.thread = thread;
      a.process_name = process.DisplayName();
    }
  }
  if (best == 0) return;
  if (a.thread->processor) {
    a.processor = *a.thread->processor;
    a.irql = nt::ProcessorIrql(context.kernel, a.processor);
  } else {
    a.irql.reset();
  }
  if (auto stack = context.session.ThreadStack(a.thread->address)) a.stack = std::move(*stack);
}

// Clock watchdog: what the silent processor did, not the one that noticed.
void ChooseSilentProcessor(Context& context, Analysis& a) {
  const auto processor = context.session.GetProcessor(static_cast<uint32_t>(a.parameters[3]));
  if (!processor) return;
  a.processor = static_cast<uint32_t>(a.parameters[3]);
  a.irql = nt::ProcessorIrql(context.kernel, a.processor);
  if (const auto thread = ThreadAt(context.kernel, processor->current_thread)) {
    a.thread = *thread;
    a.process_name = ProcessNameOf(context.kernel, *thread);
  }
  if (auto stack = context.session.ThreadStack(processor->current_thread)) a.stack = std::move(*stack);
}

bool LooksLikeHang(Context& context, const Analysis& a) {
  static constexpr uint32_t kCodes[] = {0x80, 0xE2, 0x101, 0x133, 0x161, 0x1C8};
  if (std::find(std::begin(kCodes), std::end(kCodes), a.code) != std::end(kCodes)) return true;
  return !HasBugcheck(context);
}

}  // namespace

base::Result<Analysis> Analyze(Context& context) {
  Analysis a;
  const auto& header = context.session.header();
  if (HasBugcheck(context)) {
    a.code = header.BugCheckCode;
    std::copy(std::begin(header.BugCheckParameter), std::end(header.BugCheckParameter), a.parameters.begin());
  }
  a.processor = context.session.crash_processor();
  a.irql = nt::ProcessorIrql(context.kernel, a.processor);
  const auto processor = TRY(context.session.GetProcessor(a.processor));
  if (const auto thread = ThreadAt(context.kernel, processor.current_thread)) {
    a.thread = *thread;
    a.process_name = ProcessNameOf(context.kernel, *thread);
  }
  if (auto stack = context.session.ThreadStack(processor.current_thread)) a.stack = std::move(*stack);
  a.locks = nt::LockTrace(context.kernel);
  a.is_hang = LooksLikeHang(context, a);
  if (a.code == 0x101) {
    ChooseSilentProcessor(context, a);
  } else if (a.is_hang && a.code != 0xE2 && a.code != 0x133 && a.code != 0x161) {
    ChooseHangThread(context, a);
  }
  FindFault(context, a);
  FindDriverInParameters(context, a);
  if (IsMemoryFault(a.code)) a.touched = FactsOf(context, a.parameters[0]);
  if (!a.driver_frame && a.driver_address == 0) a.driver_address = DriverOfPoolBlock(context, a);
  a.has_lock_trace = nt::HasLockTrace(context.kernel);
  if (const auto verifier = context.session.symbols().AddressOf("nt!MmVerifierData")) {
    a.is_verified = context.session.memory().Get<uint32_t>(*verifier).value_or(0) != 0;  // its Level
  }
  for (const nt::LockTraceEntry& entry : a.locks) {
    if (!entry.spinning && entry.processor == a.processor && entry.thread == processor.current_thread)
      a.held.push_back(entry);
  }
  if (!a.is_hang) FindMisusedCall(context, a);
  return a;
}

}  // namespace commands
