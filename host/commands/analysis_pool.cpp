// What an analysis says of pool: whose block it was.
#include <algorithm>

#include "commands/analysis.h"
#include "commands/nt_pool.h"
#include "commands/text.h"

namespace commands {

namespace {

// Bug checks about pool, and faults on it: a parameter may lie in a block.
bool IsAboutPool(const Analysis& a) {
  static constexpr uint32_t kCodes[] = {0x19, 0xC1, 0xC2, 0xC4, 0xC7, 0x13A};
  return a.touched || std::find(std::begin(kCodes), std::end(kCodes), a.code) != std::end(kCodes);
}

const char* StateText(nt::BlockState state) {
  return state == nt::BlockState::kAllocated ? "allocated" : "freed";
}

}  // namespace

std::optional<nt::PoolBlock> PoolBlockOf(Context& context, const Analysis& a) {
  if (!IsAboutPool(a)) return std::nullopt;
  std::vector<uint64_t> candidates(a.parameters.begin(), a.parameters.end());
  if (a.touched) candidates = {a.touched->address};
  for (const uint64_t address : candidates) {
    auto block = nt::FindPoolBlock(context.kernel, address);
    if (block && (block->state != nt::BlockState::kFree || block->freed_by != 0)) return block;
  }
  return std::nullopt;
}

void AddPoolWords(Context& context, const Analysis& a, std::vector<std::string>& words) {
  const auto block = PoolBlockOf(context, a);
  if (!block) return;
  const debug::Symbols& symbols = context.session.symbols();
  std::string text = fmt::format(
      "The pool block at {} (tag {}, {:#x} bytes) is {}", Hex16(block->address), nt::TagText(block->tag),
      block->requested != 0 ? block->requested : block->size, StateText(block->state));
  if (block->allocated_by != 0)
    text += fmt::format("; it was allocated at {}", symbols.Describe(block->allocated_by));
  if (block->freed_by != 0) text += fmt::format(" and freed at {}", symbols.Describe(block->freed_by));
  words.push_back(text + ".");
}

uint64_t DriverOfPoolBlock(Context& context, const Analysis& a) {
  const auto block = PoolBlockOf(context, a);
  if (!block) return 0;
  for (const uint64_t code : {block->freed_by, block->allocated_by}) {
    const debug::Module* module = code != 0 ? OwnerOf(context.session.symbols(), code) : nullptr;
    if (module != nullptr && !IsKernelModule(module)) return code;
  }
  return 0;
}

}  // namespace commands
