// Security descriptors, absolute or self-relative, as their parts; lists as their entries.
#pragma once

#include "nt/ntos.h"

namespace se {

inline constexpr ULONG kTag = 'dSeS';

struct Parts {
  PSID owner;
  PSID group;
  PACL dacl;  // 0 with SE_DACL_PRESENT in `control`: everybody may do everything
  PACL sacl;
  SECURITY_DESCRIPTOR_CONTROL control;
};

// What a descriptor refers to; lists only where the control bits say that they are there.
Parts PartsOf(PSECURITY_DESCRIPTOR descriptor);
// Bytes of the parts as one self-relative descriptor.
ULONG RelativeLength(const Parts& parts);
// Writes them; `buffer` has RelativeLength bytes.
void WriteRelative(const Parts& parts, PVOID buffer);
// The same in new memory (ExFreePool).
NTSTATUS NewRelative(const Parts& parts, POOL_TYPE pool, PSECURITY_DESCRIPTOR* descriptor);

// Whether a list's entries lie within it and are of sane sizes. `available`: bytes that may be read.
bool ValidAcl(const ACL* acl, ULONG available);
inline PACE_HEADER FirstAce(PACL acl) {
  return reinterpret_cast<PACE_HEADER>(acl + 1);
}
inline PACE_HEADER NextAce(PACE_HEADER ace) {
  return reinterpret_cast<PACE_HEADER>(reinterpret_cast<UCHAR*>(ace) + ace->AceSize);
}
// The SID of an entry of one of the types that have a mask and a SID; 0 for others.
PSID SidOf(PACE_HEADER ace);
inline ACCESS_MASK& MaskOf(PACE_HEADER ace) {
  return reinterpret_cast<PACCESS_ALLOWED_ACE>(ace)->Mask;
}

// An access control list for what the kernel makes itself: an entry each. 0 without memory; ExFreePool.
struct Entry {
  PSID sid;
  ACCESS_MASK mask;
};
PACL NewAcl(const Entry* entries, ULONG count, UCHAR flags = 0);

}  // namespace se
