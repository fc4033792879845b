// The accelerator probe: a PVH guest that does what a kernel does often and a bad hypervisor does slowly (port and
// local APIC accesses, cpuid, control registers, plain loops), then ends QEMU through isa-debug-exit. The host times it.

.set kRounds, 3000
.set kLocalApicVersion, 0xFEE00030
.set kLocalApicTaskPriority, 0xFEE00080
.set kExitPort, 0x501

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
  movl $kRounds, %ebp
.Lround:
  xorl %eax, %eax
  cpuid
  movl kLocalApicVersion, %eax
  movl $0x20, kLocalApicTaskPriority
  movl $0, kLocalApicTaskPriority
  movl %cr0, %eax
  movl %eax, %cr0
  movl %cr3, %eax
  movl %eax, %cr3
  movl $1000, %ecx
.Lspin:
  decl %ecx
  jnz .Lspin
  decl %ebp
  jnz .Lround
  movw $kExitPort, %dx
  movl $0x10, %eax
  outl %eax, %dx
.Lhalt:
  hlt
  jmp .Lhalt
