/* What edu.sys and its users share. The codes are CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800 + n, METHOD_BUFFERED,
 * FILE_ANY_ACCESS). ReadFile and WriteFile at an offset below EDU_MEMORY move bytes of the device's memory by
 * its DMA engine, straight from and to the caller's pages. */
#pragma once

/* Of 4096 bytes; QEMU refuses transfers that reach the last one. */
#define EDU_MEMORY 4095

/* Out: a ULONG, the device's identification (0x010000ED). */
#define IOCTL_EDU_IDENTIFY 0x00222000
/* In: a ULONG; out: its complement, which the device forms. */
#define IOCTL_EDU_LIVENESS 0x00222004
/* In: a ULONG; out: its factorial modulo 2^32, which the device reports by an interrupt. */
#define IOCTL_EDU_FACTORIAL 0x00222008
/* In: a ULONG that is not 0: the device interrupts with it as its status, once. */
#define IOCTL_EDU_RAISE 0x0022200C
/* In: bytes for the beginning of the device's memory / out: its first bytes; through a common buffer. */
#define IOCTL_EDU_STORE 0x00222010
#define IOCTL_EDU_FETCH 0x00222014
/* Out: EDU_STATISTICS. */
#define IOCTL_EDU_STATISTICS 0x00222018

typedef struct _EDU_STATISTICS {
  unsigned int Interrupts;
  unsigned int Messages; /* of them by message */
  unsigned int Raised;   /* the last IOCTL_EDU_RAISE that the interrupt brought */
  unsigned int Irql;     /* at which the last service routine ran */
  unsigned int Elements; /* of all scatter-gather lists */
  unsigned int MapRegisters;
  unsigned long long HighestAddress; /* that the device was given */
} EDU_STATISTICS;
