// !pte: the page-table entries of an address.
#include "commands/command.h"
#include "commands/nt_pte.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: !pte ADDRESS");
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const debug::Translation walk = context.session.memory().Translate(address);
  const uint64_t base = nt::PteBase(context.kernel);
  static constexpr const char* kNames[] = {"PXE", "PPE", "PDE", "PTE"};
  Output& out = context.out;
  out.Line("{:>43} {}", "VA", Hex16(address));
  std::string at, contains, state;
  for (int level = 0; level < walk.levels; ++level) {
    at += fmt::format("{} at {:016X}    ", kNames[level], nt::EntryAddress(base, address, level));
    contains += fmt::format("contains {:016X}  ", walk.steps[level].entry);
    state +=
        fmt::format("{:<27}", nt::EntryText(context.kernel, walk.steps[level].entry, level, walk.page_size));
  }
  out.Line("{}", at);
  out.Line("{}", contains);
  out.Line("{}", state);
  if (walk.valid && !walk.from_transition) {
    out.Line("Physical address {}, page of {}", Hex16(walk.physical), Bytes(walk.page_size));
  } else if (walk.from_transition) {
    out.Line("Not valid for the processor; the page is in memory (transition), physical address {}",
             Hex16(walk.physical));
  } else {
    out.Line("Not valid");
  }
  return {};
}

const Registration kRegistration({
    {"!pte"},
    "!pte ADDRESS",
    "the page-table entries that translate an address",
    "Per level: where the entry is in the self-map, its value, the page frame and the flags: D dirty, A "
    "accessed,\n"
    "G global, L large, K kernel or U user, R read-only or W writable, E executable, V valid. An entry that "
    "is not\n"
    "valid is named: transition (the page is in memory), demand zero, prototype, not present.",
    {"!pte @rsp", "!pte nt"},
    Run,
});

}  // namespace

}  // namespace commands
