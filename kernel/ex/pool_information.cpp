// What the system tells of its pools: a class of ZwQuerySystemInformation.
#include "ex/pool_internal.h"
#include "information_answer.h"
#include "ke/ke.h"
#include "pool_information.h"

namespace {

struct PoolTag {
  ULONG Tag;
  ULONG PagedAllocs;
  ULONG PagedFrees;
  SIZE_T PagedUsed;
  ULONG NonPagedAllocs;
  ULONG NonPagedFrees;
  SIZE_T NonPagedUsed;
};
static_assert(sizeof(PoolTag) == 0x28);

struct BigBlock {
  ULONG64 address;  // bit 0: nonpaged
  SIZE_T bytes;
  ULONG tag;
};
static_assert(sizeof(BigBlock) == 0x18);

}  // namespace

namespace ex {

void QueryPoolTags(PoolAnswer append, PVOID context) {
  ULONG head[2] = {};
  POOL_TRACKER_TABLE sum;
  for (ULONG i = 0; i < PoolTrackTableSize; ++i) head[0] += ReadTag(i, &sum);
  append(context, head, sizeof(head));
  // A tag that comes up meanwhile is left out.
  for (ULONG i = 0, left = head[0]; i < PoolTrackTableSize && left != 0; ++i) {
    if (!ReadTag(i, &sum)) continue;
    --left;
    const PoolTag tag = {static_cast<ULONG>(sum.Key),
                         static_cast<ULONG>(sum.PagedAllocs),
                         static_cast<ULONG>(sum.PagedFrees),
                         sum.PagedBytes,
                         static_cast<ULONG>(sum.NonPagedAllocs),
                         static_cast<ULONG>(sum.NonPagedFrees),
                         sum.NonPagedBytes};
    append(context, &tag, sizeof(tag));
  }
}

NTSTATUS QueryBigPool(PoolAnswer append, PVOID context) {
  Snapshot<BigBlock> blocks;
  const NTSTATUS status = blocks.Take([](Snapshot<BigBlock>* taken) {
    ForEachBigBlock(
        [](const POOL_TRACKER_BIG_PAGES& entry, PVOID context) {
          const bool nonpaged = (entry.PoolType & 1) == 0;
          static_cast<Snapshot<BigBlock>*>(context)->Add(
              {entry.Va | (nonpaged ? 1 : 0), entry.NumberOfBytes, entry.Key});
        },
        taken);
  });
  if (!NT_SUCCESS(status)) return status;
  const ULONG64 count = blocks.count();
  append(context, &count, sizeof(count));
  for (ULONG i = 0; i < blocks.count(); ++i) append(context, &blocks[i], sizeof(BigBlock));
  return STATUS_SUCCESS;
}

}  // namespace ex
