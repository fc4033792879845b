// Which bug check a damaged pool is. Inline, so that stacks name NT's functions alone.
#pragma once

#include "ex/pool_internal.h"

extern "C" [[noreturn]] VOID RtlpLogHeapFailure(ULONG Kind, PVOID Heap, const void* Address, ULONG_PTR Value);

namespace ex {

[[noreturn]] __attribute__((always_inline)) inline void StopOnDamageInline(const PoolFinding& finding,
                                                                           const void* block) {
  const POOL_HEADER* header = BlockPool::HeaderOf(block);
  const Arena* arena = ArenaOfBlock(Va(header));
  PVOID heap = arena == nullptr ? nullptr : const_cast<BlockPool*>(&arena->blocks);
  switch (finding.error) {
    case PoolError::kNone:
    case PoolError::kNotABlock:
      break;
    case PoolError::kAlreadyFree:
      KeBugCheckEx(BAD_POOL_CALLER, kFreedTwice, header->PoolTag, header->Ulong1, Va(block));
    case PoolError::kOverrun:
      KeBugCheckEx(BAD_POOL_HEADER, kDataBehindBlock, Va(block), BlockPool::RequestedOf(block),
                   finding.value);
    case PoolError::kNeighbourSize:
      KeBugCheckEx(BAD_POOL_HEADER, kDamagedHeader, Va(header), Va(finding.where), finding.value);
    case PoolError::kPreviousSize:
      KeBugCheckEx(BAD_POOL_HEADER, kContradiction, Va(header) - header->PreviousSize * kPoolUnit,
                   header->Ulong1, Va(header));
    case PoolError::kFreeHeader:
      KeBugCheckEx(BAD_POOL_HEADER, kDamagedFreeHeader, Va(finding.where), finding.value, 0);
    case PoolError::kFreeListLinks: {
      const auto* links = static_cast<const ULONG_PTR*>(finding.where);
      KeBugCheckEx(BAD_POOL_HEADER, kDamagedFreeList, Va(links), links[0], links[1]);
    }
    case PoolError::kBadHeader:
      // Never a block, or one whose header somebody overwrote?
      if (!BlockPool::IsBlockOfPage(block)) break;
      RtlpLogHeapFailure(kHeapBadHeader, heap, block, header->Ulong1);
    case PoolError::kWrittenAfterFree:
      RtlpLogHeapFailure(kHeapUseAfterFree, heap, finding.where, finding.value);
  }
  KeBugCheckEx(BAD_POOL_CALLER, kNotAllocated, Va(block), 0, 0);
}

}  // namespace ex
