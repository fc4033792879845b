// Unwinding shapes that no compiler emits: a frame pushed by the CPU, a frame built by hand with a saved register in place.

        .text
        .intel_syntax noprefix

// int64_t MachineFrame(int64_t (*function)(int64_t), int64_t argument): calls function(argument) below a machine frame with
// an error code, as an exception handler does; iretq "resumes" at .Lresume.
        .def MachineFrame; .scl 2; .type 32; .endef
        .globl MachineFrame
        .seh_proc MachineFrame
MachineFrame:
        push rbx
        .seh_pushreg rbx
        mov rbx, rsp
        .seh_setframe rbx, 0
        .seh_endprologue
        mov rax, rcx
        mov rcx, rdx
        sub rsp, 64
        and rsp, -16
        mov r8d, ss
        push r8
        push rbx
        pushfq
        mov r8d, cs
        push r8
        lea r8, [rip + .Lresume]
        push r8
        push 0
        lea r9, [rip + Handler]
        jmp r9                  // no epilogue: those jump directly or with REX.W
.Lresume:
        nop
        pop rbx
        ret
        .seh_endproc

        .def Handler; .scl 2; .type 32; .endef
        .globl Handler
        .seh_proc Handler
Handler:
        .seh_pushframe @code
        sub rsp, 0x20
        .seh_stackalloc 0x20
        .seh_endprologue
        call rax
        nop
        add rsp, 0x28
        iretq
        .seh_endproc

// A frame with registers saved by mov, a frame register and an epilogue by lea.
        .def PushedByHand; .scl 2; .type 32; .endef
        .globl PushedByHand
        .seh_proc PushedByHand
PushedByHand:
        push rbp
        .seh_pushreg rbp
        sub rsp, 0x50
        .seh_stackalloc 0x50
        mov [rsp + 0x40], rsi
        .seh_savereg rsi, 0x40
        lea rbp, [rsp + 0x20]
        .seh_setframe rbp, 0x20
        .seh_endprologue
        mov rsi, 0x1234
        sub rsp, 0x40
        call Leaf
        mov rsi, [rbp + 0x20]
        lea rsp, [rbp + 0x30]
        pop rbp
        ret
        .seh_endproc
