// Random numbers for guest tests, the same for the same seed.
#pragma once

#include "ddi.h"

namespace nt_test {

// SplitMix64. One a thread: not synchronized.
class Random {
 public:
  explicit Random(ULONG64 seed) : state_(seed) {}
  ULONG64 Next() {
    ULONG64 z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  ULONG Below(ULONG limit) { return static_cast<ULONG>(Next() % limit); }  // limit > 0
  bool OneIn(ULONG chances) { return Below(chances) == 0; }

 private:
  ULONG64 state_;
};

}  // namespace nt_test
