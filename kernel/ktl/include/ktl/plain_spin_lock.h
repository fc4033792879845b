// The plain spin lock (KSPIN_LOCK): bit 0 of a word. Cheapest where nobody waits; among waiters it goes to
// whoever sees it free first.
#pragma once

#include "ktl/spin_wait.h"

namespace ktl {

template <typename Policy>
struct PlainSpinLock {
  using Word = volatile uint64_t;

  static bool TryAcquire(Word* word) {
    Policy::Step();
    return !TestAndSet(word, 0);
  }

  static void Acquire(Word* word) {
    if (!TryAcquire(word)) WaitAndAcquire(word);
  }

  // The contended half of Acquire.
  static void WaitAndAcquire(Word* word) {
    do {
      for (unsigned round = 0; !IsFree(word); ++round) Policy::Relax(round);
    } while (!TryAcquire(word));
  }

  static void Release(Word* word) {
    Policy::Step();
    __atomic_store_n(word, 0, __ATOMIC_RELEASE);
  }

  static bool IsFree(const Word* word) { return (__atomic_load_n(word, __ATOMIC_RELAXED) & 1) == 0; }
};

}  // namespace ktl
