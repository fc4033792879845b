// Control codes and the constants of opening, with Windows's values.
#pragma once

#include <cstdint>

namespace bugcheck {

enum class Method : uint32_t { kBuffered = 0, kInDirect = 1, kOutDirect = 2, kNeither = 3 };
enum class IoctlAccess : uint32_t { kAny = 0, kRead = 1, kWrite = 2, kReadWrite = 3 };

// CTL_CODE(device_type, function, method, access).
constexpr uint32_t CtlCode(uint32_t device_type, uint32_t function, Method method,
                           IoctlAccess access = IoctlAccess::kAny) {
  return device_type << 16 | static_cast<uint32_t>(access) << 14 | function << 2 |
         static_cast<uint32_t>(method);
}
inline constexpr uint32_t kFileDeviceUnknown = 0x22;

inline constexpr uint32_t kFileReadData = 0x0001;
inline constexpr uint32_t kFileWriteData = 0x0002;
inline constexpr uint32_t kSynchronize = 0x00100000;
inline constexpr uint32_t kGenericRead = 0x80000000;
inline constexpr uint32_t kGenericWrite = 0x40000000;

inline constexpr uint32_t kShareRead = 1;
inline constexpr uint32_t kShareWrite = 2;
inline constexpr uint32_t kShareDelete = 4;

// CreateDisposition.
inline constexpr uint32_t kOpenExisting = 1;  // FILE_OPEN
inline constexpr uint32_t kCreateNew = 2;     // FILE_CREATE
inline constexpr uint32_t kOpenAlways = 3;    // FILE_OPEN_IF
inline constexpr uint32_t kOverwriteIf = 5;   // FILE_OVERWRITE_IF

// Page protections of Client::Allocate.
inline constexpr uint32_t kPageNoAccess = 0x01;
inline constexpr uint32_t kPageReadOnly = 0x02;
inline constexpr uint32_t kPageReadWrite = 0x04;

}  // namespace bugcheck
