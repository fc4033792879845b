// The queued spin lock (Mellor-Crummey and Scott, 1991): the lock word points to the last in the queue, each
// waiter spins on its own node, and the holder hands the lock to the next in line. First come, first served.
//
// The node has the layout of NT's KSPIN_LOCK_QUEUE. Its `lock` is the address of the lock word plus three
// bits: kWaiting while the node's owner waits, kOwner while it holds the lock, kHalted while it waits asleep.
//
// A waiter in line that a policy lets halt (Policy::kPatience, Halt, Wake) gives its processor away: where
// several share one processor of the host, the others need it to bring the queue forward.
#pragma once

#include "ktl/spin_wait.h"

namespace ktl {

struct QueueNode {
  QueueNode* volatile next;
  volatile uint64_t lock;
};

template <typename Policy>
struct QueuedSpinLock {
  using Word = QueueNode* volatile;
  static constexpr uint64_t kWaiting = 1, kOwner = 2, kHalted = 4, kBits = 7;

  static Word* WordOf(const QueueNode* node) { return reinterpret_cast<Word*>(node->lock & ~kBits); }

  // Enqueues the node. True: the lock is the caller's at once. False: WaitForOwnership is next.
  static bool Enqueue(Word* word, QueueNode* node, QueueNode** before) {
    node->next = nullptr;
    // Before the exchange nobody sees the node, so it may say "waiting" already.
    node->lock = reinterpret_cast<uint64_t>(word) | kWaiting;
    Policy::Step();
    *before = __atomic_exchange_n(word, node, __ATOMIC_ACQ_REL);
    if (*before != nullptr) return false;
    node->lock = reinterpret_cast<uint64_t>(word) | kOwner;
    return true;
  }

  // The contended half: links the node behind `before` and waits until the lock is handed over.
  static void WaitForOwnership(QueueNode* before, QueueNode* node) {
    Policy::Step();
    __atomic_store_n(&before->next, node, __ATOMIC_RELEASE);
    for (unsigned round = 0; (__atomic_load_n(&node->lock, __ATOMIC_ACQUIRE) & kWaiting) != 0; ++round) {
      if constexpr (kHalts) {
        if (round >= Policy::kPatience && Policy::Halt(node, AnnounceHalt)) continue;
      }
      Policy::Relax(round);
    }
  }

  static void Acquire(Word* word, QueueNode* node) {
    QueueNode* before;
    if (!Enqueue(word, node, &before)) WaitForOwnership(before, node);
  }

  // Takes the lock only if it is free and nobody queues.
  static bool TryAcquire(Word* word, QueueNode* node) {
    if (__atomic_load_n(word, __ATOMIC_RELAXED) != nullptr) return false;
    node->next = nullptr;
    node->lock = reinterpret_cast<uint64_t>(word) | kOwner;
    QueueNode* expected = nullptr;
    Policy::Step();
    if (__atomic_compare_exchange_n(word, &expected, node, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
      return true;
    }
    node->lock = reinterpret_cast<uint64_t>(word);
    return false;
  }

  static void Release(QueueNode* node) {
    Word* word = WordOf(node);
    QueueNode* next = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE);
    if (next == nullptr) {
      QueueNode* expected = node;
      Policy::Step();
      if (__atomic_compare_exchange_n(word, &expected, static_cast<QueueNode*>(nullptr), false,
                                      __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        node->lock = reinterpret_cast<uint64_t>(word);
        return;
      }
      next = WaitForNext(node);
    }
    node->lock = reinterpret_cast<uint64_t>(word);
    Policy::Step();
    HandOver(next, reinterpret_cast<uint64_t>(word) | kOwner);
  }

  static bool IsFree(const Word* word) { return __atomic_load_n(word, __ATOMIC_RELAXED) == nullptr; }

 private:
  static constexpr bool kHalts = requires { Policy::kPatience; };

  // Says in the node that whoever hands the lock over has to wake its owner. False: it was handed over
  // before.
  static bool AnnounceHalt(QueueNode* node) {
    uint64_t seen = __atomic_load_n(&node->lock, __ATOMIC_ACQUIRE);
    return (seen & kWaiting) != 0 && __atomic_compare_exchange_n(&node->lock, &seen, seen | kHalted, false,
                                                                 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  }

  // From the write on the node is its owner's again: Wake gets its address only.
  static void HandOver(QueueNode* next, uint64_t value) {
    if constexpr (kHalts) {
      if ((__atomic_exchange_n(&next->lock, value, __ATOMIC_ACQ_REL) & kHalted) != 0) Policy::Wake(next);
    } else {
      __atomic_store_n(&next->lock, value, __ATOMIC_RELEASE);
    }
  }

  // Somebody is the new tail and has not linked itself to us yet.
  static QueueNode* WaitForNext(QueueNode* node) {
    QueueNode* next;
    for (unsigned round = 0; (next = __atomic_load_n(&node->next, __ATOMIC_ACQUIRE)) == nullptr; ++round) {
      Policy::Relax(round);
    }
    return next;
  }
};

}  // namespace ktl
