/* Bugcheck's overlay over mingw-w64's <wdm.h>: what that header lacks or lays out wrongly, as the WDK has it. */
#ifndef BUGCHECK_OVERLAY_WDM
#define BUGCHECK_OVERLAY_WDM

#include "bugcheck_dma.h"
#include "bugcheck_sal.h"

/* Windows aligns a device object to 16 bytes, so that a device extension after it is aligned too. */
#ifdef __clang__
struct __attribute__((aligned(16))) _DEVICE_OBJECT;
#endif

/* mingw-w64 declares these pointers dllimport, which adds a level: the WDK's IoFileObjectType is the slot itself. */
#define CmKeyObjectType BugcheckHidden_CmKeyObjectType
#define ExEventObjectType BugcheckHidden_ExEventObjectType
#define ExSemaphoreObjectType BugcheckHidden_ExSemaphoreObjectType
#define IoFileObjectType BugcheckHidden_IoFileObjectType
#define PsThreadType BugcheckHidden_PsThreadType
#define SeTokenObjectType BugcheckHidden_SeTokenObjectType
#define PsProcessType BugcheckHidden_PsProcessType
#define TmEnlistmentObjectType BugcheckHidden_TmEnlistmentObjectType
#define TmResourceManagerObjectType BugcheckHidden_TmResourceManagerObjectType
#define TmTransactionManagerObjectType BugcheckHidden_TmTransactionManagerObjectType
#define TmTransactionObjectType BugcheckHidden_TmTransactionObjectType
#include_next <wdm.h>
#undef DmaPort
#undef BuildMdlFromScatterGatherList
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

/* Code that passes a thread routine which returns NTSTATUS, a habit MSVC lets pass, is warned about, not refused. */
#if defined(__clang__) && !defined(__cplusplus)
#pragma clang diagnostic warning "-Wincompatible-function-pointer-types"
#endif

/* C drivers may write try, except, finally and leave. */
#if !defined(__cplusplus) && !defined(try)
#define try __try
#define except __except
#define finally __finally
#define leave __leave
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* In the kernel each is the pointer that the export names; in a driver, the import slot, hence one star more. */
#ifdef _NTOSKRNL_
#define BUGCHECK_OBJECT_TYPE(Name) extern POBJECT_TYPE Name
#else
#define BUGCHECK_OBJECT_TYPE(Name) extern POBJECT_TYPE *Name
#endif
BUGCHECK_OBJECT_TYPE(CmKeyObjectType);
BUGCHECK_OBJECT_TYPE(ExEventObjectType);
BUGCHECK_OBJECT_TYPE(ExSemaphoreObjectType);
BUGCHECK_OBJECT_TYPE(IoFileObjectType);
BUGCHECK_OBJECT_TYPE(PsThreadType);
BUGCHECK_OBJECT_TYPE(SeTokenObjectType);
BUGCHECK_OBJECT_TYPE(PsProcessType);
BUGCHECK_OBJECT_TYPE(TmEnlistmentObjectType);
BUGCHECK_OBJECT_TYPE(TmResourceManagerObjectType);
BUGCHECK_OBJECT_TYPE(TmTransactionManagerObjectType);
BUGCHECK_OBJECT_TYPE(TmTransactionObjectType);

#ifdef __cplusplus
}
#endif

#include "bugcheck_dma_types.h"
#include "bugcheck_pool.h"
#include "bugcheck_wdm_additions.h"

#endif
