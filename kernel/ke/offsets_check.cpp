// The numbers of arch/asm_offsets.h are the offsets of the types.
#include "arch/asm_offsets.h"
#include "ke_internal.h"

#define PRCB_AT(field) (FIELD_OFFSET(KPCR, Prcb) + FIELD_OFFSET(KPRCB, field))
static_assert(PCR_TSS_BASE == FIELD_OFFSET(KPCR, TssBase) && PCR_USER_RSP == FIELD_OFFSET(KPCR, UserRsp));
static_assert(PCR_MXCSR == PRCB_AT(MxCsr) && PCR_RSP_BASE == PRCB_AT(RspBase));
static_assert(PCR_CURRENT_PRCB == FIELD_OFFSET(KPCR, CurrentPrcb));
static_assert(PCR_CURRENT_THREAD == PRCB_AT(CurrentThread));
static_assert(PCR_LOCK_INDEX == PRCB_AT(LockStackIndex) && PCR_LOCK_STACK == PRCB_AT(LockStack));
static_assert(PCR_LOCK_TIME == PRCB_AT(LockStackTime) && sizeof(KLOCK_STACK_ENTRY) == 16 &&
              sizeof(KLOCK_STACK_TIME) == 16);
static_assert(KLOCK_STACK_ENTRIES * 2 == 256);  // the index is a byte that moves by 2
static_assert(PCR_BUGCHECK_TRAP_FRAME == PRCB_AT(BugCheckTrapFrame));
static_assert(PCR_BUGCHECK_EXCEPTION_FRAME == PRCB_AT(BugCheckExceptionFrame));
static_assert(PCR_BUGCHECK_ENTERED == PRCB_AT(BugCheckEntered));
static_assert(PCR_CONTEXT_FRAME == PRCB_AT(ProcessorState.ContextFrame));
#define TF_AT(name, field) static_assert(name == FIELD_OFFSET(KTRAP_FRAME, field))
TF_AT(TF_PREVIOUS_MODE, PreviousMode);
TF_AT(TF_PREVIOUS_IRQL, PreviousIrql);
TF_AT(TF_FAULT_INDICATOR, FaultIndicator);
TF_AT(TF_EXCEPTION_ACTIVE, ExceptionActive);
TF_AT(TF_MXCSR, MxCsr);
TF_AT(TF_RAX, Rax);
TF_AT(TF_R11, R11);
TF_AT(TF_GS_BASE, GsBase);
TF_AT(TF_XMM0, Xmm0);
TF_AT(TF_FAULT_ADDRESS, FaultAddress);
TF_AT(TF_RBX, Rbx);
TF_AT(TF_RDI, Rdi);
TF_AT(TF_RSI, Rsi);
TF_AT(TF_RBP, Rbp);
TF_AT(TF_ERROR_CODE, ErrorCode);
TF_AT(TF_RIP, Rip);
TF_AT(TF_SEG_CS, SegCs);
TF_AT(TF_EFLAGS, EFlags);
TF_AT(TF_RSP, Rsp);
TF_AT(TF_SEG_SS, SegSs);
static_assert(TF_SIZE == sizeof(KTRAP_FRAME));
#define EF_AT(name, field) static_assert(name == FIELD_OFFSET(KEXCEPTION_FRAME, field))
EF_AT(EF_P5, P5);
EF_AT(EF_XMM6, Xmm6);
EF_AT(EF_MXCSR, MxCsr);
EF_AT(EF_RBP, Rbp);
EF_AT(EF_R15, R15);
EF_AT(EF_ALLOCATION, Return);
static_assert(KT_KERNEL_STACK == FIELD_OFFSET(KTHREAD, KernelStack));
static_assert(KT_STATE_SAVE_AREA == FIELD_OFFSET(KTHREAD, StateSaveArea));
static_assert(KT_EXTENDED_USERS == FIELD_OFFSET(KTHREAD, ExtendedStateUsers));
static_assert(KT_EXIT_PENDING == FIELD_OFFSET(KTHREAD, ExitPending));
static_assert(KT_SYSTEM_CALL_NUMBER == FIELD_OFFSET(KTHREAD, SystemCallNumber));
static_assert(KT_TRAP_FRAME == FIELD_OFFSET(KTHREAD, TrapFrame));
static_assert(KT_USER_APC_PENDING == FIELD_OFFSET(KTHREAD, ApcState.UserApcPending));
static_assert(KT_PREVIOUS_MODE == FIELD_OFFSET(KTHREAD, PreviousMode));
static_assert(ET_SERVICE_CALLER == FIELD_OFFSET(ETHREAD, ServiceCaller));
static_assert(SF_SIZE == sizeof(KSERVICE_FRAME) && SF_CALLER == FIELD_OFFSET(KSERVICE_FRAME, Caller) &&
              SF_PREVIOUS_MODE == FIELD_OFFSET(KSERVICE_FRAME, PreviousMode));
static_assert(SR_SIZE == sizeof(KSERVICE_REQUEST) && SR_ROUTINE == FIELD_OFFSET(KSERVICE_REQUEST, Routine) &&
              SR_COUNT == FIELD_OFFSET(KSERVICE_REQUEST, Count) &&
              SR_ARGUMENTS == FIELD_OFFSET(KSERVICE_REQUEST, Arguments));
#define CX_AT(name, field) static_assert(name == FIELD_OFFSET(CONTEXT, field))
CX_AT(CX_FLAGS, ContextFlags);
CX_AT(CX_MXCSR, MxCsr);
CX_AT(CX_SEG_CS, SegCs);
CX_AT(CX_SEG_SS, SegSs);
CX_AT(CX_EFLAGS, EFlags);
CX_AT(CX_RAX, Rax);
CX_AT(CX_RIP, Rip);
CX_AT(CX_FLOAT_SAVE, FltSave);
CX_AT(CX_XMM0, FltSave.XmmRegisters);
static_assert(sizeof(KSWITCH_FRAME) == 0x40 && FIELD_OFFSET(KSWITCH_FRAME, Return) == 0x38);
