// !mex.us: threads grouped by equal stacks.
#include <map>

#include "commands/command.h"
#include "commands/nt_locks.h"
#include "commands/stack_text.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

struct Group {
  std::vector<uint64_t> threads;
  std::vector<std::string> lines;
};

struct Options {
  bool processors = false;
  std::string process;
  std::string text;  // only stacks with this in a frame
  ThreadFilter filter;
};

struct Stacks {
  std::map<std::string, size_t> index;
  std::vector<Group> groups;
  size_t total = 0, matching = 0;
};

void AddThread(Context& context, const Options& options, const nt::Thread& thread, Stacks& stacks) {
  ++stacks.total;
  if (!options.filter.Accepts(context.kernel, thread)) return;
  const auto stack = context.session.ThreadStack(thread.address);
  Group group;
  std::string key;
  bool matches = options.text.empty();
  if (stack) {
    for (const debug::Frame& frame : stack->frames) {
      const std::string name = FrameName(context.session.symbols(), frame);
      matches |= ContainsNoCase(name, options.text);
      key += Hex(frame.ip) + " ";
      group.lines.push_back(fmt::format("{} {}", Hex16(frame.ip), name));
      if (nt::IsSpinWait(SymbolOf(context.session.symbols(), frame).function)) {
        group.lines.back() += " --> spinning for a spin lock";
      }
    }
    if (!stack->stop.empty()) group.lines.push_back(stack->stop);
  } else {
    key = stack.error().message;
    group.lines.push_back(key);
  }
  if (!matches) return;
  ++stacks.matching;
  const auto [at, added] = stacks.index.emplace(key, stacks.groups.size());
  if (added) stacks.groups.push_back(std::move(group));
  stacks.groups[at->second].threads.push_back(thread.address);
}

void Print(Context& context, const Options& options, const Stacks& stacks) {
  Output& out = context.out;
  TableData data{{"threads", "stack"}, {}};
  for (const Group& group : stacks.groups) {
    std::string addresses;
    for (uint64_t thread : group.threads) addresses += (addresses.empty() ? "" : " ") + Hex16(thread);
    out.Line("{} thread{}{}: {}", group.threads.size(), group.threads.size() == 1 ? "" : "s",
             options.processors ? "" : " [stats]", addresses);
    std::string frames;
    for (const std::string& line : group.lines) {
      out.Line("    {}", line);
      frames += line + "\n";
    }
    out.Blank();
    data.rows.push_back({addresses, frames});
  }
  out.Table(std::move(data));
  if (options.text.empty()) {
    out.Line("{} stack(s) with {} threads displayed ({} Total threads)", stacks.groups.size(),
             stacks.matching, stacks.total);
  } else {
    out.Line("Threads matching filter: {} out of {}", stacks.matching, stacks.total);
  }
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  Options options;
  options.processors = arguments.Flag("-cpu");
  options.process = TRY(arguments.Value("-p"));
  options.filter = TRY(TakeThreadFilter(arguments));
  const auto words = TRY(arguments.Finish());
  if (!words.empty()) options.text = words[0];
  Stacks stacks;
  for (const nt::Process* process : FilterProcesses(context, options.process)) {
    for (const nt::Thread& thread : process->threads) {
      if (options.processors ? !thread.processor.has_value() : thread.is_idle && !thread.processor) continue;
      if (thread.state == nt::ThreadState::kTerminated || thread.state == nt::ThreadState::kInitialized)
        continue;
      AddThread(context, options, thread, stacks);
    }
  }
  Print(context, options, stacks);
  PrintDamage(context);
  return {};
}

const Registration kRegistration({
    {"!mex.us", "!us", "!mex.uniquestacks"},
    "!mex.us [-cpu] [-p PROCESS] [-state LIST] [-wr LIST] [-bk] [TEXT]",
    "threads grouped by equal stacks",
    "Each group: its threads, then the frames with their addresses.\n"
    "  -cpu         only the threads that run on a processor now\n"
    "  -p PROCESS   only this process (EPROCESS, id or name)\n"
    "  -state, -wr, -bk  as in !mex.lt\n"
    "  TEXT         only stacks with this in a frame, e.g. a driver's name",
    {"!mex.us -cpu", "!mex.us -p system", "!mex.us TestDriver"},
    Run,
});

}  // namespace

}  // namespace commands
