// Switching stacks, starting threads, capturing registers.
#include "frames.inc"

  .text

// VOID KiSwapContext(PVOID* old_stack, PVOID new_stack): saves what the ABI calls nonvolatile, leaves a KSWITCH_FRAME
// whose address goes to *old_stack, and goes on where new_stack was left. No lock is held across it. *old_stack is
// KTHREAD.KernelStack: a thread that uses the extended state (rarely) keeps it in its StateSaveArea meanwhile.
FUNCTION KiSwapContext
  EXCEPTION_FRAME_ENTER
  cmp dword ptr [rcx + KT_EXTENDED_USERS - KT_KERNEL_STACK], 0
  jne 1f
  call SwapContext
  EXCEPTION_FRAME_EXIT
  ret
1:
  mov rbp, rcx  // SwapContext keeps it, and nothing else
  mov r8, rdx
  mov r9, [rcx + KT_STATE_SAVE_AREA - KT_KERNEL_STACK]
  mov eax, -1
  mov edx, -1
  xsave64 [r9]
  mov rdx, r8
  call SwapContext
  mov r9, [rbp + KT_STATE_SAVE_AREA - KT_KERNEL_STACK]
  mov eax, -1
  mov edx, -1
  xrstor64 [r9]
  EXCEPTION_FRAME_EXIT
  ret
END_FUNCTION

FUNCTION SwapContext
  push rbp
  .seh_pushreg rbp
  sub rsp, 0x30
  .seh_stackalloc 0x30
  .seh_endprologue
  mov [rcx], rsp
  mov rsp, rdx
  add rsp, 0x30
  pop rbp
  ret
END_FUNCTION

// First instruction of a thread: the stack holds {0, system routine, start routine, context} (KeInitThread).
FUNCTION KiStartSystemThread
  sub rsp, 0x38
  .seh_stackalloc 0x38
  .seh_endprologue
  call KiFinishThreadStart
  mov rcx, [rsp + 0x38 + 0x10]
  mov rdx, [rsp + 0x38 + 0x18]
  call [rsp + 0x38 + 8]
  int3
END_FUNCTION

// VOID KiSwitchToBootStack(PVOID stack, routine): leaves the current stack for ever.
FUNCTION KiSwitchStackAndCall
  .seh_endprologue
  mov rsp, rcx
  sub rsp, 0x20
  push 0
  xor ebp, ebp
  jmp rdx
END_FUNCTION

// VOID RtlCaptureContext(PCONTEXT): the caller's registers as they will be when this returns.
FUNCTION RtlCaptureContext
  pushfq
  .seh_stackalloc 8
  .seh_endprologue
  mov dword ptr [rcx + CX_FLAGS], 0x10000F
  mov [rcx + CX_RAX], rax
  mov [rcx + CX_RAX + 0x08], rcx
  mov [rcx + CX_RAX + 0x10], rdx
  mov [rcx + CX_RAX + 0x18], rbx
  lea rax, [rsp + 0x10]
  mov [rcx + CX_RAX + 0x20], rax
  mov [rcx + CX_RAX + 0x28], rbp
  mov [rcx + CX_RAX + 0x30], rsi
  mov [rcx + CX_RAX + 0x38], rdi
  mov [rcx + CX_RAX + 0x40], r8
  mov [rcx + CX_RAX + 0x48], r9
  mov [rcx + CX_RAX + 0x50], r10
  mov [rcx + CX_RAX + 0x58], r11
  mov [rcx + CX_RAX + 0x60], r12
  mov [rcx + CX_RAX + 0x68], r13
  mov [rcx + CX_RAX + 0x70], r14
  mov [rcx + CX_RAX + 0x78], r15
  mov rax, [rsp + 8]
  mov [rcx + CX_RIP], rax
  mov eax, [rsp]
  mov [rcx + CX_EFLAGS], eax
  mov word ptr [rcx + CX_SEG_CS], cs
  mov word ptr [rcx + CX_SEG_CS + 2], ds
  mov word ptr [rcx + CX_SEG_CS + 4], es
  mov word ptr [rcx + CX_SEG_CS + 6], fs
  mov word ptr [rcx + CX_SEG_CS + 8], gs
  mov word ptr [rcx + CX_SEG_SS], ss
  fxsave64 [rcx + CX_FLOAT_SAVE]
  stmxcsr [rcx + CX_MXCSR]
  mov rax, [rcx + CX_RAX]
  add rsp, 8
  ret
END_FUNCTION

// VOID KeBugCheckEx(ULONG code, p1, p2, p3, p4): the registers of the caller's processor go to its PRCB, once.
FUNCTION KeBugCheckEx
  mov [rsp + 0x08], rcx
  mov [rsp + 0x10], rdx
  mov [rsp + 0x18], r8
  mov [rsp + 0x20], r9
  pushfq
  .seh_stackalloc 8
  sub rsp, 0x30
  .seh_stackalloc 0x30
  .seh_endprologue
  cli
  cmp byte ptr gs:[PCR_BUGCHECK_ENTERED], 0
  jne 1f
  mov byte ptr gs:[PCR_BUGCHECK_ENTERED], 1
  mov rcx, gs:[PCR_CURRENT_PRCB]
  add rcx, PCR_CONTEXT_FRAME - 0x180
  call RtlCaptureContext
  mov rcx, gs:[PCR_CURRENT_PRCB]
  mov rax, [rsp + 0x40]
  mov [rcx + PCR_CONTEXT_FRAME - 0x180 + CX_RAX + 0x08], rax
1:
  mov rax, [rsp + 0x60]
  mov [rsp + 0x20], rax
  mov r9, [rsp + 0x58]
  mov r8, [rsp + 0x50]
  mov rdx, [rsp + 0x48]
  mov ecx, [rsp + 0x40]
  call KeBugCheck2
  int3
END_FUNCTION
