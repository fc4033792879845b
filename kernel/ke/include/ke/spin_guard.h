// A spin lock for a scope.
#pragma once

#include "nt/ntos.h"

namespace ke {

// Holds the lock at DISPATCH_LEVEL. IRQL <= DISPATCH_LEVEL.
class SpinGuard {
 public:
  explicit SpinGuard(PKSPIN_LOCK lock) : lock_(lock), irql_(KeAcquireSpinLockRaiseToDpc(lock)) {}
  ~SpinGuard() { KeReleaseSpinLock(lock_, irql_); }
  SpinGuard(const SpinGuard&) = delete;
  SpinGuard& operator=(const SpinGuard&) = delete;

 private:
  PKSPIN_LOCK lock_;
  KIRQL irql_;
};

}  // namespace ke
