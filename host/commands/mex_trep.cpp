// !mex.trep: how many threads are in which state.
#include <algorithm>
#include <map>

#include "commands/command.h"
#include "commands/table.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

using Counts = std::map<std::string, uint64_t>;

// Ascending by count, then by name; the sum below a rule.
void PrintCounts(Output& out, const Counts& counts, const char* what) {
  std::vector<std::pair<std::string, uint64_t>> sorted(counts.begin(), counts.end());
  std::sort(sorted.begin(), sorted.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second < b.second : a.first < b.first;
  });
  uint64_t total = 0;
  Table table({{"Count", Align::kRight}, {what}});
  for (const auto& [name, count] : sorted) {
    table.Row({Grouped(count), name});
    total += count;
  }
  table.Print(out);
  table.PrintRule(out);
  out.Line("{:>5}", Grouped(total));
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const bool reasons = arguments.Flag("-r");
  const auto words = TRY(arguments.Finish());
  Counts by_state, by_reason;
  for (const nt::Process* process : FilterProcesses(context, words.empty() ? "" : words[0])) {
    for (const nt::Thread& thread : process->threads) {
      ++by_state[thread.state_name];
      if (thread.state == nt::ThreadState::kWaiting) ++by_reason[thread.wait_reason_name];
    }
  }
  PrintCounts(context.out, by_state, "State");
  if (reasons) {
    context.out.Blank();
    PrintCounts(context.out, by_reason, "Reason");
  }
  PrintDamage(context);
  return {};
}

const Registration kRegistration({
    {"!mex.trep", "!trep", "!mex.threadreport"},
    "!mex.trep [-r] [FILTER]",
    "how many threads are in each state",
    "Counts over all processes, or those that FILTER (as in !mex.tl) selects.\n"
    "  -r  also counts the wait reasons of the waiting threads",
    {"!mex.trep", "!mex.trep -r system"},
    Run,
});

}  // namespace

}  // namespace commands
