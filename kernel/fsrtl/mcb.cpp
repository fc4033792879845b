#include "mcb.h"

namespace fsrtl {

namespace {

constexpr ULONG kFirstCapacity = 15;

McbRun* AllocateRunsOrNull(const BASE_MCB* mcb, ULONG count) {
  return static_cast<McbRun*>(
      ExAllocatePoolWithTag(static_cast<POOL_TYPE>(mcb->PoolType), SIZE_T{count} * sizeof(McbRun), 'bcMF'));
}

}  // namespace

void Mcb::Initialize(POOL_TYPE type) {
  *mcb_ = {};
  mcb_->PoolType = static_cast<USHORT>(type);
  mcb_->Mapping = AllocateRunsOrNull(mcb_, kFirstCapacity);
  if (mcb_->Mapping == nullptr) ExRaiseStatus(STATUS_INSUFFICIENT_RESOURCES);
  mcb_->MaximumPairCount = kFirstCapacity;
}

void Mcb::Uninitialize() {
  ExFreePoolWithTag(mcb_->Mapping, 'bcMF');
  *mcb_ = {};
}

bool Mcb::Find(LONGLONG vbn, ULONG* index) const {
  if (vbn < 0 || vbn >= End()) return false;
  ULONG low = 0;
  ULONG high = count() - 1;
  while (low < high) {  // the first run that ends after it
    const ULONG middle = low + (high - low) / 2;
    if (runs()[middle].end > vbn) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  *index = low;
  return true;
}

bool Mcb::Reserve(ULONG count) {
  if (count <= mcb_->MaximumPairCount) return true;
  const ULONG capacity = count * 2;
  McbRun* larger = AllocateRunsOrNull(mcb_, capacity);
  if (larger == nullptr) return false;
  RtlCopyMemory(larger, runs(), SIZE_T{mcb_->PairCount} * sizeof(McbRun));
  ExFreePoolWithTag(mcb_->Mapping, 'bcMF');
  mcb_->Mapping = larger;
  mcb_->MaximumPairCount = capacity;
  return true;
}

// Adds a run at the end, joined to the last where it continues it. Room is reserved.
void Mcb::Append(LONGLONG end, LONGLONG lbn) {
  const LONGLONG start = End();
  if (end <= start) return;
  if (count() != 0) {
    McbRun& last = runs()[count() - 1];
    const bool joins = lbn == kHole ? last.lbn == kHole
                                    : last.lbn != kHole && last.lbn + (start - StartOf(count() - 1)) == lbn;
    if (joins) {
      last.end = end;
      return;
    }
  }
  runs()[mcb_->PairCount++] = {end, lbn};
}

void Mcb::TrimHoles() {
  while (count() != 0 && runs()[count() - 1].lbn == kHole) --mcb_->PairCount;
}

// Maps [vbn, end) to `lbn` whatever was there. The runs behind it are moved up to make room for at most two
// more, then appended again one by one.
Outcome Mcb::Set(LONGLONG vbn, LONGLONG end, LONGLONG lbn) {
  const ULONG old_count = count();
  if (!Reserve(old_count + 3)) return Outcome::kNoMemory;
  ULONG first = 0;
  while (first < old_count && runs()[first].end <= vbn) ++first;
  const ULONG moved = old_count - first;
  const LONGLONG moved_start = StartOf(first);
  McbRun* tail = runs() + first + 3;
  RtlMoveMemory(tail, runs() + first, SIZE_T{moved} * sizeof(McbRun));
  mcb_->PairCount = first;
  if (moved != 0 && moved_start < vbn) Append(vbn, tail[0].lbn);
  if (End() < vbn) Append(vbn, kHole);
  Append(end, lbn);
  LONGLONG start = moved_start;
  for (ULONG i = 0; i < moved; ++i) {
    const McbRun run = tail[i];
    if (run.end > end) {
      const LONGLONG from = start > end ? start : end;
      Append(run.end, run.lbn == kHole ? kHole : run.lbn + (from - start));
    }
    start = run.end;
  }
  TrimHoles();
  return Outcome::kDone;
}

Outcome Mcb::Add(LONGLONG vbn, LONGLONG lbn, LONGLONG sectors) {
  if (vbn < 0 || sectors <= 0 || vbn + sectors < vbn) return Outcome::kConflict;
  const LONGLONG end = vbn + sectors;
  ULONG index;
  if (Find(vbn, &index)) {
    for (; index < count() && StartOf(index) < end; ++index) {
      const McbRun& run = Run(index);
      if (run.lbn != kHole && run.lbn - StartOf(index) != lbn - vbn) return Outcome::kConflict;
    }
  }
  return Set(vbn, end, lbn);
}

Outcome Mcb::Remove(LONGLONG vbn, LONGLONG sectors) {
  if (vbn < 0 || sectors <= 0 || vbn >= End()) return Outcome::kDone;
  const LONGLONG end = sectors > End() - vbn ? End() : vbn + sectors;
  return Set(vbn, end, kHole);
}

void Mcb::Truncate(LONGLONG vbn) {
  ULONG index;
  if (!Find(vbn, &index)) return;
  mcb_->PairCount = index + (StartOf(index) < vbn ? 1 : 0);
  if (StartOf(index) < vbn) runs()[index].end = vbn;
  TrimHoles();
}

Outcome Mcb::Split(LONGLONG vbn, LONGLONG amount) {
  ULONG index;
  if (amount <= 0) return Outcome::kConflict;
  if (!Find(vbn, &index)) return Outcome::kDone;  // nothing behind it has to move
  if (!Reserve(count() + 2)) return Outcome::kNoMemory;
  const ULONG old_count = count();
  const LONGLONG start = StartOf(index);
  const LONGLONG lbn = Run(index).lbn;
  const ULONG pieces = start < vbn ? 2 : 1;  // [start, vbn) and the hole, or the hole alone
  RtlMoveMemory(runs() + index + pieces, runs() + index, SIZE_T{old_count - index} * sizeof(McbRun));
  mcb_->PairCount = old_count + pieces;
  for (ULONG i = index + pieces; i < count(); ++i) runs()[i].end += amount;
  if (lbn != kHole) runs()[index + pieces].lbn = lbn + (vbn - start);
  if (pieces == 2) runs()[index] = {vbn, lbn};
  runs()[index + pieces - 1] = {vbn + amount, kHole};
  // Holes beside the new one become one with it.
  ULONG kept = 0;
  for (ULONG i = 0; i < count(); ++i) {
    const McbRun run = Run(i);
    if (kept != 0 && run.lbn == kHole && runs()[kept - 1].lbn == kHole) {
      runs()[kept - 1].end = run.end;
    } else {
      runs()[kept++] = run;
    }
  }
  mcb_->PairCount = kept;
  return Outcome::kDone;
}

}  // namespace fsrtl
