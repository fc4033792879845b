// !poolused: pool by tag.
#include <algorithm>

#include "commands/command.h"
#include "commands/nt_pool.h"
#include "commands/table.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr uint64_t kByNonpaged = 2, kByPaged = 4;

std::string Number(int64_t value) {
  return value < 0 ? "-" + Grouped(static_cast<uint64_t>(-value)) : Grouped(static_cast<uint64_t>(value));
}

base::Result<void> Run(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  const uint64_t flags = words.empty() ? 0 : TRY(AddressOr(context, words[0], 0));
  const std::string pattern = words.size() > 1 ? words[1] : "*";
  std::vector<nt::TagUse> tags = nt::PoolTags(context.kernel);
  if (tags.empty()) return base::Fail("the kernel's symbols have no table of pool tags");
  if ((flags & (kByNonpaged | kByPaged)) != 0) {
    const bool paged = (flags & kByPaged) != 0;
    std::sort(tags.begin(), tags.end(), [&](const nt::TagUse& a, const nt::TagUse& b) {
      return paged ? a.paged_bytes > b.paged_bytes : a.nonpaged_bytes > b.nonpaged_bytes;
    });
  } else {
    std::ranges::sort(tags, {}, [](const nt::TagUse& use) { return nt::TagText(use.tag); });
  }
  Table table({{"Tag"},
               {"NonPaged Allocs", Align::kRight},
               {"Frees", Align::kRight},
               {"Used", Align::kRight},
               {"Paged Allocs", Align::kRight},
               {"Frees", Align::kRight},
               {"Used", Align::kRight}});
  nt::TagUse total;
  for (const nt::TagUse& use : tags) {
    if (!MatchesWildcard(nt::TagText(use.tag), pattern)) continue;
    table.Row({nt::TagText(use.tag), Number(use.nonpaged_allocs), Number(use.nonpaged_frees),
               Number(use.nonpaged_bytes), Number(use.paged_allocs), Number(use.paged_frees),
               Number(use.paged_bytes)});
    total.nonpaged_allocs += use.nonpaged_allocs, total.nonpaged_frees += use.nonpaged_frees;
    total.nonpaged_bytes += use.nonpaged_bytes, total.paged_allocs += use.paged_allocs;
    total.paged_frees += use.paged_frees, total.paged_bytes += use.paged_bytes;
  }
  table.Row({"TOTAL", Number(total.nonpaged_allocs), Number(total.nonpaged_frees),
             Number(total.nonpaged_bytes), Number(total.paged_allocs), Number(total.paged_frees),
             Number(total.paged_bytes)});
  table.Print(context.out);
  return {};
}

const Registration kRegistration({
    {"!poolused"},
    "!poolused [FLAGS [TAG]]",
    "pool by tag: allocations, frees, bytes in use",
    "Sorted by tag; FLAGS: 2 sorts by nonpaged bytes, 4 by paged bytes. TAG: only tags that match (* and ?).",
    {"!poolused", "!poolused 2", "!poolused 0 Thr*"},
    [](Context& context, const Call& call) { return SayWhyNot(context, Run(context, call)); },
});

}  // namespace

}  // namespace commands
