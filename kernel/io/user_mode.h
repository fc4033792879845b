// Services called with previous mode User: the caller's addresses are probed and captured, and a bad one is a
// status, never a fault of the kernel. Called with previous mode Kernel the same routines take addresses as
// they are.
#pragma once

#include "nt/objects.h"

namespace io {

inline bool IsUserCaller() {
  return KeGetCurrentThread()->PreviousMode == UserMode;
}

// PASSIVE_LEVEL, in the process of the addresses. STATUS_ACCESS_VIOLATION, STATUS_DATATYPE_MISALIGNMENT or
// the fault's own status. The copies check the range themselves and want no alignment.
NTSTATUS ProbeCallerRead(const VOID* address, SIZE_T bytes, ULONG alignment);
NTSTATUS ProbeCallerWrite(PVOID address, SIZE_T bytes, ULONG alignment);
NTSTATUS CopyFromCaller(PVOID to, const VOID* from, SIZE_T bytes);
NTSTATUS CopyToCaller(PVOID to, const VOID* from, SIZE_T bytes);

// The same for the end of a request, whose requestor may have gone on to other things: `mode` is the
// request's.
NTSTATUS CopyToRequestor(KPROCESSOR_MODE mode, PVOID to, const VOID* from, SIZE_T bytes);

// A caller's bytes in nonpaged pool (kBufferTag).
class CapturedBuffer {
 public:
  CapturedBuffer() = default;
  ~CapturedBuffer();
  CapturedBuffer(const CapturedBuffer&) = delete;
  CapturedBuffer& operator=(const CapturedBuffer&) = delete;

  NTSTATUS Capture(const VOID* given, ULONG length);
  PVOID get() const { return buffer_; }
  // The memory is the caller's from now on.
  PVOID Take() {
    PVOID taken = buffer_;
    buffer_ = nullptr;
    return taken;
  }

 private:
  PVOID buffer_ = nullptr;
};

// A caller's OBJECT_ATTRIBUTES and name, in kernel memory; kernel-only attributes are gone.
class CapturedAttributes {
 public:
  CapturedAttributes() = default;
  ~CapturedAttributes();
  CapturedAttributes(const CapturedAttributes&) = delete;
  CapturedAttributes& operator=(const CapturedAttributes&) = delete;

  NTSTATUS Capture(POBJECT_ATTRIBUTES attributes);
  POBJECT_ATTRIBUTES get() { return &attributes_; }

 private:
  NTSTATUS CaptureName(const UNICODE_STRING* name);

  OBJECT_ATTRIBUTES attributes_ = {};
  UNICODE_STRING name_ = {};
};

}  // namespace io
