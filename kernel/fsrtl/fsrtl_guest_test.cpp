// Tunnel caches, contexts, extra create parameters, statuses, posted requests. Oracle: the WDK pages; not yet
// run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

UNICODE_STRING Wide(const WCHAR* text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}

struct Tunnel {
  TUNNEL cache;
  Tunnel() { FsRtlInitializeTunnelCache(&cache); }
  ~Tunnel() { FsRtlDeleteTunnelCache(&cache); }
  void Add(ULONGLONG directory, const WCHAR* short_name, const WCHAR* long_name, BOOLEAN by_short,
           ULONG data) {
    UNICODE_STRING s = Wide(short_name);
    UNICODE_STRING l = Wide(long_name);
    FsRtlAddToTunnelCache(&cache, directory, &s, &l, by_short, sizeof data, &data);
  }
};

struct Found {
  WCHAR short_buffer[12];
  WCHAR long_buffer[8];
  UNICODE_STRING short_name = {0, sizeof short_buffer, short_buffer};
  UNICODE_STRING long_name = {0, sizeof long_buffer, long_buffer};
  ULONG data = 0;
  ULONG length = sizeof data;
  bool In(Tunnel* tunnel, ULONGLONG directory, const WCHAR* name) {
    UNICODE_STRING n = Wide(name);
    return FsRtlFindInTunnelCache(&tunnel->cache, directory, &n, &short_name, &long_name, &length, &data) !=
           FALSE;
  }
};

struct Stream {
  FSRTL_ADVANCED_FCB_HEADER header;
  FAST_MUTEX mutex;
  Stream() {
    RtlZeroMemory(&header, sizeof header);
    ExInitializeFastMutex(&mutex);
    FsRtlSetupAdvancedHeader(&header, &mutex);
  }
};

volatile LONG g_freed;
VOID NTAPI CountFree(PVOID) {
  InterlockedIncrement(&g_freed);
}

volatile LONG g_cleaned;
VOID CountCleanup(PVOID context, LPCGUID) {
  InterlockedExchangeAdd(&g_cleaned, *static_cast<LONG*>(context));
}

constexpr GUID kFirst = {0x11111111, 1, 2, {3, 4, 5, 6, 7, 8, 9, 10}};
constexpr GUID kSecond = {0x22222222, 1, 2, {3, 4, 5, 6, 7, 8, 9, 10}};

struct Posted {
  KEVENT event;
  PKTHREAD thread;
};
VOID NTAPI OnOtherStack(PVOID context, PKEVENT event) {
  static_cast<Posted*>(context)->thread = KeGetCurrentThread();
  KeSetEvent(event, IO_NO_INCREMENT, FALSE);
}

// Until the thread has left our routine, which goes with this driver: the next routine is the kernel's own.
void Drain(decltype(&FsRtlPostStackOverflow) post) {
  EX_RUNDOWN_REF left;
  ExInitializeRundownProtection(&left);
  NT_EXPECT_TRUE(ExAcquireRundownProtection(&left));
  post(&left, nullptr,
       reinterpret_cast<PFSRTL_STACK_OVERFLOW_ROUTINE>(reinterpret_cast<PVOID>(ExReleaseRundownProtection)));
  ExWaitForRundownProtectionRelease(&left);
}

}  // namespace

NT_TEST(FsRtlTunnel, NamesAreFoundByTheirKey) {
  Tunnel tunnel;
  tunnel.Add(1, L"SHORT~1.TXT", L"short", TRUE, 77);
  tunnel.Add(1, L"OTHER~1.TXT", L"longer name", FALSE, 78);
  NT_EXPECT_EQ(tunnel.cache.NumEntries, 2);
  Found found;
  NT_EXPECT_TRUE(found.In(&tunnel, 1, L"short~1.txt"));
  NT_EXPECT_EQ(found.data, 77);
  NT_EXPECT_EQ(found.length, sizeof(ULONG));
  NT_EXPECT_EQ(found.long_name.Length, 10);
  NT_EXPECT_EQ(found.short_name.Length, 22);
  NT_EXPECT_TRUE(!found.In(&tunnel, 2, L"short~1.txt"));
  NT_EXPECT_TRUE(!found.In(&tunnel, 1, L"short"));  // its key is the short name
  Found longer;
  NT_EXPECT_TRUE(longer.In(&tunnel, 1, L"LONGER NAME"));
  NT_EXPECT_EQ(longer.data, 78);
  NT_EXPECT_TRUE(longer.long_name.Buffer != longer.long_buffer);  // did not fit: allocated
  NT_EXPECT_EQ(longer.long_name.Length, 22);
  if (longer.long_name.Buffer != longer.long_buffer) ExFreePool(longer.long_name.Buffer);
}

NT_TEST(FsRtlTunnel, ShortDataBuffersFindNothing) {
  Tunnel tunnel;
  tunnel.Add(1, L"A", L"b", TRUE, 1);
  Found found;
  found.length = 1;
  NT_EXPECT_TRUE(!found.In(&tunnel, 1, L"A"));
}

NT_TEST(FsRtlTunnel, ANewEntryReplacesTheOldAndDirectoriesGo) {
  Tunnel tunnel;
  tunnel.Add(1, L"A", L"b", TRUE, 1);
  tunnel.Add(1, L"a", L"c", TRUE, 2);
  tunnel.Add(2, L"A", L"d", TRUE, 3);
  NT_EXPECT_EQ(tunnel.cache.NumEntries, 2);
  Found found;
  NT_EXPECT_TRUE(found.In(&tunnel, 1, L"A"));
  NT_EXPECT_EQ(found.data, 2);
  FsRtlDeleteKeyFromTunnelCache(&tunnel.cache, 1);
  NT_EXPECT_TRUE(!found.In(&tunnel, 1, L"A"));
  NT_EXPECT_TRUE(found.In(&tunnel, 2, L"A"));
  FsRtlDeleteTunnelCache(&tunnel.cache);
  NT_EXPECT_EQ(tunnel.cache.NumEntries, 0);
  FsRtlInitializeTunnelCache(&tunnel.cache);
}

NT_TEST(FsRtlTunnel, TheOldestGoWhenThereAreTooMany) {
  Tunnel tunnel;
  WCHAR name[] = L"N000";
  for (ULONG i = 0; i < 300; ++i) {
    name[1] = static_cast<WCHAR>(L'0' + i / 100);
    name[2] = static_cast<WCHAR>(L'0' + i / 10 % 10);
    name[3] = static_cast<WCHAR>(L'0' + i % 10);
    tunnel.Add(1, name, L"x", TRUE, i);
  }
  Found found;
  NT_EXPECT_TRUE(tunnel.cache.NumEntries < 300);
  NT_EXPECT_TRUE(!found.In(&tunnel, 1, L"N000"));
  NT_EXPECT_TRUE(found.In(&tunnel, 1, L"N299"));
}

NT_TEST(FsRtlContexts, ContextsAreFoundByOwnerAndInstance) {
  Stream stream;
  int owners[2], instances[2];
  FSRTL_PER_STREAM_CONTEXT a, b;
  FsRtlInitPerStreamContext(&a, &owners[0], &instances[0], CountFree);
  FsRtlInitPerStreamContext(&b, &owners[0], &instances[1], CountFree);
  NT_EXPECT_EQ(FsRtlInsertPerStreamContext(&stream.header, &a), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlInsertPerStreamContext(&stream.header, &b), STATUS_SUCCESS);
  NT_EXPECT_TRUE(FsRtlLookupPerStreamContextInternal(&stream.header, &owners[0], &instances[0]) == &a);
  NT_EXPECT_TRUE(FsRtlLookupPerStreamContextInternal(&stream.header, &owners[0], &instances[1]) == &b);
  NT_EXPECT_TRUE(FsRtlLookupPerStreamContextInternal(&stream.header, &owners[1], nullptr) == nullptr);
  NT_EXPECT_TRUE(FsRtlLookupPerStreamContextInternal(&stream.header, &owners[0], nullptr) != nullptr);
  NT_EXPECT_TRUE(FsRtlRemovePerStreamContext(&stream.header, &owners[0], &instances[0]) == &a);
  NT_EXPECT_TRUE(FsRtlRemovePerStreamContext(&stream.header, &owners[0], &instances[0]) == nullptr);
  g_freed = 0;
  FsRtlTeardownPerStreamContexts(&stream.header);
  NT_EXPECT_EQ(g_freed, 1);
  NT_EXPECT_TRUE(FsRtlLookupPerStreamContextInternal(&stream.header, nullptr, nullptr) == nullptr);
}

NT_TEST(FsRtlContexts, StreamsWithoutSupportRefuse) {
  Stream stream;
  stream.header.Flags2 &= ~FSRTL_FLAG2_SUPPORTS_FILTER_CONTEXTS;
  FSRTL_PER_STREAM_CONTEXT context = {};
  NT_EXPECT_EQ(FsRtlInsertPerStreamContext(&stream.header, &context), STATUS_INVALID_DEVICE_REQUEST);
  FsRtlTeardownPerStreamContexts(&stream.header);
}

NT_TEST(FsRtlEcp, ListsHoldOneContextOfAType) {
  PECP_LIST list;
  PVOID first, second, twin, found;
  ULONG size;
  GUID type;
  NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameterList(0, &list), STATUS_SUCCESS);
  NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameter(&kFirst, 40, 0, CountCleanup, 'tset', &first),
               STATUS_SUCCESS);
  NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameter(&kSecond, 8, FSRTL_ALLOCATE_ECP_FLAG_NONPAGED_POOL,
                                                 CountCleanup, 'tset', &second),
               STATUS_SUCCESS);
  NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameter(&kFirst, 8, 0, nullptr, 'tset', &twin), STATUS_SUCCESS);
  *static_cast<LONG*>(first) = 1;
  *static_cast<LONG*>(second) = 10;
  NT_EXPECT_EQ(FsRtlInsertExtraCreateParameter(list, first), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlInsertExtraCreateParameter(list, second), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlInsertExtraCreateParameter(list, twin), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(FsRtlFindExtraCreateParameter(list, &kFirst, &found, &size), STATUS_SUCCESS);
  NT_EXPECT_TRUE(found == first);
  NT_EXPECT_EQ(size, 40);
  NT_EXPECT_EQ(FsRtlGetNextExtraCreateParameter(list, nullptr, &type, &found, &size), STATUS_SUCCESS);
  NT_EXPECT_TRUE(found == first);
  NT_EXPECT_EQ(FsRtlGetNextExtraCreateParameter(list, found, &type, &found, &size), STATUS_SUCCESS);
  NT_EXPECT_TRUE(found == second);
  NT_EXPECT_EQ(type.Data1, kSecond.Data1);
  NT_EXPECT_EQ(FsRtlGetNextExtraCreateParameter(list, second, nullptr, &found, nullptr), STATUS_NOT_FOUND);
  NT_EXPECT_TRUE(!FsRtlIsEcpAcknowledged(first));
  FsRtlAcknowledgeEcp(first);
  NT_EXPECT_TRUE(FsRtlIsEcpAcknowledged(first));
  NT_EXPECT_TRUE(!FsRtlIsEcpAcknowledged(second));
  NT_EXPECT_TRUE(!FsRtlIsEcpFromUserMode(first));
  NT_EXPECT_EQ(FsRtlRemoveExtraCreateParameter(list, &kFirst, &found, nullptr), STATUS_SUCCESS);
  NT_EXPECT_TRUE(found == first);
  NT_EXPECT_EQ(FsRtlFindExtraCreateParameter(list, &kFirst, &found, nullptr), STATUS_NOT_FOUND);
  g_cleaned = 0;
  FsRtlFreeExtraCreateParameterList(list);
  NT_EXPECT_EQ(g_cleaned, 10);
  FsRtlFreeExtraCreateParameter(first);
  NT_EXPECT_EQ(g_cleaned, 11);
  FsRtlFreeExtraCreateParameter(twin);
}

NT_TEST(FsRtlEcp, LookasideListsServeContexts) {
  const ULONG kinds[] = {0, FSRTL_ECP_LOOKASIDE_FLAG_NONPAGED_POOL};
  for (const ULONG flags : kinds) {
    union {
      NPAGED_LOOKASIDE_LIST nonpaged;
      PAGED_LOOKASIDE_LIST paged;
    } lookaside;
    FsRtlInitExtraCreateParameterLookasideList(&lookaside, flags, 32, 'tset');
    PVOID small, large;
    NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameterFromLookasideList(&kFirst, 32, flags, CountCleanup,
                                                                    &lookaside, &small),
                 STATUS_SUCCESS);
    NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameterFromLookasideList(&kFirst, 4096, flags, CountCleanup,
                                                                    &lookaside, &large),
                 STATUS_SUCCESS);
    *static_cast<LONG*>(small) = 3;
    *static_cast<LONG*>(large) = 4;
    g_cleaned = 0;
    FsRtlFreeExtraCreateParameter(small);
    FsRtlFreeExtraCreateParameter(large);
    NT_EXPECT_EQ(g_cleaned, 7);
    FsRtlDeleteExtraCreateParameterLookasideList(&lookaside, flags);
  }
}

NT_TEST(FsRtlEcp, ACreateCarriesOneList) {
  PIRP irp = IoAllocateIrp(1, FALSE);
  NT_ASSERT_TRUE(irp != nullptr);
  PECP_LIST list, found;
  NT_ASSERT_EQ(FsRtlAllocateExtraCreateParameterList(0, &list), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlSetEcpListIntoIrp(irp, list), STATUS_INVALID_PARAMETER);  // no create
  irp->Flags |= IRP_CREATE_OPERATION;
  NT_EXPECT_EQ(FsRtlGetEcpListFromIrp(irp, &found), STATUS_SUCCESS);
  NT_EXPECT_TRUE(found == nullptr);
  NT_EXPECT_EQ(FsRtlSetEcpListIntoIrp(irp, list), STATUS_SUCCESS);
  NT_EXPECT_EQ(FsRtlSetEcpListIntoIrp(irp, list), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(FsRtlGetEcpListFromIrp(irp, &found), STATUS_SUCCESS);
  NT_EXPECT_TRUE(found == list);
  FsRtlFreeExtraCreateParameterList(list);
  IoFreeIrp(irp);
}

NT_TEST(FsRtlStatus, ExpectedStatuses) {
  NT_EXPECT_TRUE(FsRtlIsNtstatusExpected(STATUS_IN_PAGE_ERROR));
  NT_EXPECT_TRUE(FsRtlIsNtstatusExpected(STATUS_INSUFFICIENT_RESOURCES));
  NT_EXPECT_TRUE(!FsRtlIsNtstatusExpected(STATUS_ACCESS_VIOLATION));
  NT_EXPECT_TRUE(!FsRtlIsNtstatusExpected(STATUS_ILLEGAL_INSTRUCTION));
  NT_EXPECT_TRUE(!FsRtlIsNtstatusExpected(STATUS_DATATYPE_MISALIGNMENT));
  NT_EXPECT_EQ(FsRtlNormalizeNtstatus(STATUS_DISK_FULL, STATUS_UNEXPECTED_IO_ERROR), STATUS_DISK_FULL);
  NT_EXPECT_EQ(FsRtlNormalizeNtstatus(STATUS_ACCESS_VIOLATION, STATUS_INVALID_USER_BUFFER),
               STATUS_INVALID_USER_BUFFER);
  NT_EXPECT_TRUE(!FsRtlIsTotalDeviceFailure(STATUS_SUCCESS));
  NT_EXPECT_TRUE(!FsRtlIsTotalDeviceFailure(STATUS_CRC_ERROR));
  NT_EXPECT_TRUE(!FsRtlIsTotalDeviceFailure(STATUS_DEVICE_DATA_ERROR));
  NT_EXPECT_TRUE(FsRtlIsTotalDeviceFailure(STATUS_NO_SUCH_DEVICE));
}

NT_TEST(FsRtlStatus, PoolFailsByException) {
  PVOID memory = FsRtlAllocatePool(PagedPool, 100);
  NT_EXPECT_TRUE(memory != nullptr);
  ExFreePool(memory);
  memory = FsRtlAllocatePoolWithTag(NonPagedPoolNx, 100, 'tset');
  NT_EXPECT_TRUE(memory != nullptr);
  ExFreePoolWithTag(memory, 'tset');
}

NT_TEST(FsRtlOverflow, RoutinesRunInAnotherThread) {
  Posted posted = {};
  KeInitializeEvent(&posted.event, NotificationEvent, FALSE);
  FsRtlPostStackOverflow(&posted, &posted.event, OnOtherStack);
  KeWaitForSingleObject(&posted.event, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_TRUE(posted.thread != nullptr && posted.thread != KeGetCurrentThread());
  PKTHREAD first = posted.thread;
  KeClearEvent(&posted.event);
  FsRtlPostPagingFileStackOverflow(&posted, &posted.event, OnOtherStack);
  KeWaitForSingleObject(&posted.event, Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_TRUE(posted.thread != first && posted.thread != KeGetCurrentThread());
  Drain(FsRtlPostStackOverflow);
  Drain(FsRtlPostPagingFileStackOverflow);
}
