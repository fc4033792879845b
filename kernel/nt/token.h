// _TOKEN: Windows's names; the layout is ours. Owner: se.
#pragma once

#include "nt/ntos.h"

#ifndef SE_GROUP_MANDATORY
#define SE_GROUP_MANDATORY 0x00000001
#define SE_GROUP_ENABLED_BY_DEFAULT 0x00000002
#define SE_GROUP_ENABLED 0x00000004
#define SE_GROUP_OWNER 0x00000008
#define SE_GROUP_USE_FOR_DENY_ONLY 0x00000010
#endif
#ifndef SE_GROUP_INTEGRITY
#define SE_GROUP_INTEGRITY 0x00000020
#define SE_GROUP_INTEGRITY_ENABLED 0x00000040
#endif

// A bit a privilege, by the privilege's number.
typedef struct _SEP_TOKEN_PRIVILEGES {
  ULONG64 Present;
  ULONG64 Enabled;
  ULONG64 EnabledByDefault;
} SEP_TOKEN_PRIVILEGES;

// The sets of SIDs are blocks of their own and never change; TokenLock guards what does: the privileges, the
// groups' attributes, the default list, the session.
typedef struct _TOKEN {
  TOKEN_SOURCE TokenSource;
  LUID TokenId;
  LUID AuthenticationId;
  LUID ParentTokenId;
  LARGE_INTEGER ExpirationTime;
  EX_PUSH_LOCK TokenLock;
  LUID ModifiedId;
  SEP_TOKEN_PRIVILEGES Privileges;
  ULONG SessionId;
  ULONG UserAndGroupCount;
  ULONG RestrictedSidCount;
  PSID_AND_ATTRIBUTES UserAndGroups;  // the user first
  PSID_AND_ATTRIBUTES RestrictedSids;
  PSID PrimaryGroup;  // one of UserAndGroups
  ULONG DefaultOwnerIndex;
  PACL DefaultDacl;
  TOKEN_TYPE TokenType;
  SECURITY_IMPERSONATION_LEVEL ImpersonationLevel;
  ULONG TokenFlags;  // TOKEN_HAS_..., TOKEN_IS_...
  BOOLEAN TokenInUse;
  ULONG IntegrityLevelIndex;  // of UserAndGroups
} TOKEN, *PTOKEN;
