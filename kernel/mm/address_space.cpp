// Address spaces and their MMVADs.
#include "mm/address_space.h"

#include "ke/ke.h"
#include "mm/section.h"

namespace mm {
namespace {

constexpr ULONG kVadTag = ' daV';
constexpr ULONG kSpaceTag = 'cpSM';
constexpr ULONG64 kSystemViewBase = 0xFFFFE700'00000000;
constexpr ULONG64 kSystemViewBytes = 1ull << 36;

AddressSpace g_system_views;
AddressSpace g_system_process_space;
SleepLock g_spaces_lock;
LIST_ENTRY g_spaces;

RTL_GENERIC_COMPARE_RESULTS NTAPI CompareVads(PRTL_AVL_TABLE, PVOID first, PVOID second) {
  const auto* a = static_cast<PMMVAD>(first);
  const auto* b = static_cast<PMMVAD>(second);
  if (a->EndingVpn < b->StartingVpn) return GenericLessThan;
  return a->StartingVpn > b->EndingVpn ? GenericGreaterThan : GenericEqual;
}

PVOID NTAPI AllocateVad(PRTL_AVL_TABLE, CLONG bytes) {
  return ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kVadTag);
}

VOID NTAPI FreeVad(PRTL_AVL_TABLE, PVOID buffer) {
  ExFreePoolWithTag(buffer, kVadTag);
}

ULONG64 RoundUp(ULONG64 va, ULONG64 alignment) {
  return (va + alignment - 1) & ~(alignment - 1);
}

// What a PTE that left a page table gives back.
void ReleasePte(const MMVAD& vad, MMPTE old) {
  if (vad.Kind == VadKind::kMdlMapping || old.u.Long == 0) return;
  if (old.u.Hard.Valid != 0) CountResident(*vad.Space, -1);
  if (vad.Kind == VadKind::kPrivate) ReturnCommitment(*vad.Space, 1);
  if (old.u.Hard.Valid != 0 && MmPfnDatabase[old.u.Hard.PageFrameNumber].u4.PrototypePte != 0) {
    ReleaseShare(old.u.Hard.PageFrameNumber, old.u.Hard.Dirty != 0);
  } else {
    DropPte(old);
  }
}

// Clears up to kBatch PTEs, flushes, releases: the pages must be in no TLB when they get a new owner.
constexpr ULONG kBatch = 64;
struct Batch {
  MMPTE ptes[kBatch];
  ULONG count;
};

void ReleaseBatch(const MMVAD& vad, Batch& batch) {
  if (batch.count == 0) return;
  KeFlushEntireTb(TRUE, TRUE);
  for (ULONG i = 0; i < batch.count; ++i) ReleasePte(vad, batch.ptes[i]);
  batch.count = 0;
}

ULONG64 NextTable(ULONG64 va, UCHAR level) {
  const ULONG64 span = kPageSize << (9 * (level - 1));
  return (va & ~(span - 1)) + span;
}

}  // namespace

AddressSpace& SystemViews() {
  return g_system_views;
}

void InitSpace(AddressSpace* space, PEPROCESS process, ULONG64 low, ULONG64 end) {
  space->lock.Init();
  space->process = process;
  RtlInitializeGenericTableAvl(&space->vads, CompareVads, AllocateVad, FreeVad, nullptr);
  InitializeListHead(&space->lock_records);
  InitializeListHead(&space->secured);
  space->low = low;
  space->end = end;
  if (process == nullptr) return;
  SleepGuard guard(g_spaces_lock);
  InsertTailList(&g_spaces, &space->link);
}

bool InitSystemViews() {
  g_spaces_lock.Init();
  InitializeListHead(&g_spaces);
  if (!EnsureTopLevel(kSystemViewBase)) return false;
  InitSpace(&g_system_views, nullptr, kSystemViewBase, kSystemViewBase + kSystemViewBytes);
  return true;
}

AddressSpace* CurrentSpace() {
  auto* process = reinterpret_cast<PEPROCESS>(KeCurrentThread()->ApcState.Process);
  auto* space = static_cast<AddressSpace*>(__atomic_load_n(&process->VadRoot, __ATOMIC_ACQUIRE));
  return space != nullptr && space->end != space->low ? space : nullptr;
}

AddressSpace* EnsureCurrentSpace() {
  auto* process = reinterpret_cast<PEPROCESS>(KeCurrentThread()->ApcState.Process);
  if (process == PsInitialSystemProcess && process->VadRoot == nullptr) {
    static SleepLock& lock = g_system_views.lock;  // any lock of this file does; nothing is held
    SleepGuard guard(lock);
    if (process->VadRoot == nullptr) {
      InitSpace(&g_system_process_space, process, kLowestUserAddress, kUserEnd);
      __atomic_store_n(&process->VadRoot, &g_system_process_space, __ATOMIC_RELEASE);
    }
  }
  return CurrentSpace();
}

void ForEachSpace(void (*visit)(AddressSpace& space, PVOID context), PVOID context) {
  SleepGuard guard(g_spaces_lock);
  for (PLIST_ENTRY link = g_spaces.Flink; link != &g_spaces; link = link->Flink) {
    AddressSpace* space = CONTAINING_RECORD(link, AddressSpace, link);
    KAPC_STATE state;
    KeStackAttachProcess(&space->process->Pcb, &state);
    visit(*space, context);
    KeUnstackDetachProcess(&state);
  }
}

PMMVAD FindVad(AddressSpace& space, ULONG64 va) {
  MMVAD key = {};
  key.StartingVpn = key.EndingVpn = va / kPageSize;
  return static_cast<PMMVAD>(RtlLookupElementGenericTableAvl(&space.vads, &key));
}

bool RangeIsFree(AddressSpace& space, ULONG64 va, ULONG64 pages) {
  MMVAD key = {};
  key.StartingVpn = va / kPageSize;
  key.EndingVpn = key.StartingVpn + pages - 1;
  return RtlLookupElementGenericTableAvl(&space.vads, &key) == nullptr;
}

PMMVAD FirstVad(AddressSpace& space) {
  PVOID restart = nullptr;
  return static_cast<PMMVAD>(RtlEnumerateGenericTableWithoutSplayingAvl(&space.vads, &restart));
}

ULONG64 FindFreeRange(AddressSpace& space, ULONG64 pages, bool top_down, ULONG64 below, ULONG64 alignment) {
  const ULONG64 end = below < space.end ? below : space.end;
  const ULONG64 bytes = pages * kPageSize;
  ULONG64 best = 0;
  ULONG64 from = RoundUp(space.low, alignment);
  PVOID restart = nullptr;
  for (;;) {
    const auto* vad = static_cast<PMMVAD>(RtlEnumerateGenericTableWithoutSplayingAvl(&space.vads, &restart));
    const ULONG64 gap_end = vad != nullptr && StartOf(*vad) < end ? StartOf(*vad) : end;
    if (gap_end > from && gap_end - from >= bytes) {
      if (!top_down) return from;
      best = (gap_end - bytes) & ~(alignment - 1);
      if (best < from) best = from;
    }
    if (vad == nullptr || StartOf(*vad) >= end) return best;
    from = RoundUp(StartOf(*vad) + PagesOf(*vad) * kPageSize, alignment);
  }
}

PMMVAD InsertVad(AddressSpace& space, const MMVAD& vad) {
  BOOLEAN inserted = FALSE;
  PVOID element =
      RtlInsertElementGenericTableAvl(&space.vads, const_cast<PMMVAD>(&vad), sizeof(vad), &inserted);
  if (!inserted) return nullptr;
  static_cast<PMMVAD>(element)->Space = &space;
  CountAddresses(space, static_cast<LONG64>(PagesOf(vad) * kPageSize));
  return static_cast<PMMVAD>(element);
}

void RemoveVad(AddressSpace& space, PMMVAD vad) {
  const MMVAD key = *vad;
  CountAddresses(space, -static_cast<LONG64>(PagesOf(key) * kPageSize));
  RtlDeleteElementGenericTableAvl(&space.vads, const_cast<PMMVAD>(&key));
}

void ClearPages(const MMVAD& vad, ULONG64 va, ULONG64 pages) {
  Batch batch;
  batch.count = 0;
  const ULONG64 end = va + pages * kPageSize;
  while (va < end) {
    const Walk walk = WalkTables(va);
    if (walk.level != 1) {
      va = NextTable(va, walk.level);
      continue;
    }
    const MMPTE old = Exchange(PteOf(va), MMPTE{});
    if (old.u.Long != 0) {
      batch.ptes[batch.count++] = old;
      if (batch.count == kBatch) ReleaseBatch(vad, batch);
    }
    va += kPageSize;
  }
  ReleaseBatch(vad, batch);
}

void DeleteVad(AddressSpace& space, PMMVAD vad) {
  const MMVAD copy = *vad;
  ClearPages(copy, StartOf(copy), PagesOf(copy));
  RemoveVad(space, vad);
  if (copy.Segment == nullptr) return;
  if (space.process != nullptr) CountUserView(copy.Segment, copy.Protection, -1);
  DereferenceSegment(copy.Segment);
}

namespace {

// Frees the page tables below an entry of the given level; the leaves are clear.
void FreeTables(PMMPTE entries, ULONG count, int level) {
  for (ULONG i = 0; i < count; ++i) {
    const MMPTE entry = entries[i];
    if (entry.u.Hard.Valid == 0) continue;
    const PFN_NUMBER pfn = entry.u.Hard.PageFrameNumber;
    if (level > 2) FreeTables(static_cast<PMMPTE>(PageAddress(pfn)), 512, level - 1);
    entries[i] = MMPTE{};
    mm::FreePage(pfn);
  }
}

}  // namespace
}  // namespace mm

extern "C" {

NTSTATUS MmInitializeProcessAddressSpace(PEPROCESS Process) {
  using namespace mm;
  auto* space =
      static_cast<AddressSpace*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(AddressSpace), kSpaceTag));
  if (space == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(space, sizeof(*space));
  InitSpace(space, Process, kLowestUserAddress, kUserEnd);
  Process->VadRoot = space;
  return STATUS_SUCCESS;
}

VOID MmCleanProcessAddressSpace(PEPROCESS Process) {
  using namespace mm;
  auto* space = static_cast<AddressSpace*>(Process->VadRoot);
  if (space == nullptr || Process == PsInitialSystemProcess) return;
  {
    SleepGuard guard(g_spaces_lock);
    if (space->end == space->low) return;
    RemoveEntryList(&space->link);
    InitializeListHead(&space->link);
  }
  KAPC_STATE state;
  KeStackAttachProcess(&Process->Pcb, &state);
  {
    SleepGuard guard(space->lock);
    while (PMMVAD vad = FirstVad(*space)) DeleteVad(*space, vad);
    // Nothing can be mapped there any more.
    space->end = space->low;
  }
  KeUnstackDetachProcess(&state);
  CheckLockedPages(*space);
}

VOID MmDeleteProcessAddressSpace(PEPROCESS Process) {
  using namespace mm;
  MmCleanProcessAddressSpace(Process);
  auto* space = static_cast<AddressSpace*>(Process->VadRoot);
  if (space != nullptr) {
    while (!IsListEmpty(&space->secured)) ExFreePool(RemoveHeadList(&space->secured));
    ExFreePoolWithTag(space, kSpaceTag);
  }
  const PFN_NUMBER root = Process->Pcb.DirectoryTableBase / kPageSize;
  FreeTables(static_cast<PMMPTE>(PageAddress(root)), 256, 4);
  // A processor may still run on it, or have it in its TLB.
  KeFlushEntireTb(TRUE, TRUE);
  mm::FreePage(root);
}

}  // extern "C"
