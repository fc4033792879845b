// What a token holds, for SeQueryInformationToken and ZwQueryInformationToken.
#include "ke/service_call.h"
#include "nt/export.h"
#include "ob/ob.h"
#include "se/descriptor.h"
#include "se/se.h"
#include "se/token.h"

namespace se {
namespace {

// An answer under construction: fixed part first, what it points to behind it. Addresses inside it are
// written relative to `target`, where the answer will stand.
class Answer {
 public:
  Answer(PVOID target) : target_(static_cast<UCHAR*>(target)) {}
  ULONG Reserve(ULONG bytes) {
    const ULONG at = (size_ + 7) & ~7u;
    size_ = at + bytes;
    return at;
  }
  template <typename T>
  T* Part(ULONG at) {
    return target_ != nullptr ? reinterpret_cast<T*>(target_ + at) : nullptr;
  }
  template <typename T>
  void Value(const T& value) {
    const ULONG at = Reserve(sizeof(T));
    if (T* part = Part<T>(at)) *part = value;
  }
  PVOID Bytes(const VOID* data, ULONG bytes) {
    if (data == nullptr) return nullptr;
    const ULONG at = Reserve(bytes);
    if (target_ == nullptr) return nullptr;
    RtlCopyMemory(target_ + at, data, bytes);
    return target_ + at;
  }
  PVOID Sid(PSID sid) { return Bytes(sid, RtlLengthSid(sid)); }
  ULONG Size() const { return size_; }

 private:
  UCHAR* target_;
  ULONG size_ = 0;
};

void OneSid(Answer* answer, const SID_AND_ATTRIBUTES& from) {
  const ULONG at = answer->Reserve(sizeof(SID_AND_ATTRIBUTES));
  PVOID sid = answer->Sid(from.Sid);
  if (auto* part = answer->Part<SID_AND_ATTRIBUTES>(at)) *part = {sid, from.Attributes};
}

void OnePointer(Answer* answer, const VOID* data, ULONG bytes) {
  const ULONG at = answer->Reserve(sizeof(PVOID));
  PVOID copy = answer->Bytes(data, bytes);
  if (auto* part = answer->Part<PVOID>(at)) *part = copy;
}

void Groups(Answer* answer, const SID_AND_ATTRIBUTES* groups, ULONG count) {
  const ULONG at = answer->Reserve(FIELD_OFFSET(TOKEN_GROUPS, Groups) + count * sizeof(SID_AND_ATTRIBUTES));
  if (auto* part = answer->Part<TOKEN_GROUPS>(at)) part->GroupCount = count;
  for (ULONG i = 0; i < count; ++i) {
    PVOID sid = answer->Sid(groups[i].Sid);
    if (auto* part = answer->Part<TOKEN_GROUPS>(at)) part->Groups[i] = {sid, groups[i].Attributes};
  }
}

ULONG PrivilegeCount(const TOKEN* token) {
  return static_cast<ULONG>(__builtin_popcountll(token->Privileges.Present));
}

void Privileges(Answer* answer, const TOKEN* token) {
  const ULONG count = PrivilegeCount(token);
  const ULONG at =
      answer->Reserve(FIELD_OFFSET(TOKEN_PRIVILEGES, Privileges) + count * sizeof(LUID_AND_ATTRIBUTES));
  auto* part = answer->Part<TOKEN_PRIVILEGES>(at);
  if (part == nullptr) return;
  part->PrivilegeCount = count;
  ULONG next = 0;
  for (ULONG number = 0; number < 64; ++number) {
    if (!(token->Privileges.Present >> number & 1)) continue;
    const ULONG enabled = (token->Privileges.Enabled >> number & 1) ? SE_PRIVILEGE_ENABLED : 0;
    const ULONG by_default =
        (token->Privileges.EnabledByDefault >> number & 1) ? SE_PRIVILEGE_ENABLED_BY_DEFAULT : 0;
    part->Privileges[next++] = {{number, 0}, enabled | by_default};
  }
}

void Statistics(Answer* answer, const TOKEN* token) {
  answer->Value(TOKEN_STATISTICS{token->TokenId, token->AuthenticationId, token->ExpirationTime,
                                 token->TokenType, token->ImpersonationLevel, 0, 0,
                                 token->UserAndGroupCount - 1, PrivilegeCount(token), token->ModifiedId});
}

bool IsElevated(const TOKEN* token) {
  return IntegrityOf(token) >= 0x3000;
}

// Writes (or, without a target, measures) the answer.
NTSTATUS Compose(const TOKEN* token, TOKEN_INFORMATION_CLASS information, Answer* answer) {
  const SID_AND_ATTRIBUTES* sids = token->UserAndGroups;
  switch (information) {
    case TokenUser:
      OneSid(answer, sids[0]);
      return STATUS_SUCCESS;
    case TokenGroups:
      Groups(answer, sids + 1, token->UserAndGroupCount - 1);
      return STATUS_SUCCESS;
    case TokenRestrictedSids:
      Groups(answer, token->RestrictedSids, token->RestrictedSidCount);
      return STATUS_SUCCESS;
    case TokenPrivileges:
      Privileges(answer, token);
      return STATUS_SUCCESS;
    case TokenOwner:
      OnePointer(answer, sids[token->DefaultOwnerIndex].Sid,
                 RtlLengthSid(sids[token->DefaultOwnerIndex].Sid));
      return STATUS_SUCCESS;
    case TokenPrimaryGroup:
      OnePointer(answer, token->PrimaryGroup, RtlLengthSid(token->PrimaryGroup));
      return STATUS_SUCCESS;
    case TokenDefaultDacl:
      OnePointer(answer, token->DefaultDacl, token->DefaultDacl != nullptr ? token->DefaultDacl->AclSize : 0);
      return STATUS_SUCCESS;
    case TokenSource:
      answer->Value(token->TokenSource);
      return STATUS_SUCCESS;
    case TokenType:
      answer->Value(token->TokenType);
      return STATUS_SUCCESS;
    case TokenImpersonationLevel:
      if (token->TokenType != TokenImpersonation) return STATUS_INVALID_PARAMETER;
      answer->Value(token->ImpersonationLevel);
      return STATUS_SUCCESS;
    case TokenStatistics:
      Statistics(answer, token);
      return STATUS_SUCCESS;
    case TokenSessionId:
      answer->Value(token->SessionId);
      return STATUS_SUCCESS;
    case TokenSandBoxInert:
      answer->Value(ULONG{(token->TokenFlags & TOKEN_SANDBOX_INERT) != 0});
      return STATUS_SUCCESS;
    case TokenOrigin:
      answer->Value(TOKEN_ORIGIN{{0x3E7, 0}});
      return STATUS_SUCCESS;
    case TokenElevationType:
      answer->Value(ULONG{1});  // TokenElevationTypeDefault: no linked token
      return STATUS_SUCCESS;
    case TokenElevation:
      answer->Value(TOKEN_ELEVATION{IsElevated(token)});
      return STATUS_SUCCESS;
    case TokenHasRestrictions:
      answer->Value(ULONG{(token->TokenFlags & TOKEN_IS_FILTERED) != 0});
      return STATUS_SUCCESS;
    case TokenVirtualizationAllowed:
    case TokenVirtualizationEnabled:
    case TokenUIAccess:
      answer->Value(ULONG{0});
      return STATUS_SUCCESS;
    case TokenIntegrityLevel:
      OneSid(answer, sids[token->IntegrityLevelIndex]);
      return STATUS_SUCCESS;
    case TokenMandatoryPolicy:
      answer->Value(TOKEN_MANDATORY_POLICY{TOKEN_MANDATORY_POLICY_NO_WRITE_UP});
      return STATUS_SUCCESS;
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}

}  // namespace
}  // namespace se

/// A token's user, groups, privileges, statistics, integrity level ... in new memory, which the caller frees.
/// TokenIntegrityLevel, TokenSessionId, TokenImpersonationLevel and the other small answers: where a pointer
/// is wanted the number itself is put in its place, as on Windows (TokenIntegrityLevel: the level's RID).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none in the documented classes; linked tokens, audit policies and logon SIDs answer
/// STATUS_INVALID_INFO_CLASS.
/// Source: WDK ntifs/SeQueryInformationToken.
NT_EXPORT(SeQueryInformationToken, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" NTSTATUS NTAPI SeQueryInformationToken(PACCESS_TOKEN Token,
                                                  TOKEN_INFORMATION_CLASS TokenInformationClass,
                                                  PVOID* TokenInformation) {
  auto* token = static_cast<PTOKEN>(Token);
  ob::PushLockGuard guard(&token->TokenLock, ob::PushLockGuard::Access::kShared);
  if (TokenInformationClass == TokenIntegrityLevel) {
    *reinterpret_cast<PULONG>(TokenInformation) = se::IntegrityOf(token);
    return STATUS_SUCCESS;
  }
  if (TokenInformationClass == TokenSessionId) {
    *reinterpret_cast<PULONG>(TokenInformation) = token->SessionId;
    return STATUS_SUCCESS;
  }
  se::Answer measure(nullptr);
  const NTSTATUS status = se::Compose(token, TokenInformationClass, &measure);
  if (!NT_SUCCESS(status)) return status;
  PVOID buffer = ExAllocatePoolWithTag(PagedPool, measure.Size(), se::kTag);
  if (buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(buffer, measure.Size());
  se::Answer answer(buffer);
  (void)se::Compose(token, TokenInformationClass, &answer);
  *TokenInformation = buffer;
  return STATUS_SUCCESS;
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI
NtQueryInformationToken(HANDLE TokenHandle, TOKEN_INFORMATION_CLASS TokenInformationClass,
                        PVOID TokenInformation, ULONG TokenInformationLength, PULONG ReturnLength) {
  PVOID object;
  ACCESS_MASK granted;
  NTSTATUS status = ob::ReferenceHandle(TokenHandle, SeTokenObjectType, &object, &granted);
  if (!NT_SUCCESS(status)) return status;
  auto* token = static_cast<PTOKEN>(object);
  const ACCESS_MASK wanted = TokenInformationClass == TokenSource ? TOKEN_QUERY_SOURCE : TOKEN_QUERY;
  if (!(granted & wanted)) {
    status = STATUS_ACCESS_DENIED;
  } else {
    ob::PushLockGuard guard(&token->TokenLock, ob::PushLockGuard::Access::kShared);
    se::Answer measure(nullptr);
    status = se::Compose(token, TokenInformationClass, &measure);
    *ReturnLength = measure.Size();
    if (NT_SUCCESS(status) && TokenInformationLength < measure.Size()) status = STATUS_BUFFER_TOO_SMALL;
    if (NT_SUCCESS(status)) {
      se::Answer answer(TokenInformation);
      status = se::Compose(token, TokenInformationClass, &answer);
    }
  }
  ObfDereferenceObject(token);
  return status;
}

/// What the token of a handle holds. A buffer that is too small gets the needed length.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: as SeQueryInformationToken.
/// Source: WDK ntifs/ZwQueryInformationToken.
NT_EXPORT(ZwQueryInformationToken, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" NTSTATUS NTAPI ZwQueryInformationToken(HANDLE TokenHandle,
                                                  TOKEN_INFORMATION_CLASS TokenInformationClass,
                                                  PVOID TokenInformation, ULONG TokenInformationLength,
                                                  PULONG ReturnLength) {
  return ke::CallService(NtQueryInformationToken, TokenHandle, TokenInformationClass, TokenInformation,
                         TokenInformationLength, ReturnLength);
}

/// Whether a token is a primary or an impersonation token.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeTokenType.
NT_EXPORT(SeTokenType, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" TOKEN_TYPE NTAPI SeTokenType(PACCESS_TOKEN Token) {
  return static_cast<PTOKEN>(Token)->TokenType;
}

/// Whether the Administrators group is enabled in a token.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeTokenIsAdmin.
NT_EXPORT(SeTokenIsAdmin, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" BOOLEAN NTAPI SeTokenIsAdmin(PACCESS_TOKEN Token) {
  auto* token = static_cast<PTOKEN>(Token);
  for (ULONG i = 0; i < token->UserAndGroupCount; ++i) {
    if (RtlEqualSid(token->UserAndGroups[i].Sid, SeExports->SeAliasAdminsSid))
      return (token->UserAndGroups[i].Attributes & SE_GROUP_ENABLED) != 0;
  }
  return FALSE;
}

/// Whether a token has restricting SIDs.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeTokenIsRestricted.
NT_EXPORT(SeTokenIsRestricted, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" BOOLEAN NTAPI SeTokenIsRestricted(PACCESS_TOKEN Token) {
  return (static_cast<PTOKEN>(Token)->TokenFlags & TOKEN_IS_RESTRICTED) != 0;
}

/// The logon session that a token stands for.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeQueryAuthenticationIdToken.
NT_EXPORT(SeQueryAuthenticationIdToken, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" NTSTATUS NTAPI SeQueryAuthenticationIdToken(PACCESS_TOKEN Token, PLUID AuthenticationId) {
  *AuthenticationId = static_cast<PTOKEN>(Token)->AuthenticationId;
  return STATUS_SUCCESS;
}

/// The terminal session of a token.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeQuerySessionIdToken.
NT_EXPORT(SeQuerySessionIdToken, nt::AtMost(PASSIVE_LEVEL), Full, "SeToken.*");
extern "C" NTSTATUS NTAPI SeQuerySessionIdToken(PACCESS_TOKEN Token, PULONG SessionId) {
  *SessionId = static_cast<PTOKEN>(Token)->SessionId;
  return STATUS_SUCCESS;
}
