// What stress tests add to nt_test.h: a length and a seed from outside, random numbers, threads on all
// processors.
//
//   NT_TEST(StressSpinLock, OneHolderAtATime) {
//     Shared shared = {};
//     {
//       nt_stress::Workers workers(nt_stress::Processors() * 2, [](nt_stress::Worker& worker) {
//         auto* shared = static_cast<Shared*>(worker.context);
//         while (StressGoesOn()) { ...; ++worker.count; }
//       }, &shared);
//     }                                                   // joined here
//     NT_EXPECT_EQ(shared.counter, ...);                  // an exact invariant
//   }
//
// C:\nt_stress.txt holds "SEED MILLISECONDS" in decimal (written by run_stress_tests.py, which prints the
// seed); without it a test runs 200 ms with a seed from the performance counter, and prints it.
#pragma once

#include "nt_test.h"
#include "random.h"

// PASSIVE_LEVEL at its first call, then any.
ULONG64 StressSeed();
// TRUE until the running test has had its time (guest time, so a loaded host does not shorten it). Any IRQL.
bool StressGoesOn();

namespace nt_stress {

using nt_test::Random;

ULONG Processors();

struct Worker {
  ULONG index;
  PVOID context;
  ULONG64 count;  // the test's own: what this worker did
  Random random;
};

enum class Place { kPinned, kAnywhere };

// Starts `count` threads (at most 64) that enter routine(worker) together; with kPinned worker i runs on
// processor i mod Processors() only. The destructor joins them; Join does it earlier, and the workers stay
// readable. PASSIVE_LEVEL.
class Workers {
 public:
  using Routine = void (*)(Worker& worker);
  Workers(ULONG count, Routine routine, PVOID context, Place place = Place::kPinned);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  void Join();
  ULONG count() const { return count_; }
  const Worker& operator[](ULONG index) const;
  ULONG64 Total() const;     // sum of the workers' counts; after Join
  ULONG64 Smallest() const;  // smallest of the workers' counts; after Join
  ULONG64 Largest() const;

 private:
  struct Slot;
  static void NTAPI Enter(PVOID slot);
  Slot* slots_ = nullptr;
  ULONG count_ = 0;
  KEVENT start_;
  bool joined_ = false;
};

}  // namespace nt_stress
