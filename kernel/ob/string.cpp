// Strings that the kernel keeps.
#include "ob/ob.h"

namespace ob {

NTSTATUS DuplicateString(const UNICODE_STRING& from, POOL_TYPE pool, ULONG tag, UNICODE_STRING* copy) {
  const SIZE_T bytes = from.Length + sizeof(WCHAR);
  copy->Buffer = static_cast<PWCH>(ExAllocatePoolWithTag(pool, bytes, tag));
  if (copy->Buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlCopyMemory(copy->Buffer, from.Buffer, from.Length);
  copy->Buffer[from.Length / sizeof(WCHAR)] = 0;
  copy->Length = from.Length;
  copy->MaximumLength = static_cast<USHORT>(bytes);
  return STATUS_SUCCESS;
}

}  // namespace ob
