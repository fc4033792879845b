// What the I/O manager knows of the information classes before a driver sees a request: which exist for
// querying and setting, the least length, the alignment of a program's buffer, the access that a handle
// needs.
#pragma once

#include "io_internal.h"
#include "user_mode.h"

namespace io {

struct ClassRule {
  USHORT minimum;      // bytes; 0: the class does not exist for this operation
  USHORT alignment;    // of a program's buffer
  ACCESS_MASK access;  // all of these
};

ClassRule FileQueryRule(FILE_INFORMATION_CLASS information_class);
ClassRule FileSetRule(FILE_INFORMATION_CLASS information_class);
ClassRule VolumeQueryRule(FS_INFORMATION_CLASS information_class);
ClassRule VolumeSetRule(FS_INFORMATION_CLASS information_class);

// The checks that need no file, of the class, the length and a program's addresses. A query's buffer is
// probed, a set's is captured. STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH, and what the probes
// and the capture say.
NTSTATUS CheckQuery(const ClassRule& rule, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length);
NTSTATUS CheckSet(const ClassRule& rule, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length,
                  CapturedBuffer* captured);
// BeginService, and STATUS_ACCESS_DENIED for a handle without the rule's access.
NTSTATUS BeginService(const ClassRule& rule, HANDLE handle, FileService* service);

}  // namespace io
