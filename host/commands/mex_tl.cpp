// !mex.tl: the processes, with counts of thread states.
#include <algorithm>

#include "commands/command.h"
#include "commands/nt_wait.h"
#include "commands/table.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

struct Options {
  bool states = false;   // -t
  bool counts = false;   // -s
  bool verbose = false;  // -v
  std::string filter;
};

// "0x4    0n4": both parts padded over all rows.
std::vector<std::string> PidCells(const std::vector<const nt::Process*>& processes) {
  size_t hex = 0, decimal = 0;
  for (const nt::Process* process : processes) {
    hex = std::max(hex, Hex(process->pid).size());
    decimal = std::max(decimal, std::to_string(process->pid).size());
  }
  std::vector<std::string> cells;
  for (const nt::Process* process : processes) {
    cells.push_back(fmt::format("0x{:<{}x} 0n{:<{}}", process->pid, hex, process->pid, decimal));
  }
  return cells;
}

std::string Count(uint64_t value) {
  return value == 0 ? "." : std::to_string(value);
}

void AddStates(std::vector<std::string>& cells, const nt::ThreadCounts& c) {
  for (uint64_t value : {c.attention, c.running, c.readyish, c.blocked, c.lpc, c.paging, c.resource}) {
    cells.push_back(Count(value));
  }
}

void PrintReasons(Context& context, const std::vector<std::pair<const nt::Process*, nt::ThreadCounts>>& all) {
  Table table(
      {{"Process"}, {"PID", Align::kRight}, {"Thread"}, {"Id", Align::kRight}, {"State"}, {"Reason"}});
  for (const auto& [process, counts] : all) {
    for (const auto& [thread, reason] : counts.reasons) {
      table.Row({process->DisplayName(), Hex(process->pid), Hex16(thread->address), Hex(thread->tid),
                 thread->Where(), reason});
    }
  }
  context.out.Blank();
  if (table.rows() == 0) {
    context.out.Line("No thread deserves a look (!!).");
    return;
  }
  context.out.Line("Threads that deserve a look (!!):");
  table.Print(context.out);
}

void PrintTable(Context& context, const Options& options, const std::vector<const nt::Process*>& shown) {
  std::vector<Column> columns = {{"PID"}, {"Address"}, {"Name"}};
  if (options.counts) {
    for (const char* header : {"Thd", "Parent", "User", "Kernel"}) columns.push_back({header, Align::kRight});
  }
  if (options.states) {
    for (const char* header : {"!!", "Rn", "Ry", "Bk", "Lc", "IO", "Er"})
      columns.push_back({header, Align::kRight});
  }
  Table table(std::move(columns));
  const auto pids = PidCells(shown);
  const auto trace = options.states ? nt::LockTrace(context.kernel) : std::vector<nt::LockTraceEntry>();
  std::vector<std::pair<const nt::Process*, nt::ThreadCounts>> counts;
  for (size_t i = 0; i < shown.size(); ++i) {
    const nt::Process& process = *shown[i];
    std::vector<std::string> cells = {pids[i], Hex16(process.address), process.DisplayName()};
    if (options.counts) {
      cells.push_back(std::to_string(process.threads.size()));
      cells.push_back(Hex(process.parent_pid));
      cells.push_back(DurationRounded(process.user_time));
      cells.push_back(DurationRounded(process.kernel_time));
    }
    if (options.states) {
      counts.emplace_back(&process, nt::CountThreads(context.kernel, process, trace));
      AddStates(cells, counts.back().second);
    }
    table.Row(std::move(cells));
  }
  table.Print(context.out);
  table.PrintFoot(context.out);
  if (options.states && options.verbose) PrintReasons(context, counts);
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  Options options;
  options.states = arguments.Flag("-t");
  options.counts = arguments.Flag("-s");
  options.verbose = arguments.Flag("-v");
  const bool zombies = arguments.Flag("-z");
  const auto words = TRY(arguments.Finish());
  for (const std::string& word : words) options.filter += (options.filter.empty() ? "" : " ") + word;

  std::vector<const nt::Process*> shown;
  size_t hidden = 0;
  for (const nt::Process* process : FilterProcesses(context, options.filter)) {
    if (process->is_zombie != zombies) {
      hidden += process->is_zombie ? 1 : 0;
      continue;
    }
    shown.push_back(process);
  }
  PrintTable(context, options, shown);
  if (hidden != 0) {
    context.out.Blank();
    context.out.Line("Warning! Zombie process(es) detected (not displayed). Count: {} [zombie report]",
                     hidden);
    context.out.Fact("zombies", std::to_string(hidden));
  }
  PrintDamage(context);
  return {};
}

const std::string& Description() {
  static const std::string text =
      "One line a process: id (hexadecimal and decimal), EPROCESS, image name (*32: a 32-bit process).\n"
      "  -t      adds how many threads are in which state; '.' is none:\n"
      "          !! deserve a look (below), Rn running, Ry readyish (ready, deferred ready, standby, "
      "transition),\n"
      "          Bk blocked on a lock (push lock, mutex, fast mutex, guarded mutex, rundown, mutant),\n"
      "          Lc waiting for the reply of an LPC or ALPC server,\n"
      "          IO waiting for a page to come in or go out, Er waiting for an ERESOURCE\n"
      "  -v      with -t: lists the threads behind !! with the reason\n"
      "  -s      adds the number of threads, the parent's id, and the user and kernel times of ended "
      "threads\n"
      "  -z      shows the zombies (ended processes that something still refers to) instead\n"
      "  FILTER  a part of the name, a pattern with * and ?, a process id, or an EPROCESS\n\n" +
      std::string(nt::kAttentionRule);
  return text;
}

const Registration kRegistration({
    {"!mex.tl", "!tl", "!mex.tasklist", "!tasklist"},
    "!mex.tl [-t [-v]] [-s] [-z] [FILTER]",
    "the processes; with -t how many threads run, are ready, or wait for what",
    Description(),
    {"!mex.tl", "!mex.tl -t", "!mex.tl -t -v", "!mex.tl -s system"},
    Run,
});

}  // namespace

}  // namespace commands
