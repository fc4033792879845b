// One table for everything that is followed; searched from end to end, which a verified driver can afford.
#include "tracked.h"

#include "ke/spin_guard.h"

extern "C" {
#define VF_TRACKED_OBJECTS 2048
vf::TrackedObject VfTrackedObjects[VF_TRACKED_OBJECTS];
ULONG VfTrackedDropped;  // found no room
ULONG VfTrackedHigh;     // entries that were ever used
}

namespace vf {
namespace {

KSPIN_LOCK g_lock;

// Under the lock.
template <typename Matches>
TrackedObject* FindLocked(Matches matches) {
  for (ULONG i = 0; i < VfTrackedHigh; ++i) {
    TrackedObject& object = VfTrackedObjects[i];
    if (object.kind != Tracked::kNone && matches(object)) return &object;
  }
  return nullptr;
}

TrackedObject* FindLocked(Tracked kind, ULONG_PTR key) {
  return FindLocked([&](const TrackedObject& object) { return object.kind == kind && object.key == key; });
}

void AddLocked(const TrackedObject& object) {
  for (ULONG i = 0; i < VF_TRACKED_OBJECTS; ++i) {
    if (VfTrackedObjects[i].kind != Tracked::kNone) continue;
    VfTrackedObjects[i] = object;
    if (i >= VfTrackedHigh) VfTrackedHigh = i + 1;
    return;
  }
  ++VfTrackedDropped;
}

template <typename Matches>
bool Copy(Matches matches, TrackedObject* found) {
  ke::SpinGuard guard(&g_lock);
  const TrackedObject* object = FindLocked(matches);
  if (object != nullptr && found != nullptr) *found = *object;
  return object != nullptr;
}

template <typename Matches>
bool Remove(Matches matches) {
  ke::SpinGuard guard(&g_lock);
  TrackedObject* object = FindLocked(matches);
  if (object != nullptr) object->kind = Tracked::kNone;
  return object != nullptr;
}

}  // namespace

bool TrackerAdd(Tracked kind, ULONG_PTR key, PVOID caller) {
  ke::SpinGuard guard(&g_lock);
  if (FindLocked(kind, key) != nullptr) return false;
  AddLocked({key, 0, caller, kind});
  return true;
}

void TrackerAddTag(ULONG_PTR lock, ULONG_PTR tag, PVOID caller) {
  ke::SpinGuard guard(&g_lock);
  AddLocked({lock, tag, caller, Tracked::kRemoveLockTag});
}

bool TrackerHas(Tracked kind, ULONG_PTR key) {
  return Copy([&](const TrackedObject& object) { return object.kind == kind && object.key == key; }, nullptr);
}

bool TrackerRemove(Tracked kind, ULONG_PTR key) {
  return Remove([&](const TrackedObject& object) { return object.kind == kind && object.key == key; });
}

bool TrackerRemoveTag(ULONG_PTR lock, ULONG_PTR tag) {
  return Remove([&](const TrackedObject& object) {
    return object.kind == Tracked::kRemoveLockTag && object.key == lock && object.extra == tag;
  });
}

bool TrackerFindIn(Tracked kind, ULONG_PTR memory, SIZE_T bytes, TrackedObject* found) {
  return Copy([&](const TrackedObject& object) { return object.kind == kind && object.key - memory < bytes; },
              found);
}

bool TrackerFindOfImage(Tracked kind, ULONG_PTR image, SIZE_T bytes, TrackedObject* found) {
  return Copy(
      [&](const TrackedObject& object) {
        return object.kind == kind && reinterpret_cast<ULONG_PTR>(object.caller) - image < bytes;
      },
      found);
}

void TrackerForget(ULONG_PTR memory, SIZE_T bytes) {
  ke::SpinGuard guard(&g_lock);
  for (ULONG i = 0; i < VfTrackedHigh; ++i) {
    TrackedObject& object = VfTrackedObjects[i];
    if (object.key - memory < bytes || reinterpret_cast<ULONG_PTR>(object.caller) - memory < bytes)
      object.kind = Tracked::kNone;
  }
}

bool TrackerIsComplete() {
  return __atomic_load_n(&VfTrackedDropped, __ATOMIC_RELAXED) == 0;
}

PVOID TrackerEntry(Tracked kind, ULONG_PTR key) {
  ke::SpinGuard guard(&g_lock);
  return FindLocked(kind, key);
}

}  // namespace vf
