// ntdll.dll: how the kernel is called, and where the kernel enters programs.
#include "frames.inc"

  .text

.macro EXPORT name
  .section .drectve, "yn"
  .ascii " /EXPORT:\name"
  .text
.endm

.macro SERVICE name
EXPORT \name
FUNCTION \name
  .seh_endprologue
  mov r10, rcx
  mov eax, number
  syscall
  ret
END_FUNCTION
  .set number, number + 1
.endm

  .set number, 0
#define USER_SERVICE(name, arguments) SERVICE name
#include "nt/user_services.inc"

// NtContinue comes back only where the context cannot be used.
.macro CONTINUE_OR_END
  call NtContinue
  mov edx, eax
  mov rcx, -1
  call NtTerminateProcess
  int3
.endm

// A user APC: rsp is at the CONTEXT with which the thread goes on afterwards. Its first four words are the routine's three
// arguments and the routine.
EXPORT KiUserApcDispatcher
FUNCTION KiUserApcDispatcher
  .seh_endprologue
  mov rcx, [rsp]
  mov rdx, [rsp + 0x08]
  mov r8, [rsp + 0x10]
  mov r9, rsp
  call [rsp + 0x18]
  mov rcx, rsp
  mov edx, 1
  CONTINUE_OR_END
END_FUNCTION

// An exception: the CONTEXT is at rsp, the EXCEPTION_RECORD behind it.
EXPORT KiUserExceptionDispatcher
FUNCTION KiUserExceptionDispatcher
  .seh_endprologue
  cld
  lea rcx, [rsp + 0x4F0]
  mov rdx, rsp
  call LdrpDispatchException
  int3
END_FUNCTION

// The first instructions of a thread: rcx is the CONTEXT with which it begins, rdx ntdll.dll.
EXPORT LdrInitializeThunk
FUNCTION LdrInitializeThunk
  sub rsp, 0x28
  .seh_stackalloc 0x28
  .seh_endprologue
  mov [rsp + 0x20], rcx
  call LdrpInitialize
  mov rcx, [rsp + 0x20]
  mov edx, 1
  CONTINUE_OR_END
END_FUNCTION

EXPORT DbgBreakPoint
FUNCTION DbgBreakPoint
  .seh_endprologue
  int3
  ret
END_FUNCTION
