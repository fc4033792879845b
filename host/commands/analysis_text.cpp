// The wording of an analysis.
#include <algorithm>
#include <cctype>
#include <set>

#include "commands/analysis.h"
#include "commands/bugcheck_info.h"
#include "commands/stack_text.h"
#include "commands/system_lines.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

std::string Ago(const nt::LockTraceEntry& entry) {
  if (!entry.microseconds) return "";
  return fmt::format(", {} ago (limit {:.0f} us)", ShortTime(*entry.microseconds), nt::kSpinLockLimit);
}

std::string For(const nt::LockTraceEntry& entry) {
  return entry.microseconds ? " for " + ShortTime(*entry.microseconds) : "";
}

std::string ImageOf(const debug::Module* module) {
  return module->image_name.empty() ? module->name : module->image_name;
}

// "the spin lock at X, taken at TestDriver!F+0x12 on processor 1, 40.1 ms ago (limit 25 us)"
std::string LockText(Context& context, const nt::LockTraceEntry& entry) {
  const bool queued = entry.family == nt::LockFamily::kQueued;
  const std::string how = entry.family == nt::LockFamily::kShared      ? "shared "
                          : entry.family == nt::LockFamily::kExclusive ? "exclusively "
                                                                       : "";
  return fmt::format("the {}spin lock at {}, taken {}at {} on processor {}{}", queued ? "queued " : "",
                     Hex16(entry.lock), how, context.session.symbols().Describe(entry.caller),
                     entry.processor, Ago(entry));
}

// The threads that spin for a lock, one sentence each.
void AddSpinners(Context& context, const Analysis& a, uint64_t lock, std::vector<std::string>& words) {
  for (const nt::LockTraceEntry& entry : a.locks) {
    if (!entry.spinning || entry.lock != lock) continue;
    words.push_back(fmt::format("Thread {} has been spinning for that lock on processor {}{} (at {}).",
                                Hex16(entry.thread), entry.processor, For(entry),
                                context.session.symbols().Describe(entry.caller)));
  }
}

// "execute of pageable code of hostfs.sys (section PAGE, not resident)"
std::string FaultText(const debug::Symbols& symbols, const Analysis& a) {
  const AddressFacts& at = *a.touched;
  const std::string_view operation = OperationOf(a);
  std::string text = fmt::format("the fault was {} {} of ", operation == "execute" ? "an" : "a", operation);
  const bool resident = at.state == nt::PageState::kValid;
  if (at.module != nullptr) {
    text += fmt::format("{}{} of {}", at.is_pageable ? "pageable " : "",
                        operation == "execute" ? "code" : "data", ImageOf(at.module));
    if (!at.section.empty())
      text += fmt::format(" (section {}, {})", at.section, resident ? "resident" : "not resident");
    return text + fmt::format(" at {}", Hex16(at.address));
  }
  if (const debug::Module* gone = symbols.UnloadedModuleAt(at.address))
    return text + fmt::format("{}, where {} was before it was unloaded", Hex16(at.address), ImageOf(gone));
  if (at.address < 0x10000)
    return text + fmt::format("address {:#x}: a null pointer, or a field of one", at.address);
  if (!debug::IsCanonical(at.address))
    return text + fmt::format("{}, which is not a canonical address: a damaged pointer", Hex16(at.address));
  return text +
         fmt::format("{}, which lies in no image (page {})", Hex16(at.address), nt::PageStateText(at.state));
}

// What the stacks of the processors show, for threads that the lock trace does not tell about.
void AddSpinningStacks(Context& context, const Analysis& a, std::vector<std::string>& words) {
  const debug::Symbols& symbols = context.session.symbols();
  for (uint32_t number = 0; number < context.session.processor_count(); ++number) {
    const auto processor = context.session.GetProcessor(number);
    if (!processor || (number == a.processor && !a.is_hang)) continue;
    const bool told = std::any_of(a.locks.begin(), a.locks.end(), [&](const nt::LockTraceEntry& entry) {
      return entry.spinning && entry.thread == processor->current_thread;
    });
    const auto stack = context.session.ThreadStack(processor->current_thread);
    if (told || !stack || stack->frames.empty()) continue;
    const std::string function = SymbolOf(symbols, stack->frames[0]).function;
    const bool spins = nt::IsSpinWait(function);
    if (!spins && !nt::IsSpinLockAcquire(function)) continue;
    std::string who;
    for (const debug::Frame& frame : stack->frames) {
      const debug::Module* module = symbols.ModuleAt(frame.ip);
      if (module == nullptr || IsKernelModule(module)) continue;
      who = ", called by " + FrameName(symbols, frame);
      break;
    }
    words.push_back(fmt::format("Thread {} {} a spin lock on processor {} (in {}{}).",
                                Hex16(processor->current_thread), spins ? "spins for" : "is about to take",
                                number, FrameName(symbols, stack->frames[0]), who));
  }
  if (a.has_lock_trace || !a.irql || *a.irql < 2) return;
  words.push_back("This kernel keeps no trace of spin locks: which are held, and by whom, is not recorded.");
}

void AddMisuse(Context& context, const Analysis& a, std::vector<std::string>& words) {
  const debug::Symbols& symbols = context.session.symbols();
  const FrameSymbol caller = SymbolOf(symbols, a.stack.frames[a.call->caller_frame]);
  std::string text = fmt::format("{} called {} at {} (it requires {})", caller.module->name, a.call->routine,
                                 IrqlName(a.call->irql), IrqlRangeText(a.call->allowed));
  if (!a.held.empty()) text += " while holding " + LockText(context, a.held.back());
  words.push_back(text + ".");
  words.push_back(
      fmt::format("The call is in {}{}.", FrameName(symbols, a.stack.frames[a.call->caller_frame]), [&] {
        const std::string source = FrameSource(symbols, a.stack.frames[a.call->caller_frame]);
        return source.empty() ? std::string() : " (" + source + ")";
      }()));
}

void AddHeld(Context& context, const Analysis& a, std::vector<std::string>& words) {
  for (size_t i = 0; i < a.held.size(); ++i) {
    const nt::LockTraceEntry& entry = a.held[i];
    const bool told = a.call && i + 1 == a.held.size();
    if (!told) words.push_back(fmt::format("The thread that crashed holds {}.", LockText(context, entry)));
    AddSpinners(context, a, entry.lock, words);
  }
}

void AddException(Context& context, const Analysis& a, std::vector<std::string>& words) {
  const bool has_code =
      a.code == 0x1E || a.code == 0x7E || a.code == 0x3B || a.code == 0x8E || a.code == 0x1000007E;
  if (!has_code) return;
  const auto status = static_cast<uint32_t>(a.parameters[0]);
  const std::string_view name = StatusName(status);
  words.push_back(fmt::format("Exception {:08x}{} was raised at {} and caught by nobody.", status,
                              name.empty() ? "" : " (" + std::string(name) + ")",
                              context.session.symbols().Describe(a.parameters[1])));
  const auto access = AccessOf(context, a);
  if (!access) return;
  if (access->address == UINT64_MAX) {
    words.push_back("Its address is not known: it is not canonical, a damaged pointer.");
  } else {
    words.push_back(fmt::format(
        "It was {} {} of address {:#x}{}.", access->operation == "execute" ? "an" : "a", access->operation,
        access->address, access->address < 0x10000 ? ": a null pointer, or a field of one" : ""));
  }
}

}  // namespace

std::vector<std::string> PlainWords(Context& context, const Analysis& a) {
  std::vector<std::string> words;
  if (!context.kernel.HasType("_ETHREAD")) {
    words.push_back(
        "The kernel's symbols are missing, so threads, locks and types are not known (lmvm nt tells why).");
    return words;
  }
  if (a.is_hang) return HangWords(context, a);
  if (a.call) AddMisuse(context, a, words);
  AddHeld(context, a, words);
  AddSpinningStacks(context, a, words);
  AddException(context, a, words);
  if (a.touched) {
    std::string text = FaultText(context.session.symbols(), a);
    text[0] = 'T';
    if (a.irql && *a.irql >= 2) text += "; page faults cannot be served at " + IrqlName(*a.irql);
    words.push_back(text + ".");
  }
  if (const auto kind = KindOfBugcheck(a.code, a.parameters)) {
    std::string text(kind->text);
    text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
    words.push_back(text + ".");
  }
  AddPoolWords(context, a, words);
  if (a.code == 0xC8) {
    words.push_back(fmt::format("The IRQL was {} where {} was expected.",
                                IrqlName(a.parameters[0] >> 16 & 0xFF),
                                IrqlName(a.parameters[0] >> 8 & 0xFF)));
  }
  if (const debug::Module* module = a.DriverOffStack(context.session.symbols())) {
    words.push_back(fmt::format("No driver is on the stack any more; the trail leads to {}, at {}.",
                                ImageOf(module), context.session.symbols().Describe(a.driver_address)));
  }
  if (!a.call && a.driver_frame) {
    words.push_back(
        fmt::format("The driver on the stack nearest to it is {}, in {}.",
                    ImageOf(OwnerOf(context.session.symbols(), a.stack.frames[*a.driver_frame].ip)),
                    FrameName(context.session.symbols(), a.stack.frames[*a.driver_frame])));
  }
  return words;
}

namespace {

// A cycle among spin locks: each thread holds what the next one spins for.
std::vector<nt::LockTraceEntry> FindCycle(const std::vector<nt::LockTraceEntry>& locks) {
  for (const nt::LockTraceEntry& first : locks) {
    if (!first.spinning) continue;
    std::vector<nt::LockTraceEntry> path;
    const nt::LockTraceEntry* waiter = &first;
    while (path.size() <= locks.size()) {
      path.push_back(*waiter);
      const auto holder = std::find_if(locks.begin(), locks.end(),
                                       [&](const auto& e) { return !e.spinning && e.lock == waiter->lock; });
      if (holder == locks.end()) break;
      if (holder->thread == first.thread) return path;
      const auto next = std::find_if(locks.begin(), locks.end(),
                                     [&](const auto& e) { return e.spinning && e.thread == holder->thread; });
      if (next == locks.end()) break;
      waiter = &*next;
    }
  }
  return {};
}

void AddCycle(Context& context, const Analysis& a, std::vector<std::string>& words) {
  const auto cycle = FindCycle(a.locks);
  if (cycle.empty()) return;
  if (cycle.size() == 1) {
    words.push_back(
        fmt::format("Thread {} on processor {} spins for the spin lock at {} that it holds itself: it waits "
                    "for ever (at {}).",
                    Hex16(cycle[0].thread), cycle[0].processor, Hex16(cycle[0].lock),
                    context.session.symbols().Describe(cycle[0].caller)));
    return;
  }
  words.push_back(fmt::format("Deadlock of {} threads: each spins for a spin lock that the next one holds.",
                              cycle.size()));
  for (const nt::LockTraceEntry& entry : cycle) {
    words.push_back(fmt::format("  Thread {} on processor {} spins for {} (at {}).", Hex16(entry.thread),
                                entry.processor, Hex16(entry.lock),
                                context.session.symbols().Describe(entry.caller)));
  }
}

void AddLocks(Context& context, const Analysis& a, std::vector<std::string>& words) {
  std::set<uint64_t> told;
  for (const nt::LockTraceEntry& entry : a.locks) {
    if (entry.spinning) continue;
    const bool wanted = std::any_of(a.locks.begin(), a.locks.end(),
                                    [&](const auto& e) { return e.spinning && e.lock == entry.lock; });
    const bool too_long = entry.microseconds && *entry.microseconds > nt::kSpinLockLimit;
    if (!wanted && !too_long) continue;
    words.push_back(fmt::format("Thread {} holds {}.", Hex16(entry.thread), LockText(context, entry)));
    AddSpinners(context, a, entry.lock, words);
    told.insert(entry.lock);
  }
  for (const nt::LockTraceEntry& entry : a.locks) {
    if (!entry.spinning || !told.insert(entry.lock).second) continue;
    words.push_back(fmt::format(
        "Thread {} spins for the spin lock at {} on processor {}{} (at {}); no processor records holding it.",
        Hex16(entry.thread), Hex16(entry.lock), entry.processor, For(entry),
        context.session.symbols().Describe(entry.caller)));
  }
}

// Threads that run a driver's code: what each of them does.
void AddDriverThreads(Context& context, std::vector<std::string>& words) {
  constexpr size_t kMaxTold = 32;
  size_t told = 0;
  for (const nt::Process& process : context.kernel.Processes()) {
    for (const nt::Thread& thread : process.threads) {
      if (thread.is_idle || thread.state == nt::ThreadState::kTerminated || told >= kMaxTold) continue;
      const auto stack = context.session.ThreadStack(thread.address);
      if (!stack) continue;
      const auto frame = std::find_if(stack->frames.begin(), stack->frames.end(), [&](const debug::Frame& f) {
        const debug::Module* module = context.session.symbols().ModuleAt(f.ip);
        return module != nullptr && !IsKernelModule(module);
      });
      if (frame == stack->frames.end()) continue;
      const debug::Module* module = context.session.symbols().ModuleAt(frame->ip);
      // The file system's own threads are part of the machine.
      if (EqualsNoCase(module->image_name, "hostfs.sys")) continue;
      ++told;
      std::string doing = thread.Where();
      if (thread.state == nt::ThreadState::kWaiting)
        doing = "waiting (" + thread.wait_reason_name + ")";
      else
        doing = Lower(doing);
      words.push_back(fmt::format("Thread {} of {} is {} for {}, in {}.", Hex16(thread.address), module->name,
                                  doing, DurationCut(std::min(thread.time, thread.age)),
                                  FrameName(context.session.symbols(), *frame)));
    }
  }
}

}  // namespace

std::vector<std::string> HangWords(Context& context, const Analysis& a) {
  std::vector<std::string> words;
  if (a.code == 0x80) {
    words.push_back(
        a.parameters[0] == 0x4F4454
            ? "The machine was stopped from outside because it did not answer: this is a hang, not a crash."
            : "A hardware failure was reported by a non-maskable interrupt.");
  }
  if (a.code == 0x133) {
    const bool one = a.parameters[0] == 0;
    words.push_back(
        fmt::format("Processor {} was {} for {} clock ticks, {} are allowed{}.", a.processor,
                    one ? "in one DPC" : "at DISPATCH_LEVEL or above", a.parameters[1], a.parameters[2],
                    a.fault_frame < a.stack.frames.size()
                        ? ": it runs " + FrameName(context.session.symbols(), a.stack.frames[a.fault_frame])
                        : ""));
  }
  if (a.code == 0x101 && !a.stack.frames.empty()) {
    words.push_back(
        fmt::format("Processor {} did not answer for {} clock ticks: it runs {} with interrupts off.",
                    a.processor, a.parameters[0], FrameName(context.session.symbols(), a.stack.frames[0])));
  }
  if (a.code == 0xE2) words.push_back("The crash was asked for by hand; what the machine was doing then:");
  if (a.code == 0x1C8) words.push_back("The power button was held down; what the machine was doing then:");
  if (a.code == 0x161) words.push_back("The machine runs on; what it was doing when the dump was taken:");
  const size_t introduction = words.size();
  AddCycle(context, a, words);
  AddLocks(context, a, words);
  AddSpinningStacks(context, a, words);
  AddDriverThreads(context, words);
  if (words.size() == introduction) {
    words.push_back("No spin lock is held or waited for, and no driver's thread runs or waits.");
  }
  return words;
}

}  // namespace commands
