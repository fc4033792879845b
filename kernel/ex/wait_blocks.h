// Private to ex: lists of wait blocks on the stacks of threads that wait for a lock.
#pragma once

#include "nt/ntos.h"

namespace ex {

// Lets the threads of a list go on that have been given their lock. Block: members Next and WakeEvent. IRQL
// <= DISPATCH_LEVEL.
template <typename Block>
void WakeWaiters(Block* woken) {
  while (woken != nullptr) {
    Block* next = woken->Next;  // the block is gone once its thread runs
    KeSetEvent(&woken->WakeEvent, 0, FALSE);
    woken = next;
  }
}

}  // namespace ex
