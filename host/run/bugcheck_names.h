// Bug checks by number, from data/bugchecks.tsv.
#pragma once

#include <array>
#include <cstdint>

namespace run {

struct BugcheckName {
  const char* name;                       // "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
  std::array<const char*, 4> parameters;  // what each says, "" where it is not written down
};
// Null for codes that Microsoft's documentation does not list.
const BugcheckName* FindBugcheck(uint32_t code);

}  // namespace run
