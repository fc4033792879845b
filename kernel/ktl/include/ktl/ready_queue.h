// Ready queues: 32 priorities, a summary bit each. Intrusive over any doubly linked `Link` with Flink and
// Blink; no NT.
#pragma once

#include <stdint.h>

namespace ktl {

inline constexpr int kPriorities = 32;

template <typename Link>
void QueueInit(Link* head) {
  head->Flink = head->Blink = head;
}
template <typename Link>
bool QueueEmpty(const Link* head) {
  return head->Flink == head;
}
template <typename Link>
void QueueRemove(Link* link) {
  link->Blink->Flink = link->Flink;
  link->Flink->Blink = link->Blink;
}

// Heads and summary live in the owner's structure (the debugger reads them there). Callers hold the owner's
// lock.
template <typename Link>
class ReadyQueues {
 public:
  ReadyQueues(Link* heads, uint32_t* summary) : heads_(heads), summary_(summary) {}

  // front: the thread was preempted before its quantum ended and goes on first among its equals.
  void Insert(Link* link, int priority, bool front) {
    Link* head = &heads_[priority];
    Link* after = front ? head : head->Blink;
    link->Flink = after->Flink;
    link->Blink = after;
    after->Flink->Blink = link;
    after->Flink = link;
    *summary_ = *summary_ | (1u << priority);
  }
  void Remove(Link* link, int priority) {
    QueueRemove(link);
    if (QueueEmpty(&heads_[priority])) *summary_ = *summary_ & ~(1u << priority);
  }
  // First link of the highest priority >= `minimum` that `accept` takes, 0 if there is none; stays in its
  // queue.
  template <typename Accept>
  Link* Find(int minimum, Accept accept, int* priority) const {
    uint32_t candidates = *summary_ & ~((1u << minimum) - 1);
    while (candidates != 0) {
      const int level = 31 - __builtin_clz(candidates);
      for (Link* link = heads_[level].Flink; link != &heads_[level]; link = link->Flink) {
        if (accept(link)) {
          *priority = level;
          return link;
        }
      }
      candidates &= ~(1u << level);
    }
    return nullptr;
  }

 private:
  Link* heads_;
  uint32_t* summary_;
};

}  // namespace ktl
