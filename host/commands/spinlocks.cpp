// !spinlocks: who holds and who spins, from the lock trace.
#include "commands/bugcheck_info.h"
#include "commands/command.h"
#include "commands/nt_locks.h"
#include "commands/table.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

std::string HoldText(const nt::LockTraceEntry& entry) {
  if (!entry.microseconds) return "?";
  const bool too_long = !entry.spinning && *entry.microseconds > nt::kSpinLockLimit;
  return ShortTime(*entry.microseconds) + (too_long ? " !" : "");
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  if (!nt::HasLockTrace(context.kernel)) {
    context.out.Line(
        "This kernel keeps no trace of spin locks (Windows does not: a KSPIN_LOCK knows no owner).");
    return {};
  }
  Table table({{"CPU", Align::kRight},
               {"Lock"},
               {"What"},
               {"How"},
               {"Time", Align::kRight},
               {"Irql", Align::kRight},
               {"Thread"},
               {"Caller"}});
  for (const nt::LockTraceEntry& entry : nt::LockTrace(context.kernel)) {
    table.Row({std::to_string(entry.processor), Hex16(entry.lock), entry.spinning ? "Spinning" : "Held",
               std::string(nt::LockFamilyText(entry.family)), HoldText(entry), std::to_string(entry.old_irql),
               Hex16(entry.thread), context.session.symbols().Describe(entry.caller)});
  }
  if (table.rows() == 0) {
    context.out.Line("No spin lock is held or waited for.");
    return {};
  }
  table.Print(context.out);
  context.out.Blank();
  context.out.Line("! held for longer than {:.0f} us, the documented limit", nt::kSpinLockLimit);
  return {};
}

const Registration kRegistration({
    {"!spinlocks", "!locktrace"},
    "!spinlocks",
    "spin locks that are held or waited for: where, by whom, for how long",
    "From the trace that this project's kernel keeps on each processor. How: queued (in-stack or numbered), "
    "shared or\n"
    "exclusive (EX_SPIN_LOCK), nothing for a plain lock. Irql is the IRQL before the lock was taken; Caller "
    "the code that\n"
    "took it or wants it; Time how long it is held or spun for (! over 25 us). Other kernels have no such "
    "record.",
    {"!spinlocks"},
    Run,
});

}  // namespace

}  // namespace commands
