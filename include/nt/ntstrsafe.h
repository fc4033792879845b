/* Bugcheck's overlay over mingw-w64's <ntstrsafe.h>: that header's functions are inline already; the RtlUnicodeString
 * family, which it lacks, is added. */
#ifndef BUGCHECK_OVERLAY_NTSTRSAFE
#define BUGCHECK_OVERLAY_NTSTRSAFE

#if !defined(_NTDEF_) && !defined(_WDMDDK_)
#include <ntdef.h>
#endif
#include <ntstatus.h>
#include "bugcheck_sal.h"
#include_next <ntstrsafe.h>
#include "bugcheck_unicode_strsafe.h"
#endif
