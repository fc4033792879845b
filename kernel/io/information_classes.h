// What the I/O manager knows of the information classes before a driver sees a request: which exist for
// querying and setting, the least length, the alignment of a program's buffer, the access that a handle
// needs.
#pragma once

#include "nt/ntos.h"

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

// The checks that need no file: STATUS_INVALID_INFO_CLASS, STATUS_INFO_LENGTH_MISMATCH.
inline NTSTATUS CheckRule(const ClassRule& rule, ULONG length) {
  if (rule.minimum == 0) return STATUS_INVALID_INFO_CLASS;
  return length < rule.minimum ? STATUS_INFO_LENGTH_MISMATCH : STATUS_SUCCESS;
}

}  // namespace io
