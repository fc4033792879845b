// Access tokens: creation, copies, what they hold.
#pragma once

#include "nt/token.h"

namespace se {

// What a new token is made of. The SIDs are copied; groups[0] is the user.
struct TokenDescription {
  const SID_AND_ATTRIBUTES* groups;
  ULONG group_count;
  ULONG primary_group;  // index
  ULONG owner;          // index
  ULONG integrity;      // index
  ULONG64 privileges;   // by number; those of `enabled` are on
  ULONG64 enabled;
  LUID authentication;
  ULONG session;
};

// Who a new process runs as.
enum class Account : ULONG {
  kSystem = 0,         // LocalSystem
  kAdministrator = 1,  // a member of Administrators, elevated
  kUser = 2,           // a member of Users
};

// A primary token with one reference. PASSIVE_LEVEL.
NTSTATUS CreateAccountToken(Account account, ULONG session, PTOKEN* token);
// A copy. `effective_only`: without disabled groups and privileges.
NTSTATUS DuplicateToken(PTOKEN source, TOKEN_TYPE type, SECURITY_IMPERSONATION_LEVEL level,
                        bool effective_only, PTOKEN* copy);

inline bool HasPrivilege(const TOKEN* token, LUID privilege) {
  return privilege.HighPart == 0 && privilege.LowPart < 64 &&
         (token->Privileges.Enabled >> privilege.LowPart & 1) != 0;
}

// The relative identifier of a token's mandatory level (0x2000 medium, 0x3000 high, 0x4000 system).
ULONG IntegrityOf(const TOKEN* token);
void NewLuid(LUID* luid);

// What the token class's creator decides for a type of information: the answer's bytes, in new memory.
NTSTATUS QueryToken(PTOKEN token, TOKEN_INFORMATION_CLASS information, PVOID* answer, ULONG* length);

}  // namespace se
