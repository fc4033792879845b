// The reader-writer spin lock (EX_SPIN_LOCK): bit 31 is a writer's, the rest counts readers.
//
// A writer first claims bit 31, readers or not, then waits until the readers that are inside have left. No
// reader comes in while the bit is set: a writer waits for no more than those, and is never starved by
// readers.
#pragma once

#include "ktl/spin_wait.h"

namespace ktl {

template <typename Policy>
struct SharedSpinLock {
  using Word = volatile uint32_t;
  static constexpr unsigned kExclusiveBit = 31;
  static constexpr uint32_t kExclusive = 1u << kExclusiveBit;

  // ---- writers ----
  static bool TryAcquireExclusive(Word* word) {
    Policy::Step();
    return CompareExchange(word, 0, kExclusive);
  }
  // Tries to claim the writer's bit. kClaimed: WaitForReaders is next; kTaken: WaitForClaim, then
  // WaitForReaders.
  enum class Begin { kAcquired, kClaimed, kTaken };
  static Begin BeginExclusive(Word* word) {
    Policy::Step();
    if (TestAndSet(word, kExclusiveBit)) return Begin::kTaken;
    return __atomic_load_n(word, __ATOMIC_ACQUIRE) == kExclusive ? Begin::kAcquired : Begin::kClaimed;
  }
  static void AcquireExclusive(Word* word) {
    const Begin begin = BeginExclusive(word);
    if (begin == Begin::kAcquired) return;
    if (begin == Begin::kTaken) WaitForClaim(word);
    WaitForReaders(word);
  }
  // Until the writer's bit is ours.
  static void WaitForClaim(Word* word) {
    do {
      for (unsigned round = 0; (Load(word) & kExclusive) != 0; ++round) Policy::Relax(round);
      Policy::Step();
    } while (TestAndSet(word, kExclusiveBit));
  }
  // Until the readers have left. The caller has the writer's bit.
  static void WaitForReaders(Word* word) {
    for (unsigned round = 0; __atomic_load_n(word, __ATOMIC_ACQUIRE) != kExclusive; ++round)
      Policy::Relax(round);
  }
  static void ReleaseExclusive(Word* word) {
    Policy::Step();
    __atomic_store_n(word, 0,
                     __ATOMIC_RELEASE);  // nobody else changes a word with the writer's bit and no reader
  }

  // ---- readers ----
  // One attempt: false when a writer has or claims the lock. Retries only against other readers.
  static bool TryAcquireShared(Word* word) {
    uint32_t value = Load(word);
    while ((value & kExclusive) == 0) {
      Policy::Step();
      if (__atomic_compare_exchange_n(word, &value, value + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return true;
      }
    }
    return false;
  }
  static void AcquireShared(Word* word) {
    if (!TryAcquireShared(word)) WaitAndAcquireShared(word);
  }
  static void WaitAndAcquireShared(Word* word) {
    do {
      for (unsigned round = 0; (Load(word) & kExclusive) != 0; ++round) Policy::Relax(round);
    } while (!TryAcquireShared(word));
  }
  static void ReleaseShared(Word* word) {
    Policy::Step();
    __atomic_sub_fetch(word, 1, __ATOMIC_RELEASE);
  }

  // The only reader becomes the writer; false (still a reader) when there are others or a writer has claimed.
  static bool TryConvert(Word* word) {
    Policy::Step();
    return CompareExchange(word, 1, kExclusive);
  }

 private:
  static uint32_t Load(const Word* word) { return __atomic_load_n(word, __ATOMIC_RELAXED); }
  static bool CompareExchange(Word* word, uint32_t from, uint32_t to) {
    return __atomic_compare_exchange_n(word, &from, to, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
  }
};

}  // namespace ktl
