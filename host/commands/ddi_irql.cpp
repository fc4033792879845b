#include "commands/ddi_irql.h"

#include <algorithm>
#include <iterator>

#include "commands/bugcheck_info.h"

namespace commands {

namespace {

struct Record {
  std::string_view name;
  IrqlRange range;
};

constexpr Record kRecords[] = {
#define NT_DDI_IRQL(name, minimum, maximum) {name, {minimum, maximum}},
#include "ddi_irql.inc"
#undef NT_DDI_IRQL
};

}  // namespace

std::optional<IrqlRange> DocumentedIrql(std::string_view routine) {
  const auto at =
      std::lower_bound(std::begin(kRecords), std::end(kRecords), routine,
                       [](const Record& record, std::string_view name) { return record.name < name; });
  if (at != std::end(kRecords) && at->name == routine) return at->range;
  if (routine.starts_with("Nt")) return DocumentedIrql("Zw" + std::string(routine.substr(2)));
  return std::nullopt;
}

std::string IrqlRangeText(const IrqlRange& range) {
  if (range.minimum == range.maximum) return IrqlName(range.maximum);
  if (range.minimum == 0) return "at most " + IrqlName(range.maximum);
  return IrqlName(range.minimum) + " to " + IrqlName(range.maximum);
}

}  // namespace commands
