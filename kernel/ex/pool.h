// The pools, below their exports.
#pragma once

#include "nt/ntos.h"

namespace ex {

enum class PoolKind : UCHAR { kNonPagedNx, kNonPagedExecute, kPaged };
enum class PoolZero : bool { kNo, kYes };

struct PoolRequest {
  PoolKind kind;
  SIZE_T bytes;
  ULONG tag;
  PVOID caller;
  bool cache_aligned;
  PoolZero zero;
};

// From MmInitSystem. False without memory.
bool InitPools();

// 0 without memory. Bug checks 0xC2 (8, IRQL, type, size) above the pool's IRQL.
PVOID AllocatePool(const PoolRequest& request);

// tag 0: not checked. Bug checks 0x19 and 0xC2 as documented there.
VOID FreePool(PVOID block, ULONG tag);

// Bytes that the caller may use, 0 for an address that begins no block.
SIZE_T PoolBlockSize(PVOID block);

}  // namespace ex
