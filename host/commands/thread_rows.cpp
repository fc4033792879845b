#include "commands/thread_rows.h"

#include <algorithm>

#include "commands/nt_wait.h"
#include "commands/text.h"
#include "debug/expression.h"

namespace commands {

Table ThreadTable(bool placement) {
  std::vector<Column> columns = {{"Process"},           {"PID", Align::kRight}, {"Thread"},
                                 {"Id", Align::kRight}, {"Pri", Align::kRight}, {"Base Pri", Align::kRight}};
  if (placement) columns.push_back({"Affinity", Align::kRight});
  columns.push_back({"Next CPU", Align::kRight});
  if (placement) columns.push_back({"Ideal CPU", Align::kRight});
  for (const char* header : {"CSwitches", "User", "Kernel"}) columns.push_back({header, Align::kRight});
  columns.push_back({"State"});
  columns.push_back({"Time", Align::kRight});
  columns.push_back({"Reason"});
  return Table(std::move(columns));
}

std::string ProcessNameOf(nt::Kernel& kernel, const nt::Thread& thread) {
  if (const nt::Process* process = kernel.FindProcess(thread.process)) return process->DisplayName();
  const auto process = kernel.ReadProcess(thread.process);
  return process ? process->DisplayName() : Hex16(thread.process);
}

void AddThreadRow(Table& table, nt::Kernel& kernel, const nt::Thread& thread, bool placement) {
  std::vector<std::string> cells = {ProcessNameOf(kernel, thread),   Hex(thread.pid),
                                    Hex16(thread.address),           Hex(thread.tid),
                                    std::to_string(thread.priority), std::to_string(thread.base_priority)};
  if (placement) cells.push_back(std::to_string(thread.affinity));
  // A running thread is shown with the processor that it runs on.
  cells.push_back(std::to_string(thread.processor ? *thread.processor : thread.next_processor));
  if (placement) cells.push_back(std::to_string(thread.ideal_processor));
  cells.push_back(std::to_string(thread.context_switches));
  cells.push_back(DurationRounded(thread.user_time));
  cells.push_back(DurationRounded(thread.kernel_time));
  cells.push_back(thread.state_name);
  cells.push_back(DurationCut(thread.time));
  cells.push_back(thread.wait_reason_name);
  table.Row(std::move(cells));
}

Table ThreadListTable() {
  return Table({{"Process"},
                {"PID", Align::kRight},
                {"Thread"},
                {"Id", Align::kRight},
                {"State"},
                {"Time", Align::kRight},
                {"Reason"}});
}

void AddThreadListRow(Table& table, const std::string& process, const nt::Thread& thread) {
  table.Row({process, Hex(thread.pid), Hex16(thread.address), Hex(thread.tid), thread.state_name,
             DurationCut(thread.time), thread.wait_reason_name});
}

void PrintDamage(Context& context) {
  for (const std::string& damage : context.kernel.damage()) context.out.Line("Warning! {}", damage);
}

base::Result<nt::Thread> ThreadAt(nt::Kernel& kernel, uint64_t address) {
  if (const nt::Thread* thread = kernel.FindThread(address)) return *thread;
  return kernel.ReadThread(address);
}

std::vector<const nt::Process*> FilterProcesses(Context& context, const std::string& filter) {
  std::vector<const nt::Process*> found;
  const auto value = filter.empty() ? base::Result<uint64_t>(0u) : debug::Evaluate(context.session, filter);
  const bool wild = filter.find_first_of("*?") != std::string::npos;
  for (const nt::Process& process : context.kernel.Processes()) {
    const std::string name = process.DisplayName();
    const bool by_name = wild ? MatchesWildcard(name, filter) : ContainsNoCase(name, filter);
    const bool by_number = value && (*value == process.address || (*value == process.pid && *value != 0) ||
                                     (filter == "0" && process.pid == 0));
    if (filter.empty() || by_name || by_number) found.push_back(&process);
  }
  return found;
}

bool ThreadFilter::Accepts(nt::Kernel& kernel, const nt::Thread& thread) const {
  auto listed = [](const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::any_of(names.begin(), names.end(),
                                        [&](const std::string& n) { return EqualsNoCase(n, name); });
  };
  if (!listed(states, thread.state_name)) return false;
  if (!wait_reasons.empty() && !listed(wait_reasons, thread.wait_reason_name)) return false;
  if (!blocked) return true;
  const nt::ThreadClass what = nt::Classify(kernel, thread);
  return what == nt::ThreadClass::kBlocked || what == nt::ThreadClass::kResource;
}

base::Result<ThreadFilter> TakeThreadFilter(Arguments& arguments) {
  ThreadFilter filter;
  filter.wait_reasons = SplitList(TRY(arguments.Value("-wr")), ',');
  filter.states = SplitList(TRY(arguments.Value("-state")), ',');
  filter.blocked = arguments.Flag("-bk");
  return filter;
}

}  // namespace commands
