// Bug checks in words: names from the generated table, explanations of our own.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace commands {

// "DRIVER_IRQL_NOT_LESS_OR_EQUAL"; "" for codes that are not documented.
std::string_view BugcheckName(uint32_t code);
// "DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)", "BUGCHECK_1234 (1234)".
std::string BugcheckTitle(uint32_t code);
// What it means, in a few lines; "" when there is no text.
std::string BugcheckExplanation(uint32_t code);
// What to ask next: "!pool ARG2; k" with ARG1..ARG4 for the parameters; "" when there is nothing.
std::string_view BugcheckQuestions(uint32_t code);

// What the value of the parameter that tells the kind means.
struct BugcheckKind {
  int parameter = 0;        // 1..4
  std::string_view bucket;  // "CORRUPT_LIST_ENTRY", "" when the kind has no name
  std::string_view text;
};
std::optional<BugcheckKind> KindOfBugcheck(uint32_t code, const std::array<uint64_t, 4>& parameters);
// The parameter (1..4) that tells the kind, where a code has kinds.
std::optional<int> KindParameter(uint32_t code);
// What the parameter means; "" when not documented. `index` 0..3.
std::string_view BugcheckParameterText(uint32_t code, size_t index);

// "PASSIVE_LEVEL" ... "HIGH_LEVEL".
std::string IrqlName(uint64_t irql);
// "read", "write", "execute" for the third parameter of 0xA and 0xD1.
std::string_view AccessName(uint64_t operation);
// NTSTATUS names of exceptions that crash kernels; "" when unknown.
std::string_view StatusName(uint32_t status);

}  // namespace commands
