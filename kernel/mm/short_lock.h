// A lock for a handful of instructions that touch no pageable memory: cheaper than a spin lock, for nothing
// is traced and the IRQL stays. IRQL <= DISPATCH_LEVEL.
#pragma once

#include <stdint.h>

#include "arch/cpu.h"

namespace mm {

using ShortLock = volatile uint32_t;  // 0: free

// At DISPATCH_LEVEL or with interrupts off.
inline void AcquireShort(ShortLock& lock) {
  while (__atomic_exchange_n(&lock, 1u, __ATOMIC_ACQUIRE) != 0) arch::Pause();
}
inline void ReleaseShort(ShortLock& lock) {
  __atomic_store_n(&lock, 0u, __ATOMIC_RELEASE);
}

// Holds it for a scope with interrupts off.
class InterruptGuard {
 public:
  explicit InterruptGuard(ShortLock& lock) : lock_(lock), enabled_(arch::DisableInterruptsAndTell()) {
    AcquireShort(lock_);
  }
  ~InterruptGuard() {
    ReleaseShort(lock_);
    arch::RestoreInterrupts(enabled_);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

 private:
  ShortLock& lock_;
  bool enabled_;
};

}  // namespace mm
