// What the lock algorithms of ktl ask of the machine they run on. The kernel, the host's tests and the host's
// measurements each bring a policy:
//
//   struct Policy {
//     static void Relax(unsigned round);  // one turn of a wait loop, the round-th of this wait
//     static void Step();                 // before each step that other processors can see (tests stop here)
//     // Only where the waiters of a queued lock may sleep, and then after so many rounds of waiting. Halt
//     // asks `announce`, sleeps if it says yes, and returns after Wake or for any other reason; false: it
//     // cannot. Wake may come when nobody sleeps on the node.
//     static constexpr unsigned kPatience;
//     static bool Halt(QueueNode* node, bool (*announce)(QueueNode*));
//     static void Wake(QueueNode* node);
//   };
//
// A lock word is plain memory of the caller's: zero is a free lock. Whoever waits reads until the word looks
// right and only then writes: waiting processors share the cache line and do not fight for it.
#pragma once

#include <stdint.h>

namespace ktl {

// Sets a bit of a lock word; true when it was set already. An acquire operation (a full barrier on x86).
inline bool TestAndSet(volatile uint64_t* word, unsigned bit) {
  bool was_set;
  __asm__ volatile("lock btsq %2, %0" : "+m"(*word), "=@ccc"(was_set) : "Ir"(uint64_t{bit}) : "memory");
  return was_set;
}
inline bool TestAndSet(volatile uint32_t* word, unsigned bit) {
  bool was_set;
  __asm__ volatile("lock btsl %2, %0" : "+m"(*word), "=@ccc"(was_set) : "Ir"(uint32_t{bit}) : "memory");
  return was_set;
}

}  // namespace ktl
