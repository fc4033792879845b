// File-system interfaces that mingw-w64's headers lack. Part of the guest tests of fsrtl, cc and io.
#pragma once

#include "ddi.h"

extern "C" {

BOOLEAN NTAPI FsRtlAreThereWaitingFileLocks(PFILE_LOCK FileLock);
BOOLEAN NTAPI FsRtlCheckLockForOplockRequest(PFILE_LOCK FileLock, PLARGE_INTEGER AllocationSize);

}  // extern "C"
