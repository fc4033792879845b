// The cache manager through the ABI, over a file system of the test's own. Oracle: the WDK pages of Cc*; not
// yet run on a real NT.
#include "cached_stream.h"
#include "ddi_fs.h"
#include "nt_test.h"
#include "random.h"
#include "threads.h"

using namespace cached;

namespace {

alignas(16) UCHAR g_buffer[0x3000];

NTSTATUS RaisedBy(Stream* stream, LONGLONG offset) {
  __try {
    stream->Read(offset, g_buffer, 16);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

}  // namespace

NT_TEST(CcFiles, ReadsAreServedFromTheCache) {
  Stream stream;
  NT_EXPECT_TRUE(CcIsFileCached(stream.file));
  NT_EXPECT_TRUE(!stream.Read(100, g_buffer, 10, FALSE));  // would have to wait
  NT_EXPECT_EQ(g_reads, 0);
  NT_EXPECT_TRUE(stream.Read(100, g_buffer, 0x2000));
  NT_EXPECT_TRUE(IsPattern(g_buffer, 100, 0x2000));
  const LONG reads = g_reads;
  NT_EXPECT_TRUE(reads >= 1);
  NT_EXPECT_TRUE(stream.Read(200, g_buffer, 0x1000, FALSE));
  NT_EXPECT_TRUE(IsPattern(g_buffer, 200, 0x1000));
  NT_EXPECT_EQ(g_reads, reads);
  NT_EXPECT_TRUE(stream.Read(0x3F800, g_buffer, 0x1000));  // across two views
  NT_EXPECT_TRUE(IsPattern(g_buffer, 0x3F800, 0x1000));
  LARGE_INTEGER at = Large(0);
  IO_STATUS_BLOCK iosb = {};
  NT_EXPECT_TRUE(CcCopyReadEx(stream.file, &at, 16, TRUE, g_buffer, &iosb, PsGetCurrentThread()));
  NT_EXPECT_TRUE(IsPattern(g_buffer, 0, 16));
}

NT_TEST(CcFiles, WritesReachTheVolumeByTheLazyWriter) {
  Stream stream;
  RtlFillMemory(g_buffer, 0x1800, 0xAB);
  const LONG acquired = g_acquires;
  NT_EXPECT_TRUE(stream.Write(0x1400, g_buffer, 0x1800));
  NT_EXPECT_TRUE(IsPattern(g_disk + 0x1400, 0x1400, 0x1800) || g_writes != 0);
  NT_EXPECT_EQ(CcWaitForCurrentLazyWriterActivity(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(g_writes != 0);
  NT_EXPECT_TRUE(g_acquires > acquired);
  NT_EXPECT_EQ(g_acquires, g_releases);
  NT_EXPECT_EQ(g_disk[0x1400], 0xAB);
  NT_EXPECT_EQ(g_disk[0x2BFF], 0xAB);
  NT_EXPECT_TRUE(IsPattern(g_disk + 0x1000, 0x1000, 0x400));  // the rest of the page
  NT_EXPECT_TRUE(IsPattern(g_disk + 0x2C00, 0x2C00, 0x400));
}

NT_TEST(CcFiles, FlushWritesARangeNow) {
  Stream stream;
  CcSetAdditionalCacheAttributes(stream.file, FALSE, TRUE);  // nothing behind our back
  RtlFillMemory(g_buffer, 16, 1);
  stream.Write(0, g_buffer, 16);
  stream.Write(0x41000, g_buffer, 16);
  NT_EXPECT_TRUE(CcIsThereDirtyData(stream.file->Vpb));
  LARGE_INTEGER at = Large(0x41000);
  IO_STATUS_BLOCK iosb = {};
  CcFlushCache(&stream.pointers, &at, 16, &iosb);
  NT_EXPECT_EQ(iosb.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(g_writes, 1);
  NT_EXPECT_EQ(g_disk[0x41000], 1);
  NT_EXPECT_EQ(g_disk[0], Pattern(0));
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_writes, 2);
  NT_EXPECT_EQ(g_disk[0], 1);
  NT_EXPECT_TRUE(!CcIsThereDirtyData(stream.file->Vpb));
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_writes, 2);
}

NT_TEST(CcFiles, WriteThroughDoesNotWaitForTheLazyWriter) {
  Stream stream;
  stream.file->Flags |= FO_WRITE_THROUGH;
  RtlFillMemory(g_buffer, 16, 2);
  NT_EXPECT_TRUE(!stream.Write(64, g_buffer, 16, FALSE));
  NT_EXPECT_TRUE(stream.Write(64, g_buffer, 16));
  NT_EXPECT_EQ(g_disk[64], 2);
}

NT_TEST(CcFiles, FailedPagingRequestsAreRaised) {
  Stream stream;
  g_failure = STATUS_DEVICE_DATA_ERROR;
  NT_EXPECT_EQ(RaisedBy(&stream, 0), STATUS_DEVICE_DATA_ERROR);
  g_failure = STATUS_SUCCESS;
  NT_EXPECT_EQ(RaisedBy(&stream, 0), STATUS_SUCCESS);
  RtlFillMemory(g_buffer, 16, 3);
  CcSetAdditionalCacheAttributesEx(stream.file, 2);
  stream.Write(0, g_buffer, 16);
  g_failure = STATUS_DISK_FULL;
  NT_EXPECT_EQ(stream.Flush(), STATUS_DISK_FULL);
  g_failure = STATUS_SUCCESS;
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);  // still dirty
  NT_EXPECT_EQ(g_disk[0], 3);
}

NT_TEST(CcFiles, BeyondTheValidDataThereAreZerosAndNoReads) {
  Stream stream(kDiskSize, 0x1080);
  NT_EXPECT_TRUE(stream.Read(0x1000, g_buffer, 0x2000));
  NT_EXPECT_TRUE(IsPattern(g_buffer, 0x1000, 0x80));
  bool zero = true;
  for (ULONG i = 0x80; i < 0x2000; ++i) zero = zero && g_buffer[i] == 0;
  NT_EXPECT_TRUE(zero);
  const LONG reads = g_reads;
  NT_EXPECT_TRUE(stream.Read(0x50000, g_buffer, 16, TRUE));
  NT_EXPECT_EQ(g_reads, reads);
}

NT_TEST(CcFiles, SizesCutAndZeroDataClears) {
  Stream stream;
  NT_EXPECT_TRUE(stream.Read(0x1000, g_buffer, 0x2000));
  CC_FILE_SIZES sizes = {Large(0x1800), Large(0x1800), Large(0x1800)};
  CcSetFileSizes(stream.file, &sizes);
  sizes = {Large(0x4000), Large(0x4000), Large(0x1800)};
  CcSetFileSizes(stream.file, &sizes);
  NT_EXPECT_TRUE(stream.Read(0x17FF, g_buffer, 3));
  NT_EXPECT_EQ(g_buffer[0], Pattern(0x17FF));
  NT_EXPECT_EQ(g_buffer[1], 0);
  NT_EXPECT_EQ(g_buffer[2], 0);
  LARGE_INTEGER from = Large(0x10);
  LARGE_INTEGER to = Large(0x20);
  NT_EXPECT_TRUE(CcZeroData(stream.file, &from, &to, TRUE));
  NT_EXPECT_TRUE(stream.Read(0xF, g_buffer, 0x12));
  NT_EXPECT_EQ(g_buffer[0], Pattern(0xF));
  NT_EXPECT_EQ(g_buffer[1], 0);
  NT_EXPECT_EQ(g_buffer[0x10], 0);
  NT_EXPECT_EQ(g_buffer[0x11], Pattern(0x20));
}

NT_TEST(CcFiles, PurgedPagesAreReadAgain) {
  Stream stream;
  CcSetAdditionalCacheAttributes(stream.file, TRUE, TRUE);
  NT_EXPECT_TRUE(stream.Read(0, g_buffer, 16));
  RtlFillMemory(g_buffer, 16, 9);
  stream.Write(0x2000, g_buffer, 16);
  NT_EXPECT_TRUE(!CcPurgeCacheSection(&stream.pointers, nullptr, 0, DO_NOT_PURGE_DIRTY_PAGES));
  NT_EXPECT_TRUE(CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));
  g_disk[0] = 77;
  NT_EXPECT_TRUE(stream.Read(0, g_buffer, 16));
  NT_EXPECT_EQ(g_buffer[0], 77);
  NT_EXPECT_TRUE(stream.Read(0x2000, g_buffer, 16));
  NT_EXPECT_EQ(g_buffer[0], Pattern(0x2000));  // what was dirty is lost
  RtlFillMemory(g_buffer, 16, 9);
  stream.Write(0x2000, g_buffer, 16);
  IO_STATUS_BLOCK iosb = {};
  CcCoherencyFlushAndPurgeCache(&stream.pointers, nullptr, 0, &iosb, 0);
  NT_EXPECT_EQ(iosb.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk[0x2000], 9);
  NT_EXPECT_TRUE(!stream.Read(0, g_buffer, 16, FALSE));
}

NT_TEST(CcFiles, WritersAreHeldBackByDirtyPages) {
  Stream stream;
  NT_EXPECT_TRUE(CcCanIWrite(stream.file, 0x1000, FALSE, FALSE));
  NT_EXPECT_TRUE(CcCanIWrite(stream.file, 0x1000, TRUE, FALSE));
  volatile LONG posted = 0;
  CcDeferWrite(
      stream.file,
      [](PVOID context, PVOID by) {
        InterlockedExchangeAdd(static_cast<volatile LONG*>(context),
                               static_cast<LONG>(reinterpret_cast<LONG_PTR>(by)));
      },
      const_cast<LONG*>(&posted), reinterpret_cast<PVOID>(5), 0x1000, FALSE);
  CcWaitForCurrentLazyWriterActivity();
  NT_EXPECT_EQ(posted, 5);
  CcSetReadAheadGranularity(stream.file, 0x10000);
}

NT_TEST(CcFiles, TheLastCloseWritesEverything) {
  Stream stream;
  RtlFillMemory(g_buffer, 0x3000, 0x5A);
  stream.Write(0x10000, g_buffer, 0x3000);
  stream.Close();
  NT_EXPECT_EQ(g_disk[0x10000], 0x5A);
  NT_EXPECT_EQ(g_disk[0x12FFF], 0x5A);
}

NT_TEST(CcFiles, RandomOperationsAgreeWithAnArray) {
  Stream stream;
  auto* model = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kDiskSize, 'tset'));
  RtlCopyMemory(model, g_disk, kDiskSize);
  nt_test::Random random(7);
  for (ULONG step = 0; step < 300; ++step) {
    const ULONG offset = random.Below(kDiskSize - 0x3000);
    const ULONG length = 1 + random.Below(0x2FFF);
    switch (random.Below(5)) {
      case 0:
        NT_ASSERT_EQ(stream.Flush(), STATUS_SUCCESS);
        break;
      case 1: {
        IO_STATUS_BLOCK iosb = {};
        CcCoherencyFlushAndPurgeCache(&stream.pointers, nullptr, 0, &iosb, 0);
        NT_ASSERT_EQ(iosb.Status, STATUS_SUCCESS);
        break;
      }
      case 2:
      case 3:
        for (ULONG i = 0; i < length; ++i) g_buffer[i] = static_cast<UCHAR>(random.Next());
        RtlCopyMemory(model + offset, g_buffer, length);
        NT_ASSERT_TRUE(stream.Write(offset, g_buffer, length));
        break;
      default:
        NT_ASSERT_TRUE(stream.Read(offset, g_buffer, length));
        NT_ASSERT_TRUE(RtlCompareMemory(g_buffer, model + offset, length) == length);
    }
  }
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_TRUE(RtlCompareMemory(g_disk, model, kDiskSize) == kDiskSize);
  ExFreePoolWithTag(model, 'tset');
}

NT_TEST(CcPins, MappedDataIsTheCacheItself) {
  Stream stream;
  LARGE_INTEGER at = Large(0x2100);
  PVOID bcb, buffer;
  NT_EXPECT_TRUE(!CcMapData(stream.file, &at, 0x200, 0, &bcb, &buffer));
  NT_ASSERT_TRUE(CcMapData(stream.file, &at, 0x200, MAP_WAIT, &bcb, &buffer));
  NT_EXPECT_TRUE(IsPattern(static_cast<UCHAR*>(buffer), 0x2100, 0x200));
  NT_EXPECT_TRUE(CcGetFileObjectFromBcb(bcb) == stream.file);
  RtlFillMemory(g_buffer, 4, 0xEE);
  stream.Write(0x2100, g_buffer, 4);
  NT_EXPECT_EQ(*static_cast<UCHAR*>(buffer), 0xEE);
  NT_EXPECT_TRUE(!CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));  // in use
  CcUnpinData(bcb);
  NT_EXPECT_TRUE(CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));
}

NT_TEST(CcPins, PinnedDataIsChangedInPlace) {
  Stream stream;
  LARGE_INTEGER at = Large(0x3000);
  PVOID bcb, buffer, second, second_buffer;
  NT_ASSERT_TRUE(CcPinRead(stream.file, &at, 0x400, PIN_WAIT, &bcb, &buffer));
  NT_EXPECT_EQ(static_cast<PPUBLIC_BCB>(bcb)->MappedLength, 0x400);
  NT_EXPECT_EQ(static_cast<PPUBLIC_BCB>(bcb)->MappedFileOffset.QuadPart, 0x3000);
  LARGE_INTEGER inside = Large(0x3100);
  NT_ASSERT_TRUE(CcPinRead(stream.file, &inside, 0x10, PIN_WAIT, &second, &second_buffer));
  NT_EXPECT_TRUE(second == bcb);  // those who pin the same bytes share
  NT_EXPECT_TRUE(second_buffer == static_cast<UCHAR*>(buffer) + 0x100);
  static_cast<UCHAR*>(buffer)[0x100] = 0x77;
  CcSetDirtyPinnedData(bcb, nullptr);
  CcUnpinData(second);
  CcUnpinData(bcb);
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk[0x3100], 0x77);
}

NT_TEST(CcPins, MappingsBecomePins) {
  Stream stream;
  LARGE_INTEGER at = Large(0);
  PVOID bcb, buffer;
  NT_ASSERT_TRUE(CcMapData(stream.file, &at, 0x100, MAP_WAIT, &bcb, &buffer));
  PVOID mapped = bcb;
  NT_ASSERT_TRUE(CcPinMappedData(stream.file, &at, 0x100, PIN_WAIT, &bcb));
  NT_EXPECT_TRUE(bcb != mapped);
  static_cast<UCHAR*>(buffer)[1] = 0x12;
  CcSetDirtyPinnedData(bcb, nullptr);
  CcUnpinData(bcb);
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk[1], 0x12);
}

NT_TEST(CcPins, PreparedPagesAreNotRead) {
  Stream stream;
  LARGE_INTEGER at = Large(0x8000);
  PVOID bcb, buffer;
  NT_ASSERT_TRUE(CcPreparePinWrite(stream.file, &at, 0x2000, TRUE, PIN_WAIT, &bcb, &buffer));
  NT_EXPECT_EQ(g_reads, 0);
  NT_EXPECT_EQ(*static_cast<UCHAR*>(buffer), 0);
  CcUnpinData(bcb);
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk[0x9FFF], 0);
  NT_EXPECT_EQ(g_disk[0xA000], Pattern(0xA000));
}

NT_TEST(CcPins, RepinnedDataOutlivesItsPin) {
  Stream stream;
  CcSetAdditionalCacheAttributes(stream.file, FALSE, TRUE);
  LARGE_INTEGER at = Large(0x4000);
  PVOID bcb, buffer;
  NT_ASSERT_TRUE(CcPinRead(stream.file, &at, 0x100, PIN_WAIT, &bcb, &buffer));
  CcRepinBcb(bcb);
  *static_cast<UCHAR*>(buffer) = 0x31;
  CcSetDirtyPinnedData(bcb, nullptr);
  CcUnpinData(bcb);
  NT_EXPECT_EQ(g_writes, 0);
  IO_STATUS_BLOCK iosb = {};
  CcUnpinRepinnedBcb(bcb, TRUE, &iosb);
  NT_EXPECT_EQ(iosb.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk[0x4000], 0x31);
}

NT_TEST(CcPins, PinsCanBeHandedOver) {
  Stream stream;
  LARGE_INTEGER at = Large(0);
  PVOID bcb, buffer;
  NT_ASSERT_TRUE(CcPinRead(stream.file, &at, 0x100, PIN_WAIT, &bcb, &buffer));
  static ULONG64 owner;
  auto id = reinterpret_cast<ULONG_PTR>(&owner) | 3;
  CcSetBcbOwnerPointer(bcb, reinterpret_cast<PVOID>(id));
  CcUnpinDataForThread(bcb, id);
  NT_EXPECT_TRUE(CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));
}

NT_TEST(CcMdls, ReadAndWriteInPlace) {
  Stream stream;
  LARGE_INTEGER at = Large(0x3F000);
  PMDL chain = nullptr;
  IO_STATUS_BLOCK iosb = {};
  CcMdlRead(stream.file, &at, 0x2000, &chain, &iosb);  // two views: two MDLs
  NT_ASSERT_TRUE(chain != nullptr && chain->Next != nullptr);
  NT_EXPECT_EQ(iosb.Information, 0x2000);
  NT_EXPECT_EQ(MmGetMdlByteCount(chain) + MmGetMdlByteCount(chain->Next), 0x2000);
  auto* bytes = static_cast<UCHAR*>(MmGetSystemAddressForMdlSafe(chain, NormalPagePriority));
  NT_EXPECT_TRUE(bytes != nullptr && IsPattern(bytes, 0x3F000, 0x1000));
  NT_EXPECT_TRUE(!CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));
  CcMdlReadComplete(stream.file, chain);
  NT_EXPECT_TRUE(CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));
  chain = nullptr;
  at = Large(0x5000);
  CcPrepareMdlWrite(stream.file, &at, 0x1000, &chain, &iosb);
  NT_ASSERT_TRUE(chain != nullptr);
  RtlFillMemory(MmGetSystemAddressForMdlSafe(chain, NormalPagePriority), 0x1000, 0x44);
  CcMdlWriteComplete(stream.file, &at, chain);
  NT_EXPECT_EQ(stream.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_disk[0x5FFF], 0x44);
  chain = nullptr;
  CcPrepareMdlWrite(stream.file, &at, 0x1000, &chain, &iosb);
  CcMdlWriteAbort(stream.file, chain);
  NT_EXPECT_TRUE(CcPurgeCacheSection(&stream.pointers, nullptr, 0, 0));
}
