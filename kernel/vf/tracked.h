// Objects in a driver's memory that the verifier follows from their initialization to their end.
#pragma once

#include "nt/ntos.h"

namespace vf {

enum class Tracked : UCHAR { kNone, kLookaside, kResource, kRemoveLock, kRemoveLockTag, kEtw, kWmi };

struct TrackedObject {
  ULONG_PTR key;    // its address, or the handle that stands for it
  ULONG_PTR extra;  // kRemoveLockTag: the tag
  PVOID caller;     // who initialized it
  Tracked kind;     // kNone: a free entry
};

// All of them: IRQL <= DISPATCH_LEVEL. The answers of Find are copies.
// False: there is one already. Without room it is not followed, and TrackerIsComplete says so from then on.
bool TrackerAdd(Tracked kind, ULONG_PTR key, PVOID caller);
void TrackerAddTag(ULONG_PTR lock, ULONG_PTR tag, PVOID caller);
bool TrackerHas(Tracked kind, ULONG_PTR key);
bool TrackerRemove(Tracked kind, ULONG_PTR key);
// A tag of a remove lock; false: it is not one of those that are out.
bool TrackerRemoveTag(ULONG_PTR lock, ULONG_PTR tag);
// One that lies in a piece of memory; one of a tag's lock; one that code of an image initialized.
bool TrackerFindIn(Tracked kind, ULONG_PTR memory, SIZE_T bytes, TrackedObject* found);
bool TrackerFindOfImage(Tracked kind, ULONG_PTR image, SIZE_T bytes, TrackedObject* found);
// Everything in a piece of memory, or initialized by code in it, is forgotten.
void TrackerForget(ULONG_PTR memory, SIZE_T bytes);
bool TrackerIsComplete();
// The entry itself, for a debugger.
PVOID TrackerEntry(Tracked kind, ULONG_PTR key);

}  // namespace vf
