// Fast I/O: a driver's routines that serve a request without an IRP, if they can.
#pragma once

#include "io_internal.h"

namespace io {

struct ControlCall {
  ULONG code;
  PVOID input;
  ULONG input_length;
  PVOID output;
  ULONG output_length;
};

// True: the request is done and the service over (as by AbandonService); `status` is its result. False: an
// IRP is needed, nothing has changed.
bool TryFastControl(FileService* service, PIO_APC_ROUTINE apc, PIO_STATUS_BLOCK iosb, const ControlCall& call,
                    NTSTATUS* status);

struct TransferCall {
  LARGE_INTEGER offset;
  ULONG length;
  ULONG key;
  PVOID buffer;
  bool write;
};
// The same for files that are cached and synchronous.
bool TryFastTransfer(FileService* service, PIO_APC_ROUTINE apc, PIO_STATUS_BLOCK iosb, TransferCall call,
                     NTSTATUS* status);

}  // namespace io
