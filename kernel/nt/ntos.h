// The one way by which kernel code includes NT's ABI: mingw-w64's <ntifs.h> under our overlay, with the names
// that the public headers give a wrong layout, or an inline body that the kernel itself must export, moved
// out of the way.
#pragma once

// The public _KPCR ends before the PRCB, and the public _KWAIT_BLOCK has Windows 7's layout: ours are in
// kpcr.h and kthread.h. PKWAIT_BLOCK in the DDI prototypes stays the public, opaque pointer.
#define _KPCR _KPCR_PUBLIC
#define KPCR KPCR_PUBLIC
#define PKPCR PKPCR_PUBLIC
#define KeGetPcr KiPublicGetPcr
#define _KWAIT_BLOCK _KWAIT_BLOCK_PUBLIC
#define KWAIT_BLOCK KWAIT_BLOCK_PUBLIC
// Inline in the headers that drivers see, exports of ntoskrnl.exe all the same.
#define KeGetCurrentIrql KiInlineGetCurrentIrql
#define KeLowerIrql KiInlineLowerIrql
#define KfRaiseIrql KiInlineRaiseIrql
#define KeRaiseIrqlToDpcLevel KiInlineRaiseIrqlToDpcLevel
#define KeRaiseIrqlToSynchLevel KiInlineRaiseIrqlToSynchLevel
#define KeGetCurrentThread KiInlineGetCurrentThread
#define KeInitializeSpinLock KiInlineInitializeSpinLock
// Declared by the C library's headers with other types.
#define __C_specific_handler KiHeaderCSpecificHandler
#define longjmp KiHeaderLongJump

// Drivers see these as pointers to the kernel's variables; in the kernel they are the variables.
#define CmKeyObjectType KiDriverViewCmKeyObjectType
#define ExEventObjectType KiDriverViewExEventObjectType
#define ExSemaphoreObjectType KiDriverViewExSemaphoreObjectType
#define IoFileObjectType KiDriverViewIoFileObjectType
#define PsThreadType KiDriverViewPsThreadType
#define SeTokenObjectType KiDriverViewSeTokenObjectType
#define PsProcessType KiDriverViewPsProcessType
#define TmEnlistmentObjectType KiDriverViewTmEnlistmentObjectType
#define TmResourceManagerObjectType KiDriverViewTmResourceManagerObjectType
#define TmTransactionManagerObjectType KiDriverViewTmTransactionManagerObjectType
#define TmTransactionObjectType KiDriverViewTmTransactionObjectType

#include <ntifs.h>

#undef CmKeyObjectType
#undef ExEventObjectType
#undef ExSemaphoreObjectType
#undef IoFileObjectType
#undef PsThreadType
#undef SeTokenObjectType
#undef PsProcessType
#undef TmEnlistmentObjectType
#undef TmResourceManagerObjectType
#undef TmTransactionManagerObjectType
#undef TmTransactionObjectType

#undef _KPCR
#undef KPCR
#undef PKPCR
#undef KeGetPcr
#undef _KWAIT_BLOCK
#undef KWAIT_BLOCK
#undef KeGetCurrentIrql
#undef KeLowerIrql
#undef KfRaiseIrql
#undef KeRaiseIrqlToDpcLevel
#undef KeRaiseIrqlToSynchLevel
#undef KeGetCurrentThread
#undef KeInitializeSpinLock
#undef __C_specific_handler
#undef longjmp
#undef RtlGetCallersAddress
#undef KeRaiseIrql
#define KeRaiseIrql(NewIrql, OldIrql) (*(OldIrql) = KfRaiseIrql(NewIrql))

extern "C" {
extern POBJECT_TYPE CmKeyObjectType;
extern POBJECT_TYPE ExEventObjectType;
extern POBJECT_TYPE ExMutantObjectType;
extern POBJECT_TYPE ExSemaphoreObjectType;
extern POBJECT_TYPE ExTimerObjectType;
extern POBJECT_TYPE IoDeviceObjectType;
extern POBJECT_TYPE IoDriverObjectType;
extern POBJECT_TYPE IoFileObjectType;
extern POBJECT_TYPE PsProcessType;
extern POBJECT_TYPE PsThreadType;
extern POBJECT_TYPE SeTokenObjectType;

KIRQL NTAPI KeGetCurrentIrql();
VOID NTAPI KeLowerIrql(KIRQL NewIrql);
KIRQL NTAPI KfRaiseIrql(KIRQL NewIrql);
KIRQL NTAPI KeRaiseIrqlToDpcLevel();
KIRQL NTAPI KeRaiseIrqlToSynchLevel();
struct _KTHREAD* NTAPI KeGetCurrentThread();
VOID NTAPI KeInitializeSpinLock(PKSPIN_LOCK SpinLock);
// Documented, in no header.
NTSTATUS NTAPI KeExpandKernelStackAndCalloutEx(PEXPAND_STACK_CALLOUT Callout, PVOID Parameter, SIZE_T Size,
                                               BOOLEAN Wait, PVOID Context);
}
