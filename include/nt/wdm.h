/* Bugcheck's overlay over mingw-w64's <wdm.h>. */
#ifndef BUGCHECK_OVERLAY_WDM
#define BUGCHECK_OVERLAY_WDM
#include_next <wdm.h>
#endif
