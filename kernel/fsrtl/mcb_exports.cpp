// Large MCBs: maps of a file's sectors to the volume's.
#include "mcb.h"

namespace {

class McbGuard {
 public:
  explicit McbGuard(PLARGE_MCB mcb) : mutex_(mcb->GuardedMutex) { KeAcquireGuardedMutex(mutex_); }
  ~McbGuard() { KeReleaseGuardedMutex(mutex_); }
  McbGuard(const McbGuard&) = delete;
  McbGuard& operator=(const McbGuard&) = delete;

 private:
  PKGUARDED_MUTEX mutex_;
};

template <typename T, typename V>
void Store(T* where, V value) {
  if (where != nullptr) *where = static_cast<T>(value);
}

// The map's mutex is released.
bool RaiseWithoutMemory(fsrtl::Outcome outcome) {
  if (outcome == fsrtl::Outcome::kNoMemory) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  return outcome == fsrtl::Outcome::kDone;
}

bool Last(PLARGE_MCB mcb, PLONGLONG vbn, PLONGLONG lbn, PULONG index) {
  McbGuard guard(mcb);
  const fsrtl::Mcb map(&mcb->BaseMcb);
  if (map.count() == 0) return false;
  const ULONG last = map.count() - 1;
  Store(vbn, map.End() - 1);
  Store(lbn, map.Run(last).lbn + (map.End() - 1 - map.StartOf(last)));
  Store(index, last);
  return true;
}

}  // namespace

/// Makes an empty map, its memory from PoolType; raises STATUS_INSUFFICIENT_RESOURCES.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInitializeLargeMcb.
NT_EXPORT(FsRtlInitializeLargeMcb, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" VOID NTAPI FsRtlInitializeLargeMcb(PLARGE_MCB Mcb, POOL_TYPE PoolType) {
  Mcb->GuardedMutex = nullptr;
  fsrtl::Mcb(&Mcb->BaseMcb).Initialize(PoolType);
  Mcb->GuardedMutex =
      static_cast<PKGUARDED_MUTEX>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(KGUARDED_MUTEX), 'bcMF'));
  if (Mcb->GuardedMutex == nullptr) {
    fsrtl::Mcb(&Mcb->BaseMcb).Uninitialize();
    ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  }
  KeInitializeGuardedMutex(Mcb->GuardedMutex);
}

/// Frees a map's memory.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlUninitializeLargeMcb.
NT_EXPORT(FsRtlUninitializeLargeMcb, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" VOID NTAPI FsRtlUninitializeLargeMcb(PLARGE_MCB Mcb) {
  if (Mcb->GuardedMutex == nullptr) return;
  ExFreePoolWithTag(Mcb->GuardedMutex, 'bcMF');
  Mcb->GuardedMutex = nullptr;
  fsrtl::Mcb(&Mcb->BaseMcb).Uninitialize();
}

/// Empties a map; with SelfSynchronized the caller holds off all others.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlResetLargeMcb.
NT_EXPORT(FsRtlResetLargeMcb, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" VOID NTAPI FsRtlResetLargeMcb(PLARGE_MCB Mcb, BOOLEAN SelfSynchronized) {
  if (SelfSynchronized) return fsrtl::Mcb(&Mcb->BaseMcb).Reset();
  McbGuard guard(Mcb);
  fsrtl::Mcb(&Mcb->BaseMcb).Reset();
}

/// Takes out everything from Vbn on.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlTruncateLargeMcb.
NT_EXPORT(FsRtlTruncateLargeMcb, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" VOID NTAPI FsRtlTruncateLargeMcb(PLARGE_MCB Mcb, LONGLONG Vbn) {
  McbGuard guard(Mcb);
  fsrtl::Mcb(&Mcb->BaseMcb).Truncate(Vbn);
}

/// Maps SectorCount sectors from Vbn on to those from Lbn on. FALSE, and nothing changed, if one of them is
/// mapped elsewhere. Raises STATUS_INSUFFICIENT_RESOURCES, the mutex released.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAddLargeMcbEntry.
NT_EXPORT(FsRtlAddLargeMcbEntry, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" BOOLEAN NTAPI FsRtlAddLargeMcbEntry(PLARGE_MCB Mcb, LONGLONG Vbn, LONGLONG Lbn,
                                               LONGLONG SectorCount) {
  fsrtl::Outcome outcome;
  {
    McbGuard guard(Mcb);
    outcome = fsrtl::Mcb(&Mcb->BaseMcb).Add(Vbn, Lbn, SectorCount);
  }
  return RaiseWithoutMemory(outcome);
}

/// Makes a hole of the sectors.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlRemoveLargeMcbEntry.
NT_EXPORT(FsRtlRemoveLargeMcbEntry, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" VOID NTAPI FsRtlRemoveLargeMcbEntry(PLARGE_MCB Mcb, LONGLONG Vbn, LONGLONG SectorCount) {
  fsrtl::Outcome outcome;
  {
    McbGuard guard(Mcb);
    outcome = fsrtl::Mcb(&Mcb->BaseMcb).Remove(Vbn, SectorCount);
  }
  RaiseWithoutMemory(outcome);
}

/// Where a sector lies (-1 in a hole), how many follow it in its run, where the run starts and how long it
/// is. FALSE beyond the last mapped sector.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlLookupLargeMcbEntry.
NT_EXPORT(FsRtlLookupLargeMcbEntry, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" BOOLEAN NTAPI FsRtlLookupLargeMcbEntry(PLARGE_MCB Mcb, LONGLONG Vbn, PLONGLONG Lbn,
                                                  PLONGLONG SectorCountFromLbn, PLONGLONG StartingLbn,
                                                  PLONGLONG SectorCountFromStartingLbn, PULONG Index) {
  McbGuard guard(Mcb);
  const fsrtl::Mcb map(&Mcb->BaseMcb);
  ULONG index;
  if (!map.Find(Vbn, &index)) return FALSE;
  const fsrtl::McbRun& run = map.Run(index);
  const LONGLONG start = map.StartOf(index);
  Store(Lbn, run.lbn == fsrtl::kHole ? fsrtl::kHole : run.lbn + (Vbn - start));
  Store(SectorCountFromLbn, run.end - Vbn);
  Store(StartingLbn, run.lbn);
  Store(SectorCountFromStartingLbn, run.end - start);
  Store(Index, index);
  return TRUE;
}

/// The last mapped sector. FALSE: the map is empty.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlLookupLastLargeMcbEntry.
NT_EXPORT(FsRtlLookupLastLargeMcbEntry, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" BOOLEAN NTAPI FsRtlLookupLastLargeMcbEntry(PLARGE_MCB Mcb, PLONGLONG Vbn, PLONGLONG Lbn) {
  return Last(Mcb, Vbn, Lbn, nullptr);
}

/// The last mapped sector and the index of its run.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlLookupLastLargeMcbEntryAndIndex.
NT_EXPORT(FsRtlLookupLastLargeMcbEntryAndIndex, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" BOOLEAN NTAPI FsRtlLookupLastLargeMcbEntryAndIndex(PLARGE_MCB OpaqueMcb, PLONGLONG LargeVbn,
                                                              PLONGLONG LargeLbn, PULONG Index) {
  return Last(OpaqueMcb, LargeVbn, LargeLbn, Index);
}

/// How many runs the map has, holes counted.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlNumberOfRunsInLargeMcb.
NT_EXPORT(FsRtlNumberOfRunsInLargeMcb, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" ULONG NTAPI FsRtlNumberOfRunsInLargeMcb(PLARGE_MCB Mcb) {
  McbGuard guard(Mcb);
  return fsrtl::Mcb(&Mcb->BaseMcb).count();
}

/// A run by its index: first VBN, first LBN (-1: a hole), sectors. FALSE beyond the last.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlGetNextLargeMcbEntry.
NT_EXPORT(FsRtlGetNextLargeMcbEntry, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" BOOLEAN NTAPI FsRtlGetNextLargeMcbEntry(PLARGE_MCB Mcb, ULONG RunIndex, PLONGLONG Vbn,
                                                   PLONGLONG Lbn, PLONGLONG SectorCount) {
  McbGuard guard(Mcb);
  const fsrtl::Mcb map(&Mcb->BaseMcb);
  if (RunIndex >= map.count()) return FALSE;
  Store(Vbn, map.StartOf(RunIndex));
  Store(Lbn, map.Run(RunIndex).lbn);
  Store(SectorCount, map.Run(RunIndex).end - map.StartOf(RunIndex));
  return TRUE;
}

/// Opens a hole of Amount sectors at Vbn; what was there moves up.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlSplitLargeMcb.
NT_EXPORT(FsRtlSplitLargeMcb, nt::AtMost(APC_LEVEL), Full, "FsRtlMcb.*");
extern "C" BOOLEAN NTAPI FsRtlSplitLargeMcb(PLARGE_MCB Mcb, LONGLONG Vbn, LONGLONG Amount) {
  fsrtl::Outcome outcome;
  {
    McbGuard guard(Mcb);
    outcome = fsrtl::Mcb(&Mcb->BaseMcb).Split(Vbn, Amount);
  }
  return RaiseWithoutMemory(outcome);
}
