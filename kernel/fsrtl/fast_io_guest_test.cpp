// Fast I/O helpers and small services through the ABI. Oracle: the WDK pages of FsRtl*; not yet run on a real
// NT.
#include "cached_stream.h"
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

using cached::Large;

alignas(16) UCHAR g_buffer[0x2000];

// The stream of a file system with a common header.
struct File : cached::Stream {
  FSRTL_COMMON_FCB_HEADER header = {};
  ERESOURCE resource;
  File() {
    ExInitializeResourceLite(&resource);
    header.Resource = &resource;
    header.IsFastIoPossible = FastIoIsPossible;
    header.FileSize.QuadPart = header.ValidDataLength.QuadPart = 0x10800;
    header.AllocationSize.QuadPart = cached::kDiskSize;
    file->FsContext = &header;
  }
  ~File() {
    Close();
    ExDeleteResourceLite(&resource);
  }
  bool CopyRead(LONGLONG offset, ULONG length, PIO_STATUS_BLOCK iosb, BOOLEAN wait = TRUE) {
    LARGE_INTEGER at = Large(offset);
    return FsRtlCopyRead(file, &at, length, wait, 0, g_buffer, iosb, device) != FALSE;
  }
  bool CopyWrite(LONGLONG offset, ULONG length, PIO_STATUS_BLOCK iosb) {
    LARGE_INTEGER at = Large(offset);
    return FsRtlCopyWrite(file, &at, length, TRUE, 0, g_buffer, iosb, device) != FALSE;
  }
};

}  // namespace

NT_TEST(FsRtlFastIo, ReadsStopAtTheEndOfTheFile) {
  File file;
  IO_STATUS_BLOCK iosb = {};
  NT_EXPECT_TRUE(file.CopyRead(0x100, 0x200, &iosb));
  NT_EXPECT_EQ(iosb.Status, STATUS_SUCCESS);
  NT_EXPECT_EQ(iosb.Information, 0x200);
  NT_EXPECT_TRUE(cached::IsPattern(g_buffer, 0x100, 0x200));
  NT_EXPECT_EQ(file.file->CurrentByteOffset.QuadPart, 0x300);
  NT_EXPECT_TRUE(file.CopyRead(0x10700, 0x200, &iosb));
  NT_EXPECT_EQ(iosb.Information, 0x100);
  NT_EXPECT_TRUE(file.CopyRead(0x10800, 1, &iosb));
  NT_EXPECT_EQ(iosb.Status, STATUS_END_OF_FILE);
  NT_EXPECT_TRUE(file.CopyRead(0, 0, &iosb));
  NT_EXPECT_EQ(iosb.Information, 0);
}

NT_TEST(FsRtlFastIo, WhatIsNotPossibleIsLeftToAnIrp) {
  File file;
  IO_STATUS_BLOCK iosb = {};
  NT_EXPECT_TRUE(!file.CopyRead(0, 16, &iosb, FALSE));  // not in the cache yet
  file.header.IsFastIoPossible = FastIoIsNotPossible;
  NT_EXPECT_TRUE(!file.CopyRead(0, 16, &iosb));
  file.header.IsFastIoPossible = FastIoIsQuestionable;  // and nobody to ask
  NT_EXPECT_TRUE(!file.CopyRead(0, 16, &iosb));
  file.header.IsFastIoPossible = FastIoIsPossible;
  NT_EXPECT_TRUE(!file.CopyWrite(0x107FF, 2, &iosb));  // extends the file
  file.file->Flags |= FO_WRITE_THROUGH;
  NT_EXPECT_TRUE(!file.CopyWrite(0, 2, &iosb));
}

NT_TEST(FsRtlFastIo, WritesGoToTheCache) {
  File file;
  IO_STATUS_BLOCK iosb = {};
  RtlFillMemory(g_buffer, 0x100, 0x3C);
  NT_EXPECT_TRUE(file.CopyWrite(0x2000, 0x100, &iosb));
  NT_EXPECT_EQ(iosb.Information, 0x100);
  NT_EXPECT_TRUE((file.file->Flags & FO_FILE_MODIFIED) != 0);
  NT_EXPECT_EQ(file.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(cached::g_disk[0x20FF], 0x3C);
}

NT_TEST(FsRtlFastIo, FailedReadsAreStatuses) {
  File file;
  IO_STATUS_BLOCK iosb = {};
  cached::g_failure = STATUS_DEVICE_DATA_ERROR;
  NT_EXPECT_TRUE(file.CopyRead(0, 16, &iosb));
  NT_EXPECT_EQ(iosb.Status, STATUS_DEVICE_DATA_ERROR);
  NT_EXPECT_EQ(iosb.Information, 0);
  cached::g_failure = STATUS_SUCCESS;
}

NT_TEST(FsRtlFastIo, MdlsOfTheCache) {
  File file;
  IO_STATUS_BLOCK iosb = {};
  LARGE_INTEGER at = Large(0x1000);
  PMDL chain = nullptr;
  NT_ASSERT_TRUE(FsRtlMdlReadDev(file.file, &at, 0x800, 0, &chain, &iosb, file.device));
  NT_EXPECT_EQ(iosb.Information, 0x800);
  auto* bytes = static_cast<UCHAR*>(MmGetSystemAddressForMdlSafe(chain, NormalPagePriority));
  NT_EXPECT_TRUE(cached::IsPattern(bytes, 0x1000, 0x800));
  NT_EXPECT_TRUE(FsRtlMdlReadCompleteDev(file.file, chain, file.device));
  chain = nullptr;
  NT_ASSERT_TRUE(FsRtlPrepareMdlWriteDev(file.file, &at, 0x800, 0, &chain, &iosb, file.device));
  RtlFillMemory(MmGetSystemAddressForMdlSafe(chain, NormalPagePriority), 0x800, 0x21);
  NT_EXPECT_TRUE(FsRtlMdlWriteCompleteDev(file.file, &at, chain, file.device));
  NT_EXPECT_EQ(file.Flush(), STATUS_SUCCESS);
  NT_EXPECT_EQ(cached::g_disk[0x17FF], 0x21);
  NT_EXPECT_EQ(cached::g_disk[0x1800], cached::Pattern(0x1800));
}

NT_TEST(FsRtlMisc, ThereIsNoUncProvider) {
  HANDLE handle = &handle;
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\Device\\FsTestRedirector");
  NT_EXPECT_EQ(FsRtlRegisterUncProvider(&handle, &name, FALSE), STATUS_OBJECT_NAME_NOT_FOUND);
  NT_EXPECT_TRUE(handle == nullptr);
  FsRtlDeregisterUncProvider(handle);
}

NT_TEST(FsRtlMisc, StartupIsOver) {
  NT_EXPECT_TRUE(FsRtlAreVolumeStartupApplicationsComplete());
}

NT_TEST(FsRtlMisc, BalancedReadsAreTheDevicesBusiness) {
  cached::Stream stream;
  NT_EXPECT_EQ(FsRtlBalanceReads(stream.device), STATUS_INVALID_DEVICE_REQUEST);
}
