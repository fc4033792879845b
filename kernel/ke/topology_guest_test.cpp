// Groups, nodes, caches and processor changes as a driver sees them. Oracle: the WDK pages; not yet run on a
// real NT.
#include "nt_test.h"

NT_TEST(KeProcessor, GroupAffinityGoesThereAndBack) {
  const KAFFINITY active = KeQueryGroupAffinity(0);
  NT_EXPECT_EQ(active, KeQueryActiveProcessors());
  NT_EXPECT_EQ(KeQueryGroupAffinity(1), 0);
  GROUP_AFFINITY wanted = {}, previous = {};
  for (ULONG i = 0; i < KeQueryActiveProcessorCountEx(0); ++i) {
    wanted.Mask = KAFFINITY{1} << i;
    KeSetSystemGroupAffinityThread(&wanted, &previous);
    PROCESSOR_NUMBER number;
    NT_EXPECT_EQ(KeGetCurrentProcessorNumberEx(&number), i);
    NT_EXPECT_EQ(number.Number, i);
    KeRevertToUserGroupAffinityThread(&previous);
  }
  NT_EXPECT_EQ(previous.Mask, 0);
}

NT_TEST(KeProcessor, NodeZeroHasAll) {
  GROUP_AFFINITY affinity = {};
  USHORT count = 0;
  KeQueryNodeActiveAffinity(0, &affinity, &count);
  NT_EXPECT_EQ(affinity.Mask, KeQueryActiveProcessors());
  NT_EXPECT_EQ(count, KeQueryActiveProcessorCount(nullptr));
  NT_EXPECT_TRUE(KeQueryNodeMaximumProcessorCount(0) >= count);
  KeQueryNodeActiveAffinity(7, &affinity, &count);
  NT_EXPECT_EQ(affinity.Mask, 0);
  NT_EXPECT_EQ(count, 0);
}

NT_TEST(KeProcessor, RelationshipsCoverEveryProcessor) {
  ULONG length = 0;
  NT_EXPECT_EQ(KeQueryLogicalProcessorRelationship(nullptr, RelationAll, nullptr, &length),
               STATUS_INFO_LENGTH_MISMATCH);
  NT_ASSERT_TRUE(length != 0);
  auto* bytes = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPool, length, 'tseT'));
  NT_ASSERT_TRUE(bytes != nullptr);
  NT_EXPECT_SUCCESS(KeQueryLogicalProcessorRelationship(
      nullptr, RelationAll, reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(bytes), &length));
  KAFFINITY cores = 0, package = 0;
  ULONG groups = 0;
  for (ULONG at = 0; at < length;) {
    auto* record = reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(bytes + at);
    if (record->Relationship == RelationProcessorCore) cores ^= record->Processor.GroupMask[0].Mask;
    if (record->Relationship == RelationProcessorPackage) package = record->Processor.GroupMask[0].Mask;
    if (record->Relationship == RelationGroup) groups += record->Group.ActiveGroupCount;
    at += record->Size;
  }
  NT_EXPECT_EQ(cores, KeQueryActiveProcessors());
  NT_EXPECT_EQ(package, KeQueryActiveProcessors());
  NT_EXPECT_EQ(groups, 1);
  ExFreePoolWithTag(bytes, 'tseT');
}

// Every processor has exactly one cache of each level and type that any has, and CPUID's first is among them.
NT_TEST(KeProcessor, CachesAreToldForEveryProcessor) {
  static UCHAR bytes[0x4000];
  ULONG length = sizeof bytes;
  NT_ASSERT_SUCCESS(KeQueryLogicalProcessorRelationship(
      nullptr, RelationCache, reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(bytes), &length));
  KAFFINITY covered[8][4] = {};
  for (ULONG at = 0; at < length;) {
    auto* record = reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(bytes + at);
    const CACHE_RELATIONSHIP& cache = record->Cache;
    NT_ASSERT_TRUE(record->Relationship == RelationCache && cache.Level != 0 && cache.Level < 8);
    NT_EXPECT_TRUE(cache.LineSize != 0 && cache.CacheSize % cache.LineSize == 0 && cache.CacheSize != 0);
    NT_EXPECT_EQ(covered[cache.Level][cache.Type] & cache.GroupMask.Mask, 0);
    covered[cache.Level][cache.Type] |= cache.GroupMask.Mask;
    at += record->Size;
  }
  for (const auto& level : covered) {
    for (KAFFINITY mask : level) NT_EXPECT_TRUE(mask == 0 || mask == KeQueryActiveProcessors());
  }
  ULONG eax = 4, ebx, ecx = 0, edx;
  __asm__ volatile("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  const bool any = (eax & 0x1F) != 0;
  NT_EXPECT_EQ(length != 0, any);
  PROCESSOR_NUMBER first = {};
  ULONG of_one = sizeof bytes;
  NT_EXPECT_SUCCESS(KeQueryLogicalProcessorRelationship(
      &first, RelationCache, reinterpret_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(bytes), &of_one));
  NT_EXPECT_TRUE(of_one <= length && (of_one != 0) == any);
}

namespace {

struct Changes {
  ULONG starts, completes, failures, refuse_at;
  static VOID NTAPI Note(PVOID context, PKE_PROCESSOR_CHANGE_NOTIFY_CONTEXT change, PNTSTATUS status) {
    auto* self = static_cast<Changes*>(context);
    switch (change->State) {
      case KeProcessorAddStartNotify:
        if (self->starts++ == self->refuse_at) *status = STATUS_INSUFFICIENT_RESOURCES;
        break;
      case KeProcessorAddCompleteNotify:
        ++self->completes;
        break;
      default:
        ++self->failures;
        break;
    }
  }
};

}  // namespace

NT_TEST(KeProcessor, ExistingOnesAreAnnouncedAndMayBeRefused) {
  const ULONG count = KeQueryActiveProcessorCount(nullptr);
  Changes all = {0, 0, 0, ~0u};
  PVOID handle = KeRegisterProcessorChangeCallback(Changes::Note, &all, KE_PROCESSOR_CHANGE_ADD_EXISTING);
  NT_ASSERT_TRUE(handle != nullptr);
  KeDeregisterProcessorChangeCallback(handle);
  NT_EXPECT_TRUE(all.starts == count && all.completes == count && all.failures == 0);
  Changes last = {0, 0, 0, count - 1};
  NT_EXPECT_TRUE(KeRegisterProcessorChangeCallback(Changes::Note, &last, KE_PROCESSOR_CHANGE_ADD_EXISTING) ==
                 nullptr);
  NT_EXPECT_TRUE(last.starts == count && last.completes == 0 && last.failures == count - 1);
}

NT_TEST(KeProcessor, ARangeIsFlushedAndKept) {
  ULONG64 words[64];
  for (ULONG64 i = 0; i < 64; ++i) words[i] = i * 3;
  KeInvalidateRangeAllCaches(&words[1], sizeof(words) - 16);
  for (ULONG64 i = 0; i < 64; ++i) NT_EXPECT_EQ(words[i], i * 3);
}
