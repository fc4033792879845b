// NTSTATUS values that a user meets: names, and the Win32 errors that sc.exe shows for them.
#pragma once

#include <cstdint>
#include <string>

namespace run {

// "0xC0000034 STATUS_OBJECT_NAME_NOT_FOUND"; only the number when the name is not known.
std::string StatusText(int32_t status);
// "STATUS_OBJECT_NAME_NOT_FOUND" or "".
const char* StatusName(int32_t status);
inline bool Succeeded(int32_t status) {
  return status >= 0;
}

struct Win32Error {
  uint32_t code;
  const char* text;
};
// As RtlNtStatusToDosError; 31 ("A device attached to the system is not functioning.") for what is not known,
// as sc.exe.
Win32Error Win32ErrorOf(int32_t status);
// The text of a Win32 error by its number.
Win32Error Win32ErrorByCode(uint32_t code);

}  // namespace run
