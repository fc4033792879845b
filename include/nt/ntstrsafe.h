/* Bugcheck's overlay over mingw-w64's <ntstrsafe.h>. */
#ifndef BUGCHECK_OVERLAY_NTSTRSAFE
#define BUGCHECK_OVERLAY_NTSTRSAFE
#include_next <ntstrsafe.h>
#endif
