// The map of a large MCB: runs of sectors in order, without gaps; what is not mapped is a hole.
#pragma once

#include "fsrtl_internal.h"

namespace fsrtl {

// One run: from the end of the one before it up to `end`. Windows's pair, with Windows's hole.
struct McbRun {
  LONGLONG end;  // the first VBN that is not in it
  LONGLONG lbn;  // of its first sector; kHole
};
inline constexpr LONGLONG kHole = -1;

enum class Outcome { kDone, kConflict, kNoMemory };

// A view of a BASE_MCB that does the work. Callers serialize.
class Mcb {
 public:
  explicit Mcb(PBASE_MCB mcb) : mcb_(mcb) {}
  void Initialize(POOL_TYPE type);  // raises STATUS_INSUFFICIENT_RESOURCES
  void Uninitialize();
  void Reset() { mcb_->PairCount = 0; }
  ULONG count() const { return mcb_->PairCount; }
  LONGLONG End() const { return count() == 0 ? 0 : runs()[count() - 1].end; }
  LONGLONG StartOf(ULONG index) const { return index == 0 ? 0 : runs()[index - 1].end; }
  const McbRun& Run(ULONG index) const { return runs()[index]; }
  // The run that a VBN lies in; false: beyond the last.
  bool Find(LONGLONG vbn, ULONG* index) const;
  // kConflict: a part is mapped elsewhere already.
  Outcome Add(LONGLONG vbn, LONGLONG lbn, LONGLONG sectors);
  Outcome Remove(LONGLONG vbn, LONGLONG sectors);
  void Truncate(LONGLONG vbn);
  // Moves everything from `vbn` on by `amount`, with a hole before it.
  Outcome Split(LONGLONG vbn, LONGLONG amount);

 private:
  McbRun* runs() const { return static_cast<McbRun*>(mcb_->Mapping); }
  bool Reserve(ULONG count);
  Outcome Set(LONGLONG vbn, LONGLONG end, LONGLONG lbn);
  void Append(LONGLONG end, LONGLONG lbn);
  void TrimHoles();

  PBASE_MCB mcb_;
};

}  // namespace fsrtl
