// A wheel of due times: 256 sorted lists, each for the times that agree in some bits, so that thousands of
// timers cost an insertion little and the first is found by looking at 256 heads at most. Intrusive over any
// doubly linked `Link` with Flink and Blink; no NT.
#pragma once

#include <stdint.h>

#include "ktl/ready_queue.h"

namespace ktl {

inline constexpr int kWheelBuckets = 256;
inline constexpr int kWheelShift = 18;  // a list spans 2^18 units: 26 ms of 100 ns
inline constexpr uint64_t kNever = ~0ull;

// Heads and the occupation map live in the owner's structure. Callers hold the owner's lock. `Due` gives a
// link's due time, which must not change while it is in the wheel.
template <typename Link, typename Due>
class TimerWheel {
 public:
  TimerWheel(Link* heads, uint64_t* occupied, Due due) : heads_(heads), occupied_(occupied), due_(due) {}

  void Initialize() {
    for (int i = 0; i < kWheelBuckets; ++i) QueueInit(&heads_[i]);
    for (int i = 0; i < kWheelBuckets / 64; ++i) occupied_[i] = 0;
  }

  // Behind those with the same due time. Most are later than what waits already: searched from the end.
  void Insert(Link* link) {
    const uint64_t due = due_(link);
    const int bucket = BucketOf(due);
    Link* before = heads_[bucket].Blink;
    while (before != &heads_[bucket] && due_(before) > due) before = before->Blink;
    link->Flink = before->Flink;
    link->Blink = before;
    before->Flink->Blink = link;
    before->Flink = link;
    occupied_[bucket / 64] |= 1ull << (bucket % 64);
  }

  void Remove(Link* link) {
    const int bucket = BucketOf(due_(link));
    QueueRemove(link);
    if (QueueEmpty(&heads_[bucket])) occupied_[bucket / 64] &= ~(1ull << (bucket % 64));
  }

  // The link that is due first, 0 if there is none.
  Link* First() const {
    Link* first = nullptr;
    ForEachBucket([&](Link* head) {
      if (first == nullptr || due_(head->Flink) < due_(first)) first = head->Flink;
    });
    return first;
  }

  // The least of latest(link), which is never below the due time: kNever if there is none.
  template <typename Latest>
  uint64_t FirstLatest(Latest latest) const {
    uint64_t best = kNever;
    ForEachBucket([&](Link* head) {
      for (Link* link = head->Flink; link != head && due_(link) < best; link = link->Flink) {
        const uint64_t time = latest(link);
        if (time < best) best = time;
      }
    });
    return best;
  }

  template <typename Visit>
  void ForEach(Visit visit) const {  // visit may remove its link
    ForEachBucket([&](Link* head) {
      for (Link* link = head->Flink; link != head;) {
        Link* next = link->Flink;
        visit(link);
        link = next;
      }
    });
  }

 private:
  static int BucketOf(uint64_t due) { return static_cast<int>((due >> kWheelShift) % kWheelBuckets); }

  template <typename Visit>
  void ForEachBucket(Visit visit) const {
    for (int word = 0; word < kWheelBuckets / 64; ++word) {
      for (uint64_t left = occupied_[word]; left != 0; left &= left - 1) {
        visit(&heads_[word * 64 + __builtin_ctzll(left)]);
      }
    }
  }

  Link* heads_;
  uint64_t* occupied_;
  Due due_;
};

}  // namespace ktl
