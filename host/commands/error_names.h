// Names of NTSTATUS values and Win32 errors, all that mingw-w64's headers have.
#pragma once

#include <cstdint>
#include <string_view>

namespace commands {

// "STATUS_ACCESS_VIOLATION"; "" when there is none.
std::string_view NtStatusName(uint32_t status);
// "ERROR_ACCESS_DENIED"; "" when there is none.
std::string_view Win32ErrorName(uint32_t code);

}  // namespace commands
