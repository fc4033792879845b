#include "run/bugcheck_names.h"

#include <algorithm>
#include <iterator>

namespace run {
namespace {

struct Entry {
  uint32_t code;
  BugcheckName name;
};

constexpr Entry kBugchecks[] = {
#define BUGCHECK_CODE(code, name, p1, p2, p3, p4) {code, {name, {p1, p2, p3, p4}}},
#include "bugcheck_names.inc"
#undef BUGCHECK_CODE
};

}  // namespace

const BugcheckName* FindBugcheck(uint32_t code) {
  const auto* found = std::lower_bound(std::begin(kBugchecks), std::end(kBugchecks), code,
                                       [](const Entry& entry, uint32_t value) { return entry.code < value; });
  return found != std::end(kBugchecks) && found->code == code ? &found->name : nullptr;
}

}  // namespace run
