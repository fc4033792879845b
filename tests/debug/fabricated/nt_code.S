# Functions of the fabricated kernel at the RVAs that the case study's stacks show, with the frame sizes that they show.
# .text begins at RVA 0x1000. Nothing here ever runs.

.macro function name, rva
    .org \rva - 0x1000, 0x90
    .globl \name
    .def \name
    .scl 2
    .type 32
    .endef
\name:
    .seh_proc \name
.endm

# A frame of `size` bytes (without the return address), a call whose return address is name+offset.
.macro calling name, rva, size, offset, callee
    function \name, \rva
    subq $\size, %rsp
    .seh_stackalloc \size
    .seh_endprologue
    .org \rva - 0x1000 + \offset - 5, 0x90
    callq \callee
    nop
    addq $\size, %rsp
    retq
    .seh_endproc
.endm

    .text
    function KiSystemStartup, 0x1000
    .seh_endprologue
    hlt
    retq
    .seh_endproc

    calling KeAcquireSpinLockRaiseToDpc, 0x2404e0, 0x28, 0x8e, KxWaitForSpinLockAndAcquire

    function KxWaitForSpinLockAndAcquire, 0x240580
    subq $0x28, %rsp
    .seh_stackalloc 0x28
    .seh_endprologue
    .org 0x240580 - 0x1000 + 0x1a, 0x90
    pause
    nop
    addq $0x28, %rsp
    retq
    .seh_endproc

    calling KiSwapThread, 0x26fa00, 0x148, 0x100, KiSwapContext

    function KiSwapContext, 0x26fe00
    subq $0x138, %rsp
    .seh_stackalloc 0x138
    .seh_endprologue
    .org 0x26fe00 - 0x1000 + 0x76, 0x90
    nop
    addq $0x138, %rsp
    retq
    .seh_endproc

    calling KeWaitForSingleObject, 0x271200, 0x398, 0x256, KiSwapThread

    function KeBugCheckEx, 0x300000
    .seh_endprologue
    .org 0x300000 - 0x1000 + 0x20, 0x90
    retq
    .seh_endproc

    calling KiBugCheckDispatch, 0x300100, 0x138, 0x69, KeBugCheckEx

# A trap frame (0x190 bytes, the machine frame at its end) below the interrupted code.
    function KiPageFault, 0x300200
    .seh_pushframe @code
    pushq %rbp
    .seh_pushreg %rbp
    subq $0x158, %rsp
    .seh_stackalloc 0x158
    leaq 0x80(%rsp), %rbp
    .seh_setframe %rbp, 0x80
    .seh_endprologue
    .org 0x300200 - 0x1000 + 0x474 - 5, 0x90
    callq KiBugCheckDispatch
    nop
    retq
    .seh_endproc

    calling IofCallDriver, 0x340000, 0x38, 0x55, KiSystemStartup
    calling IopParseDevice, 0x340100, 0x88, 0x90, IofCallDriver
    calling NtCreateFile, 0x340300, 0x78, 0x79, IopParseDevice
    calling ZwCreateFile, 0x340400, 0x28, 0x15, NtCreateFile

    calling PspSystemThreadStartup, 0x357380, 0x48, 0x57, KiSystemStartup
    calling KiStartSystemThread, 0x41b8a0, 0x38, 0x34, PspSystemThreadStartup
