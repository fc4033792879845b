// Offsets that the assembly files use; checked against the types in ke/offsets_check.cpp.
#pragma once

// gs:
#define PCR_TSS_BASE 0x08
#define PCR_USER_RSP 0x10
#define PCR_CURRENT_PRCB 0x20
#define PCR_MXCSR 0x180
#define PCR_RSP_BASE 0x1A8
#define PCR_CURRENT_THREAD 0x188
#define PCR_LOCK_INDEX 0xCF8
#define PCR_LOCK_STACK 0xD00
#define PCR_LOCK_TIME 0x1500
#define PCR_BUGCHECK_TRAP_FRAME 0x1D00
#define PCR_BUGCHECK_EXCEPTION_FRAME 0x1D08
#define PCR_BUGCHECK_ENTERED 0x1D2B
#define PCR_CONTEXT_FRAME 0x2F0
// KTRAP_FRAME
#define TF_SIZE 0x190
#define TF_PREVIOUS_MODE 0x28
#define TF_PREVIOUS_IRQL 0x29
#define TF_FAULT_INDICATOR 0x2A
#define TF_EXCEPTION_ACTIVE 0x2B
#define TF_MXCSR 0x2C
#define TF_RAX 0x30
#define TF_RCX 0x38
#define TF_RDX 0x40
#define TF_R8 0x48
#define TF_R9 0x50
#define TF_R10 0x58
#define TF_R11 0x60
#define TF_GS_BASE 0x68
#define TF_XMM0 0x70
#define TF_FAULT_ADDRESS 0xD0
#define TF_RBX 0x140
#define TF_RDI 0x148
#define TF_RSI 0x150
#define TF_RBP 0x158
#define TF_ERROR_CODE 0x160
#define TF_RIP 0x168
#define TF_SEG_CS 0x170
#define TF_EFLAGS 0x178
#define TF_RSP 0x180
#define TF_SEG_SS 0x188
// TF_EXCEPTION_ACTIVE: the frame of a system service that returns to where it was called.
#define TF_SERVICE_ACTIVE 2
// The trap frame is at rbp - TF_BIAS in every stub.
#define TF_BIAS 0x80
// KEXCEPTION_FRAME
#define EF_P5 0x20
#define EF_XMM6 0x30
#define EF_MXCSR 0xF0
#define EF_RBP 0xF8
#define EF_RBX 0x100
#define EF_RDI 0x108
#define EF_RSI 0x110
#define EF_R12 0x118
#define EF_R13 0x120
#define EF_R14 0x128
#define EF_R15 0x130
#define EF_ALLOCATION 0x138
// KTHREAD
#define KT_KERNEL_STACK 0x48
#define KT_STATE_SAVE_AREA 0x50
#define KT_EXTENDED_USERS 0x58
#define KT_EXIT_PENDING 0x5C
#define KT_SYSTEM_CALL_NUMBER 0x64
#define KT_TRAP_FRAME 0x70
#define KT_USER_APC_PENDING 0xA2
#define KT_PREVIOUS_MODE 0xAA
// ETHREAD
#define ET_SERVICE_CALLER 0x370
// KSERVICE_FRAME
#define SF_SIZE 0x10
#define SF_CALLER 0x00
#define SF_PREVIOUS_MODE 0x08
// KSERVICE_REQUEST
#define SR_SIZE 0x90
#define SR_ROUTINE 0x00
#define SR_COUNT 0x08
#define SR_ARGUMENTS 0x10
// CONTEXT
#define CX_FLAGS 0x30
#define CX_MXCSR 0x34
#define CX_SEG_CS 0x38
#define CX_SEG_SS 0x42
#define CX_EFLAGS 0x44
#define CX_RAX 0x78
#define CX_RIP 0xF8
#define CX_FLOAT_SAVE 0x100
#define CX_XMM0 0x1A0
