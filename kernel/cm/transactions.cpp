// The kernel transaction manager, which is not there: who asks for a transaction is refused, once with a line
// on the console, so that a driver that can do without one goes on without. Handles are checked first, as
// ever: no handle leads to a transaction.
#include "cm_internal.h"
#include "ke/service_call.h"
#include "nt/export.h"

extern "C" {
POBJECT_TYPE TmTransactionObjectType;
struct _KENLISTMENT;
struct _KRESOURCEMANAGER;
}

/// The type of transactions. There is none of it.
/// IRQL: any.
/// Differs from NT: transactions cannot be created.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(TmTransactionObjectType, Partial, "CmTransactions.*");

namespace {

NTSTATUS Refuse(const char* name) {
  static volatile LONG told;
  if (InterlockedExchange(&told, 1) == 0)
    DbgPrint("nt: %s: there are no transactions in this kernel; refused (STATUS_NOT_SUPPORTED)\n", name);
  return STATUS_NOT_SUPPORTED;
}

// The end of a transaction that a handle does not lead to.
NTSTATUS CheckTransaction(HANDLE handle) {
  PVOID object;
  const NTSTATUS status = ob::ReferenceHandle(handle, TmTransactionObjectType, &object, nullptr);
  if (!NT_SUCCESS(status)) return status;
  ObfDereferenceObject(object);
  return STATUS_TRANSACTION_NOT_ACTIVE;
}

}  // namespace

namespace cm {

NTSTATUS InitTransactions() {
  const ob::TypeDescription type = {L"TmTx",
                                    'xTmT',
                                    {STANDARD_RIGHTS_READ | 1, STANDARD_RIGHTS_WRITE | 0x3E,
                                     STANDARD_RIGHTS_EXECUTE | 0x18, STANDARD_RIGHTS_ALL | 0x3F},
                                    STANDARD_RIGHTS_ALL | 0x3F,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    nullptr,
                                    false,
                                    0};
  return ob::CreateType(type, &TmTransactionObjectType);
}

}  // namespace cm

/// Would create a transaction.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED: there is no transaction manager.
/// Source: WDK wdm/ZwCreateTransaction.
NT_EXPORT(ZwCreateTransaction, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwCreateTransaction(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, LPGUID, HANDLE, ULONG,
                                              ULONG, ULONG, PLARGE_INTEGER, PUNICODE_STRING) {
  return Refuse("ZwCreateTransaction");
}

/// Would commit a transaction.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no transactions: STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH.
/// Source: WDK wdm/ZwCommitTransaction.
NT_EXPORT(ZwCommitTransaction, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwCommitTransaction(HANDLE TransactionHandle, BOOLEAN) {
  return CheckTransaction(TransactionHandle);
}

/// Would roll a transaction back.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no transactions: STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH.
/// Source: WDK wdm/ZwRollbackTransaction.
NT_EXPORT(ZwRollbackTransaction, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwRollbackTransaction(HANDLE TransactionHandle, BOOLEAN) {
  return CheckTransaction(TransactionHandle);
}

/// Would create a transaction manager.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED.
/// Source: WDK wdm/ZwCreateTransactionManager.
NT_EXPORT(ZwCreateTransactionManager, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwCreateTransactionManager(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES,
                                                     PUNICODE_STRING, ULONG, ULONG) {
  return Refuse("ZwCreateTransactionManager");
}

/// Would create a resource manager.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED.
/// Source: WDK wdm/ZwCreateResourceManager.
NT_EXPORT(ZwCreateResourceManager, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwCreateResourceManager(PHANDLE, ACCESS_MASK, HANDLE, LPGUID, POBJECT_ATTRIBUTES,
                                                  ULONG, PUNICODE_STRING) {
  return Refuse("ZwCreateResourceManager");
}

/// Would enlist a resource manager in a transaction.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED.
/// Source: WDK wdm/ZwCreateEnlistment.
NT_EXPORT(ZwCreateEnlistment, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwCreateEnlistment(PHANDLE, ACCESS_MASK, HANDLE, HANDLE, POBJECT_ATTRIBUTES, ULONG,
                                             NOTIFICATION_MASK, PVOID) {
  return Refuse("ZwCreateEnlistment");
}

/// Would create a key within a transaction.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no transactions: STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH.
/// Source: WDK wdm/ZwCreateKeyTransacted.
NT_EXPORT(ZwCreateKeyTransacted, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwCreateKeyTransacted(PHANDLE KeyHandle, ACCESS_MASK, POBJECT_ATTRIBUTES, ULONG,
                                                PUNICODE_STRING, ULONG, HANDLE TransactionHandle, PULONG) {
  *KeyHandle = nullptr;
  return CheckTransaction(TransactionHandle);
}

/// Would open a key within a transaction.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: there are no transactions: STATUS_INVALID_HANDLE, STATUS_OBJECT_TYPE_MISMATCH.
/// Source: WDK wdm/ZwOpenKeyTransacted.
NT_EXPORT(ZwOpenKeyTransacted, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI ZwOpenKeyTransacted(PHANDLE KeyHandle, ACCESS_MASK, POBJECT_ATTRIBUTES,
                                              HANDLE TransactionHandle) {
  *KeyHandle = nullptr;
  return CheckTransaction(TransactionHandle);
}

/// Would let a resource manager's notifications come by callback.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED; nobody has a resource manager.
/// Source: WDK wdm/TmEnableCallbacks.
NT_EXPORT(TmEnableCallbacks, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI TmEnableCallbacks(_KRESOURCEMANAGER*, PVOID, PVOID) {
  return Refuse("TmEnableCallbacks");
}

/// Would tell that an enlistment's commit is complete.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED; nobody has an enlistment.
/// Source: WDK wdm/TmCommitComplete.
NT_EXPORT(TmCommitComplete, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI TmCommitComplete(_KENLISTMENT*, PLARGE_INTEGER) {
  return Refuse("TmCommitComplete");
}

/// Would tell that an enlistment's rollback is complete.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: refused with STATUS_NOT_SUPPORTED; nobody has an enlistment.
/// Source: WDK wdm/TmRollbackComplete.
NT_EXPORT(TmRollbackComplete, nt::AtMost(PASSIVE_LEVEL), Stub, "CmTransactions.*");
extern "C" NTSTATUS NTAPI TmRollbackComplete(_KENLISTMENT*, PLARGE_INTEGER) {
  return Refuse("TmRollbackComplete");
}

/// The transaction that a key object is bound to: none.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none; keys cannot be opened within transactions.
/// Source: WDK wdm/CmGetBoundTransaction.
NT_EXPORT(CmGetBoundTransaction, nt::AtMost(APC_LEVEL), Full, "CmTransactions.*");
extern "C" PVOID NTAPI CmGetBoundTransaction(PLARGE_INTEGER, PVOID) {
  return nullptr;
}
