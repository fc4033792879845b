// !pool, !poolval: the page of an address, block by block.
#include "commands/analysis.h"
#include "commands/command.h"
#include "commands/nt_pool.h"
#include "commands/nt_regions.h"
#include "commands/text.h"

namespace commands {

namespace {

const char* StateText(nt::BlockState state) {
  switch (state) {
    case nt::BlockState::kAllocated:
      return "(Allocated)";
    case nt::BlockState::kCached:
      return "(Free, kept)";
    case nt::BlockState::kFree:
      break;
  }
  return "(Free)";
}

void PrintOwner(Context& context, const nt::PoolBlock& block) {
  const debug::Symbols& symbols = context.session.symbols();
  if (block.allocated_by != 0)
    context.out.Line("        Allocated at {}", symbols.Describe(block.allocated_by));
  if (block.freed_by != 0) context.out.Line("        Freed at {}", symbols.Describe(block.freed_by));
  if (block.requested != 0)
    context.out.Line("        {:#x} bytes were asked for, at {}", block.requested, Hex16(block.address));
}

void PrintBlock(Context& context, const nt::PoolBlock& block, bool chosen) {
  context.out.Line("{}{} size: {:4x} previous size: {:4x}  {:<12}  {}{}", chosen ? '*' : ' ',
                   Hex16(block.header), block.size, block.previous_size, StateText(block.state),
                   chosen ? "*" : "", nt::TagText(block.tag));
  if (chosen) PrintOwner(context, block);
}

// Allocations without a header: whole pages, special pool.
void PrintPages(Context& context, const nt::PoolBlock& block, const char* what) {
  context.out.Line("*{} : {}, tag is {}, size is {:#x} bytes, {}", Hex16(block.address), what,
                   nt::TagText(block.tag), block.size,
                   block.state == nt::BlockState::kAllocated ? "allocated" : "freed");
  PrintOwner(context, block);
}

void PrintDamage(Context& context, const nt::PoolPage& page) {
  if (page.damage.empty()) return;
  context.out.Line(" {} is not a valid block header: {}", Hex16(page.damaged_at), page.damage);
  if (page.blocks.empty()) return;
  const nt::PoolBlock& before = page.blocks.back();
  context.out.Line(" The block before it, {} (tag {}), ran over its end, or something wrote here.",
                   Hex16(before.address), nt::TagText(before.tag));
  PrintOwner(context, before);
}

base::Result<void> RunPool(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  if (words.empty()) return base::Fail("usage: !pool ADDRESS [FLAGS]");
  const uint64_t address = TRY(AddressOr(context, words[0], 0));
  const bool only_block = words.size() > 1 && words[1] == "2";
  const nt::AddressUse use = nt::UseOf(context.kernel, address);
  context.out.Line("Pool page {} region is {}", Hex16(address), nt::UsageText(use.usage));
  context.out.Fact("Region", nt::UsageText(use.usage));
  if (const auto special = nt::FindSpecialBlock(context.kernel, address)) {
    PrintPages(context, *special, "special pool allocation");
    return {};
  }
  if (const auto big = nt::FindBigAllocation(context.kernel, address)) {
    PrintPages(context, *big, "large page allocation");
    return {};
  }
  if (use.usage != nt::Usage::kNonPagedPool && use.usage != nt::Usage::kPagedPool)
    return base::Fail(Hex16(address) + " is not in a pool");
  const auto page = nt::ReadPoolPage(context.kernel, address);
  if (!page) {
    context.out.Line("{} is not valid pool: the page is not there (freed, or never allocated)",
                     Hex16(address));
    return {};
  }
  for (const nt::PoolBlock& block : page->blocks) {
    const bool chosen = address >= block.header && address < block.header + block.size;
    if (chosen || !only_block) PrintBlock(context, block, chosen);
  }
  PrintDamage(context, *page);
  return {};
}

base::Result<void> TellCheckAtCrash(Context& context) {
  const auto check = nt::PoolCheckAtCrash(context.kernel);
  if (!check) return base::Fail("this kernel did not check its pools; usage: !poolval ADDRESS");
  context.out.Line("The kernel looked at {} pages of blocks when it crashed{}; {} were left out: {} damaged.",
                   check->pages, check->complete ? "" : ", and came to no end", check->left_out,
                   check->damage.size());
  for (const nt::PoolDamage& damage : check->damage)
    context.out.Line("{}", PoolDamageSentence(context, damage));
  context.out.Fact("Damaged", std::to_string(check->damage.size()));
  return {};
}

base::Result<void> RunPoolval(Context& context, const Call& call) {
  if (call.arguments.empty()) return TellCheckAtCrash(context);
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const nt::PoolPage page = TRY(nt::ReadPoolPage(context.kernel, address));
  const uint64_t first = address & ~(debug::kPageSize - 1);
  if (page.damage.empty()) {
    context.out.Line("Pool page {}: {} blocks, every header fits its neighbours.", Hex16(first),
                     page.blocks.size());
    return {};
  }
  context.out.Line("Pool page {}: {} blocks fit, then:", Hex16(first), page.blocks.size());
  PrintDamage(context, page);
  return {};
}

const Registration kPool({
    {"!pool"},
    "!pool ADDRESS [2]",
    "the pool block of an address, and its neighbours",
    "One line a block of the page: * marks the one that contains ADDRESS, with the code that allocated it "
    "(and "
    "freed it,\n"
    "in special pool). Allocations of whole pages and special pool are found by their tables. 2: only that "
    "block. "
    "A header\n"
    "that does not fit its neighbours is said, with the block in front of it: the usual suspect.",
    {"!pool @rsp", "!pool @$thread"},
    [](Context& context, const Call& call) { return SayWhyNot(context, RunPool(context, call)); },
});

const Registration kPoolval({
    {"!poolval"},
    "!poolval [ADDRESS]",
    "check the block headers of a pool page, or tell what the kernel found in all of them",
    "Says where the first header is that does not fit its neighbours. Without an address: what the kernel's "
    "own\n"
    "check of its pools found at the crash.",
    {"!poolval", "!poolval @$thread"},
    [](Context& context, const Call& call) { return SayWhyNot(context, RunPoolval(context, call)); },
});

}  // namespace

}  // namespace commands
