// How kernel code calls a system service: Zw routines come here (ke/service_call.h) and go on in the Nt routine. The
// frames have the names that engineers know from the stacks of Windows.
#include "frames.inc"

  .text

// NTSTATUS KiServiceLinkage(routine rcx, count rdx, caller r8, arguments r9, [rsp + 0x28], ...): calls routine with its
// `count` arguments.
FUNCTION KiServiceLinkage
  sub rsp, 0x28
  .seh_stackalloc 0x28
  .seh_endprologue
  mov [rsp + 0x48], r9  // the fourth home slot: all arguments are now one array
  lea r9, [rsp + 0x48]
  call KiSystemServiceCopyEnd
  add rsp, 0x28
  ret
END_FUNCTION

// (routine rcx, count + previous mode * 0x100 rdx, caller r8, array of arguments r9). The previous mode is that (kernel, but
// for KiSystemCall64) while the routine runs, and the thread remembers the caller. No exception passes this frame: KiSystemServiceHandler.
FUNCTION KiSystemServiceCopyEnd
  .seh_handler KiSystemServiceHandler, @except, @unwind
  push rbp
  .seh_pushreg rbp
  push rsi
  .seh_pushreg rsi
  push rdi
  .seh_pushreg rdi
  sub rsp, SF_SIZE
  .seh_stackalloc SF_SIZE
  lea rbp, [rsp + SF_SIZE]
  .seh_setframe rbp, SF_SIZE
  .seh_endprologue
  mov r10, gs:[PCR_CURRENT_THREAD]
  mov rax, [r10 + ET_SERVICE_CALLER]
  mov [rbp - SF_SIZE + SF_CALLER], rax
  mov al, [r10 + KT_PREVIOUS_MODE]
  mov [rbp - SF_SIZE + SF_PREVIOUS_MODE], al
  mov [r10 + ET_SERVICE_CALLER], r8
  mov eax, edx
  shr eax, 8
  mov [r10 + KT_PREVIOUS_MODE], al
  movzx edx, dl
  mov rax, rcx
  lea rcx, [rdx - 3]   // the first four travel in registers; the count is rounded up to keep rsp aligned
  and rcx, -2
  cmp rdx, 4
  jbe 1f
  lea r11, [rcx * 8]
  sub rsp, r11
  mov rdi, rsp
  lea rsi, [r9 + 0x20]
  lea rcx, [rdx - 4]
  rep movsq
1:
  sub rsp, 0x20
  mov rcx, [r9]
  mov rdx, [r9 + 0x08]
  mov r8, [r9 + 0x10]
  mov r9, [r9 + 0x18]
  call rax
  mov r10, gs:[PCR_CURRENT_THREAD]
  mov r8, [rbp - SF_SIZE + SF_CALLER]
  mov [r10 + ET_SERVICE_CALLER], r8
  mov r8b, [rbp - SF_SIZE + SF_PREVIOUS_MODE]
  mov [r10 + KT_PREVIOUS_MODE], r8b
  lea rsp, [rbp]
  pop rdi
  pop rsi
  pop rbp
  ret
END_FUNCTION
