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

std::string PoolDamageSentence(Context& context, const nt::PoolDamage& damage) {
  std::string text = fmt::format("At {} {}", Hex16(damage.where), nt::DamageText(damage.kind));
  if (damage.block != 0)
    text +=
        fmt::format(": {}, tag {}, {:#x} bytes", Hex16(damage.block), nt::TagText(damage.tag), damage.bytes);
  if (damage.allocated_by != 0)
    text += fmt::format(", allocated at {}", context.session.symbols().Describe(damage.allocated_by));
  return text + fmt::format("; {} stands there.", Hex16(damage.value));
}

namespace {

void AddPoolDamage(Context& context, std::vector<std::string>& words) {
  constexpr size_t kTold = 3;
  const auto check = nt::PoolCheckAtCrash(context.kernel);
  if (!check) return;
  if (!check->complete)
    words.push_back("The check of the pools at the crash met damage that it could not survive.");
  if (check->damage.empty()) return;
  words.push_back(fmt::format("The pool was damaged before the crash, in {} place{}:", check->damage.size(),
                              check->damage.size() == 1 ? "" : "s"));
  for (size_t i = 0; i < check->damage.size() && i < kTold; ++i)
    words.push_back("  " + PoolDamageSentence(context, check->damage[i]));
  if (check->damage.size() > kTold) words.push_back("  (!poolval tells the others)");
}

}  // namespace

void AddPoolWords(Context& context, const Analysis& a, std::vector<std::string>& words) {
  AddPoolDamage(context, words);
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
