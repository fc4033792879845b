// The six spin lock routines. Bit 0 is the lock, taken by `lock bts`. An uncontended acquisition and its release are 16
// instructions beyond the two writes of CR8, the lock trace's record included (ke/lock_trace.h says what it means):
//   xadd  takes a slot: the register holds DISPATCH_LEVEL (2) just written to CR8, so the 8-bit index moves by 2,
//         and index * 8 is the offset of a 16-byte entry
//   mov   slot.Lock; mov, mov slot.CallerAddress; rdtsc, mov slot.TscLow
//   sub   gives the slot back.
// The contended path is a separate unwind range of the same symbol: it is the only part with a stack frame.
#include "frames.inc"

  .text

// in: rcx = lock held by us, r9d = 2. Destroys rax, rdx, r8, r9.
.macro TRACE_PUSH
  xadd gs:[PCR_LOCK_INDEX], r9b
  mov gs:[r9 * 8 + PCR_LOCK_STACK], rcx
  mov r8, [rsp]
  mov gs:[r9 * 8 + PCR_LOCK_STACK + 8], r8
  rdtsc
  mov gs:[r9 * 8 + PCR_LOCK_TIME], eax
.endm

.macro TRACE_POP
  sub byte ptr gs:[PCR_LOCK_INDEX], 2
.endm

// KIRQL KeAcquireSpinLockRaiseToDpc(PKSPIN_LOCK)
FUNCTION KeAcquireSpinLockRaiseToDpc
  .seh_endprologue
  mov r10, cr8
  mov r9d, 2
  mov cr8, r9
  lock bts qword ptr [rcx], 0
  jc .Lraise_contended
  TRACE_PUSH
  mov eax, r10d
  ret
END_FUNCTION
.Lraise_contended:
  .seh_proc .Lraise_contended
  sub rsp, 0x28
  .seh_stackalloc 0x28
  .seh_endprologue
  mov [rsp + 0x30], r10
  mov rdx, [rsp + 0x28]
  mov r8d, r10d
  call KxWaitForSpinLockAndAcquire
  mov rax, [rsp + 0x30]
  add rsp, 0x28
  ret
  .seh_endproc

// VOID KeAcquireSpinLockAtDpcLevel(PKSPIN_LOCK), and under the name that 32-bit Windows has.
.macro ACQUIRE_AT_DPC name
FUNCTION \name
  .seh_endprologue
  lock bts qword ptr [rcx], 0
  jc .L\name\()_contended
  mov r9d, 2
  TRACE_PUSH
  ret
END_FUNCTION
.L\name\()_contended:
  .seh_proc .L\name\()_contended
  sub rsp, 0x28
  .seh_stackalloc 0x28
  .seh_endprologue
  mov rdx, [rsp + 0x28]
  mov r8, cr8
  call KxWaitForSpinLockAndAcquire
  add rsp, 0x28
  ret
  .seh_endproc
.endm

ACQUIRE_AT_DPC KeAcquireSpinLockAtDpcLevel
ACQUIRE_AT_DPC KefAcquireSpinLockAtDpcLevel

// BOOLEAN KeTryToAcquireSpinLockAtDpcLevel(PKSPIN_LOCK)
FUNCTION KeTryToAcquireSpinLockAtDpcLevel
  .seh_endprologue
  lock bts qword ptr [rcx], 0
  jc 1f
  mov r9d, 2
  TRACE_PUSH
  mov eax, 1
  ret
1:
  pause
  xor eax, eax
  ret
END_FUNCTION

// VOID KeReleaseSpinLock(PKSPIN_LOCK, KIRQL)
FUNCTION KeReleaseSpinLock
  .seh_endprologue
  TRACE_POP
  mov qword ptr [rcx], 0
  movzx edx, dl
  mov cr8, rdx
  ret
END_FUNCTION

// VOID KeReleaseSpinLockFromDpcLevel(PKSPIN_LOCK), and under the name that 32-bit Windows has.
.macro RELEASE_FROM_DPC name
FUNCTION \name
  .seh_endprologue
  TRACE_POP
  mov qword ptr [rcx], 0
  ret
END_FUNCTION
.endm

RELEASE_FROM_DPC KeReleaseSpinLockFromDpcLevel
RELEASE_FROM_DPC KefReleaseSpinLockFromDpcLevel
