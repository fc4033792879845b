/* Bugcheck's overlay over mingw-w64's <ntifs.h>. */
#ifndef BUGCHECK_OVERLAY_NTIFS
#define BUGCHECK_OVERLAY_NTIFS
#include_next <ntifs.h>
#endif
