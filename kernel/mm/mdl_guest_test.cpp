// MDLs as a driver uses them. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

constexpr ULONG kTag = 'tdlM';

PHYSICAL_ADDRESS Physical(ULONG64 value) {
  PHYSICAL_ADDRESS address;
  address.QuadPart = static_cast<LONGLONG>(value);
  return address;
}

}  // namespace

NT_TEST(MmMdl, NonPagedMdlKnowsItsPages) {
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(block + 100, 2 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmBuildMdlForNonPagedPool(mdl);
  NT_EXPECT_TRUE(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority) == block + 100);
  for (int i = 0; i < 3; ++i) {
    NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[i] * PAGE_SIZE,
                 static_cast<ULONG64>(MmGetPhysicalAddress(block + i * PAGE_SIZE).QuadPart));
  }
  IoFreeMdl(mdl);
  ExFreePoolWithTag(block, kTag);
}

NT_TEST(MmMdl, LockMakesPagedMemoryUsableAtDispatchLevel) {
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(PagedPool, 4 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<UCHAR*>(block), 4 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoModifyAccess);
  NT_EXPECT_TRUE((mdl->MdlFlags & MDL_PAGES_LOCKED) != 0);
  auto* mapped = static_cast<volatile UCHAR*>(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
  NT_EXPECT_TRUE(mapped != nullptr && mapped != block);
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  for (int i = 0; i < 4; ++i) mapped[i * PAGE_SIZE + 7] = static_cast<UCHAR>(i + 1);
  KeLowerIrql(irql);
  for (int i = 0; i < 4; ++i) NT_EXPECT_EQ(block[i * PAGE_SIZE + 7], i + 1);
  MmUnlockPages(mdl);
  NT_EXPECT_EQ(mdl->MdlFlags & (MDL_PAGES_LOCKED | MDL_MAPPED_TO_SYSTEM_VA), 0);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<UCHAR*>(block), kTag);
}

NT_TEST(MmMdl, MapGivesASecondView) {
  auto* block = static_cast<volatile ULONG*>(ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<ULONG*>(block) + 5, PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
  auto* mapped = static_cast<volatile ULONG*>(MmMapLockedPages(mdl, KernelMode));
  NT_EXPECT_TRUE(mapped != nullptr);
  mapped[1000] = 42;
  NT_EXPECT_EQ(block[1005], 42u);
  MmUnmapLockedPages(const_cast<ULONG*>(mapped), mdl);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<ULONG*>(mapped)));
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<ULONG*>(block), kTag);
}

NT_TEST(MmMdl, AllocatePagesGivesZeroedPagesInRange) {
  PMDL mdl = MmAllocatePagesForMdl(Physical(0), Physical(~0ull >> 1), Physical(0), 5 * PAGE_SIZE);
  NT_ASSERT_TRUE(mdl != nullptr);
  NT_EXPECT_EQ(MmGetMdlByteCount(mdl), 5 * PAGE_SIZE);
  auto* mapped = static_cast<ULONG64*>(
      MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmCached, nullptr, FALSE, NormalPagePriority));
  NT_EXPECT_TRUE(mapped != nullptr);
  if (mapped != nullptr) {
    ULONG64 bits = 0;
    for (SIZE_T i = 0; i < 5 * PAGE_SIZE / 8; ++i) bits |= mapped[i];
    NT_EXPECT_EQ(bits, 0ull);
    MmUnmapLockedPages(mapped, mdl);
  }
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
  mdl = MmAllocatePagesForMdlEx(Physical(16 << 20), Physical((32 << 20) - 1), Physical(0), 3 * PAGE_SIZE,
                                MmCached, MM_ALLOCATE_FULLY_REQUIRED);
  NT_ASSERT_TRUE(mdl != nullptr);
  for (int i = 0; i < 3; ++i) {
    const ULONG64 page = MmGetMdlPfnArray(mdl)[i];
    NT_EXPECT_TRUE(page >= (16 << 8) && page < (32 << 8));
  }
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
}

NT_TEST(MmMdl, SizeCountsPages) {
  NT_EXPECT_EQ(MmSizeOfMdl(nullptr, 1), sizeof(MDL) + 8);
  NT_EXPECT_EQ(MmSizeOfMdl(reinterpret_cast<PVOID>(0xFFF), 2), sizeof(MDL) + 16);
  NT_EXPECT_EQ(MmSizeOfMdl(nullptr, PAGE_SIZE), sizeof(MDL) + 8);
}

NT_TEST(MmMdl, AdvanceDropsWholePages) {
  auto* block = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 3 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(block, 3 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmBuildMdlForNonPagedPool(mdl);
  const PFN_NUMBER second = MmGetMdlPfnArray(mdl)[1];
  NT_EXPECT_EQ(MmAdvanceMdl(mdl, 3 * PAGE_SIZE), STATUS_INVALID_PARAMETER_2);
  NT_EXPECT_SUCCESS(MmAdvanceMdl(mdl, PAGE_SIZE + 8));
  NT_EXPECT_EQ(MmGetMdlByteOffset(mdl), 8u);
  NT_EXPECT_EQ(MmGetMdlByteCount(mdl), 2 * PAGE_SIZE - 8);
  NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[0], second);
  NT_EXPECT_TRUE(mdl->MappedSystemVa == block + PAGE_SIZE + 8);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(block, kTag);
}

NT_TEST(MmMdl, AllocateNodePagesGivesAllOrNothing) {
  PMDL mdl = MmAllocateNodePagesForMdlEx(Physical(0), Physical(~0ull), Physical(0), 3 * PAGE_SIZE, MmCached,
                                         0, MM_ALLOCATE_FULLY_REQUIRED);
  NT_ASSERT_TRUE(mdl != nullptr);
  NT_EXPECT_EQ(MmGetMdlByteCount(mdl), static_cast<ULONG>(3 * PAGE_SIZE));
  MmFreePagesFromMdl(mdl);
  ExFreePool(mdl);
  NT_EXPECT_TRUE(MmAllocateNodePagesForMdlEx(Physical(0), Physical(~0ull), Physical(0), 0xFFFFF000, MmCached,
                                             0, MM_ALLOCATE_FULLY_REQUIRED) == nullptr);
}

NT_TEST(MmMdl, PartialAndChainedMdlsDescribeTheirParts) {
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 6 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  auto* start = const_cast<UCHAR*>(block);
  PIRP irp = IoAllocateIrp(1, FALSE);
  PMDL whole = IoAllocateMdl(start + 10, 5 * PAGE_SIZE, FALSE, FALSE, irp);
  PMDL part = IoAllocateMdl(start + 10 + PAGE_SIZE, 2 * PAGE_SIZE, TRUE, FALSE, irp);
  NT_ASSERT_TRUE(irp != nullptr && whole != nullptr && part != nullptr);
  NT_EXPECT_TRUE(irp->MdlAddress == whole && whole->Next == part);
  MmProbeAndLockPages(whole, KernelMode, IoModifyAccess);
  for (int round = 0; round < 3; ++round) {
    const ULONG offset = 100 + PAGE_SIZE * static_cast<ULONG>(round);
    IoBuildPartialMdl(whole, part, start + 10 + offset, PAGE_SIZE);
    NT_EXPECT_EQ(MmGetMdlPfnArray(part)[0], MmGetMdlPfnArray(whole)[(10 + offset) / PAGE_SIZE]);
    auto* mapped = static_cast<volatile UCHAR*>(MmGetSystemAddressForMdlSafe(part, NormalPagePriority));
    NT_ASSERT_TRUE(mapped != nullptr);
    mapped[PAGE_SIZE - 1] = static_cast<UCHAR>(round + 5);
    NT_EXPECT_EQ(block[10 + offset + PAGE_SIZE - 1], round + 5);
    MmPrepareMdlForReuse(part);
  }
  IoFreeMdl(part);
  whole->Next = nullptr;
  MmUnlockPages(whole);
  IoFreeMdl(whole);
  IoFreeIrp(irp);
  ExFreePoolWithTag(start, kTag);
}

NT_TEST(MmMdl, LargeBuffersAreDescribed) {
  constexpr ULONG kBytes = 24 * 1024 * 1024;  // more than MDL.Size can tell
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(PagedPool, kBytes, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<UCHAR*>(block), kBytes, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
  block[kBytes - 1] = 9;
  NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[kBytes / PAGE_SIZE - 1] * PAGE_SIZE + PAGE_SIZE - 1,
               static_cast<ULONG64>(MmGetPhysicalAddress(const_cast<UCHAR*>(block) + kBytes - 1).QuadPart));
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<UCHAR*>(block), kTag);
}

NT_TEST(MmMdl, ReservedMappingIsUsedAgainAndAgain) {
  constexpr ULONG kOwner = 'nwOR';
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 4 * PAGE_SIZE, kTag));
  PVOID reserved = MmAllocateMappingAddress(2 * PAGE_SIZE, kOwner);
  PMDL mdl = IoAllocateMdl(const_cast<UCHAR*>(block) + 3, PAGE_SIZE, FALSE, FALSE, nullptr);
  PMDL large = IoAllocateMdl(const_cast<UCHAR*>(block), 3 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(block != nullptr && reserved != nullptr && mdl != nullptr && large != nullptr);
  MmProbeAndLockPages(mdl, KernelMode, IoWriteAccess);
  MmProbeAndLockPages(large, KernelMode, IoWriteAccess);
  NT_EXPECT_TRUE(MmMapLockedPagesWithReservedMapping(reserved, kOwner, large, MmCached) == nullptr);
  for (int round = 0; round < 20; ++round) {
    auto* mapped =
        static_cast<volatile UCHAR*>(MmMapLockedPagesWithReservedMapping(reserved, kOwner, mdl, MmCached));
    NT_ASSERT_TRUE(mapped == static_cast<UCHAR*>(reserved) + 3);
    mapped[5] = static_cast<UCHAR>(round);
    NT_EXPECT_EQ(block[8], round);
    MmUnmapReservedMapping(const_cast<UCHAR*>(mapped), kOwner, mdl);
    NT_EXPECT_TRUE(!MmIsAddressValid(reserved));
  }
  MmFreeMappingAddress(reserved, kOwner);
  MmUnlockPages(large);
  MmUnlockPages(mdl);
  IoFreeMdl(large);
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<UCHAR*>(block), kTag);
}

NT_TEST(MmMdl, IoSpaceListBecomesAnMdl) {
  // The registers of the interrupt controller and of the I/O APIC.
  MM_PHYSICAL_ADDRESS_LIST list[2] = {{Physical(0xFEE00000), PAGE_SIZE}, {Physical(0xFEC00000), PAGE_SIZE}};
  PMDL mdl = nullptr;
  NT_ASSERT_SUCCESS(MmAllocateMdlForIoSpace(list, 2, &mdl));
  NT_EXPECT_EQ(MmGetMdlByteCount(mdl), static_cast<ULONG>(2 * PAGE_SIZE));
  NT_EXPECT_EQ(MmGetMdlPfnArray(mdl)[1], 0xFEC00u);
  PVOID mapped =
      MmMapLockedPagesSpecifyCache(mdl, KernelMode, MmNonCached, nullptr, FALSE, NormalPagePriority);
  NT_ASSERT_TRUE(mapped != nullptr);
  NT_EXPECT_TRUE(*static_cast<volatile ULONG*>(mapped) != 0xFFFFFFFF);
  MmUnmapLockedPages(mapped, mdl);
  IoFreeMdl(mdl);
  NT_EXPECT_EQ(MmAllocateMdlForIoSpace(list, 0, &mdl), STATUS_INVALID_PARAMETER_2);
  list[0].NumberOfBytes = 5;
  NT_EXPECT_EQ(MmAllocateMdlForIoSpace(list, 2, &mdl), STATUS_INVALID_PARAMETER_1);
}

NT_TEST(MmMdl, ProcessPagesAreLockedAndMapped) {
  HANDLE handle;
  PVOID process;
  NT_ASSERT_SUCCESS(PsCreateSystemProcess(&handle, PROCESS_ALL_ACCESS, nullptr));
  NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &process, nullptr));
  PVOID there = nullptr;
  SIZE_T bytes = 3 * PAGE_SIZE;
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(handle, &there, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  PMDL mdl = IoAllocateMdl(static_cast<UCHAR*>(there) + 8, 2 * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockProcessPages(mdl, static_cast<PEPROCESS>(process), UserMode, IoModifyAccess);
  NT_EXPECT_TRUE(mdl->Process == process);
  auto* mapped = static_cast<volatile ULONG64*>(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
  NT_ASSERT_TRUE(mapped != nullptr);
  mapped[PAGE_SIZE / 8] = 0x1122334455667788;
  MmTrimAllSystemPagableMemory(TRUE);
  ULONG64 word = 0;
  SIZE_T copied;
  NT_EXPECT_SUCCESS(MmCopyVirtualMemory(static_cast<PEPROCESS>(process),
                                        static_cast<UCHAR*>(there) + 8 + PAGE_SIZE, IoGetCurrentProcess(),
                                        &word, sizeof(word), KernelMode, &copied));
  NT_EXPECT_EQ(word, 0x1122334455667788u);
  // Freed while locked: the pages stay the MDL's until they are unlocked.
  bytes = 0;
  NT_EXPECT_SUCCESS(ZwFreeVirtualMemory(handle, &there, &bytes, MEM_RELEASE));
  NT_EXPECT_EQ(mapped[PAGE_SIZE / 8], 0x1122334455667788u);
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  NT_EXPECT_SUCCESS(ZwTerminateProcess(handle, 0));
  ObDereferenceObject(process);
  ZwClose(handle);
}

NT_TEST(MmMdl, SelectedPagesNeedNotBeNeighbours) {
  constexpr ULONG kPages = 3;
  UCHAR* pages[kPages];
  FILE_SEGMENT_ELEMENT elements[kPages + 1] = {};
  for (ULONG i = 0; i < kPages; ++i) {
    pages[i] = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, PAGE_SIZE, kTag));
    NT_ASSERT_TRUE(pages[i] != nullptr);
    pages[i][4] = static_cast<UCHAR>(i + 1);
    elements[kPages - 1 - i].Buffer = pages[i];
  }
  PMDL mdl = IoAllocateMdl(nullptr, kPages * PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmProbeAndLockSelectedPages(mdl, elements, KernelMode, IoReadAccess);
  auto* mapped = static_cast<volatile UCHAR*>(MmGetSystemAddressForMdlSafe(mdl, NormalPagePriority));
  NT_ASSERT_TRUE(mapped != nullptr);
  for (ULONG i = 0; i < kPages; ++i) NT_EXPECT_EQ(mapped[i * PAGE_SIZE + 4], kPages - i);
  MmUnlockPages(mdl);
  IoFreeMdl(mdl);
  for (UCHAR* page : pages) ExFreePoolWithTag(page, kTag);
}

NT_TEST(MmMdl, MapIntoAProgramIsSeenThere) {
  auto* block = static_cast<volatile UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, 2 * PAGE_SIZE, kTag));
  NT_ASSERT_TRUE(block != nullptr);
  PMDL mdl = IoAllocateMdl(const_cast<UCHAR*>(block) + 6, PAGE_SIZE, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr);
  MmBuildMdlForNonPagedPool(mdl);
  auto* user = static_cast<volatile UCHAR*>(
      MmMapLockedPagesSpecifyCache(mdl, UserMode, MmCached, nullptr, FALSE, NormalPagePriority));
  NT_ASSERT_TRUE(user != nullptr);
  NT_EXPECT_TRUE(user < MmHighestUserAddress);
  block[100] = 55;
  NT_EXPECT_EQ(user[94], 55);
  user[PAGE_SIZE - 1] = 56;
  NT_EXPECT_EQ(block[PAGE_SIZE + 5], 56);
  MmTrimAllSystemPagableMemory(TRUE);
  NT_EXPECT_EQ(user[94], 55);
  MmUnmapLockedPages(const_cast<UCHAR*>(user), mdl);
  NT_EXPECT_TRUE(!MmIsAddressValid(const_cast<UCHAR*>(user)));
  IoFreeMdl(mdl);
  ExFreePoolWithTag(const_cast<UCHAR*>(block), kTag);
}
