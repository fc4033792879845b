// !mex.t: one thread.
#include "commands/command.h"
#include "commands/nt_locks.h"
#include "commands/stack_text.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

void PrintHead(Context& context, const nt::Thread& thread) {
  std::vector<Column> columns = {{"Process"}, {"Thread"}, {"CID", Align::kLeft, 9}};
  if (thread.teb != 0) columns.push_back({"TEB"});
  for (const char* header : {"UserTime", "KernelTime", "ContextSwitches"})
    columns.push_back({header, Align::kRight});
  columns.push_back({"Wait Reason"});
  columns.push_back({"Time", Align::kRight});
  columns.push_back({"State"});
  Table table(std::move(columns));
  std::vector<std::string> cells = {
      fmt::format("{} ({})", ProcessNameOf(context.kernel, thread), Hex16(thread.process)),
      Hex16(thread.address) + " (E|K|W|R|V)", fmt::format("{:x}.{:x}", thread.pid, thread.tid)};
  if (thread.teb != 0) cells.push_back(Hex16(thread.teb));
  cells.push_back(DurationRounded(thread.user_time));
  cells.push_back(DurationRounded(thread.kernel_time));
  cells.push_back(std::to_string(thread.context_switches));
  cells.push_back(thread.wait_reason_name);
  cells.push_back(DurationCut(thread.time));
  cells.push_back(thread.Where());
  table.Row(std::move(cells));
  table.Print(context.out, Table::Rule::kNone);
}

void PrintWaitObjects(Context& context, const nt::Thread& thread) {
  if (thread.state != nt::ThreadState::kWaiting) return;
  const auto objects = nt::WaitObjects(context.kernel, thread);
  if (objects.empty()) return;
  bool owners = false;
  for (const nt::WaitObject& object : objects) owners |= object.owner != 0;
  std::vector<Column> columns = {{"Object"}, {"Type", Align::kLeft, 20}, {"Other Waiters", Align::kRight}};
  if (owners) columns.push_back({"Info"});
  Table table(std::move(columns));
  for (const nt::WaitObject& object : objects) {
    std::vector<std::string> cells = {Hex16(object.object), object.type_name,
                                      std::to_string(object.other_waiters)};
    if (owners) cells.push_back(object.owner != 0 ? "Owning Thread: " + Hex16(object.owner) : "");
    table.Row(std::move(cells));
  }
  context.out.Blank();
  context.out.Line("WaitBlockList:");
  table.Print(context.out, Table::Rule::kNone, "    ");
}

// Spin locks from the trace, other locks from the thread.
void PrintLocks(Context& context, const nt::Thread& thread) {
  std::vector<std::string> lines;
  for (const nt::LockTraceEntry& entry : nt::LockTrace(context.kernel)) {
    if (entry.thread != thread.address) continue;
    lines.push_back(fmt::format("{} the spin lock {} on processor {}{}, {} {}",
                                entry.spinning ? "Spins for" : "Holds", Hex16(entry.lock), entry.processor,
                                entry.microseconds ? " for " + ShortTime(*entry.microseconds) : "",
                                entry.spinning ? "wanted by" : "taken by",
                                context.session.symbols().Describe(entry.caller)));
  }
  for (const nt::ThreadLock& lock : nt::ThreadLocks(context.kernel, thread)) {
    lines.push_back(fmt::format(
        "{} the {} {}{}, {} {}", lock.waiting ? "Waits for" : "Holds", nt::LockKindName(lock.kind),
        Hex16(lock.lock), lock.microseconds ? " for " + ShortTime(*lock.microseconds) : "",
        lock.waiting ? "wanted by" : "taken by", context.session.symbols().Describe(lock.caller)));
  }
  if (lines.empty()) return;
  context.out.Blank();
  context.out.Line("Locks:");
  for (const std::string& line : lines) context.out.Line("    {}", line);
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const bool verbose = arguments.Flag("-v");
  const auto words = TRY(arguments.Finish());
  const uint64_t address =
      TRY(AddressOr(context, words.empty() ? "" : words[0], context.session.current_thread()));
  const nt::Thread thread = TRY(ThreadAt(context.kernel, address));
  PrintHead(context, thread);
  PrintWaitObjects(context, thread);
  if (verbose || thread.state == nt::ThreadState::kWaiting) PrintLocks(context, thread);
  if (verbose) {
    context.out.Blank();
    context.out.Line("Priority {}, base {}, decrement {}; suspend count {}", thread.priority,
                     thread.base_priority, thread.priority_decrement, thread.suspend_count);
    context.out.Line("Start address {}", context.session.symbols().Describe(thread.start_address));
    context.out.Line("Stack {} .. {}, initial {}", Hex16(thread.stack_limit), Hex16(thread.stack_base),
                     Hex16(thread.initial_stack));
  }
  context.out.Blank();
  const debug::StackTrace stack = TRY(context.session.ThreadStack(address));
  PrintMexStack(context.out, context.session.symbols(), stack);
  return {};
}

const Registration kRegistration({
    {"!mex.t", "!t"},
    "!mex.t [-v] [ADDRESS]",
    "one thread: times, state, what it waits for, and its stack",
    "ADDRESS is an ETHREAD; without it the current thread. CID is process id and thread id. Time is the time "
    "since the\n"
    "thread's last wait began. A waiting thread's objects and locks are listed; -v lists locks of any thread "
    "(with the\n"
    "kernel's lock trace: who took it, for how long), priorities, start address and stack limits.",
    {"!mex.t", "!mex.t -v"},
    Run,
});

}  // namespace

}  // namespace commands
