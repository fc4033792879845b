#include "commands/thread_lines.h"

#include <cctype>

#include "commands/stack_text.h"
#include "commands/text.h"
#include "commands/thread_rows.h"

namespace commands {

namespace {

// 00:00:00.015, as WinDbg writes processor times; TickDuration 0:00:00:00.015, with days in front.
std::string ClockDuration(uint64_t units) {
  const uint64_t ms = units / kUnitsPerMs;
  return fmt::format("{:02}:{:02}:{:02}.{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
}
std::string TickDuration(uint64_t units) {
  const uint64_t days = units / kUnitsPerSecond / 86400;
  return fmt::format("{}:{}", days, ClockDuration(units - days * 86400 * kUnitsPerSecond));
}

void PrintWait(Context& context, const nt::Thread& thread, const std::string& indent) {
  for (const nt::WaitObject& object : nt::WaitObjects(context.kernel, thread)) {
    context.out.Line("{}    {}  {}{}", indent, Hex16(object.object), object.type_name,
                     object.owner != 0 ? " owned by " + Hex16(object.owner) : "");
  }
}

}  // namespace

void PrintThread(Context& context, const nt::Thread& thread, bool stack, const std::string& indent) {
  Output& out = context.out;
  std::string where = thread.state_name;
  for (char& c : where) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  if (thread.state == nt::ThreadState::kWaiting) {
    where = fmt::format(
        "WAIT: ({}) {} {}", thread.wait_reason_name, thread.wait_mode == 0 ? "KernelMode" : "UserMode",
        thread.suspend_count != 0 ? fmt::format("SuspendCount {}", thread.suspend_count) : "");
  } else if (thread.processor) {
    where += fmt::format(" on processor {:x}", *thread.processor);
  }
  const uint64_t increment = context.kernel.TimeIncrement();
  out.Line("{}THREAD {}  Cid {:04x}.{:04x}  Teb: {}  Win32Thread: {} {}", indent, Hex16(thread.address),
           thread.pid, thread.tid, Hex16(thread.teb), Hex16(0), where);
  if (thread.state == nt::ThreadState::kWaiting) PrintWait(context, thread, indent);
  out.Line("{}Owning Process            {}       Image:         {}", indent, Hex16(thread.process),
           ProcessNameOf(context.kernel, thread));
  const uint64_t ticks = thread.time / increment;
  out.Line("{}Wait Start TickCount      {:<14} Ticks: {} ({})", indent,
           static_cast<uint32_t>(context.kernel.TickCount() - ticks), ticks, TickDuration(ticks * increment));
  out.Line("{}Context Switch Count      {}            IdealProcessor: {}", indent, thread.context_switches,
           thread.ideal_processor);
  out.Line("{}UserTime                  {}", indent, ClockDuration(thread.user_time));
  out.Line("{}KernelTime                {}", indent, ClockDuration(thread.kernel_time));
  out.Line("{}Start Address {} ({})", indent, context.session.symbols().Describe(thread.start_address),
           Hex16(thread.start_address));
  out.Line("{}Stack Init {} Current {}", indent, Hex16(thread.initial_stack), Hex16(thread.kernel_stack));
  out.Line("{}Base {} Limit {}", indent, Hex16(thread.stack_base), Hex16(thread.stack_limit));
  out.Line("{}Priority {}  BasePriority {}  PriorityDecrement {}", indent, thread.priority,
           thread.base_priority, thread.priority_decrement);
  if (stack) {
    if (const auto frames = context.session.ThreadStack(thread.address)) {
      out.Line("{}Child-SP          RetAddr           Call Site", indent);
      for (const debug::Frame& frame : frames->frames) {
        out.Line("{}{} {} {}", indent, debug::FormatAddress(frame.child_sp),
                 debug::FormatAddress(frame.return_address), FrameName(context.session.symbols(), frame));
      }
      if (!frames->stop.empty()) out.Line("{}Stack unwind stopped: {}", indent, frames->stop);
    } else {
      out.Line("{}{}", indent, frames.error().message);
    }
  }
  out.Blank();
}

}  // namespace commands
