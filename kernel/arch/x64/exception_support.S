// What exception dispatch cannot say in C++: calls of handlers under a watching frame, contexts, jump buffers.
#include "frames.inc"

#define DC_LANGUAGE_HANDLER 0x30
#define STATUS_LONGJUMP 0x80000026
#define STATUS_UNWIND_CONSOLIDATE 0x80000029
// EXCEPTION_RECORD
#define ER_NUMBER_PARAMETERS 0x18
#define ER_INFORMATION 0x20
// JUMP_BUFFER
#define JB_RBX 0x08
#define JB_RSP 0x10
#define JB_RBP 0x18
#define JB_RSI 0x20
#define JB_RDI 0x28
#define JB_R12 0x30
#define JB_R13 0x38
#define JB_R14 0x40
#define JB_R15 0x48
#define JB_RIP 0x50
#define JB_MXCSR 0x58
#define JB_FPCSR 0x5C
#define JB_XMM6 0x60

  .text

// (rcx record, rdx establisher, r8 context, r9 dispatcher context): calls the dispatcher context's handler. An
// exception inside it meets this frame's own handler, which finds the dispatcher context at rsp + 0x20.
.macro EXECUTE_HANDLER name, watcher
FUNCTION \name
  .seh_handler \watcher, @except, @unwind
  sub rsp, 0x28
  .seh_stackalloc 0x28
  .seh_endprologue
  mov [rsp + 0x20], r9
  call [r9 + DC_LANGUAGE_HANDLER]
  nop
  add rsp, 0x28
  ret
END_FUNCTION
.endm

EXECUTE_HANDLER RtlpExecuteHandlerForException, RtlpExceptionHandler
EXECUTE_HANDLER RtlpExecuteHandlerForUnwind, RtlpUnwindHandler

// VOID RtlRestoreContext(PCONTEXT rcx, PEXCEPTION_RECORD rdx): goes on where the context says; a long jump takes the
// nonvolatile registers from its jump buffer; a consolidating unwind asks its callback where to go on. Leaves by iretq, which sets RIP, RSP and the flags at once.
FUNCTION RtlRestoreContext
  push rbp
  .seh_pushreg rbp
  sub rsp, 0x30
  .seh_stackalloc 0x30
  .seh_endprologue
  test rdx, rdx
  jz 1f
  cmp dword ptr [rdx], STATUS_UNWIND_CONSOLIDATE
  je 2f
  cmp dword ptr [rdx], STATUS_LONGJUMP
  jne 1f
  mov rax, [rdx + ER_INFORMATION]
  mov r10, [rcx + CX_RAX]
  mov rcx, rax
  mov rdx, r10
  jmp KiRestoreJumpBuffer
1:
  movaps xmm0, [rcx + CX_XMM0]
  movaps xmm1, [rcx + CX_XMM0 + 0x10]
  movaps xmm2, [rcx + CX_XMM0 + 0x20]
  movaps xmm3, [rcx + CX_XMM0 + 0x30]
  movaps xmm4, [rcx + CX_XMM0 + 0x40]
  movaps xmm5, [rcx + CX_XMM0 + 0x50]
  movaps xmm6, [rcx + CX_XMM0 + 0x60]
  movaps xmm7, [rcx + CX_XMM0 + 0x70]
  movaps xmm8, [rcx + CX_XMM0 + 0x80]
  movaps xmm9, [rcx + CX_XMM0 + 0x90]
  movaps xmm10, [rcx + CX_XMM0 + 0xA0]
  movaps xmm11, [rcx + CX_XMM0 + 0xB0]
  movaps xmm12, [rcx + CX_XMM0 + 0xC0]
  movaps xmm13, [rcx + CX_XMM0 + 0xD0]
  movaps xmm14, [rcx + CX_XMM0 + 0xE0]
  movaps xmm15, [rcx + CX_XMM0 + 0xF0]
  ldmxcsr [rcx + CX_MXCSR]
  mov rax, [rcx + CX_RIP]
  mov [rsp], rax
  mov eax, cs
  mov [rsp + 0x08], rax
  mov eax, [rcx + CX_EFLAGS]
  mov [rsp + 0x10], rax
  mov rax, [rcx + CX_RAX + 0x20]
  mov [rsp + 0x18], rax
  mov eax, ss
  mov [rsp + 0x20], rax
  mov rax, [rcx + CX_RAX]
  mov rdx, [rcx + CX_RAX + 0x10]
  mov rbx, [rcx + CX_RAX + 0x18]
  mov rbp, [rcx + CX_RAX + 0x28]
  mov rsi, [rcx + CX_RAX + 0x30]
  mov rdi, [rcx + CX_RAX + 0x38]
  mov r8, [rcx + CX_RAX + 0x40]
  mov r9, [rcx + CX_RAX + 0x48]
  mov r10, [rcx + CX_RAX + 0x50]
  mov r11, [rcx + CX_RAX + 0x58]
  mov r12, [rcx + CX_RAX + 0x60]
  mov r13, [rcx + CX_RAX + 0x68]
  mov r14, [rcx + CX_RAX + 0x70]
  mov r15, [rcx + CX_RAX + 0x78]
  mov rcx, [rcx + CX_RAX + 0x08]
  iretq
2:
  cmp dword ptr [rdx + ER_NUMBER_PARAMETERS], 1
  jb 1b
  call RcConsolidateFrames
  int3
END_FUNCTION

// (PCONTEXT rcx, PEXCEPTION_RECORD rdx): calls the record's first parameter, a routine (PEXCEPTION_RECORD) that says where
// the context's frame goes on. The stack it sees is that frame's: what lies between is left out by a machine frame and the
// context's nonvolatile registers.
FUNCTION RcConsolidateFrames
  and rsp, -16
  mov eax, ss
  push rax
  mov rax, [rcx + CX_RAX + 0x20]
  push rax
  mov eax, [rcx + CX_EFLAGS]
  push rax
  mov eax, cs
  push rax
  mov rax, [rcx + CX_RIP]
  push rax
  .seh_pushframe
  sub rsp, 0x118
  .seh_stackalloc 0x118
  lea rax, [rcx + CX_RAX + 0x40]  // short displacements: a prologue has 255 bytes at most
  mov r8, [rax - 0x28]
  mov [rsp + 0x30], r8
  .seh_savereg rbx, 0x30
  mov r8, [rax - 0x18]
  mov [rsp + 0x38], r8
  .seh_savereg rbp, 0x38
  mov r8, [rax - 0x10]
  mov [rsp + 0x40], r8
  .seh_savereg rsi, 0x40
  mov r8, [rax - 0x8]
  mov [rsp + 0x48], r8
  .seh_savereg rdi, 0x48
  mov r8, [rax + 0x20]
  mov [rsp + 0x50], r8
  .seh_savereg r12, 0x50
  mov r8, [rax + 0x28]
  mov [rsp + 0x58], r8
  .seh_savereg r13, 0x58
  mov r8, [rax + 0x30]
  mov [rsp + 0x60], r8
  .seh_savereg r14, 0x60
  mov r8, [rax + 0x38]
  mov [rsp + 0x68], r8
  .seh_savereg r15, 0x68
  lea rax, [rcx + CX_XMM0 + 0xA0]
  lea r9, [rsp + 0xB0]
.irp number, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
  movaps xmm0, [rax + (\number - 10) * 0x10]
  movaps [r9 + (\number - 10) * 0x10], xmm0
  .seh_savexmm xmm\number, 0x70 + (\number - 6) * 0x10
.endr
  .seh_endprologue
  mov [rsp + 0x20], rcx
  mov rcx, rdx
  call [rdx + ER_INFORMATION]
  mov rcx, [rsp + 0x20]
  mov [rcx + CX_RIP], rax
  xor edx, edx
  call RtlRestoreContext
  int3
END_FUNCTION

// int _setjmp(JUMP_BUFFER* rcx, PVOID frame rdx), _setjmpex: frame 0 makes longjmp jump without unwinding.
.macro SET_JUMP name
FUNCTION \name
  .seh_endprologue
  mov [rcx], rdx
  mov [rcx + JB_RBX], rbx
  mov [rcx + JB_RBP], rbp
  mov [rcx + JB_RSI], rsi
  mov [rcx + JB_RDI], rdi
  mov [rcx + JB_R12], r12
  mov [rcx + JB_R13], r13
  mov [rcx + JB_R14], r14
  mov [rcx + JB_R15], r15
  lea r8, [rsp + 8]
  mov [rcx + JB_RSP], r8
  mov r8, [rsp]
  mov [rcx + JB_RIP], r8
  stmxcsr [rcx + JB_MXCSR]
  fnstcw [rcx + JB_FPCSR]
  movaps [rcx + JB_XMM6], xmm6
  movaps [rcx + JB_XMM6 + 0x10], xmm7
  movaps [rcx + JB_XMM6 + 0x20], xmm8
  movaps [rcx + JB_XMM6 + 0x30], xmm9
  movaps [rcx + JB_XMM6 + 0x40], xmm10
  movaps [rcx + JB_XMM6 + 0x50], xmm11
  movaps [rcx + JB_XMM6 + 0x60], xmm12
  movaps [rcx + JB_XMM6 + 0x70], xmm13
  movaps [rcx + JB_XMM6 + 0x80], xmm14
  movaps [rcx + JB_XMM6 + 0x90], xmm15
  xor eax, eax
  ret
END_FUNCTION
.endm

SET_JUMP _setjmp
SET_JUMP _setjmpex

// VOID KiRestoreJumpBuffer(JUMP_BUFFER* rcx, ULONG64 value rdx): setjmp returns again, with value.
FUNCTION KiRestoreJumpBuffer
  .seh_endprologue
  mov rax, rdx
  mov rbx, [rcx + JB_RBX]
  mov rsi, [rcx + JB_RSI]
  mov rdi, [rcx + JB_RDI]
  mov r12, [rcx + JB_R12]
  mov r13, [rcx + JB_R13]
  mov r14, [rcx + JB_R14]
  mov r15, [rcx + JB_R15]
  ldmxcsr [rcx + JB_MXCSR]
  fnclex
  fldcw [rcx + JB_FPCSR]
  movaps xmm6, [rcx + JB_XMM6]
  movaps xmm7, [rcx + JB_XMM6 + 0x10]
  movaps xmm8, [rcx + JB_XMM6 + 0x20]
  movaps xmm9, [rcx + JB_XMM6 + 0x30]
  movaps xmm10, [rcx + JB_XMM6 + 0x40]
  movaps xmm11, [rcx + JB_XMM6 + 0x50]
  movaps xmm12, [rcx + JB_XMM6 + 0x60]
  movaps xmm13, [rcx + JB_XMM6 + 0x70]
  movaps xmm14, [rcx + JB_XMM6 + 0x80]
  movaps xmm15, [rcx + JB_XMM6 + 0x90]
  mov rdx, [rcx + JB_RIP]
  mov rbp, [rcx + JB_RBP]
  mov rsp, [rcx + JB_RSP]
  jmp rdx
END_FUNCTION

// rax = bytes that the caller's frame will take: touches each page of them, so that an exhausted stack is met at its
// guard page. Changes r10 and r11 only.
FUNCTION __chkstk
  .seh_endprologue
  lea r10, [rsp + 8]
  sub r10, rax
  jae 1f
  xor r10d, r10d
1:
  lea r11, [rsp - 0x1000]
2:
  cmp r11, r10
  jb 3f
  test byte ptr [r11], 0
  sub r11, 0x1000
  jae 2b
3:
  ret
END_FUNCTION

// VOID KiSwitchKernelStackCallout(routine rcx, parameter rdx, PVOID stack_top r8): calls routine(parameter) on another
// stack. A machine frame at its top leads the unwinders back to this one.
FUNCTION KiSwitchKernelStackCallout
  .seh_handler KiKernelCalloutExceptionHandler, @except, @unwind
  mov rax, [rsp]
  mov [r8 - 0x28], rax
  mov eax, cs
  mov [r8 - 0x20], rax
  mov qword ptr [r8 - 0x18], 0x202
  lea rax, [rsp + 8]
  mov [r8 - 0x10], rax
  mov eax, ss
  mov [r8 - 0x08], rax
  lea rsp, [r8 - 0x28]
  .seh_pushframe
  sub rsp, 0x28
  .seh_stackalloc 0x28
  .seh_endprologue
  mov rax, rcx
  mov rcx, rdx
  call rax
  nop
  mov rdx, [rsp + 0x28 + 0x18]
  lea rsp, [rdx - 8]
  ret
END_FUNCTION
