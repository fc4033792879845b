// Rows that several thread tables share.
#pragma once

#include <string>
#include <vector>

#include "commands/command.h"
#include "commands/nt_process.h"
#include "commands/table.h"

namespace commands {

// `!mex.running`'s columns; with `placement` also Affinity and Ideal CPU (`!mex.ready`).
Table ThreadTable(bool placement);
void AddThreadRow(Table& table, nt::Kernel& kernel, const nt::Thread& thread, bool placement);
// The name of the process that a thread belongs to.
std::string ProcessNameOf(nt::Kernel& kernel, const nt::Thread& thread);

// `!mex.lt`'s columns.
Table ThreadListTable();
void AddThreadListRow(Table& table, const std::string& process, const nt::Thread& thread);

// Prints what was wrong with the lists that were walked.
void PrintDamage(Context& context);

// The thread at `address`, from the lists or read directly.
base::Result<nt::Thread> ThreadAt(nt::Kernel& kernel, uint64_t address);

// The processes that a filter names: an EPROCESS address, a process id (hex; 0n for decimal), or a part or
// wildcard pattern of the name. Empty filter: all.
std::vector<const nt::Process*> FilterProcesses(Context& context, const std::string& filter);

// A thread filter as !mex.lt and !mex.us take it.
struct ThreadFilter {
  std::vector<std::string> wait_reasons;  // names
  std::vector<std::string> states;
  bool blocked = false;  // -bk: only threads that wait for a lock or ERESOURCE
  bool Accepts(nt::Kernel& kernel, const nt::Thread& thread) const;
};
base::Result<ThreadFilter> TakeThreadFilter(Arguments& arguments);

}  // namespace commands
