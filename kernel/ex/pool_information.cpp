// What the system tells of its pools: classes of ZwQuerySystemInformation; and ZwSetSystemInformation.
#include "ex/pool.h"
#include "ke/ke.h"
#include "mm/mm_internal.h"
#include "nt/export.h"
#include "image_information.h"
#include "pool_information.h"

namespace {

constexpr ULONG kLoadGdiDriverInformation = 26;
constexpr ULONG kUnloadGdiDriverInformation = 27;
constexpr ULONG kMemoryListInformation = 80;

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

}  // namespace ex

/// Changes the machine's state: SystemMemoryListInformation with any command makes pageable memory not
/// resident and gives what the pools keep for later back; SystemLoadGdiDriverInformation loads an image
/// without calling its entry, SystemUnloadGdiDriverInformation unloads it. Returns: STATUS_INVALID_INFO_CLASS
/// for other classes. IRQL: PASSIVE_LEVEL. Differs from NT: the other classes are missing; the memory list's
/// commands do the same; the export section of a loaded image is not told. Source: SYSTEM_MEMORY_LIST_COMMAND
/// as memory-list tools use it; not documented.
NT_EXPORT(ZwSetSystemInformation, nt::Exactly(PASSIVE_LEVEL), Partial, "ExSystemInformation.* LoaderFuzz.*");
extern "C" NTSTATUS NTAPI ZwSetSystemInformation(ULONG SystemInformationClass, PVOID SystemInformation,
                                                 ULONG SystemInformationLength) {
  if (SystemInformationClass == kLoadGdiDriverInformation) {
    return ex::LoadGdiDriver(SystemInformation, SystemInformationLength);
  }
  if (SystemInformationClass == kUnloadGdiDriverInformation) {
    return ex::UnloadGdiDriver(SystemInformation, SystemInformationLength);
  }
  if (SystemInformationClass != kMemoryListInformation) return STATUS_INVALID_INFO_CLASS;
  if (SystemInformationLength != sizeof(ULONG)) return STATUS_INFO_LENGTH_MISMATCH;
  MmTrimPageableImages();
  MmTrimPagedPool();
  ex::DrainPools();
  return STATUS_SUCCESS;
}
