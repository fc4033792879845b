/* What ioctl_server.sys and its users share. The codes are CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + n, METHOD_*,
 * FILE_ANY_ACCESS). */
#pragma once

/* Buffered: the input, reversed. */
#define IOCTL_SERVER_REVERSE 0x00222000
/* In direct: the sum of the output buffer's bytes, printed and kept. */
#define IOCTL_SERVER_SUM_DIRECT 0x00222005
/* Out direct: the output filled with the input's first byte. */
#define IOCTL_SERVER_FILL_DIRECT 0x0022200A
/* Neither: a ULONG of user memory plus one, into user memory. */
#define IOCTL_SERVER_ADD_NEITHER 0x0022200F
/* Buffered: a ULONG, what the last IOCTL_SERVER_SUM_DIRECT found. */
#define IOCTL_SERVER_LAST_SUM 0x00222010
/* Buffered: IOCTL_SERVER_CALLER_INFO. */
#define IOCTL_SERVER_CALLER 0x00222014

typedef struct _IOCTL_SERVER_CALLER_INFO {
  unsigned long long ProcessId;
  unsigned int RequestorMode; /* 1: user */
  unsigned int Opens;
} IOCTL_SERVER_CALLER_INFO;
