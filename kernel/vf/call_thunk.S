// A checked import of a verified driver comes here, by a stub that loads r11 with its VF_CHECKED_CALL: the arguments are
// shown to VfCheckCall and the call goes on at the routine, which sees the driver's own return address and stack.
#include "arch/x64/frames.inc"

  .text

FUNCTION VerifierCheckedCall
  sub rsp, 0x58
  .seh_stackalloc 0x58
  .seh_endprologue
  mov [rsp + 0x20], r11
  mov [rsp + 0x60], rcx  // the driver's home slots: all its arguments are one array
  mov [rsp + 0x68], rdx
  mov [rsp + 0x70], r8
  mov [rsp + 0x78], r9
  mov rcx, r11
  lea rdx, [rsp + 0x60]
  mov r8, [rsp + 0x58]
  call VfCheckCall
  mov r11, [rsp + 0x20]
  mov rcx, [rsp + 0x60]
  mov rdx, [rsp + 0x68]
  mov r8, [rsp + 0x70]
  mov r9, [rsp + 0x78]
  mov rax, [r11]  // VF_CHECKED_CALL.Target
  add rsp, 0x58
  jmp rax
END_FUNCTION
