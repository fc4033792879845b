/* Bugcheck's overlay over mingw-w64's <ntddk.h>: what that header lacks, as the WDK has it. */
#ifndef BUGCHECK_OVERLAY_NTDDK
#define BUGCHECK_OVERLAY_NTDDK

#include "bugcheck_sal.h"
#include_next <ntddk.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifndef _NTOSKRNL_
extern POBJECT_TYPE *IoDriverObjectType;
extern POBJECT_TYPE *IoDeviceObjectType;
#endif

typedef enum _PSCREATEPROCESSNOTIFYTYPE { PsCreateProcessNotifySubsystems = 0 } PSCREATEPROCESSNOTIFYTYPE;
NTKERNELAPI NTSTATUS NTAPI PsSetCreateProcessNotifyRoutineEx2(PSCREATEPROCESSNOTIFYTYPE NotifyType,
                                                              PVOID NotifyInformation, BOOLEAN Remove);
typedef enum _PSCREATETHREADNOTIFYTYPE {
  PsCreateThreadNotifyNonSystem = 0,
  PsCreateThreadNotifySubsystems = 1
} PSCREATETHREADNOTIFYTYPE;
NTKERNELAPI NTSTATUS NTAPI PsSetCreateThreadNotifyRoutineEx(PSCREATETHREADNOTIFYTYPE NotifyType,
                                                            PVOID NotifyInformation);
#define PS_IMAGE_NOTIFY_CONFLICTING_ARCHITECTURE 0x1
NTKERNELAPI NTSTATUS NTAPI PsSetLoadImageNotifyRoutineEx(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine, ULONG_PTR Flags);
NTKERNELAPI ULONGLONG NTAPI PsGetProcessStartKey(PEPROCESS Process);

#ifdef __cplusplus
}
#endif
#endif
