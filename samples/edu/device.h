/* Between the files of edu.sys. */
#pragma once

#include <ntddk.h>
#include "edu.h"

#define EDU_TAG 'udeB'

/* Registers, in BAR 0. */
#define EDU_IDENTIFICATION 0x00
#define EDU_LIVENESS 0x04
#define EDU_FACTORIAL 0x08
#define EDU_STATUS 0x20
#define EDU_INTERRUPT_STATUS 0x24
#define EDU_INTERRUPT_RAISE 0x60
#define EDU_INTERRUPT_ACKNOWLEDGE 0x64
#define EDU_DMA_SOURCE 0x80
#define EDU_DMA_DESTINATION 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_COMMAND 0x98

#define EDU_STATUS_INTERRUPT 0x80 /* when the factorial is there */
#define EDU_DMA_START 0x1
#define EDU_DMA_FROM_DEVICE 0x2
#define EDU_DMA_INTERRUPT 0x4
#define EDU_FACTORIAL_DONE 0x1 /* interrupt status */
#define EDU_DMA_DONE 0x100

#define EDU_MEMORY_ADDRESS 0x40000
#define EDU_DMA_BITS 28 /* of an address that the device can form */

typedef struct _EDU_DEVICE {
  PDEVICE_OBJECT Self, Pdo, Lower;
  IO_REMOVE_LOCK RemoveLock;
  BOOLEAN Started;         /* changed by plug and play alone */
  EX_RUNDOWN_REF Hardware; /* held by every request that was let in: until then the hardware stays ours */
  PUCHAR Registers;
  ULONG Length;
  IO_DISCONNECT_INTERRUPT_PARAMETERS Interrupt; /* Version 0: not connected */
  PKINTERRUPT Synchronizer;                     /* the interrupt, or the message */
  PDMA_ADAPTER Adapter;
  ULONG MapRegisters;
  PVOID Common; /* a page for the device and us */
  PHYSICAL_ADDRESS CommonAddress;
  /* The request that StartIo works on. Changed with the interrupt held off, but for the list's parts, which
   * belong to whoever has the request. */
  ULONG Wanted; /* the interrupt status that ends its present step; 0: none */
  ULONG Seen;   /* by the service routine, for the DPC */
  BOOLEAN Gone; /* no interrupt will come any more */
  PSCATTER_GATHER_LIST List;
  ULONG Element, DeviceOffset;
  EDU_STATISTICS Statistics;
} EDU_DEVICE;

NTSTATUS EduStartHardware(EDU_DEVICE* Edu, PCM_RESOURCE_LIST Translated);
/* Waits for the requests that were let in. `Gone`: they fail, and the hardware is not touched. */
VOID EduDrain(EDU_DEVICE* Edu, BOOLEAN Gone);
/* What of EduStartHardware was done is undone. */
VOID EduStopHardware(EDU_DEVICE* Edu);

DRIVER_STARTIO EduStartIo;
IO_DPC_ROUTINE EduDpc;

NTSTATUS EduComplete(PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
NTSTATUS EduFinish(EDU_DEVICE* Edu, PIRP Irp, NTSTATUS Status, ULONG_PTR Information);
