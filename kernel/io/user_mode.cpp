#include "user_mode.h"

#include "io_internal.h"
#include "ke/user_mode.h"

namespace {

// No objects with destructors (docs/hacking.md), and a nop behind the last call of the __try.
DECLSPEC_NOINLINE NTSTATUS ProbeGuarded(PVOID address, SIZE_T bytes, ULONG alignment, BOOLEAN write) {
  __try {
    if (write) {
      ProbeForWrite(address, bytes, alignment);
    } else {
      ProbeForRead(address, bytes, alignment);
    }
    __asm__ volatile("nop");
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

constexpr ULONG kUserAttributes = OBJ_VALID_ATTRIBUTES & ~OBJ_KERNEL_HANDLE;

}  // namespace

namespace io {

NTSTATUS ProbeCallerRead(const VOID* address, SIZE_T bytes, ULONG alignment) {
  return IsUserCaller() ? ProbeGuarded(const_cast<PVOID>(address), bytes, alignment, FALSE) : STATUS_SUCCESS;
}

NTSTATUS ProbeCallerWrite(PVOID address, SIZE_T bytes, ULONG alignment) {
  return IsUserCaller() ? ProbeGuarded(address, bytes, alignment, TRUE) : STATUS_SUCCESS;
}

NTSTATUS CopyFromCaller(PVOID to, const VOID* from, SIZE_T bytes) {
  if (!IsUserCaller()) {
    RtlCopyMemory(to, from, bytes);
    return STATUS_SUCCESS;
  }
  return KeCopyFromUser(to, from, bytes);
}

NTSTATUS CopyToCaller(PVOID to, const VOID* from, SIZE_T bytes) {
  return CopyToRequestor(static_cast<KPROCESSOR_MODE>(KeGetCurrentThread()->PreviousMode), to, from, bytes);
}

NTSTATUS CopyToRequestor(KPROCESSOR_MODE mode, PVOID to, const VOID* from, SIZE_T bytes) {
  if (mode == KernelMode) {
    RtlCopyMemory(to, from, bytes);
    return STATUS_SUCCESS;
  }
  return KeCopyToUser(to, from, bytes);
}

CapturedBuffer::~CapturedBuffer() {
  if (buffer_ != nullptr) ExFreePoolWithTag(buffer_, kBufferTag);
}

NTSTATUS CapturedBuffer::Capture(const VOID* given, ULONG length) {
  buffer_ = ExAllocatePoolWithTag(NonPagedPoolNx, length, kBufferTag);
  return buffer_ != nullptr ? CopyFromCaller(buffer_, given, length) : STATUS_INSUFFICIENT_RESOURCES;
}

CapturedAttributes::~CapturedAttributes() {
  if (name_.Buffer != nullptr) ExFreePoolWithTag(name_.Buffer, kNameTag);
}

NTSTATUS CapturedAttributes::CaptureName(const UNICODE_STRING* name) {
  UNICODE_STRING given;
  NTSTATUS status = CopyFromCaller(&given, name, sizeof(given));
  if (!NT_SUCCESS(status)) return status;
  if (given.Length % sizeof(WCHAR) != 0) return STATUS_OBJECT_NAME_INVALID;
  attributes_.ObjectName = &name_;
  if (given.Length == 0) return STATUS_SUCCESS;
  name_.Buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, given.Length, kNameTag));
  if (name_.Buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  name_.Length = name_.MaximumLength = given.Length;
  return CopyFromCaller(name_.Buffer, given.Buffer, given.Length);
}

NTSTATUS CapturedAttributes::Capture(POBJECT_ATTRIBUTES attributes) {
  NTSTATUS status = CopyFromCaller(&attributes_, attributes, sizeof(attributes_));
  if (!NT_SUCCESS(status)) return status;
  if (attributes_.Length != sizeof(attributes_)) return STATUS_INVALID_PARAMETER;
  if (attributes_.Attributes & ~OBJ_VALID_ATTRIBUTES) return STATUS_INVALID_PARAMETER;
  attributes_.Attributes &= kUserAttributes;
  attributes_.SecurityDescriptor = nullptr;
  attributes_.SecurityQualityOfService = nullptr;
  return attributes_.ObjectName != nullptr ? CaptureName(attributes_.ObjectName) : STATUS_SUCCESS;
}

}  // namespace io
