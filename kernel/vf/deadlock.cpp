// Deadlock detection: the order in which each thread takes its locks, as edges of a graph over locks. A lock
// that closes a cycle is reported at its acquisition, whether or not the threads meet.
//
// One spin lock guards everything; callers are at DISPATCH_LEVEL or below. Who waits for a lock counts as
// having it already.
#include "mm/mm.h"
#include "nt/kpcr.h"
#include "ob/ob.h"
#include "verifier.h"

extern "C" {

// A lock that a verified driver has used, a node of the graph. ViDeadlockResources[ViDeadlockResourceCount].
typedef struct _VI_DEADLOCK_RESOURCE {
  PVOID ResourceAddress;  // 0: forgotten
  UCHAR Type;             // vf::LockKind
  UCHAR Initialized;      // by a call that was seen
  UCHAR AcquireType;      // vf::LockKind, of the last acquisition
  UCHAR Reserved;
  ULONG RecursionCount;
  PVOID ThreadOwner;  // KTHREAD, or KPRCB in a DPC: who went for it last
  PVOID AcquireCaller;
  ULONG FirstEdge;  // of the locks taken while this one was held; index + 1
  ULONG Visit;      // the search that saw it last
} VI_DEADLOCK_RESOURCE, *PVI_DEADLOCK_RESOURCE;

// "To was taken while From was held."
typedef struct _VI_DEADLOCK_EDGE {
  ULONG To;
  ULONG NextEdge;  // index + 1
  PVOID FromCaller;
  PVOID ToCaller;
} VI_DEADLOCK_EDGE, *PVI_DEADLOCK_EDGE;

// What a thread holds, oldest first.
#define VI_DEADLOCK_DEPTH 16
typedef struct _VI_DEADLOCK_THREAD {
  PVOID Thread;  // 0: free entry
  ULONG NodeCount;
  ULONG Nodes[VI_DEADLOCK_DEPTH];
} VI_DEADLOCK_THREAD, *PVI_DEADLOCK_THREAD;

PVI_DEADLOCK_RESOURCE ViDeadlockResources;
ULONG ViDeadlockResourceCount;
PVI_DEADLOCK_EDGE ViDeadlockEdges;
ULONG ViDeadlockEdgeCount;
PVI_DEADLOCK_THREAD ViDeadlockThreads;
ULONG ViDeadlockDropped;  // locks, edges and threads that found no room
// The cycle that was found: locks in the order of the edges, the last leads to the first.
ULONG ViDeadlockCycleLength;
PVOID ViDeadlockCycle[VI_DEADLOCK_DEPTH];
}

namespace vf {
namespace {

constexpr ULONG kResources = 4096, kEdges = 16384, kThreads = 512;
constexpr ULONG kNone = ~0u;
constexpr ULONG kSelfDeadlock = 0x1000, kCycle = 0x1001, kWrongOrder = 0x1003, kOtherThread = 0x1004,
                kTwiceInitialized = 0x1005, kNotAcquired = 0x1007, kAcquireMismatch = 0x1008,
                kReleaseMismatch = 0x1009, kThreadEndsOwning = 0x100A, kFreedWhileOwned = 0x100B;

KSPIN_LOCK g_lock;
ULONG g_search;

// In a DPC the interrupted thread has nothing to do with it.
PVOID Self() {
  PKPRCB prcb = KeGetCurrentPrcb();
  return prcb->DpcRoutineActive ? static_cast<PVOID>(prcb) : prcb->CurrentThread;
}

bool Ready() {
  if (ViDeadlockThreads != nullptr) return true;
  const auto allocate = [](SIZE_T bytes) {
    const PFN_NUMBER pages = MmAllocateContiguousPages((bytes + PAGE_SIZE - 1) / PAGE_SIZE);
    return pages == 0 ? nullptr : MmPhysicalToVirtual(pages * PAGE_SIZE);
  };
  ViDeadlockResources =
      static_cast<PVI_DEADLOCK_RESOURCE>(allocate(kResources * sizeof(VI_DEADLOCK_RESOURCE)));
  ViDeadlockEdges = static_cast<PVI_DEADLOCK_EDGE>(allocate(kEdges * sizeof(VI_DEADLOCK_EDGE)));
  if (ViDeadlockResources == nullptr || ViDeadlockEdges == nullptr) return false;
  ViDeadlockThreads = static_cast<PVI_DEADLOCK_THREAD>(allocate(kThreads * sizeof(VI_DEADLOCK_THREAD)));
  return ViDeadlockThreads != nullptr;
}

// A lock on the stack is another one the next time: nothing can be learnt from its order.
bool OnStack(PVOID lock) {
  const PKTHREAD thread = KeGetCurrentThread();
  return lock >= thread->StackLimit && lock < thread->StackBase;
}

ULONG FindResource(PVOID lock) {
  for (ULONG i = 0; i < ViDeadlockResourceCount; ++i) {
    if (ViDeadlockResources[i].ResourceAddress == lock) return i;
  }
  return kNone;
}

ULONG ResourceFor(PVOID lock, LockKind kind) {
  ULONG index = FindResource(lock);
  if (index != kNone) return index;
  if (ViDeadlockResourceCount == kResources) {
    ++ViDeadlockDropped;
    return kNone;
  }
  index = ViDeadlockResourceCount++;
  ViDeadlockResources[index] = {};
  ViDeadlockResources[index].ResourceAddress = lock;
  ViDeadlockResources[index].Type = static_cast<UCHAR>(kind);
  return index;
}

PVI_DEADLOCK_THREAD ThreadFor(PVOID self, bool create) {
  PVI_DEADLOCK_THREAD free = nullptr;
  for (ULONG i = 0; i < kThreads; ++i) {
    PVI_DEADLOCK_THREAD entry = &ViDeadlockThreads[i];
    if (entry->Thread == self) return entry;
    if (entry->Thread == nullptr && free == nullptr) free = entry;
  }
  if (!create) return nullptr;
  if (free == nullptr) {
    ++ViDeadlockDropped;
    return nullptr;
  }
  free->Thread = self;
  free->NodeCount = 0;
  return free;
}

// Where in a thread's list a lock stands; kNone: it has not got it.
ULONG NodeOf(const VI_DEADLOCK_THREAD& thread, ULONG index) {
  for (ULONG i = 0; i < thread.NodeCount; ++i) {
    if (thread.Nodes[i] == index) return i;
  }
  return kNone;
}

// The thread that holds a lock; 0: nobody.
PVOID HolderOf(ULONG index) {
  for (ULONG i = 0; i < kThreads; ++i) {
    const VI_DEADLOCK_THREAD& thread = ViDeadlockThreads[i];
    if (thread.Thread != nullptr && NodeOf(thread, index) != kNone) return thread.Thread;
  }
  return nullptr;
}

// A way along edges from `from` to `to`; fills ViDeadlockCycle with it.
bool Reaches(ULONG from, ULONG to, ULONG depth) {
  if (depth == VI_DEADLOCK_DEPTH) return false;
  VI_DEADLOCK_RESOURCE& node = ViDeadlockResources[from];
  if (node.Visit == g_search) return false;
  node.Visit = g_search;
  ViDeadlockCycle[depth] = node.ResourceAddress;
  if (from == to) {
    ViDeadlockCycleLength = depth + 1;
    return true;
  }
  for (ULONG edge = node.FirstEdge; edge != 0; edge = ViDeadlockEdges[edge - 1].NextEdge) {
    if (Reaches(ViDeadlockEdges[edge - 1].To, to, depth + 1)) return true;
  }
  return false;
}

bool HasEdge(ULONG from, ULONG to) {
  for (ULONG edge = ViDeadlockResources[from].FirstEdge; edge != 0;
       edge = ViDeadlockEdges[edge - 1].NextEdge) {
    if (ViDeadlockEdges[edge - 1].To == to) return true;
  }
  return false;
}

void AddEdge(ULONG from, ULONG to, PVOID caller) {
  if (HasEdge(from, to)) return;
  if (ViDeadlockEdgeCount == kEdges) {
    ++ViDeadlockDropped;
    return;
  }
  VI_DEADLOCK_EDGE& edge = ViDeadlockEdges[ViDeadlockEdgeCount++];
  edge = {to, ViDeadlockResources[from].FirstEdge, ViDeadlockResources[from].AcquireCaller, caller};
  ViDeadlockResources[from].FirstEdge = ViDeadlockEdgeCount;
}

// Routines of one family may take the same lock at different times, those of another may not.
LockKind FamilyOf(UCHAR kind) {
  const auto own = static_cast<LockKind>(kind);
  return own == LockKind::kUnsafeFastMutex ? LockKind::kFastMutex : own;
}

struct Verdict {
  ULONG kind = 0;  // 0: nothing wrong
  ULONG_PTR p2 = 0, p3 = 0, p4 = 0;
};

FORCEINLINE void Stop(const Verdict& verdict) {
  if (verdict.kind != 0)
    VerifierBugCheckIfAppropriate(kViolation, verdict.kind, verdict.p2, verdict.p3, verdict.p4);
}

Verdict Acquire(PVOID lock, LockKind kind, PVOID caller) {
  ke::SpinGuard guard(&g_lock);
  if (!Ready()) return {};
  const PVOID self = Self();
  const ULONG index = ResourceFor(lock, kind);
  PVI_DEADLOCK_THREAD thread = index == kNone ? nullptr : ThreadFor(self, true);
  if (thread == nullptr) return {};
  VI_DEADLOCK_RESOURCE& resource = ViDeadlockResources[index];
  if (FamilyOf(resource.Type) != FamilyOf(static_cast<UCHAR>(kind)))
    return {kAcquireMismatch, Bits(lock), 0, 0};
  if (NodeOf(*thread, index) != kNone) {
    if (kind != LockKind::kMutex) return {kSelfDeadlock, Bits(lock), 0, 0};
    ++resource.RecursionCount;
    return {};
  }
  if (thread->NodeCount != 0) {
    const ULONG holder = thread->Nodes[thread->NodeCount - 1];
    if (!HasEdge(holder, index)) {
      ++g_search;
      if (Reaches(index, holder, 0)) return {kCycle, Bits(lock), 0, 0};
      AddEdge(holder, index, caller);
    }
  }
  if (thread->NodeCount == VI_DEADLOCK_DEPTH) {
    ++ViDeadlockDropped;
    return {};
  }
  thread->Nodes[thread->NodeCount++] = index;
  resource.ThreadOwner = self;
  resource.AcquireCaller = caller;
  resource.AcquireType = static_cast<UCHAR>(kind);
  return {};
}

Verdict Release(PVOID lock, LockKind kind) {
  ke::SpinGuard guard(&g_lock);
  if (!Ready()) return {};
  const PVOID self = Self();
  const ULONG index = FindResource(lock);
  if (index == kNone) return {};  // taken before the driver was verified, or by somebody else
  VI_DEADLOCK_RESOURCE& resource = ViDeadlockResources[index];
  PVI_DEADLOCK_THREAD thread = ThreadFor(self, false);
  const ULONG at = thread == nullptr ? kNone : NodeOf(*thread, index);
  if (at == kNone) {
    if (PVOID other = HolderOf(index)) return {kOtherThread, Bits(lock), Bits(other), Bits(self)};
    return {kNotAcquired, Bits(lock), 0, 0};
  }
  if (resource.AcquireType != static_cast<UCHAR>(kind)) return {kReleaseMismatch, Bits(lock), 0, 0};
  if (resource.RecursionCount != 0) {
    --resource.RecursionCount;
    return {};
  }
  const bool spins = kind == LockKind::kSpinLock || kind == LockKind::kQueuedSpinLock;
  if (at + 1 != thread->NodeCount && spins) {
    const ULONG first = thread->Nodes[thread->NodeCount - 1];
    return {kWrongOrder, Bits(lock), Bits(ViDeadlockResources[first].ResourceAddress), 0};
  }
  for (ULONG i = at; i + 1 < thread->NodeCount; ++i) thread->Nodes[i] = thread->Nodes[i + 1];
  if (--thread->NodeCount == 0) thread->Thread = nullptr;
  return {};
}

Verdict Initialize(PVOID lock, LockKind kind) {
  ke::SpinGuard guard(&g_lock);
  if (!Ready()) return {};
  const ULONG index = ResourceFor(lock, kind);
  if (index == kNone) return {};
  VI_DEADLOCK_RESOURCE& resource = ViDeadlockResources[index];
  if (resource.Initialized) return {kTwiceInitialized, Bits(lock), 0, 0};
  resource.Initialized = 1;
  return {};
}

Verdict Forget(ULONG_PTR memory, SIZE_T bytes) {
  ke::SpinGuard guard(&g_lock);
  if (ViDeadlockThreads == nullptr) return {};
  for (ULONG i = 0; i < ViDeadlockResourceCount; ++i) {
    VI_DEADLOCK_RESOURCE& resource = ViDeadlockResources[i];
    const ULONG_PTR lock = Bits(resource.ResourceAddress);
    if (lock == 0 || lock - memory >= bytes) continue;
    if (PVOID holder = HolderOf(i)) return {kFreedWhileOwned, lock, Bits(holder), 0};
    // The node stays, its edges lead nowhere: another lock may lie at this address later.
    resource.ResourceAddress = nullptr;
    resource.FirstEdge = 0;
  }
  return {};
}

Verdict Ends(PVOID self) {
  ke::SpinGuard guard(&g_lock);
  if (ViDeadlockThreads == nullptr) return {};
  const PVI_DEADLOCK_THREAD thread = ThreadFor(self, false);
  if (thread == nullptr || thread->NodeCount == 0) return {};
  return {kThreadEndsOwning, Bits(self), Bits(ViDeadlockResources[thread->Nodes[0]].ResourceAddress), 0};
}

}  // namespace

__attribute__((noinline)) void DeadlockThreadEnds() {
  Stop(Ends(KeGetCurrentThread()));
}

__attribute__((noinline)) void DeadlockAcquired(PVOID lock, LockKind kind, PVOID caller) {
  if (OnStack(lock)) return;
  Stop(Acquire(lock, kind, caller));
}

__attribute__((noinline)) void DeadlockReleased(PVOID lock, LockKind kind, PVOID) {
  if (OnStack(lock)) return;
  Stop(Release(lock, kind));
}

__attribute__((noinline)) void DeadlockInitialized(PVOID lock, LockKind kind, PVOID) {
  if (OnStack(lock)) return;
  Stop(Initialize(lock, kind));
}

__attribute__((noinline)) void DeadlockForget(PVOID memory, SIZE_T bytes) {
  Stop(Forget(Bits(memory), bytes));
}

}  // namespace vf
