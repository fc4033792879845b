// The PVH stub: QEMU enters here in 32-bit flat mode; the host's loader has already written page tables, kernel and
// boot::Handoff into RAM. The stub only checks that, switches to long mode and calls the kernel's entry as a Win64
// function: rcx = loader block, 32 bytes of home space, return address 0. Interrupts stay off; descriptors are the
// kernel's business from there on. A failure is reported as one line of text on the debug console, then halt.

.set kHandoff, 0x1F0000  // boot::kHandoffPhysical; the offsets below are those of boot::Handoff
.set kHandoffMagicLow, 0x4e414842
.set kHandoffMagicHigh, 0x46464f44
.set kHandoffCr3, 8
.set kHandoffEntry, 16
.set kHandoffStack, 24
.set kHandoffLoaderBlock, 32
.set kHandoffControl, 40
.set kControlState, 16  // offsetof(boot::ControlArea, state)
.set kStubEntered, 1
.set kDebugConsolePort, 0xE9
.set kCode32, 0x08
.set kData, 0x10
.set kCode64, 0x18

.set kCr0, 0x80010033  // PG WP NE ET MP PE
.set kCr4, 0x00000620  // PAE OSFXSR OSXMMEXCPT
.set kEfer, 0xC0000080
.set kEferBits, 0x900       // LME NXE
.set kCpuidBits, 0x20100000 // long mode, NX

  // ELF note "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY): where a PVH loader jumps to.
  .section .note.Xen, "a", @note
  .balign 4
  .long 4, 4, 18
  .asciz "Xen"
  .long BootEntry

  .section .text, "ax", @progbits
  .code32
  .globl BootEntry
BootEntry:
  cli
  cld
  movl $kStackTop, %esp
  lgdt kGdtPointer
  ljmp $kCode32, $.Lflat
.Lflat:
  movw $kData, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  xorl %eax, %eax
  movw %ax, %fs
  movw %ax, %gs

  movl $kNoHandoff, %esi
  cmpl $kHandoffMagicLow, kHandoff
  jne Fail
  cmpl $kHandoffMagicHigh, kHandoff + 4
  jne Fail

  movl $kNoLongMode, %esi
  movl $0x80000000, %eax
  cpuid
  cmpl $0x80000001, %eax
  jb Fail
  movl $0x80000001, %eax
  cpuid
  andl $kCpuidBits, %edx
  cmpl $kCpuidBits, %edx
  jne Fail

  // Both must be reachable before long mode is on: below 4 GiB.
  movl $kBadHandoff, %esi
  cmpl $0, kHandoff + kHandoffCr3 + 4
  jne Fail
  cmpl $0, kHandoff + kHandoffControl + 4
  jne Fail
  movl kHandoff + kHandoffControl, %eax
  movl $kStubEntered, kControlState(%eax)

  movl %cr4, %eax
  orl $kCr4, %eax
  movl %eax, %cr4
  movl kHandoff + kHandoffCr3, %eax
  movl %eax, %cr3
  movl $kEfer, %ecx
  rdmsr
  orl $kEferBits, %eax
  wrmsr
  movl $kCr0, %eax
  movl %eax, %cr0
  ljmp $kCode64, $.Llong

  .code64
.Llong:
  movl $kHandoff, %ebx
  movq kHandoffStack(%rbx), %rsp
  movq kHandoffLoaderBlock(%rbx), %rcx
  movq kHandoffEntry(%rbx), %rax
  xorl %edx, %edx
  xorl %ebp, %ebp
  xorl %esi, %esi
  xorl %edi, %edi
  subq $32, %rsp
  pushq $0
  cld
  jmpq *%rax

  .code32
// esi = zero-terminated text
Fail:
  movw $kDebugConsolePort, %dx
.Lnext:
  lodsb
  testb %al, %al
  jz .Lhalt
  outb %al, %dx
  jmp .Lnext
.Lhalt:
  cli
  hlt
  jmp .Lhalt

  .section .rodata, "a", @progbits
// "boot stub: " is the mark by which the host knows that the machine will not start.
kNoHandoff:
  .asciz "boot stub: there is no hand-off block in memory\n"
kNoLongMode:
  .asciz "boot stub: the processor has no long mode or no execute-disable\n"
kBadHandoff:
  .asciz "boot stub: page tables or control area above 4 GiB\n"

  .balign 8
kGdt:
  .quad 0
  .quad 0x00CF9B000000FFFF  // 32-bit code
  .quad 0x00CF93000000FFFF  // data
  .quad 0x00AF9B000000FFFF  // 64-bit code
kGdtEnd:
  .balign 4
kGdtPointer:
  .word kGdtEnd - kGdt - 1
  .long kGdt

  .section .bss, "aw", @nobits
  .balign 16
  .skip 256
kStackTop:
