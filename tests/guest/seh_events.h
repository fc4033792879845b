/* What the functions of the table are made of: letters in a log, raises, accesses. C only. */
#ifndef SEH_EVENTS_H
#define SEH_EVENTS_H

#include "seh_cases.h"

#include <excpt.h>

typedef struct SehLog LOG;

#define NOINLINE __attribute__((noinline))
#define SEH_HELPER __attribute__((noinline, unused))
#define POINTERS ((PEXCEPTION_POINTERS)_exception_info())
#define CODE(c) ((NTSTATUS)(c))
/* clang 19 ends the range of a __try one byte behind its last call, into whatever comes next; MSVC puts a nop
 * there, and so does this. */
#define CALL(call)           \
  do {                       \
    call;                    \
    __asm__ volatile("nop"); \
  } while (0)

static SEH_HELPER void E(LOG* log, char c) {
  if (log->length < sizeof log->text - 1) log->text[log->length++] = c;
}
static SEH_HELPER int Filter(LOG* log, char c, int verdict) {
  E(log, c);
  return verdict;
}
static __attribute__((unused)) DECLSPEC_NORETURN VOID(NTAPI* volatile raise_status)(NTSTATUS) = ExRaiseStatus;
static SEH_HELPER void Raise(NTSTATUS status) {
  VOID(NTAPI * raise)(NTSTATUS) =
      (VOID(NTAPI*)(NTSTATUS))raise_status; /* for all the compiler knows it returns */
  raise(status);
}
static SEH_HELPER void RaiseContinuable(NTSTATUS status) {
  EXCEPTION_RECORD record;
  RtlZeroMemory(&record, sizeof record);
  record.ExceptionCode = status;
  extern VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD);
  RtlRaiseException(&record);
}
static SEH_HELPER void WriteTo(ULONG_PTR address) {
  *(volatile int*)address = 1;
}
static SEH_HELPER int ReadFrom(ULONG_PTR address) {
  return *(volatile int*)address;
}
/* y if the code is the one wanted. */
static SEH_HELPER int CodeIs(LOG* log, ULONG code, NTSTATUS wanted) {
  E(log, code == (ULONG)wanted ? 'y' : 'N');
  return EXCEPTION_EXECUTE_HANDLER;
}

/* Of seh_faults.c */
void ReadFault(LOG* log);
void WriteFault(LOG* log);
void ExecuteFault(LOG* log);
void NotCanonical(LOG* log);
void ContinueAfterBreakpoint(LOG* log);
void ContinueAfterAssertion(LOG* log);
void ContinueAfterDebugService(LOG* log);
void RepairAndRetry(LOG* log);
void DivideByZero(LOG* log);
void DivideOverflow(LOG* log);
void DivideOverflowInMemory(LOG* log);
void IllegalInstruction(LOG* log);
void PrivilegedInstruction(LOG* log);
void SingleStep(LOG* log);
void OverflowTrap(LOG* log);

#endif
