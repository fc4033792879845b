// The kernel's lock algorithms, compiled for the host, beside pthread_spin_lock, Abseil's SpinLock and a
// textbook ticket lock: all in one run, all called out of line.
//
//   pair       nanoseconds of an acquire and release that nobody contends, the best of many short batches
//   (the locks
//              take turns, so that a busy host disturbs all alike)
//   hand-over  nanoseconds an acquisition takes while N threads want the lock all the time
//   fairness   acquisitions of the slowest thread over those of the fastest
//
// Each contended run guards a plain counter; the program fails when that is not exact.
//
// usage: native_lock_bench [--milliseconds N] [--batches N] [--json]
#include <absl/base/internal/spinlock.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "ktl/plain_spin_lock.h"
#include "ktl/queued_spin_lock.h"
#include "ktl/shared_spin_lock.h"

namespace {

#define NOINLINE __attribute__((noinline))

// Threads of a process, unlike processors, lose their processor while they spin or hold a lock: who waits
// long gives its own to another.
struct HostPolicy {
  static void Relax(unsigned round) {
    __builtin_ia32_pause();
    if (round % 64 == 63) sched_yield();
  }
  static void Step() {}
};

struct Plain {
  static constexpr const char* kName = "plain";
  NOINLINE void Acquire() { ktl::PlainSpinLock<HostPolicy>::Acquire(&word); }
  NOINLINE void Release() { ktl::PlainSpinLock<HostPolicy>::Release(&word); }
  uint64_t word = 0;
};

struct Queued {
  static constexpr const char* kName = "queued";
  using Lock = ktl::QueuedSpinLock<HostPolicy>;
  NOINLINE void Acquire() { Lock::Acquire(&word, &node); }
  NOINLINE void Release() { Lock::Release(&node); }
  ktl::QueueNode* volatile word = nullptr;
  static thread_local ktl::QueueNode node;
};
thread_local ktl::QueueNode Queued::node;

struct Exclusive {
  static constexpr const char* kName = "shared, exclusively";
  using Lock = ktl::SharedSpinLock<HostPolicy>;
  NOINLINE void Acquire() { Lock::AcquireExclusive(&word); }
  NOINLINE void Release() { Lock::ReleaseExclusive(&word); }
  uint32_t word = 0;
};

struct Pthread {
  static constexpr const char* kName = "pthread_spin_lock";
  Pthread() { pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE); }
  ~Pthread() { pthread_spin_destroy(&lock); }
  void Acquire() { pthread_spin_lock(&lock); }  // out of line already
  void Release() { pthread_spin_unlock(&lock); }
  pthread_spinlock_t lock;
};

struct Abseil {
  static constexpr const char* kName = "absl::base_internal::SpinLock";
  NOINLINE void Acquire() ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Lock(); }
  NOINLINE void Release() ABSL_NO_THREAD_SAFETY_ANALYSIS { lock.Unlock(); }
  absl::base_internal::SpinLock lock;
};

struct Ticket {
  static constexpr const char* kName = "ticket lock (textbook)";
  NOINLINE void Acquire() {
    const uint32_t mine = next.fetch_add(1, std::memory_order_relaxed);
    for (unsigned round = 0; serving.load(std::memory_order_acquire) != mine; ++round)
      HostPolicy::Relax(round);
  }
  NOINLINE void Release() {
    serving.store(serving.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  std::atomic<uint32_t> next{0}, serving{0};
};

using Clock = std::chrono::steady_clock;

double NanosecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

template <typename Lock>
double PairNanoseconds() {
  constexpr int kPairs = 20'000;
  alignas(64) static Lock lock;
  const auto start = Clock::now();
  for (int i = 0; i < kPairs; ++i) {
    lock.Acquire();
    lock.Release();
  }
  return NanosecondsSince(start) / kPairs;
}

struct Contended {
  double hand_over = 0, fairness = 0;
  bool exact = false;
};

template <typename Lock>
Contended Contend(unsigned count, int milliseconds) {
  struct alignas(64) Slot {
    uint64_t rounds = 0;
  };
  alignas(64) Lock lock;
  alignas(64) uint64_t counter = 0;
  std::vector<Slot> slots(count);
  std::atomic<unsigned> ready{0};
  std::atomic<bool> go{false}, stop{false};
  const unsigned processors = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(i % processors, &set);
      pthread_setaffinity_np(pthread_self(), sizeof set, &set);  // where that is not allowed: anywhere
      ++ready;
      while (!go) sched_yield();
      uint64_t rounds = 0;
      while (!stop.load(std::memory_order_relaxed)) {
        lock.Acquire();
        counter = counter + 1;
        lock.Release();
        ++rounds;
      }
      slots[i].rounds = rounds;
    });
  }
  while (ready != count) sched_yield();
  const auto start = Clock::now();
  go = true;
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
  stop = true;
  const double elapsed = NanosecondsSince(start);
  for (std::thread& thread : threads) thread.join();
  uint64_t total = 0, slowest = ~uint64_t{0}, fastest = 0;
  for (const Slot& slot : slots) {
    total += slot.rounds;
    slowest = std::min(slowest, slot.rounds);
    fastest = std::max(fastest, slot.rounds);
  }
  return {elapsed / static_cast<double>(std::max<uint64_t>(total, 1)),
          static_cast<double>(slowest) / static_cast<double>(std::max<uint64_t>(fastest, 1)),
          total == counter};
}

constexpr unsigned kThreads[] = {1, 2, 4, 8};

struct Row {
  const char* name;
  std::function<double()> pair;
  std::function<Contended(unsigned, int)> contend;
  double best = 1e9;
  std::vector<Contended> contended;
};

template <typename Lock>
Row MakeRow() {
  return {Lock::kName, PairNanoseconds<Lock>, Contend<Lock>, 1e9, {}};
}

void PrintTable(const std::vector<Row>& rows) {
  std::printf("%-32s %8s", "lock", "pair ns");
  for (unsigned count : kThreads) std::printf("   %u thr: ns  fair", count);
  std::printf("\n");
  for (const Row& row : rows) {
    std::printf("%-32s %8.2f", row.name, row.best);
    for (const Contended& result : row.contended)
      std::printf("  %9.1f %5.2f", result.hand_over, result.fairness);
    std::printf("\n");
  }
}

void PrintJson(const std::vector<Row>& rows) {
  std::printf("[");
  for (size_t r = 0; r < rows.size(); ++r) {
    std::printf("%s{\"lock\": \"%s\", \"pair\": %.3f, \"contended\": [", r ? ",\n" : "", rows[r].name,
                rows[r].best);
    for (size_t i = 0; i < rows[r].contended.size(); ++i) {
      const Contended& result = rows[r].contended[i];
      std::printf("%s{\"threads\": %u, \"hand_over\": %.2f, \"fairness\": %.4f}", i ? ", " : "", kThreads[i],
                  result.hand_over, result.fairness);
    }
    std::printf("]}");
  }
  std::printf("]\n");
}

}  // namespace

int main(int argc, char** argv) {
  int milliseconds = 1000, batches = 400;
  bool json = false;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--json") json = true;
    if (word == "--milliseconds" && i + 1 < argc) milliseconds = std::atoi(argv[++i]);
    if (word == "--batches" && i + 1 < argc) batches = std::atoi(argv[++i]);
  }
  std::vector<Row> rows = {MakeRow<Plain>(),   MakeRow<Queued>(), MakeRow<Exclusive>(),
                           MakeRow<Pthread>(), MakeRow<Abseil>(), MakeRow<Ticket>()};
  for (int batch = 0; batch < batches; ++batch) {
    for (Row& row : rows) row.best = std::min(row.best, row.pair());
  }
  bool exact = true;
  for (unsigned count : kThreads) {
    for (Row& row : rows) {
      row.contended.push_back(row.contend(count, milliseconds));
      if (row.contended.back().exact) continue;
      std::fprintf(stderr, "%s: the counter is not exact with %u threads\n", row.name, count);
      exact = false;
    }
  }
  json ? PrintJson(rows) : PrintTable(rows);
  return exact ? 0 : 1;
}
