// The handler of nt!KiSystemServiceCopyEnd; which service a program asked for.
#include "ke/service_call.h"

#include "ke_internal.h"
#include "nt/seh.h"

namespace {
constexpr ULONG kSystemServiceException = 0x3B;
constexpr ULONG64 kInRegisters = 4, kHome = 0x28;  // home space and return address of the stub's caller
constexpr ULONG64 kForUser = 0x100;                // KiSystemServiceCopyEnd: previous mode User

const KeUserService* services;
ULONG service_count;
}  // namespace

extern "C" {

VOID KeSetUserServices(const KeUserService* table, ULONG count) {
  services = table;
  __atomic_store_n(&service_count, count, __ATOMIC_RELEASE);
}

PVOID KiSystemServiceRoutine(ULONG number) {
  return number < service_count ? services[number].routine : nullptr;
}

// From KiSystemCall64: the routine and its arguments in kernel memory.
NTSTATUS KiPrepareSystemService(PKTRAP_FRAME trap, PKSERVICE_REQUEST request) {
  const ULONG64 number = trap->Rax & 0xFFFFFFFF;
  if (number >= service_count) return STATUS_INVALID_SYSTEM_SERVICE;
  const KeUserService& service = services[number];
  request->Routine = service.routine;
  request->Count = (service.arguments != 0 ? service.arguments : 1) | kForUser;
  request->Arguments[0] = trap->R10, request->Arguments[1] = trap->Rdx;
  request->Arguments[2] = trap->R8, request->Arguments[3] = trap->R9;
  if (service.arguments <= kInRegisters) return STATUS_SUCCESS;
  const auto* more = reinterpret_cast<const VOID*>(trap->Rsp + kHome);
  return NT_SUCCESS(KeCopyFromUser(&request->Arguments[kInRegisters], more,
                                   (service.arguments - kInRegisters) * sizeof(ULONG64)))
             ? STATUS_SUCCESS
             : STATUS_ACCESS_VIOLATION;
}

// An exception that a service did not catch stops the machine, as on Windows: the handlers of the service's
// caller are not asked. An unwind (a long jump) passes, and gives the thread back what the service had
// changed.
KI_DISPOSITION KiSystemServiceHandler(PEXCEPTION_RECORD record, PVOID establisher, PCONTEXT context,
                                      PDISPATCHER_CONTEXT) {
  if ((record->ExceptionFlags & EXCEPTION_UNWIND) != 0) {
    const auto* frame = static_cast<const KSERVICE_FRAME*>(establisher);
    auto* thread = reinterpret_cast<PETHREAD>(KeCurrentThread());
    thread->Tcb.PreviousMode = frame->PreviousMode;
    thread->ServiceCaller = frame->Caller;
    return KiContinueSearch;
  }
  arch::DisableInterrupts();  // the PRCB's fields are this processor's
  KeGetCurrentPrcb()->BugCheckContext = context;
  KeBugCheckEx(kSystemServiceException, static_cast<ULONG>(record->ExceptionCode),
               reinterpret_cast<ULONG_PTR>(record->ExceptionAddress), reinterpret_cast<ULONG_PTR>(context),
               0);
}

}  // extern "C"
