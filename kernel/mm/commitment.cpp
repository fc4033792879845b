// What is promised: every committed page of a process's private memory, which does not leave memory, has a
// place.
#include "mm/address_space.h"

#include "mm/process_counts.h"

namespace mm {
namespace {

volatile LONG64 g_committed, g_peak;

// What the kernel needs itself is no part of it: an eighth of the memory stays out.
LONG64 Limit() {
  return static_cast<LONG64>(MmNumberOfPhysicalPages - MmNumberOfPhysicalPages / 8);
}

void RaisePeak(volatile LONG64* peak, LONG64 value) {
  for (LONG64 seen = *peak; seen < value;) {
    const LONG64 now = InterlockedCompareExchange64(peak, value, seen);
    if (now == seen) return;
    seen = now;
  }
}

}  // namespace

bool ChargeCommitment(AddressSpace& space, ULONG64 pages) {
  const auto added = static_cast<LONG64>(pages);
  if (added > Limit()) return false;
  const LONG64 now = InterlockedAdd64(&g_committed, added);
  if (now > Limit()) {
    InterlockedAdd64(&g_committed, -added);
    return false;
  }
  RaisePeak(&g_peak, now);
  MmProcessCounts& counts = space.counts;
  counts.CommittedPages += pages;
  if (counts.CommittedPages > counts.PeakCommittedPages) counts.PeakCommittedPages = counts.CommittedPages;
  return true;
}

void ReturnCommitment(AddressSpace& space, ULONG64 pages) {
  InterlockedAdd64(&g_committed, -static_cast<LONG64>(pages));
  space.counts.CommittedPages -= pages;
}

void CountResident(AddressSpace& space, LONG64 change) {
  MmProcessCounts& counts = space.counts;
  counts.ResidentPages += static_cast<ULONG64>(change);
  if (counts.ResidentPages > counts.PeakResidentPages) counts.PeakResidentPages = counts.ResidentPages;
}

void CountAddresses(AddressSpace& space, LONG64 bytes) {
  MmProcessCounts& counts = space.counts;
  counts.VirtualBytes += static_cast<ULONG64>(bytes);
  if (counts.VirtualBytes > counts.PeakVirtualBytes) counts.PeakVirtualBytes = counts.VirtualBytes;
}

}  // namespace mm

extern "C" VOID MmQueryProcessCounts(PEPROCESS Process, MmProcessCounts* Counts) {
  auto* space = static_cast<mm::AddressSpace*>(__atomic_load_n(&Process->VadRoot, __ATOMIC_ACQUIRE));
  *Counts = {};
  if (space == nullptr) return;
  mm::SleepGuard guard(space->lock);
  *Counts = space->counts;
}

extern "C" VOID MmQueryCommitment(MmCommitment* Commitment) {
  *Commitment = {static_cast<ULONG64>(mm::g_committed), static_cast<ULONG64>(mm::g_peak),
                 static_cast<ULONG64>(mm::Limit())};
}
