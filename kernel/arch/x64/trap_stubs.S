// Entries of exceptions. Each builds a KTRAP_FRAME; the page fault asks mm first, everything else becomes an exception
// record (KiExceptionDispatch) or a bug check (KiBugCheckDispatch).
#include "frames.inc"

#define STATUS_ACCESS_VIOLATION 0xC0000005
#define STATUS_ILLEGAL_INSTRUCTION 0xC000001D
#define STATUS_PRIVILEGED_INSTRUCTION 0xC0000096
#define STATUS_INTEGER_DIVIDE_BY_ZERO 0xC0000094
#define STATUS_INTEGER_OVERFLOW 0xC0000095
#define STATUS_ARRAY_BOUNDS_EXCEEDED 0xC000008C
#define STATUS_BREAKPOINT 0x80000003
#define STATUS_SINGLE_STEP 0x80000004
#define STATUS_ASSERTION_FAILURE 0xC0000420
#define STATUS_FLOAT_MULTIPLE_FAULTS 0xC00002B4
#define STATUS_FLOAT_MULTIPLE_TRAPS 0xC00002B5
#define STATUS_DATATYPE_MISALIGNMENT 0x80000002
#define STATUS_STACK_BUFFER_OVERRUN 0xC0000409
#define STATUS_GUARD_PAGE_VIOLATION 0x80000001
#define STATUS_IN_PAGE_ERROR 0xC0000006
#define IRQL_FAULT_STATUS 0xD0000006

  .text

// ecx = status, edx = number of parameters, r8 = address, r9, r10, r11 = parameters; rbp as in every stub.
// Comes back when the exception was handled; the frames then say where to go on.
FUNCTION KiExceptionDispatch
  EXCEPTION_FRAME_ENTER 0xA0
  mov [rsp + 0x140], ecx
  mov dword ptr [rsp + 0x144], 0
  mov qword ptr [rsp + 0x148], 0
  mov [rsp + 0x150], r8
  mov [rsp + 0x158], edx
  mov dword ptr [rsp + 0x15C], 0
  mov [rsp + 0x160], r9
  mov [rsp + 0x168], r10
  mov [rsp + 0x170], r11
  lea rcx, [rsp + 0x140]
  mov rdx, rsp
  lea r8, [rbp - TF_BIAS]
  movzx r9d, byte ptr [rbp - TF_BIAS + TF_SEG_CS]
  and r9d, 1
  mov byte ptr [rsp + EF_P5], 1
  call KiDispatchException
  EXCEPTION_FRAME_EXIT 0xA0
  ret
END_FUNCTION

// ecx = code, rdx, r8, r9, r10 = parameters; rbp as in every stub.
FUNCTION KiBugCheckDispatch
  EXCEPTION_FRAME_ENTER
  cli
  mov [rsp + EF_P5], r10
  lea rax, [rbp - TF_BIAS]
  mov gs:[PCR_BUGCHECK_TRAP_FRAME], rax
  mov gs:[PCR_BUGCHECK_EXCEPTION_FRAME], rsp
  call KeBugCheckEx
  int3
END_FUNCTION

FUNCTION KiPageFault
  TRAP_ENTER 1
  mov rax, cr2
  mov [rsp + TF_FAULT_ADDRESS], rax
  TRAP_ALLOW_INTERRUPTS
  mov rcx, rsp
  call KiHandlePageFault
  test eax, eax
  jns 1f
  cmp eax, IRQL_FAULT_STATUS
  je 2f
  mov ecx, eax
  mov edx, 2
  mov r11d, eax
  cmp eax, STATUS_ACCESS_VIOLATION
  je 3f
  cmp eax, STATUS_GUARD_PAGE_VIOLATION
  je 3f
  mov ecx, STATUS_IN_PAGE_ERROR
  mov edx, 3
3:
  mov r8, [rsp + TF_RIP]
  movzx r9d, byte ptr [rsp + TF_FAULT_INDICATOR]
  mov r10, [rsp + TF_FAULT_ADDRESS]
  call KiExceptionDispatch
1:
  TRAP_EXIT
2:
  mov ecx, 0xA
  mov rdx, [rsp + TF_FAULT_ADDRESS]
  movzx r8d, byte ptr [rsp + TF_PREVIOUS_IRQL]
  movzx r9d, byte ptr [rsp + TF_FAULT_INDICATOR]
  mov r10, [rsp + TF_RIP]
  call KiBugCheckDispatch
  int3
END_FUNCTION

// An exception whose record is (status, address of the instruction, no parameters).
.macro SIMPLE_EXCEPTION name, code, status
FUNCTION \name
  TRAP_ENTER \code
  TRAP_ALLOW_INTERRUPTS
  mov ecx, \status
  xor edx, edx
  mov r8, [rsp + TF_RIP]
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION
.endm

SIMPLE_EXCEPTION KiDivideErrorFault, 0, STATUS_INTEGER_DIVIDE_BY_ZERO
SIMPLE_EXCEPTION KiOverflowTrap, 0, STATUS_INTEGER_OVERFLOW
SIMPLE_EXCEPTION KiBoundFault, 0, STATUS_ARRAY_BOUNDS_EXCEEDED
SIMPLE_EXCEPTION KiInvalidOpcodeFault, 0, STATUS_ILLEGAL_INSTRUCTION
SIMPLE_EXCEPTION KiNpxNotAvailableFault, 0, STATUS_ILLEGAL_INSTRUCTION
SIMPLE_EXCEPTION KiFloatingErrorFault, 0, STATUS_FLOAT_MULTIPLE_FAULTS
SIMPLE_EXCEPTION KiAlignmentFault, 1, STATUS_DATATYPE_MISALIGNMENT

// A single step, or a debug register: the code that is told goes on without the trap flag.
FUNCTION KiDebugTrapOrFault
  TRAP_ENTER 0
  TRAP_ALLOW_INTERRUPTS
  and dword ptr [rsp + TF_EFLAGS], ~0x100
  mov ecx, STATUS_SINGLE_STEP
  xor edx, edx
  mov r8, [rsp + TF_RIP]
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION

// Invalid, denormal and division are faults; overflow, underflow and inexact results traps. Parameters: 0, MXCSR.
FUNCTION KiXmmException
  TRAP_ENTER 0
  TRAP_ALLOW_INTERRUPTS
  mov r10d, [rsp + TF_MXCSR]
  mov eax, r10d
  shr eax, 7
  not eax
  and eax, r10d
  mov ecx, STATUS_FLOAT_MULTIPLE_FAULTS
  test eax, 0x07
  jnz 1f
  mov ecx, STATUS_FLOAT_MULTIPLE_TRAPS
1:
  mov edx, 2
  mov r8, [rsp + TF_RIP]
  xor r9d, r9d
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION

// int 3: the record's address is the instruction itself, so RIP goes back over it. Parameter: breakpoint number 0.
FUNCTION KiBreakpointTrap
  TRAP_ENTER 0
  TRAP_ALLOW_INTERRUPTS
  dec qword ptr [rsp + TF_RIP]
  mov ecx, STATUS_BREAKPOINT
  mov edx, 1
  mov r8, [rsp + TF_RIP]
  xor r9d, r9d
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION

// int 2Ch: a failed assertion of a driver; going on means after the two bytes.
FUNCTION KiRaiseAssertion
  TRAP_ENTER 0
  TRAP_ALLOW_INTERRUPTS
  sub qword ptr [rsp + TF_RIP], 2
  mov ecx, STATUS_ASSERTION_FAILURE
  xor edx, edx
  mov r8, [rsp + TF_RIP]
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION

// int 2Dh: the debugger's service eax, which nobody serves; going on means after the int 3 that follows. Parameter: the service.
FUNCTION KiDebugServiceTrap
  TRAP_ENTER 0
  TRAP_ALLOW_INTERRUPTS
  mov r8, [rsp + TF_RIP]
  inc qword ptr [rsp + TF_RIP]
  mov ecx, STATUS_BREAKPOINT
  mov edx, 1
  mov r9, [rsp + TF_RAX]
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION

// int 29h: fail fast; never an exception that code could catch. Parameter 1 is ecx. A program is ended.
FUNCTION KiRaiseSecurityCheckFailure
  TRAP_ENTER 0
  sub qword ptr [rsp + TF_RIP], 2
  test byte ptr [rsp + TF_SEG_CS], 1
  jnz 1f
  call KxFastFail
  int3
1:
  sti
  mov ecx, STATUS_STACK_BUFFER_OVERRUN
  mov edx, 1
  mov r8, [rsp + TF_RIP]
  mov r9d, [rsp + TF_RCX]
  call KiExceptionDispatch
  TRAP_EXIT
END_FUNCTION

// The rest of the registers and room for the record.
FUNCTION KxFastFail
  EXCEPTION_FRAME_ENTER 0xA0
  lea rcx, [rbp - TF_BIAS]
  mov rdx, rsp
  lea r8, [rsp + 0x140]
  call KiFastFailDispatch
  int3
END_FUNCTION

// An access violation at an unknown address.
.macro UNKNOWN_ADDRESS
  mov ecx, STATUS_ACCESS_VIOLATION
  mov edx, 2
  mov r8, [rsp + TF_RIP]
  xor r9d, r9d
  mov r10, -1
  call KiExceptionDispatch
  TRAP_EXIT
.endm

// Non-canonical addresses (through rsp or rbp: a stack fault) and forbidden instructions: an access violation at an
// unknown address, as NT reports them; KiPreprocessFault knows privileged instructions.
.macro PROTECTION_FAULT name
FUNCTION \name
  TRAP_ENTER 1
  TRAP_ALLOW_INTERRUPTS
  UNKNOWN_ADDRESS
END_FUNCTION
.endm

PROTECTION_FAULT KiGeneralProtectionFault
PROTECTION_FAULT KiStackFault

// What a correct kernel never meets: bug check 7F with the vector. A program that brings it about gets an exception.
.macro FATAL_TRAP name, code, vector
FUNCTION \name
  TRAP_ENTER \code
  test byte ptr [rsp + TF_SEG_CS], 1
  jz 1f
  sti
  UNKNOWN_ADDRESS
1:
  mov ecx, 0x7F
  mov edx, \vector
  mov r8, [rsp + TF_ERROR_CODE]
  mov r9, [rsp + TF_RSP]
  mov r10, [rsp + TF_RIP]
  call KiBugCheckDispatch
  int3
END_FUNCTION
.endm

FATAL_TRAP KiNpxSegmentOverrunAbort, 0, 9
FATAL_TRAP KiInvalidTssFault, 1, 10
FATAL_TRAP KiSegmentNotPresentFault, 1, 11
FATAL_TRAP KiUnexpectedTrap, 0, 15

FUNCTION KiDoubleFaultAbort
  TRAP_ENTER_PARANOID 1
  mov ecx, 0x7F
  mov edx, 8
  mov r8, [rsp + TF_ERROR_CODE]
  mov r9, [rsp + TF_RSP]
  mov r10, [rsp + TF_RIP]
  call KiBugCheckDispatch
  int3
END_FUNCTION

FUNCTION KiMcheckAbort
  TRAP_ENTER_PARANOID 0
  mov ecx, 0x9C
  xor edx, edx
  xor r8d, r8d
  xor r9d, r9d
  xor r10d, r10d
  call KiBugCheckDispatch
  int3
END_FUNCTION

// On its own stack. A freeze request never comes back; an NMI of the host is bug check 80.
FUNCTION KiNmiInterrupt
  TRAP_ENTER_PARANOID 0
  call KxNmiWithExceptionFrame
  test eax, eax
  jz 1f
  mov ecx, 0x80
  mov edx, 0x4F4454
  xor r8d, r8d
  xor r9d, r9d
  xor r10d, r10d
  call KiBugCheckDispatch
1:
  TRAP_EXIT_PARANOID
END_FUNCTION

// The rest of the registers, for the CONTEXT of a frozen processor.
FUNCTION KxNmiWithExceptionFrame
  EXCEPTION_FRAME_ENTER
  lea rcx, [rbp - TF_BIAS]
  mov rdx, rsp
  call KiHandleNmi
  EXCEPTION_FRAME_EXIT
  ret
END_FUNCTION
