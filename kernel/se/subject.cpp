// Who asks: subject contexts, access states, impersonation of a client.
#include "nt/eprocess.h"
#include "nt/export.h"
#include "se/descriptor.h"
#include "se/se.h"
#include "se/token.h"

/// The tokens that the current thread acts with: its client's, if it impersonates one, and its process's.
/// They stay until SeReleaseSubjectContext.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeCaptureSubjectContext.
NT_EXPORT(SeCaptureSubjectContext, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" VOID NTAPI SeCaptureSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext) {
  auto* thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  BOOLEAN copy, effective;
  *SubjectContext = {};
  SubjectContext->ClientToken =
      PsReferenceImpersonationToken(thread, &copy, &effective, &SubjectContext->ImpersonationLevel);
  SubjectContext->PrimaryToken = PsReferencePrimaryToken(reinterpret_cast<PEPROCESS>(thread->Tcb.Process));
  SubjectContext->ProcessAuditId = thread->Cid.UniqueProcess;
}

/// Keeps a captured context's tokens from being changed until SeUnlockSubjectContext.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeLockSubjectContext.
NT_EXPORT(SeLockSubjectContext, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" VOID NTAPI SeLockSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext) {
  KeEnterCriticalRegion();
  ExAcquirePushLockSharedEx(&static_cast<PTOKEN>(SubjectContext->PrimaryToken)->TokenLock, 0);
  if (SubjectContext->ClientToken != nullptr && SubjectContext->ClientToken != SubjectContext->PrimaryToken)
    ExAcquirePushLockSharedEx(&static_cast<PTOKEN>(SubjectContext->ClientToken)->TokenLock, 0);
}

/// Ends what SeLockSubjectContext began.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeUnlockSubjectContext.
NT_EXPORT(SeUnlockSubjectContext, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" VOID NTAPI SeUnlockSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext) {
  if (SubjectContext->ClientToken != nullptr && SubjectContext->ClientToken != SubjectContext->PrimaryToken)
    ExReleasePushLockSharedEx(&static_cast<PTOKEN>(SubjectContext->ClientToken)->TokenLock, 0);
  ExReleasePushLockSharedEx(&static_cast<PTOKEN>(SubjectContext->PrimaryToken)->TokenLock, 0);
  KeLeaveCriticalRegion();
}

/// Gives a captured context's tokens back.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeReleaseSubjectContext.
NT_EXPORT(SeReleaseSubjectContext, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" VOID NTAPI SeReleaseSubjectContext(PSECURITY_SUBJECT_CONTEXT SubjectContext) {
  if (SubjectContext->PrimaryToken != nullptr) ObfDereferenceObject(SubjectContext->PrimaryToken);
  if (SubjectContext->ClientToken != nullptr) ObfDereferenceObject(SubjectContext->ClientToken);
  SubjectContext->PrimaryToken = SubjectContext->ClientToken = nullptr;
}

/// Begins a request for access: who asks, for what (generic rights mapped).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft; used by drivers that open objects by pointer.
NT_EXPORT(SeCreateAccessState, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" NTSTATUS NTAPI SeCreateAccessState(PACCESS_STATE AccessState, PAUX_ACCESS_DATA AuxData,
                                              ACCESS_MASK DesiredAccess, PGENERIC_MAPPING GenericMapping) {
  RtlZeroMemory(AccessState, sizeof(*AccessState));
  RtlZeroMemory(AuxData, sizeof(*AuxData));
  SeCaptureSubjectContext(&AccessState->SubjectSecurityContext);
  se::NewLuid(&AccessState->OperationID);
  if (GenericMapping != nullptr) {
    RtlMapGenericMask(&DesiredAccess, GenericMapping);
    AuxData->GenericMapping = *GenericMapping;
  }
  AccessState->RemainingDesiredAccess = DesiredAccess;
  AccessState->OriginalDesiredAccess = DesiredAccess;
  AuxData->PrivilegesUsed = &AccessState->Privileges.PrivilegeSet;
  AccessState->AuxData = AuxData;
  const auto* context = &AccessState->SubjectSecurityContext;
  const auto* token =
      static_cast<PTOKEN>(context->ClientToken != nullptr ? context->ClientToken : context->PrimaryToken);
  if (token->TokenFlags & TOKEN_HAS_TRAVERSE_PRIVILEGE) AccessState->Flags = TOKEN_HAS_TRAVERSE_PRIVILEGE;
  return STATUS_SUCCESS;
}

/// Ends a request for access.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: not documented by Microsoft.
NT_EXPORT(SeDeleteAccessState, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" VOID NTAPI SeDeleteAccessState(PACCESS_STATE AccessState) {
  auto* data = static_cast<PAUX_ACCESS_DATA>(AccessState->AuxData);
  if (AccessState->PrivilegesAllocated) ExFreePoolWithTag(data->PrivilegesUsed, 0);
  if (AccessState->ObjectName.Buffer != nullptr) ExFreePoolWithTag(AccessState->ObjectName.Buffer, 0);
  if (AccessState->ObjectTypeName.Buffer != nullptr) ExFreePoolWithTag(AccessState->ObjectTypeName.Buffer, 0);
  SeReleaseSubjectContext(&AccessState->SubjectSecurityContext);
}

namespace {

void ControlOf(const TOKEN* token, PTOKEN_CONTROL control) {
  control->TokenId = token->TokenId;
  control->AuthenticationId = token->AuthenticationId;
  control->ModifiedId = token->ModifiedId;
  control->TokenSource = token->TokenSource;
}

// The client's token as the server may use it: itself when the client allows dynamic tracking and is local.
NTSTATUS ClientContext(PTOKEN token, bool impersonating, BOOLEAN copy_on_open, BOOLEAN effective_only,
                       SECURITY_IMPERSONATION_LEVEL level, PSECURITY_QUALITY_OF_SERVICE qos, BOOLEAN remote,
                       PSECURITY_CLIENT_CONTEXT context) {
  if (impersonating) {
    if (qos->ImpersonationLevel > level) return STATUS_BAD_IMPERSONATION_LEVEL;
    if (level == SecurityAnonymous || level == SecurityIdentification ||
        (remote && level != SecurityDelegation))
      return STATUS_BAD_IMPERSONATION_LEVEL;
  }
  const bool is_static = copy_on_open || qos->ContextTrackingMode == SECURITY_STATIC_TRACKING;
  context->SecurityQos = *qos;
  context->ServerIsRemote = remote;
  context->DirectAccessEffectiveOnly = effective_only || qos->EffectiveOnly;
  context->DirectlyAccessClientToken = !is_static;
  if (!is_static) {
    ObfReferenceObject(token);
    context->ClientToken = token;
    if (remote) ControlOf(token, &context->ClientTokenControl);
    return STATUS_SUCCESS;
  }
  PTOKEN copy;
  const NTSTATUS status = se::DuplicateToken(token, TokenImpersonation, qos->ImpersonationLevel,
                                             context->DirectAccessEffectiveOnly != FALSE, &copy);
  if (NT_SUCCESS(status)) context->ClientToken = copy;
  return status;
}

}  // namespace

/// What a server needs to act as the client thread: its impersonation or its process's token, or a copy.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeCreateClientSecurity.
NT_EXPORT(SeCreateClientSecurity, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" NTSTATUS NTAPI SeCreateClientSecurity(PETHREAD ClientThread,
                                                 PSECURITY_QUALITY_OF_SERVICE ClientSecurityQos,
                                                 BOOLEAN RemoteSession,
                                                 PSECURITY_CLIENT_CONTEXT ClientContext) {
  BOOLEAN copy = FALSE, effective = FALSE;
  SECURITY_IMPERSONATION_LEVEL level = SecurityAnonymous;
  PACCESS_TOKEN token = PsReferenceImpersonationToken(ClientThread, &copy, &effective, &level);
  const bool impersonating = token != nullptr;
  if (!impersonating) token = PsReferencePrimaryToken(reinterpret_cast<PEPROCESS>(ClientThread->Tcb.Process));
  const NTSTATUS status = ::ClientContext(static_cast<PTOKEN>(token), impersonating, copy, effective, level,
                                          ClientSecurityQos, RemoteSession, ClientContext);
  ObfDereferenceObject(token);
  return status;
}

/// The same for a captured subject.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeCreateClientSecurityFromSubjectContext.
NT_EXPORT(SeCreateClientSecurityFromSubjectContext, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" NTSTATUS NTAPI SeCreateClientSecurityFromSubjectContext(
    PSECURITY_SUBJECT_CONTEXT SubjectContext, PSECURITY_QUALITY_OF_SERVICE ClientSecurityQos,
    BOOLEAN ServerIsRemote, PSECURITY_CLIENT_CONTEXT ClientContext) {
  const bool impersonating = SubjectContext->ClientToken != nullptr;
  auto* token =
      static_cast<PTOKEN>(impersonating ? SubjectContext->ClientToken : SubjectContext->PrimaryToken);
  return ::ClientContext(token, impersonating, FALSE, FALSE, SubjectContext->ImpersonationLevel,
                         ClientSecurityQos, ServerIsRemote, ClientContext);
}

/// Lets a thread (0: the current one) act as a client.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeImpersonateClientEx.
NT_EXPORT(SeImpersonateClientEx, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" NTSTATUS NTAPI SeImpersonateClientEx(PSECURITY_CLIENT_CONTEXT ClientContext,
                                                PETHREAD ServerThread) {
  const BOOLEAN effective = ClientContext->DirectlyAccessClientToken
                                ? ClientContext->DirectAccessEffectiveOnly
                                : ClientContext->SecurityQos.EffectiveOnly;
  if (ServerThread == nullptr) ServerThread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  return PsImpersonateClient(ServerThread, ClientContext->ClientToken, TRUE, effective,
                             ClientContext->SecurityQos.ImpersonationLevel);
}

/// SeImpersonateClientEx without an answer.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/SeImpersonateClient.
NT_EXPORT(SeImpersonateClient, nt::AtMost(PASSIVE_LEVEL), Full, "SeSubject.*");
extern "C" VOID NTAPI SeImpersonateClient(PSECURITY_CLIENT_CONTEXT ClientContext, PETHREAD ServerThread) {
  (void)SeImpersonateClientEx(ClientContext, ServerThread);
}
