// Driver Verifier's way into the completion of IRPs, beside pIofCallDriver (io/io.h).
#pragma once

#include "nt/ntos.h"

extern "C" {
typedef struct _IOP_VERIFIER {
  // Whoever completes an IRP has said so; it is still his.
  void (*Completing)(PIRP Irp);
  // In place of the plain call of a completion routine.
  NTSTATUS (*CallCompletion)(PDEVICE_OBJECT DeviceObject, PIRP Irp, PVOID Context,
                             PIO_COMPLETION_ROUTINE Routine);
} IOP_VERIFIER;
extern const IOP_VERIFIER* IopVerifier;  // 0: none
}
