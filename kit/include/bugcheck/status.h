// NTSTATUS as a type that prints its name.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>

namespace bugcheck {

struct Status {
  uint32_t code = 0;

  constexpr Status() = default;
  constexpr explicit Status(uint32_t value) : code(value) {}

  // NT_SUCCESS: success and informational codes.
  constexpr bool ok() const { return static_cast<int32_t>(code) >= 0; }
  // NT_ERROR; warnings such as STATUS_BUFFER_OVERFLOW are neither ok() nor is_error(), and come with data.
  constexpr bool is_error() const { return code >> 30 == 3; }
  // "0xC0000010 STATUS_INVALID_DEVICE_REQUEST".
  std::string text() const;

  friend constexpr bool operator==(Status, Status) = default;
  friend std::ostream& operator<<(std::ostream& stream, Status status) { return stream << status.text(); }
};

// The codes that tests of drivers name most; any other is Status(0x...).
namespace status {
inline constexpr Status kSuccess{0x00000000};
inline constexpr Status kPending{0x00000103};
inline constexpr Status kBufferOverflow{0x80000005};
inline constexpr Status kNoMoreEntries{0x8000001A};
inline constexpr Status kUnsuccessful{0xC0000001};
inline constexpr Status kNotImplemented{0xC0000002};
inline constexpr Status kInfoLengthMismatch{0xC0000004};
inline constexpr Status kAccessViolation{0xC0000005};
inline constexpr Status kInvalidHandle{0xC0000008};
inline constexpr Status kInvalidParameter{0xC000000D};
inline constexpr Status kNoSuchDevice{0xC000000E};
inline constexpr Status kInvalidDeviceRequest{0xC0000010};
inline constexpr Status kEndOfFile{0xC0000011};
inline constexpr Status kAccessDenied{0xC0000022};
inline constexpr Status kBufferTooSmall{0xC0000023};
inline constexpr Status kObjectTypeMismatch{0xC0000024};
inline constexpr Status kObjectNameInvalid{0xC0000033};
inline constexpr Status kObjectNameNotFound{0xC0000034};
inline constexpr Status kObjectNameCollision{0xC0000035};
inline constexpr Status kObjectPathNotFound{0xC000003A};
inline constexpr Status kSharingViolation{0xC0000043};
inline constexpr Status kDeletePending{0xC0000056};
inline constexpr Status kInsufficientResources{0xC000009A};
inline constexpr Status kDeviceNotReady{0xC00000A3};
inline constexpr Status kIoTimeout{0xC00000B5};
inline constexpr Status kNotSupported{0xC00000BB};
inline constexpr Status kCancelled{0xC0000120};
inline constexpr Status kInvalidBufferSize{0xC0000206};
inline constexpr Status kNotFound{0xC0000225};
// Not NT's: the machine did not answer (it crashed, ended, or the time was up); the text beside it says
// which.
inline constexpr Status kNoAnswer{0xE0420001};
}  // namespace status

}  // namespace bugcheck
