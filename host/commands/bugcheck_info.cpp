#include "commands/bugcheck_info.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace commands {

namespace {

struct NameRecord {
  uint32_t code;
  const char* name;
  std::array<const char*, 4> parameters;
};

constexpr NameRecord kNames[] = {
#define BUGCHECK_CODE(code, name, p1, p2, p3, p4) {code, name, {p1, p2, p3, p4}},
#include "bugcheck_names.inc"
#undef BUGCHECK_CODE
};

const NameRecord* FindName(uint32_t code) {
  const auto at =
      std::lower_bound(std::begin(kNames), std::end(kNames), code,
                       [](const NameRecord& record, uint32_t value) { return record.code < value; });
  return at != std::end(kNames) && at->code == code ? at : nullptr;
}

// Texts of our own; parameters only where the generated table's wording is not enough.
struct TextRecord {
  uint32_t code;
  const char* text;
  std::array<const char*, 4> parameters;
};

constexpr TextRecord kTexts[] = {
    {0xA,
     "The kernel touched an address that is pageable or not valid at an IRQL where a page fault cannot be "
     "served.\n"
     "Usually a driver handed it a bad pointer, or called it at too high an IRQL.",
     {"memory referenced", "IRQL", "0 = read, 1 = write, 8 = execute", "address of the instruction"}},
    {0xD1,
     "A driver touched an address that is pageable or not valid at an IRQL where a page fault cannot be "
     "served\n"
     "(DISPATCH_LEVEL or above). With operation 8 the instruction fetch itself faulted: code in a pageable "
     "section\n"
     "was called at raised IRQL, often because a spin lock was held.",
     {"memory referenced", "IRQL", "0 = read, 1 = write, 8 = execute", "address of the instruction"}},
    {0xF,
     "A thread asked for a spin lock that its own processor already holds: it would wait for itself for "
     "ever.",
     {"", "", "", ""}},
    {0x10, "A spin lock was released that was not held.", {"", "", "", ""}},
    {0x19,
     "A pool block's header is damaged: somebody wrote beyond the end of a block, or freed it twice.",
     {"kind of damage", "", "", ""}},
    {0x1E,
     "An exception in kernel mode was caught by nobody.",
     {"exception code", "address of the instruction", "exception parameter 0", "exception parameter 1"}},
    {0x50,
     "A system address was touched that no memory is behind, below DISPATCH_LEVEL: a freed or made-up "
     "pointer.",
     {"memory referenced", "0 = read, 2 = write, 10 = execute", "address of the instruction", "kind"}},
    {0x7E,
     "A system thread raised an exception that nobody caught.",
     {"exception code", "address of the instruction", "exception record", "context record"}},
    {0x7F,
     "The processor raised a trap that the kernel cannot handle; 8 is a double fault, most often a kernel "
     "stack that ran over.",
     {"trap number", "", "", ""}},
    {0x80,
     "A non-maskable interrupt stopped the machine. Bugcheck sends one to a machine that does not answer any "
     "more, so\n"
     "this is the dump of a hang: the threads that run, spin or block are what to look at.",
     {"4F4454 = sent by the host", "", "", ""}},
    {0xB8,
     "A wait or another attempt to give up the processor was made inside a DPC, where there is no thread to "
     "switch.",
     {"original thread", "new thread", "original stack", ""}},
    {0xC2,
     "A driver asked the pool for something that is not allowed: a double free, a free of a foreign address, "
     "a bad IRQL.",
     {"kind of violation", "", "", ""}},
    {0xC4, "Driver Verifier caught a driver breaking a rule.", {"rule", "", "", ""}},
    {0xC5,
     "Damaged pool made the kernel touch a bad address at raised IRQL.",
     {"memory referenced", "IRQL", "0 = read, 1 = write", "address of the instruction"}},
    {0xCE,
     "A driver was unloaded while a timer, DPC, thread or another callback of its own was still to come; its "
     "code is gone.",
     {"memory referenced", "0 = read, 1 = write", "address of the instruction", ""}},
    {0xE2, "The crash was asked for by hand.", {"", "", "", ""}},
    {0xE3, "A thread released an ERESOURCE that it does not own.", {"resource", "thread", "owner table", ""}},
    {0x101,
     "A processor did not answer its clock interrupt in time: it hangs with interrupts off.",
     {"time-out in ticks", "", "PRCB of the silent processor", "its number"}},
    {0x133,
     "A DPC, or a stretch at DISPATCH_LEVEL, took far too long.",
     {"0 = one DPC, 1 = cumulative", "ticks used or watchdog period", "ticks allowed", ""}},
    {0x139,
     "The kernel found one of its own structures damaged.",
     {"kind", "trap frame", "exception record", ""}},
};

const TextRecord* FindText(uint32_t code) {
  const auto at =
      std::find_if(std::begin(kTexts), std::end(kTexts), [&](const TextRecord& r) { return r.code == code; });
  return at != std::end(kTexts) ? at : nullptr;
}

}  // namespace

std::string_view BugcheckName(uint32_t code) {
  const NameRecord* record = FindName(code);
  return record != nullptr ? record->name : "";
}

std::string BugcheckTitle(uint32_t code) {
  const std::string_view name = BugcheckName(code);
  return name.empty() ? fmt::format("BUGCHECK_{:X} ({:x})", code, code)
                      : fmt::format("{} ({:x})", name, code);
}

std::string_view BugcheckExplanation(uint32_t code) {
  const TextRecord* record = FindText(code);
  return record != nullptr ? record->text : "";
}

std::string_view BugcheckParameterText(uint32_t code, size_t index) {
  if (index >= 4) return "";
  if (const TextRecord* record = FindText(code)) return record->parameters[index];
  const NameRecord* record = FindName(code);
  return record != nullptr ? record->parameters[index] : "";
}

std::string IrqlName(uint64_t irql) {
  static constexpr const char* kLevels[] = {"PASSIVE_LEVEL", "APC_LEVEL", "DISPATCH_LEVEL"};
  if (irql < 3) return kLevels[irql];
  if (irql == 13) return "CLOCK_LEVEL";
  if (irql == 14) return "IPI_LEVEL";
  if (irql == 15) return "HIGH_LEVEL";
  return fmt::format("DIRQL {}", irql);
}

std::string_view AccessName(uint64_t operation) {
  if (operation == 0) return "read";
  if (operation == 1) return "write";
  return operation == 8 || operation == 2 || operation == 0x10 ? "execute" : "access";
}

std::string_view StatusName(uint32_t status) {
  switch (status) {
    case 0x80000003:
      return "STATUS_BREAKPOINT";
    case 0x80000004:
      return "STATUS_SINGLE_STEP";
    case 0xC0000005:
      return "STATUS_ACCESS_VIOLATION";
    case 0xC0000006:
      return "STATUS_IN_PAGE_ERROR";
    case 0xC000001D:
      return "STATUS_ILLEGAL_INSTRUCTION";
    case 0xC0000094:
      return "STATUS_INTEGER_DIVIDE_BY_ZERO";
    case 0xC0000095:
      return "STATUS_INTEGER_OVERFLOW";
    case 0xC0000096:
      return "STATUS_PRIVILEGED_INSTRUCTION";
    case 0xC00000FD:
      return "STATUS_STACK_OVERFLOW";
    case 0xC0000409:
      return "STATUS_STACK_BUFFER_OVERRUN";
    case 0xC0000420:
      return "STATUS_ASSERTION_FAILURE";
    default:
      return "";
  }
}

}  // namespace commands
