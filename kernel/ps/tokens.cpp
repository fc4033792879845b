// The tokens of processes and threads: references, impersonation, handles.
#include "ps_internal.h"

#include "ke/service_call.h"
#include "nt/export.h"
#include "se/token.h"

namespace {

// Puts `token` (0: none) in the place of what the thread had; the old one's reference is given back.
void Replace(PETHREAD thread, PTOKEN token, SECURITY_IMPERSONATION_LEVEL level, BOOLEAN copy,
             BOOLEAN effective) {
  PTOKEN old;
  {
    ob::PushLockGuard guard(&thread->ThreadLock, ob::PushLockGuard::Access::kExclusive);
    old = thread->ActiveImpersonationInfo ? thread->ImpersonationToken : nullptr;
    thread->ImpersonationToken = token;
    thread->ImpersonationLevel = level;
    thread->CopyOnOpen = copy;
    thread->EffectiveOnly = effective;
    if (token != nullptr)
      InterlockedOr(reinterpret_cast<volatile LONG*>(&thread->CrossThreadFlags), 0x8);
    else
      InterlockedAnd(reinterpret_cast<volatile LONG*>(&thread->CrossThreadFlags), ~0x8L);
  }
  if (old != nullptr) ObfDereferenceObject(old);
}

PTOKEN TokenOf(PEPROCESS process) {
  return static_cast<PTOKEN>(process->Token);
}

// Whether a process may act as a token at a level above identification: it has the privilege, or it is the
// same user at no higher a mandatory level.
bool MayImpersonate(PEPROCESS process, const TOKEN* token) {
  const TOKEN* own = TokenOf(process);
  if (se::HasPrivilege(own, SeExports->SeImpersonatePrivilege)) return true;
  return RtlEqualSid(own->UserAndGroups[0].Sid, token->UserAndGroups[0].Sid) &&
         se::IntegrityOf(token) <= se::IntegrityOf(own) &&
         (own->RestrictedSidCount == 0 || token->RestrictedSidCount != 0);
}

}  // namespace

/// A process's token, referenced.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsReferencePrimaryToken.
NT_EXPORT(PsReferencePrimaryToken, nt::AtMost(PASSIVE_LEVEL), Full, "PsToken.*");
extern "C" PACCESS_TOKEN NTAPI PsReferencePrimaryToken(PEPROCESS Process) {
  ObfReferenceObject(Process->Token);
  return Process->Token;
}

// A macro in the headers.
#undef PsDereferencePrimaryToken
#undef PsDereferenceImpersonationToken
/// Gives the reference of PsReferencePrimaryToken back.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsDereferencePrimaryToken.
NT_EXPORT(PsDereferencePrimaryToken, nt::AtMost(APC_LEVEL), Full, "PsToken.*");
extern "C" VOID NTAPI PsDereferencePrimaryToken(PACCESS_TOKEN PrimaryToken) {
  ObfDereferenceObject(PrimaryToken);
}

/// The token that a thread acts as, referenced, with its conditions; 0 if the thread acts for itself.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsReferenceImpersonationToken.
NT_EXPORT(PsReferenceImpersonationToken, nt::AtMost(PASSIVE_LEVEL), Full, "PsToken.*");
extern "C" PACCESS_TOKEN NTAPI
PsReferenceImpersonationToken(PETHREAD Thread, PBOOLEAN CopyOnOpen, PBOOLEAN EffectiveOnly,
                              PSECURITY_IMPERSONATION_LEVEL ImpersonationLevel) {
  if (!Thread->ActiveImpersonationInfo) return nullptr;
  ob::PushLockGuard guard(&Thread->ThreadLock, ob::PushLockGuard::Access::kExclusive);
  if (!Thread->ActiveImpersonationInfo) return nullptr;
  ObfReferenceObject(Thread->ImpersonationToken);
  *CopyOnOpen = Thread->CopyOnOpen;
  *EffectiveOnly = Thread->EffectiveOnly;
  *ImpersonationLevel = Thread->ImpersonationLevel;
  return Thread->ImpersonationToken;
}

/// Gives the reference of PsReferenceImpersonationToken back.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsDereferenceImpersonationToken.
NT_EXPORT(PsDereferenceImpersonationToken, nt::AtMost(APC_LEVEL), Full, "PsToken.*");
extern "C" VOID NTAPI PsDereferenceImpersonationToken(PACCESS_TOKEN ImpersonationToken) {
  if (ImpersonationToken != nullptr) ObfDereferenceObject(ImpersonationToken);
}

/// Lets a thread act as a token (0: for itself again). A process without the right to impersonate gets a copy
/// that only identifies the client.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsImpersonateClient.
NT_EXPORT(PsImpersonateClient, nt::AtMost(PASSIVE_LEVEL), Full, "PsToken.*");
extern "C" NTSTATUS NTAPI PsImpersonateClient(PETHREAD Thread, PACCESS_TOKEN Token, BOOLEAN CopyOnOpen,
                                              BOOLEAN EffectiveOnly,
                                              SECURITY_IMPERSONATION_LEVEL ImpersonationLevel) {
  auto* token = static_cast<PTOKEN>(Token);
  if (token == nullptr) {
    Replace(Thread, nullptr, SecurityAnonymous, FALSE, FALSE);
    return STATUS_SUCCESS;
  }
  if (ImpersonationLevel > SecurityIdentification &&
      !MayImpersonate(reinterpret_cast<PEPROCESS>(Thread->Tcb.Process), token)) {
    const NTSTATUS status =
        se::DuplicateToken(token, TokenImpersonation, SecurityIdentification, EffectiveOnly != FALSE, &token);
    if (!NT_SUCCESS(status)) return status;
    ImpersonationLevel = SecurityIdentification;
  } else {
    ObfReferenceObject(token);
  }
  Replace(Thread, token, ImpersonationLevel, CopyOnOpen, EffectiveOnly);
  return STATUS_SUCCESS;
}

/// Ends the current thread's impersonation.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsRevertToSelf.
NT_EXPORT(PsRevertToSelf, nt::AtMost(PASSIVE_LEVEL), Full, "PsToken.*");
extern "C" VOID NTAPI PsRevertToSelf(VOID) {
  Replace(reinterpret_cast<PETHREAD>(KeGetCurrentThread()), nullptr, SecurityAnonymous, FALSE, FALSE);
}

namespace ps {

NTSTATUS SetToken(PEPROCESS process, se::Account account, ULONG session) {
  PTOKEN token;
  const NTSTATUS status = se::CreateAccountToken(account, session, &token);
  if (!NT_SUCCESS(status)) return status;
  token->TokenInUse = TRUE;
  process->Token = token;
  return STATUS_SUCCESS;
}

NTSTATUS InheritToken(PEPROCESS process, PEPROCESS parent) {
  PTOKEN token;
  const NTSTATUS status = se::DuplicateToken(TokenOf(parent), TokenPrimary, SecurityAnonymous, false, &token);
  if (!NT_SUCCESS(status)) return status;
  token->TokenInUse = TRUE;
  process->Token = token;
  return STATUS_SUCCESS;
}

}  // namespace ps

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenProcessTokenEx(HANDLE ProcessHandle,
                                                                 ACCESS_MASK DesiredAccess,
                                                                 ULONG HandleAttributes,
                                                                 PHANDLE TokenHandle) {
  *TokenHandle = nullptr;
  PVOID process;
  NTSTATUS status = ObReferenceObjectByHandle(ProcessHandle, PROCESS_QUERY_INFORMATION, PsProcessType,
                                              KeGetCurrentThread()->PreviousMode, &process, nullptr);
  if (!NT_SUCCESS(status)) return status;
  PACCESS_TOKEN token = PsReferencePrimaryToken(static_cast<PEPROCESS>(process));
  status = ObOpenObjectByPointer(token, HandleAttributes, nullptr, DesiredAccess, SeTokenObjectType,
                                 KeGetCurrentThread()->PreviousMode, TokenHandle);
  PsDereferencePrimaryToken(token);
  ObfDereferenceObject(process);
  return status;
}

/// A handle to a process's token.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwOpenProcessTokenEx.
NT_EXPORT(ZwOpenProcessTokenEx, nt::AtMost(PASSIVE_LEVEL), Full, "PsToken.*");
extern "C" NTSTATUS NTAPI ZwOpenProcessTokenEx(HANDLE ProcessHandle, ACCESS_MASK DesiredAccess,
                                               ULONG HandleAttributes, PHANDLE TokenHandle) {
  return ke::CallService(NtOpenProcessTokenEx, ProcessHandle, DesiredAccess, HandleAttributes, TokenHandle);
}

extern "C" DECLSPEC_NOINLINE NTSTATUS NTAPI NtOpenThreadTokenEx(HANDLE ThreadHandle,
                                                                ACCESS_MASK DesiredAccess, BOOLEAN OpenAsSelf,
                                                                ULONG HandleAttributes, PHANDLE TokenHandle) {
  *TokenHandle = nullptr;
  PVOID thread;
  const KPROCESSOR_MODE mode = KeGetCurrentThread()->PreviousMode;
  NTSTATUS status =
      ObReferenceObjectByHandle(ThreadHandle, THREAD_QUERY_INFORMATION, PsThreadType, mode, &thread, nullptr);
  if (!NT_SUCCESS(status)) return status;
  BOOLEAN copy, effective;
  SECURITY_IMPERSONATION_LEVEL level;
  PACCESS_TOKEN token =
      PsReferenceImpersonationToken(static_cast<PETHREAD>(thread), &copy, &effective, &level);
  ObfDereferenceObject(thread);
  if (token == nullptr) return STATUS_NO_TOKEN;
  if (level == SecurityAnonymous) {
    status = STATUS_CANT_OPEN_ANONYMOUS;
  } else if (copy) {
    PTOKEN duplicate;
    status = se::DuplicateToken(static_cast<PTOKEN>(token), TokenImpersonation, level, effective != FALSE,
                                &duplicate);
    ObfDereferenceObject(token);
    if (!NT_SUCCESS(status)) return status;
    token = duplicate;
  }
  if (NT_SUCCESS(status))
    status = ObOpenObjectByPointer(token, HandleAttributes, nullptr, DesiredAccess, SeTokenObjectType,
                                   OpenAsSelf ? KPROCESSOR_MODE{KernelMode} : mode, TokenHandle);
  ObfDereferenceObject(token);
  return status;
}

/// A handle to the token that a thread acts as (a copy where the client wants that); STATUS_NO_TOKEN if it
/// acts for itself.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/ZwOpenThreadTokenEx.
NT_EXPORT(ZwOpenThreadTokenEx, nt::AtMost(PASSIVE_LEVEL), Full, "PsToken.*");
extern "C" NTSTATUS NTAPI ZwOpenThreadTokenEx(HANDLE ThreadHandle, ACCESS_MASK DesiredAccess,
                                              BOOLEAN OpenAsSelf, ULONG HandleAttributes,
                                              PHANDLE TokenHandle) {
  return ke::CallService(NtOpenThreadTokenEx, ThreadHandle, DesiredAccess, OpenAsSelf, HandleAttributes,
                         TokenHandle);
}
