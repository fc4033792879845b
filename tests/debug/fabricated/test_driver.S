# The fabricated driver of the case study: a worker that asks for a spin lock (return address at +0x1297, frame of
# 0x338 bytes) and one that calls ZwCreateFile (return address at +0x1120). Nothing here ever runs.
    .text
    .globl DriverEntry
DriverEntry:
    .seh_proc DriverEntry
    .seh_endprologue
    retq
    .seh_endproc

    .org 0x100, 0x90
    .globl FileCreationThread
    .def FileCreationThread
    .scl 2
    .type 32
    .endef
FileCreationThread:
    .seh_proc FileCreationThread
    subq $0x338, %rsp
    .seh_stackalloc 0x338
    .seh_endprologue
    .org 0x120 - 5, 0x90
    callq DriverEntry
    nop
    addq $0x338, %rsp
    retq
    .seh_endproc

    .org 0x250, 0x90
    .globl FileMoveThread
    .def FileMoveThread
    .scl 2
    .type 32
    .endef
FileMoveThread:
    .seh_proc FileMoveThread
    subq $0x338, %rsp
    .seh_stackalloc 0x338
    .seh_endprologue
    .org 0x297 - 5, 0x90
    callq DriverEntry
    nop
    addq $0x338, %rsp
    retq
    .seh_endproc
