// ExpInterlockedPopEntrySList. The load at ...Fault reads the link of an entry that another processor may have
// popped and freed since the header was read. When that load faults and the header has changed, the page-fault
// handler (KiResumeSListPop) sends this code back to ...Resume; a header that has not changed means that the list
// really holds a bad entry. ktl/sequenced_list.h has the algorithm and the layout of the header.
#include "frames.inc"

  .text

// PSLIST_ENTRY ExpInterlockedPopEntrySList(PSLIST_HEADER)
// At ...Fault: r8 = header, rax and rdx = the header as it was read, r9 = first entry.
FUNCTION ExpInterlockedPopEntrySList
  push rbx
  .seh_pushreg rbx
  .seh_endprologue
  mov r8, rcx
  .globl ExpInterlockedPopEntrySListResume
ExpInterlockedPopEntrySListResume:
  mov rax, [r8]
  mov rdx, [r8 + 8]
.Lpop_again:
  mov r9, rdx
  and r9, -16
  jz .Lpop_empty
  .globl ExpInterlockedPopEntrySListFault
ExpInterlockedPopEntrySListFault:
  mov rcx, [r9]
  lea rbx, [rax + 0xFFFF]  // depth - 1 and sequence + 1: a list with an entry has a depth
  .globl ExpInterlockedPopEntrySListEnd
ExpInterlockedPopEntrySListEnd:
  lock cmpxchg16b [r8]
  jnz .Lpop_again
.Lpop_empty:
  mov rax, r9
  pop rbx
  ret
END_FUNCTION
