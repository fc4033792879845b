// Classes of ZwQuerySystemInformation that are a few fields each.
#include "information_answer.h"
#include "ke/ke.h"
#include "mm/mm.h"
#include "mm/process_counts.h"

namespace {

using ex::Answer;

template <typename T>
NTSTATUS Put(Answer* answer, const T& information) {
  answer->Append(&information, sizeof(information));
  return STATUS_SUCCESS;
}

// No disks, drives and ports of the kinds that are counted: I/O goes through the host.
NTSTATUS QueryDevices(Answer* answer) {
  const ULONG counts[6] = {};
  return Put(answer, counts);
}

struct PageFile {
  ULONG NextEntryOffset;
  ULONG TotalSize, TotalInUse, PeakUsage;  // pages
  UNICODE_STRING PageFileName;
};
static_assert(sizeof(PageFile) == 0x20);

NTSTATUS QueryPageFiles(Answer* answer) {
  static constexpr WCHAR kName[] = L"\\??\\C:\\pagefile.sys";
  MmPageFileCounts counts;
  MmQueryPageFile(&counts);
  const PageFile file = {0,
                         static_cast<ULONG>(counts.Total),
                         static_cast<ULONG>(counts.InUse),
                         static_cast<ULONG>(counts.Peak),
                         {sizeof(kName) - sizeof(WCHAR), sizeof(kName),
                          static_cast<PWCH>(answer->AddressOf(answer->needed() + sizeof(PageFile)))}};
  (void)Put(answer, file);
  return Put(answer, kName);
}

struct Interrupts {
  ULONG ContextSwitches, DpcCount, DpcRate, TimeIncrement, DpcBypassCount, ApcBypassCount;
};

NTSTATUS QueryInterrupts(Answer* answer) {
  for (LONG i = 0; i < KeNumberProcessors; ++i) {
    const KPRCB& prcb = *KiProcessorBlock[i];
    (void)Put(answer, Interrupts{prcb.KeContextSwitches,
                                 static_cast<ULONG>(prcb.DpcData[0].DpcCount + prcb.DpcData[1].DpcCount),
                                 prcb.DpcRequestRate, KeQueryTimeIncrement(), 0, 0});
  }
  return STATUS_SUCCESS;
}

// Only the switches are counted, not how the next thread was found.
NTSTATUS QueryContextSwitches(Answer* answer) {
  ULONG counts[12] = {};
  for (LONG i = 0; i < KeNumberProcessors; ++i) counts[0] += KiProcessorBlock[i]->KeContextSwitches;
  return Put(answer, counts);
}

struct TimeAdjustment {
  ULONG TimeAdjustment, TimeIncrement;
  BOOLEAN Disabled;
};

struct TimeZone {  // RTL_TIME_ZONE_INFORMATION
  LONG Bias;       // minutes
  WCHAR StandardName[32];
  TIME_FIELDS StandardStart;
  LONG StandardBias;
  WCHAR DaylightName[32];
  TIME_FIELDS DaylightStart;
  LONG DaylightBias;
};
static_assert(sizeof(TimeZone) == 172);

NTSTATUS QueryTimeZone(Answer* answer) {
  constexpr LONGLONG kMinute = 600'000'000;  // 100 ns
  LARGE_INTEGER now, local;
  KeQuerySystemTime(&now);
  ExSystemTimeToLocalTime(&now, &local);
  TimeZone zone = {};
  zone.Bias = static_cast<LONG>((now.QuadPart - local.QuadPart) / kMinute);
  return Put(answer, zone);
}

struct NodeMap {
  ULONG HighestNodeNumber, Reserved;
  GROUP_AFFINITY Affinity[64];
};
static_assert(sizeof(NodeMap) == 0x408);

NTSTATUS QueryNodes(Answer* answer) {
  NodeMap map = {};
  map.HighestNodeNumber = KeQueryHighestNodeNumber();
  for (USHORT node = 0; node <= map.HighestNodeNumber && node < RTL_NUMBER_OF(map.Affinity); ++node) {
    USHORT processors;
    KeQueryNodeActiveAffinity(node, &map.Affinity[node], &processors);
  }
  return Put(answer, map);
}

NTSTATUS QueryTopology(Answer* answer) {
  ULONG length = 0;
  NTSTATUS status = KeQueryLogicalProcessorRelationship(nullptr, RelationAll, nullptr, &length);
  if (status != STATUS_INFO_LENGTH_MISMATCH) return status;
  auto* records = static_cast<PSYSTEM_LOGICAL_PROCESSOR_INFORMATION_EX>(
      ExAllocatePoolWithTag(NonPagedPoolNx, length, ex::kInformationTag));
  if (records == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  status = KeQueryLogicalProcessorRelationship(nullptr, RelationAll, records, &length);
  if (NT_SUCCESS(status)) answer->Append(records, length);
  ExFreePoolWithTag(records, ex::kInformationTag);
  return status;
}

NTSTATUS QueryBasicPerformance(Answer* answer) {
  MmCounts counts;
  MmCommitment commitment;
  MmQueryCounts(&counts);
  MmQueryCommitment(&commitment);
  const SIZE_T pages[4] = {counts.AvailablePages, commitment.Pages, commitment.Limit, commitment.Peak};
  return Put(answer, pages);
}

}  // namespace

NTSTATUS ex::QueryFact(ULONG information_class, Answer* answer) {
  switch (information_class) {
    case SystemDeviceInformation:
      return QueryDevices(answer);
    case SystemPageFileInformation:
      return QueryPageFiles(answer);
    case SystemInterruptInformation:
      return QueryInterrupts(answer);
    case SystemTimeAdjustmentInformation:  // the clock runs at its own rate
      return Put(answer, TimeAdjustment{KeQueryTimeIncrement(), KeQueryTimeIncrement(), TRUE});
    case SystemContextSwitchInformation:
      return QueryContextSwitches(answer);
    case SystemCurrentTimeZoneInformation:
      return QueryTimeZone(answer);
    case SystemRangeStartInformation:
      return Put(answer, reinterpret_cast<ULONG_PTR>(MmSystemRangeStart));
    case SystemNumaProcessorMap:
      return QueryNodes(answer);
    case SystemLogicalProcessorAndGroupInformation:
      return QueryTopology(answer);
    case SystemBasicPerformanceInformation:
      return QueryBasicPerformance(answer);
    case SystemSecureBootInformation: {  // neither on nor possible: there is no such firmware
      const BOOLEAN enabled_and_capable[2] = {FALSE, FALSE};
      return Put(answer, enabled_and_capable);
    }
    case SystemKernelDebuggerInformationEx: {
      const BOOLEAN allowed_enabled_present[3] = {FALSE, FALSE, FALSE};
      return Put(answer, allowed_enabled_present);
    }
    case SystemKernelVaShadowInformation:  // one page table for both modes
      return Put(answer, ULONG{0});
    default:
      return STATUS_INVALID_INFO_CLASS;
  }
}
