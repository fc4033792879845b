// Private to fsrtl.
#pragma once

#include "nt/export.h"
#include "ob/ob.h"

namespace fsrtl {

inline constexpr ULONG kTag = 'trsF';

// FsRtl's allocations fail by exception.
PVOID AllocateOrRaise(POOL_TYPE type, SIZE_T bytes, ULONG tag = kTag);

// Holds a fast mutex while it lives.
class FastMutexGuard {
 public:
  explicit FastMutexGuard(PFAST_MUTEX mutex) : mutex_(mutex) { ExAcquireFastMutex(mutex_); }
  ~FastMutexGuard() { ExReleaseFastMutex(mutex_); }
  FastMutexGuard(const FastMutexGuard&) = delete;
  FastMutexGuard& operator=(const FastMutexGuard&) = delete;

 private:
  PFAST_MUTEX mutex_;
};

inline void Complete(PIRP irp, NTSTATUS status, ULONG_PTR information = 0) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IofCompleteRequest(irp, IO_DISK_INCREMENT);
}

// Sends a device control request and waits for it. PASSIVE_LEVEL.
NTSTATUS SendControl(PDEVICE_OBJECT device, ULONG code, PVOID input, ULONG input_bytes, PVOID output,
                     ULONG output_bytes, PULONG_PTR written);

}  // namespace fsrtl
