// Security: SIDs, ACLs, descriptors, SeExports.
#pragma once

#include "nt/ntos.h"

extern "C" {
// Phase 0, after ob.
NTSTATUS SeInitSystem();
extern PSECURITY_DESCRIPTOR SePublicDefaultSd;
NTSTATUS SepCreateTokenType();

// What SeCreateAccessState keeps beside the state; a driver gives at least this much room.
typedef struct _AUX_ACCESS_DATA {
  PPRIVILEGE_SET PrivilegesUsed;
  GENERIC_MAPPING GenericMapping;
  ACCESS_MASK AccessesToAudit;
  ACCESS_MASK MaximumAuditMask;
} AUX_ACCESS_DATA, *PAUX_ACCESS_DATA;
NTSTATUS NTAPI SeCreateAccessState(PACCESS_STATE AccessState, PAUX_ACCESS_DATA AuxData,
                                   ACCESS_MASK DesiredAccess, PGENERIC_MAPPING GenericMapping);
VOID NTAPI SeDeleteAccessState(PACCESS_STATE AccessState);
// A copy of a caller's descriptor, checked, self-relative, in `PoolType`; the descriptor itself if it is the
// kernel's and `CaptureIfKernel` is FALSE.
NTSTATUS NTAPI SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR InputSecurityDescriptor,
                                           KPROCESSOR_MODE CurrentMode, POOL_TYPE PoolType,
                                           BOOLEAN CaptureIfKernel,
                                           PSECURITY_DESCRIPTOR* OutputSecurityDescriptor);
VOID NTAPI SeReleaseSecurityDescriptor(PSECURITY_DESCRIPTOR CapturedSecurityDescriptor,
                                       KPROCESSOR_MODE CurrentMode, BOOLEAN CaptureIfKernelMode);
}
