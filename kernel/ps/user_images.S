// The files that every machine has: user/.
  .section .rdata, "dr"
  .globl PspNtdllFile
  .globl PspNtdllFileEnd
  .globl PspProgramFile
  .globl PspProgramFileEnd
  .balign 16
PspNtdllFile:
  .incbin "ntdll.dll"
PspNtdllFileEnd:
  .balign 16
PspProgramFile:
  .incbin "program.exe"
PspProgramFileEnd:
