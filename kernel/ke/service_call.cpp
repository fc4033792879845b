// The handler of nt!KiSystemServiceCopyEnd.
#include "ke/service_call.h"

#include "ke_internal.h"
#include "nt/seh.h"

namespace {
constexpr ULONG kSystemServiceException = 0x3B;
}

extern "C" {

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
