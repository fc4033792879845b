// Private to ex: the word of rundown protection, and waiting for its end.
#pragma once

#include "ke/ke.h"

namespace ex {

// On the stack of the thread that awaits the rundown.
struct RundownWait {
  KEVENT event;
  volatile LONG64 holders;  // who brings it to 0 sets the event
};

inline bool ExchangeRundown(PEX_RUNDOWN_REF ref, ULONG_PTR from, ULONG_PTR to) {
  return InterlockedCompareExchange64(reinterpret_cast<volatile LONG64*>(&ref->Count),
                                      static_cast<LONG64>(to),
                                      static_cast<LONG64>(from)) == static_cast<LONG64>(from);
}

BOOLEAN AcquireRundown(PEX_RUNDOWN_REF ref, ULONG count);
void ReleaseRundown(PEX_RUNDOWN_REF ref, ULONG count);
// Waits for a rundown that another thread awaits.
void FollowRundown(PEX_RUNDOWN_REF ref);
// Marks the rundown as complete and lets the followers go.
void CompleteRundown(PEX_RUNDOWN_REF ref);

}  // namespace ex
