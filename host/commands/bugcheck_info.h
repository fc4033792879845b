// Bug checks in words: names from the generated table, explanations of our own.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace commands {

// "DRIVER_IRQL_NOT_LESS_OR_EQUAL"; "" for codes that are not documented.
std::string_view BugcheckName(uint32_t code);
// "DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)", "BUGCHECK_1234 (1234)".
std::string BugcheckTitle(uint32_t code);
// What it means, in a few lines; "" when there is no text.
std::string_view BugcheckExplanation(uint32_t code);
// What the parameter means; "" when not documented. `index` 0..3.
std::string_view BugcheckParameterText(uint32_t code, size_t index);

// "PASSIVE_LEVEL" ... "HIGH_LEVEL".
std::string IrqlName(uint64_t irql);
// "read", "write", "execute" for the third parameter of 0xA and 0xD1.
std::string_view AccessName(uint64_t operation);
// NTSTATUS names of exceptions that crash kernels; "" when unknown.
std::string_view StatusName(uint32_t status);

}  // namespace commands
