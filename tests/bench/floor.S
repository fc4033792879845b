// QEMU's own floor: a PVH guest that ends QEMU through isa-debug-exit as its first act.
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
  movw $0x501, %dx
  xorl %eax, %eax
  outl %eax, %dx
.Lhalt:
  hlt
  jmp .Lhalt
