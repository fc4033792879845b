#include "commands/memory_range.h"

#include <cctype>

#include "commands/text.h"
#include "debug/expression.h"

namespace commands {

base::Result<MemoryRange> ParseRange(Context& context, std::string_view text, uint64_t next,
                                     uint64_t default_count, uint64_t object_size) {
  MemoryRange range{next, default_count};
  text = Trim(text);
  if (text == "." || text.starts_with(". ")) {
    range.address = TRY(AddressOr(context, ".", 0));
    text.remove_prefix(1);
  } else if (!text.empty()) {
    range.address = TRY(debug::TakeExpression(context.session, text));
  }
  text = Trim(text);
  if (text.empty()) return range;
  if (text[0] == 'L' || text[0] == 'l') {
    text.remove_prefix(1);
    if (text.starts_with("?")) text.remove_prefix(1);
    range.count = TRY(debug::Evaluate(context.session, text));
  } else {
    const uint64_t end = TRY(debug::Evaluate(context.session, text));
    if (end < range.address) return base::Fail("the range ends before it begins");
    range.count = (end - range.address) / object_size + 1;
  }
  if (range.count > kMaxRangeCount)
    return base::Fail(fmt::format("range too long: at most L{:x}", kMaxRangeCount));
  return range;
}

}  // namespace commands
