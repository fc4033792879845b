// Private to ex: ERESOURCE, many readers or one writer, recursive.
//
// Resource->SpinLock guards everything. Threads that wait stand in two lists of blocks on their stacks
// (SharedWaiters, ExclusiveWaiters); a release hands ownership over: of an exclusive owner to all sharers
// that wait, else to the first who wants it exclusively; of the last sharer to that one. So readers and
// writers take turns, and who is woken is an owner already.
#pragma once

#include "ke/auto_boost.h"
#include "ke/ke.h"

namespace ex {

enum class ResourceMode { kExclusive, kShared, kSharedStarveExclusive, kSharedWaitForExclusive };

BOOLEAN AcquireResource(PERESOURCE resource, ResourceMode mode, BOOLEAN wait, PVOID caller);
// `owner` is a thread or an owner pointer (bits 0 and 1 set). Not an owner: bug check 0xE3.
void ReleaseResource(PERESOURCE resource, ERESOURCE_THREAD owner);
void ConvertResourceToShared(PERESOURCE resource);
void SetResourceOwner(PERESOURCE resource, ERESOURCE_THREAD pointer, bool is_thread);
// How often a thread owns it; *exclusive tells how.
ULONG ResourceOwnership(PERESOURCE resource, ERESOURCE_THREAD thread, bool* exclusive);

NTSTATUS InitializeResource(PERESOURCE resource);
void DeleteResource(PERESOURCE resource);
// The flags of a resource that only this kernel knows.
inline constexpr USHORT kResourceBoostDisabled = 0x8;

}  // namespace ex
