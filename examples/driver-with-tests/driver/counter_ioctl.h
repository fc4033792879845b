/* What counter.sys and its users share. */
#pragma once

/* CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + n, METHOD_BUFFERED, FILE_ANY_ACCESS) */
#define IOCTL_COUNTER_ADD 0x00222000   /* in: LONG; out: LONG, the new value */
#define IOCTL_COUNTER_RESET 0x00222004 /* out: LONG, the value before */
