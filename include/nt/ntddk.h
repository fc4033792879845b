/* Bugcheck's overlay over mingw-w64's <ntddk.h>. */
#ifndef BUGCHECK_OVERLAY_NTDDK
#define BUGCHECK_OVERLAY_NTDDK
#include_next <ntddk.h>
#endif
