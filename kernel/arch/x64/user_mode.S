// To ring 3 and back. In ring 3 gs is the program's, and the kernel's lies in the other MSR; who comes from there swaps them
// first (TRAP_ENTER by the saved CS, KiSystemCall64 always), and who goes there last, with interrupts disabled.
#include "frames.inc"

  .text

// syscall: rcx = return address, r11 = flags, eax = number of the service, r10, rdx, r8, r9 and the stack its arguments. Still
// on the program's stack, interrupts disabled.
FUNCTION KiSystemCall64
  swapgs
  mov gs:[PCR_USER_RSP], rsp
  mov rsp, gs:[PCR_RSP_BASE]
  push 0x2B
  push qword ptr gs:[PCR_USER_RSP]
  push r11
  push 0x33
  push rcx
  sub rsp, 8
  .seh_pushframe @code
  mov rcx, r10
  TRAP_SAVE
  ldmxcsr gs:[PCR_MXCSR]
  mov byte ptr [rsp + TF_PREVIOUS_MODE], 1
  mov byte ptr [rsp + TF_EXCEPTION_ACTIVE], TF_SERVICE_ACTIVE
  mov eax, [rsp + TF_RAX]
  mov rcx, gs:[PCR_CURRENT_THREAD]
  mov [rcx + KT_TRAP_FRAME], rsp
  mov [rcx + KT_SYSTEM_CALL_NUMBER], eax
  sti
  sub rsp, SR_SIZE + 0x20
  lea rcx, [rbp - TF_BIAS]
  lea rdx, [rsp + 0x20]
  call KiPrepareSystemService
  test eax, eax
  js 1f
  mov rcx, [rsp + 0x20 + SR_ROUTINE]
  mov rdx, [rsp + 0x20 + SR_COUNT]
  mov r8, [rbp - TF_BIAS + TF_RIP]
  lea r9, [rsp + 0x20 + SR_ARGUMENTS]
  call KiSystemServiceCopyEnd
1:
  lea rsp, [rbp - TF_BIAS]
  cmp byte ptr [rsp + TF_EXCEPTION_ACTIVE], TF_SERVICE_ACTIVE
  jne 2f  // the frame is another context's now
  mov [rsp + TF_RAX], rax
2:
  mov rcx, rsp
  call KiCheckSystemServiceExit
  jmp KiExitToUser
END_FUNCTION

// The frame at rsp becomes the program's registers, after whatever the thread has to do before.
FUNCTION KiExitToUser
  ON_TRAP_FRAME
1:
  cli
  mov rax, gs:[PCR_CURRENT_THREAD]
  mov cl, [rax + KT_EXIT_PENDING]
  or cl, [rax + KT_USER_APC_PENDING]
  jnz 3f
  mov rax, [rsp + TF_RIP]  // iretq and sysretq to such an address would fault here, after swapgs
  shr rax, 47
  jnz 4f
2:
  cmp byte ptr [rsp + TF_EXCEPTION_ACTIVE], TF_SERVICE_ACTIVE
  je 5f
  TRAP_RESTORE
  swapgs
  add rsp, TF_RIP
  iretq
3:
  sti
  call KiRunUserWork
  jmp 1b
4:
  mov qword ptr [rsp + TF_RIP], 0  // an exception of the program's own
  jmp 2b
5:
  TRAP_RESTORE
  mov rcx, [rsp + TF_RIP]
  mov r11d, [rsp + TF_EFLAGS]
  mov rsp, [rsp + TF_RSP]
  swapgs
  sysretq
END_FUNCTION

// The rest of the registers: they may become a context on the program's stack.
FUNCTION KiRunUserWork
  EXCEPTION_FRAME_ENTER
  lea rcx, [rbp - TF_BIAS]
  mov rdx, rsp
  call KiPrepareUserExit
  EXCEPTION_FRAME_EXIT
  ret
END_FUNCTION

// VOID KiLeaveToUser(PKTRAP_FRAME rcx): a thread goes to ring 3 for the first time.
FUNCTION KiLeaveToUser
  .seh_endprologue
  mov rsp, rcx
  lea rbp, [rcx + TF_BIAS]
  xor r12d, r12d
  xor r13d, r13d
  xor r14d, r14d
  xor r15d, r15d
  jmp KiExitToUser
END_FUNCTION

// NTSTATUS NtContinue(PCONTEXT rcx, BOOLEAN test_alert rdx), NTSTATUS NtRaiseException(PEXCEPTION_RECORD rcx, PCONTEXT rdx,
// BOOLEAN first_chance r8): services that replace the registers with which the program goes on.
.macro CONTEXT_SERVICE name, routine
FUNCTION \name
  EXCEPTION_FRAME_ENTER
  mov r9, rsp
  call \routine
  EXCEPTION_FRAME_EXIT
  ret
END_FUNCTION
.endm

CONTEXT_SERVICE NtContinue, KiContinueService
CONTEXT_SERVICE NtRaiseException, KiRaiseExceptionService
