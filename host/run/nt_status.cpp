#include "run/nt_status.h"

#include <fmt/format.h>

namespace run {
namespace {

struct Entry {
  uint32_t status;
  const char* name;
  uint32_t win32;
};

constexpr Entry kStatuses[] = {
    {0x00000000, "STATUS_SUCCESS", 0},
    {0x00000102, "STATUS_TIMEOUT", 1460},
    {0x00000103, "STATUS_PENDING", 997},
    {0x4000000E, "STATUS_IMAGE_MACHINE_TYPE_MISMATCH", 216},
    {0x80000005, "STATUS_BUFFER_OVERFLOW", 234},
    {0x80000006, "STATUS_NO_MORE_FILES", 18},
    {0x8000001A, "STATUS_NO_MORE_ENTRIES", 259},
    {0xC0000001, "STATUS_UNSUCCESSFUL", 31},
    {0xC0000002, "STATUS_NOT_IMPLEMENTED", 1},
    {0xC0000004, "STATUS_INFO_LENGTH_MISMATCH", 24},
    {0xC0000005, "STATUS_ACCESS_VIOLATION", 998},
    {0xC0000008, "STATUS_INVALID_HANDLE", 6},
    {0xC000000D, "STATUS_INVALID_PARAMETER", 87},
    {0xC000000E, "STATUS_NO_SUCH_DEVICE", 2},
    {0xC000000F, "STATUS_NO_SUCH_FILE", 2},
    {0xC0000010, "STATUS_INVALID_DEVICE_REQUEST", 1},
    {0xC0000011, "STATUS_END_OF_FILE", 38},
    {0xC0000017, "STATUS_NO_MEMORY", 8},
    {0xC0000020, "STATUS_INVALID_FILE_FOR_SECTION", 193},
    {0xC0000022, "STATUS_ACCESS_DENIED", 5},
    {0xC0000023, "STATUS_BUFFER_TOO_SMALL", 122},
    {0xC0000024, "STATUS_OBJECT_TYPE_MISMATCH", 6},
    {0xC0000033, "STATUS_OBJECT_NAME_INVALID", 123},
    {0xC0000034, "STATUS_OBJECT_NAME_NOT_FOUND", 2},
    {0xC0000035, "STATUS_OBJECT_NAME_COLLISION", 183},
    {0xC0000039, "STATUS_OBJECT_PATH_INVALID", 161},
    {0xC000003A, "STATUS_OBJECT_PATH_NOT_FOUND", 3},
    {0xC000003B, "STATUS_OBJECT_PATH_SYNTAX_BAD", 161},
    {0xC0000040, "STATUS_SECTION_TOO_BIG", 8},
    {0xC0000043, "STATUS_SHARING_VIOLATION", 32},
    {0xC0000056, "STATUS_DELETE_PENDING", 303},
    {0xC0000059, "STATUS_REVISION_MISMATCH", 1306},
    {0xC000007A, "STATUS_PROCEDURE_NOT_FOUND", 127},
    {0xC000007B, "STATUS_INVALID_IMAGE_FORMAT", 193},
    {0xC000007F, "STATUS_DISK_FULL", 112},
    {0xC000009A, "STATUS_INSUFFICIENT_RESOURCES", 1450},
    {0xC00000B5, "STATUS_IO_TIMEOUT", 121},
    {0xC00000BA, "STATUS_FILE_IS_A_DIRECTORY", 5},
    {0xC00000BB, "STATUS_NOT_SUPPORTED", 50},
    {0xC00000E5, "STATUS_INTERNAL_ERROR", 1359},
    {0xC0000101, "STATUS_DIRECTORY_NOT_EMPTY", 145},
    {0xC0000103, "STATUS_NOT_A_DIRECTORY", 267},
    {0xC000010E, "STATUS_IMAGE_ALREADY_LOADED", 1056},
    {0xC0000120, "STATUS_CANCELLED", 995},
    {0xC0000121, "STATUS_CANNOT_DELETE", 5},
    {0xC000012F, "STATUS_INVALID_IMAGE_NOT_MZ", 193},
    {0xC0000130, "STATUS_INVALID_IMAGE_PROTECT", 193},
    {0xC0000131, "STATUS_INVALID_IMAGE_WIN_16", 193},
    {0xC0000135, "STATUS_DLL_NOT_FOUND", 126},
    {0xC0000138, "STATUS_ORDINAL_NOT_FOUND", 182},
    {0xC0000139, "STATUS_ENTRYPOINT_NOT_FOUND", 127},
    {0xC0000142, "STATUS_DLL_INIT_FAILED", 1114},
    {0xC0000182, "STATUS_DEVICE_CONFIGURATION_ERROR", 1450},
    {0xC0000184, "STATUS_INVALID_DEVICE_STATE", 22},
    {0xC0000221, "STATUS_IMAGE_CHECKSUM_MISMATCH", 193},
    {0xC0000225, "STATUS_NOT_FOUND", 1168},
    {0xC0000262, "STATUS_DRIVER_ORDINAL_NOT_FOUND", 182},
    {0xC0000263, "STATUS_DRIVER_ENTRYPOINT_NOT_FOUND", 127},
    {0xC000026C, "STATUS_DRIVER_UNABLE_TO_LOAD", 2001},
    {0xC0000365, "STATUS_FAILED_DRIVER_ENTRY", 647},
    {0xC000036B, "STATUS_DRIVER_BLOCKED_CRITICAL", 1275},
};

// What sc.exe prints (the texts of FormatMessage, shortened to the ones that services meet).
constexpr Win32Error kErrors[] = {
    {0, "The operation completed successfully."},
    {1, "Incorrect function."},
    {2, "The system cannot find the file specified."},
    {3, "The system cannot find the path specified."},
    {5, "Access is denied."},
    {6, "The handle is invalid."},
    {8, "Not enough memory resources are available to process this command."},
    {22, "The device does not recognize the command."},
    {31, "A device attached to the system is not functioning."},
    {32, "The process cannot access the file because it is being used by another process."},
    {50, "The request is not supported."},
    {87, "The parameter is incorrect."},
    {112, "There is not enough space on the disk."},
    {123, "The filename, directory name, or volume label syntax is incorrect."},
    {126, "The specified module could not be found."},
    {127, "The specified procedure could not be found."},
    {161, "The specified path is invalid."},
    {182, "The operating system cannot run the driver: it imports an ordinal that does not exist."},
    {183, "Cannot create a file when that file already exists."},
    {193, "%1 is not a valid Win32 application."},
    {216, "The image file is not compatible with this version of Windows: its machine type is another."},
    {303, "The file cannot be opened because it is in the process of being deleted."},
    {647, "The driver's entry point failed."},
    {1051, "A stop control has been sent to a service that other running services are dependent on."},
    {1052, "The requested control is not valid for this service."},
    {1053, "The service did not respond to the start or control request in a timely fashion."},
    {1056, "An instance of the service is already running."},
    {1060, "The specified service does not exist as an installed service."},
    {1062, "The service has not been started."},
    {1072, "The specified service has been marked for deletion."},
    {1073, "The specified service already exists."},
    {1114, "A dynamic link library (DLL) initialization routine failed."},
    {1168, "Element not found."},
    {1275, "This driver has been blocked from loading."},
    {1450, "Insufficient system resources exist to complete the requested service."},
    {1460, "This operation returned because the timeout period expired."},
};

const Entry* Find(int32_t status) {
  for (const Entry& entry : kStatuses) {
    if (entry.status == static_cast<uint32_t>(status)) return &entry;
  }
  return nullptr;
}

}  // namespace

const char* StatusName(int32_t status) {
  const Entry* entry = Find(status);
  return entry == nullptr ? "" : entry->name;
}

std::string StatusText(int32_t status) {
  const char* name = StatusName(status);
  return fmt::format("{:#010X}{}{}", static_cast<uint32_t>(status), *name == '\0' ? "" : " ", name)
      .replace(1, 1, "x");
}

Win32Error Win32ErrorByCode(uint32_t code) {
  for (const Win32Error& error : kErrors) {
    if (error.code == code) return error;
  }
  return {code, "(no text for this error)"};
}

Win32Error Win32ErrorOf(int32_t status) {
  const Entry* entry = Find(status);
  return Win32ErrorByCode(entry == nullptr ? 31 : entry->win32);
}

}  // namespace run
