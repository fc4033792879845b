// Where the other processors start: real mode, at physical kBase (one page below 1 MiB, identity mapped), into which
// KiStartProcessors copies the code between the two labels. Ends in KiApplicationProcessorStart(processor) on the stack
// that the table names for this APIC identifier. Offsets of the parameters: arch/ap_trampoline.h.
  .set kBase, 0x8000

  .section .rdata, "dr"
  .globl KiApTrampoline
  .globl KiApTrampolineEnd
  .balign 16
KiApTrampoline:
  .code16
  cli
  cld
  xorw %ax, %ax
  movw %ax, %ds
  lgdtl (.Lgdt_pointer - KiApTrampoline + kBase)
  movl %cr0, %eax
  orl $1, %eax
  movl %eax, %cr0
  ljmpl $8, $(.Lprotected - KiApTrampoline + kBase)

  .code32
.Lprotected:
  movw $0x10, %ax
  movw %ax, %ds
  movw %ax, %es
  movw %ax, %ss
  movl %cr4, %eax
  orl $0x620, %eax
  movl %eax, %cr4
  movl (.Lcr3 - KiApTrampoline + kBase), %eax
  movl %eax, %cr3
  movl $0xC0000080, %ecx
  rdmsr
  orl $0x900, %eax
  wrmsr
  movl %cr0, %eax
  andl $0x9FFFFFFB, %eax
  orl $0x80010023, %eax
  movl %eax, %cr0
  ljmpl $0x18, $(.Llong - KiApTrampoline + kBase)

  .code64
.Llong:
  movl $1, %eax
  cpuid
  shrl $24, %ebx
  cmpl (.Lcount - KiApTrampoline + kBase), %ebx
  jae .Lhalt
  movq (.Lstacks - KiApTrampoline + kBase), %rax
  movq (%rax,%rbx,8), %rsp
  movl %ebx, %ecx
  movq (.Lentry - KiApTrampoline + kBase), %rax
  xorl %ebp, %ebp
  subq $32, %rsp
  pushq $0
  jmpq *%rax
.Lhalt:
  cli
  hlt
  jmp .Lhalt

  .balign 16
.Lgdt:
  .quad 0
  .quad 0x00CF9B000000FFFF
  .quad 0x00CF93000000FFFF
  .quad 0x00AF9B000000FFFF
.Lgdt_pointer:
  .word .Lgdt_pointer - .Lgdt - 1
  .long .Lgdt - KiApTrampoline + kBase
  .balign 16
  .globl KiApTrampolineParameters
KiApTrampolineParameters:
.Lcr3:
  .quad 0
.Lentry:
  .quad 0
.Lstacks:
  .quad 0
.Lcount:
  .quad 0
KiApTrampolineEnd:
