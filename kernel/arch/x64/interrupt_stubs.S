// Entries of interrupts. The IRQL becomes the vector's class before interrupts are enabled again; the handler's end of
// interrupt lets the controller deliver higher ones only, because CR8 masks the rest.
#include "frames.inc"

  .text

// handler(KTRAP_FRAME*), called at `irql` with interrupts enabled. Exceptions that leave it meet `watcher`.
.macro INTERRUPT name, irql, handler, watcher
FUNCTION \name
.ifnb \watcher
  .seh_handler \watcher, @except, @unwind
.endif
  TRAP_ENTER 0
  mov ecx, \irql
  mov cr8, rcx
  sti
  mov rcx, rsp
  call \handler
  cli
  movzx ecx, byte ptr [rsp + TF_PREVIOUS_IRQL]
  mov cr8, rcx
  TRAP_EXIT
END_FUNCTION
.endm

INTERRUPT KiApcInterrupt, 1, KiHandleApcInterrupt
INTERRUPT KiDpcInterrupt, 2, KiHandleDpcInterrupt, KiDpcInterruptHandler
INTERRUPT KiClockInterrupt, 13, KiHandleClockInterrupt, KiInterruptHandler
INTERRUPT KiIpiInterrupt, 14, KiHandleIpiInterrupt, KiInterruptHandler

// No end of interrupt for the spurious vector.
FUNCTION KiSpuriousInterrupt
  TRAP_ENTER 0
  TRAP_EXIT
END_FUNCTION

// Devices: the thunk pushes the vector in the place of an error code.
FUNCTION KiInterruptDispatch
  .seh_handler KiInterruptHandler, @except, @unwind
  .seh_pushframe @code
  TRAP_ENTER_FROM_ERROR_CODE
  mov ecx, [rsp + TF_ERROR_CODE]
  shr ecx, 4
  mov cr8, rcx
  sti
  mov rcx, rsp
  call KiHandleDeviceInterrupt
  cli
  movzx ecx, byte ptr [rsp + TF_PREVIOUS_IRQL]
  mov cr8, rcx
  TRAP_EXIT
END_FUNCTION

// 256 thunks of 16 bytes: thunk n serves vector n.
FUNCTION KiIsrThunk
  .seh_pushframe
  .seh_endprologue
  .set vector, 0
  .rept 256
  .balign 16
  push vector
  jmp KiInterruptDispatch
  .set vector, vector + 1
  .endr
END_FUNCTION
