# The fabricated file system driver: its dispatch code lies in a pageable section. Nothing here ever runs.
    .text
    .globl DriverEntry
DriverEntry:
    .seh_proc DriverEntry
    .seh_endprologue
    retq
    .seh_endproc

    .section PAGE,"xr"
    .globl HostFsCreate
    .def HostFsCreate
    .scl 2
    .type 32
    .endef
HostFsCreate:
    .seh_proc HostFsCreate
    subq $0x58, %rsp
    .seh_stackalloc 0x58
    .seh_endprologue
    nop
    addq $0x58, %rsp
    retq
    .seh_endproc
