// IoReadPartitionTableEx over a disk of the test's own. Oracle: the layouts of master boot records and of the
// UEFI specification's GUID partition tables.
#include "nt_test.h"

extern "C" {
ULONG NTAPI RtlComputeCrc32(ULONG PartialCrc, PVOID Buffer, ULONG Length);
}

namespace {

constexpr ULONG kSector = 512, kSectors = 2048;
UCHAR* g_disk;
ULONG g_reads;

NTSTATUS Complete(PIRP irp, NTSTATUS status, ULONG_PTR information) {
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  IoCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

NTSTATUS NTAPI OnRead(PDEVICE_OBJECT, PIRP irp) {
  const auto& read = IoGetCurrentIrpStackLocation(irp)->Parameters.Read;
  ++g_reads;
  const ULONG64 offset = static_cast<ULONG64>(read.ByteOffset.QuadPart);
  if (offset % kSector != 0 || read.Length % kSector != 0 || offset + read.Length > kSector * kSectors)
    return Complete(irp, STATUS_INVALID_PARAMETER, 0);
  PVOID target = MmGetSystemAddressForMdlSafe(irp->MdlAddress, NormalPagePriority);
  if (target == nullptr) return Complete(irp, STATUS_INSUFFICIENT_RESOURCES, 0);
  RtlCopyMemory(target, g_disk + offset, read.Length);
  return Complete(irp, STATUS_SUCCESS, read.Length);
}

NTSTATUS NTAPI OnControl(PDEVICE_OBJECT, PIRP irp) {
  const auto& control = IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl;
  if (control.IoControlCode != 0x000700A0 || control.OutputBufferLength < 32)
    return Complete(irp, STATUS_INVALID_DEVICE_REQUEST, 0);
  struct {
    LONGLONG cylinders;
    ULONG media, tracks, sectors, bytes_per_sector;
    LONGLONG bytes;
  } geometry = {1, 12, 1, kSectors, kSector, kSector * kSectors};
  RtlCopyMemory(irp->AssociatedIrp.SystemBuffer, &geometry, sizeof(geometry));
  return Complete(irp, STATUS_SUCCESS, sizeof(geometry));
}

class Disk {
 public:
  Disk() {
    PDRIVER_OBJECT driver = nt_test::driver;
    RtlCopyMemory(saved_, driver->MajorFunction, sizeof(saved_));
    driver->MajorFunction[IRP_MJ_READ] = OnRead;
    driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    g_disk = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, kSector * kSectors, 'ksiT'));
    if (g_disk == nullptr ||
        !NT_SUCCESS(IoCreateDevice(driver, 0, nullptr, FILE_DEVICE_DISK, 0, FALSE, &device_)))
      return;
    RtlZeroMemory(g_disk, kSector * kSectors);
    device_->Flags |= DO_DIRECT_IO;
    device_->Flags &= ~static_cast<ULONG>(DO_DEVICE_INITIALIZING);
  }
  ~Disk() {
    if (layout_ != nullptr) ExFreePool(layout_);
    if (device_ != nullptr) IoDeleteDevice(device_);
    if (g_disk != nullptr) ExFreePoolWithTag(g_disk, 'ksiT');
    RtlCopyMemory(nt_test::driver->MajorFunction, saved_, sizeof(saved_));
  }
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;
  bool made() const { return device_ != nullptr; }

  NTSTATUS Read() {
    if (layout_ != nullptr) ExFreePool(layout_);
    return IoReadPartitionTableEx(device_, reinterpret_cast<struct _DRIVE_LAYOUT_INFORMATION_EX**>(&layout_));
  }
  bool empty() const { return layout_ == nullptr; }
  // Of the layout's head, and of an entry.
  template <typename T>
  T Head(ULONG offset) const {
    return *reinterpret_cast<const T*>(layout_ + offset);
  }
  template <typename T>
  T Entry(ULONG index, ULONG offset) const {
    return Head<T>(0x30 + index * 0x90 + offset);
  }

 private:
  PDEVICE_OBJECT device_ = nullptr;
  UCHAR* layout_ = nullptr;
  PDRIVER_DISPATCH saved_[IRP_MJ_MAXIMUM_FUNCTION + 1];
};

template <typename T>
void Put(ULONG64 at, T value) {
  RtlCopyMemory(g_disk + at, &value, sizeof(value));
}

void PutEntry(ULONG sector, ULONG index, UCHAR type, ULONG first, ULONG count, UCHAR boot = 0) {
  const ULONG at = sector * kSector + 0x1BE + index * 16;
  Put(at, boot);
  Put(at + 4, type);
  Put(at + 8, first);
  Put(at + 12, count);
  Put<USHORT>(sector * kSector + 510, 0xAA55);
}

constexpr GUID kType = {0xEBD0A0A2, 0xB9E5, 0x4433, {0x87, 0xC0, 0x68, 0xB6, 0xB7, 0x26, 0x99, 0xC7}};

// A header in `own` with 4 entries of which two are used, in `entries`.
void PutGpt(ULONG own, ULONG other, ULONG entries) {
  const ULONG64 table = entries * ULONG64{kSector}, header = own * ULONG64{kSector};
  for (ULONG i = 0; i < 4; i += 2) {
    Put(table + i * 128, kType);
    Put<ULONG>(table + i * 128 + 16, 100 + i);
    Put<ULONG64>(table + i * 128 + 32, 40 + i * 100);
    Put<ULONG64>(table + i * 128 + 40, 40 + i * 100 + 9);
    Put<WCHAR>(table + i * 128 + 56, static_cast<WCHAR>(L'a' + i));
  }
  Put<ULONG64>(header, 0x5452415020494645);
  Put<ULONG>(header + 8, 0x10000);
  Put<ULONG>(header + 12, 92);
  Put<ULONG>(header + 16, 0);
  Put<ULONG64>(header + 24, own);
  Put<ULONG64>(header + 32, other);
  Put<ULONG64>(header + 40, 34);
  Put<ULONG64>(header + 48, kSectors - 34);
  Put<ULONG>(header + 56, 0x1D15C);
  Put<ULONG64>(header + 72, entries);
  Put<ULONG>(header + 80, 4);
  Put<ULONG>(header + 84, 128);
  Put<ULONG>(header + 88, RtlComputeCrc32(0, g_disk + table, 4 * 128));
  Put<ULONG>(header + 16, RtlComputeCrc32(0, g_disk + header, 92));
}

}  // namespace

NT_TEST(IoPartitionTable, PrimaryAndLogicalPartitions) {
  Disk disk;
  NT_ASSERT_TRUE(disk.made());
  Put<ULONG>(0x1B8, 0xD15C5151);
  PutEntry(0, 0, 0x07, 63, 100, 0x80);
  PutEntry(0, 1, 0x0F, 200, 1000);
  PutEntry(0, 2, 0x83, 1300, 50);
  PutEntry(200, 0, 0x0B, 10, 90);    // relative to its table
  PutEntry(200, 1, 0x05, 300, 100);  // relative to the extended partition
  PutEntry(500, 0, 0x06, 5, 20);
  NT_ASSERT_SUCCESS(disk.Read());
  NT_EXPECT_EQ(disk.Head<ULONG>(0), 0u);
  NT_EXPECT_EQ(disk.Head<ULONG>(4), 12u);
  NT_EXPECT_EQ(disk.Head<ULONG>(8), 0xD15C5151u);
  const struct {
    ULONG index;
    UCHAR type;
    ULONG number, first, count;
    bool boot, recognized;
  } rows[] = {{0, 0x07, 1, 63, 100, true, true},    {1, 0x0F, 0, 200, 1000, false, false},
              {2, 0x83, 2, 1300, 50, false, false}, {4, 0x0B, 3, 210, 90, false, true},
              {5, 0x05, 0, 500, 100, false, false}, {8, 0x06, 4, 505, 20, false, true}};
  for (const auto& row : rows) {
    NT_EXPECT_EQ(disk.Entry<UCHAR>(row.index, 0x20), row.type);
    NT_EXPECT_EQ(disk.Entry<LONGLONG>(row.index, 8), LONGLONG{row.first} * kSector);
    NT_EXPECT_EQ(disk.Entry<LONGLONG>(row.index, 16), LONGLONG{row.count} * kSector);
    NT_EXPECT_EQ(disk.Entry<ULONG>(row.index, 24), row.number);
    NT_EXPECT_EQ(disk.Entry<BOOLEAN>(row.index, 0x21) != FALSE, row.boot);
    NT_EXPECT_EQ(disk.Entry<BOOLEAN>(row.index, 0x22) != FALSE, row.recognized);
  }
  const ULONG empty[] = {3, 6, 7, 9, 10, 11};
  for (const ULONG index : empty) {
    NT_EXPECT_EQ(disk.Entry<UCHAR>(index, 0x20), 0);
    NT_EXPECT_EQ(disk.Entry<LONGLONG>(index, 16), 0);
  }
}

NT_TEST(IoPartitionTable, ABadChainEnds) {
  Disk disk;
  NT_ASSERT_TRUE(disk.made());
  PutEntry(0, 0, 0x05, 100, 500);
  // No table there.
  NT_ASSERT_SUCCESS(disk.Read());
  NT_EXPECT_EQ(disk.Head<ULONG>(4), 4u);
  // One that leads back to itself, one that leads beyond the disk.
  PutEntry(100, 0, 0x07, 1, 10);
  const ULONG links[] = {0, kSectors, 0xFFFFFFFF};
  for (const ULONG link : links) {
    PutEntry(100, 1, 0x05, link, 10);
    g_reads = 0;
    NT_ASSERT_SUCCESS(disk.Read());
    NT_EXPECT_EQ(disk.Head<ULONG>(4), 8u);
    NT_EXPECT_EQ(g_reads, 2u);
  }
  // A chain without end is cut.
  for (ULONG sector = 100; sector < 2000; ++sector) PutEntry(sector, 1, 0x05, sector - 99, 10);
  g_reads = 0;
  NT_ASSERT_SUCCESS(disk.Read());
  NT_EXPECT_EQ(disk.Head<ULONG>(4), 4 * 64u);
  NT_EXPECT_EQ(g_reads, 64u);
}

NT_TEST(IoPartitionTable, GuidPartitionTables) {
  Disk disk;
  NT_ASSERT_TRUE(disk.made());
  PutEntry(0, 0, 0xEE, 1, kSectors - 1);
  PutGpt(1, kSectors - 1, 2);
  PutGpt(kSectors - 1, 1, kSectors - 5);
  for (int way = 0; way < 3; ++way) {
    if (way == 1) Put<UCHAR>(kSector + 50, 0xFF);  // the first header is damaged
    if (way == 2) PutGpt(1, kSectors - 1, 2), Put<UCHAR>(2 * kSector + 60, 0xFF);  // its entries are
    g_reads = 0;
    NT_ASSERT_SUCCESS(disk.Read());
    NT_EXPECT_EQ(g_reads, way == 0 ? 3u : way == 1 ? 4u : 5u);
    NT_EXPECT_EQ(disk.Head<ULONG>(0), 1u);
    NT_EXPECT_EQ(disk.Head<ULONG>(4), 2u);
    NT_EXPECT_EQ(disk.Head<ULONG>(8), 0x1D15Cu);
    NT_EXPECT_EQ(disk.Head<LONGLONG>(24), 34ll * kSector);
    NT_EXPECT_EQ(disk.Head<LONGLONG>(32), LONGLONG{kSectors - 34 - 34 + 1} * kSector);
    NT_EXPECT_EQ(disk.Head<ULONG>(40), 4u);
    for (ULONG i = 0; i < 2; ++i) {
      NT_EXPECT_EQ(disk.Entry<ULONG>(i, 0), 1u);
      NT_EXPECT_EQ(disk.Entry<LONGLONG>(i, 8), LONGLONG{40 + i * 200} * kSector);
      NT_EXPECT_EQ(disk.Entry<LONGLONG>(i, 16), 10ll * kSector);
      NT_EXPECT_EQ(disk.Entry<ULONG>(i, 24), i + 1);
      NT_EXPECT_EQ(disk.Entry<ULONG>(i, 0x20), kType.Data1);
      NT_EXPECT_EQ(disk.Entry<ULONG>(i, 0x30), 100 + i * 2);
      NT_EXPECT_EQ(disk.Entry<WCHAR>(i, 0x48), static_cast<WCHAR>(L'a' + i * 2));
    }
  }
  Put<UCHAR>((kSectors - 1) * kSector + 50, 0xFF);  // and the copy's header
  NT_EXPECT_EQ(disk.Read(), STATUS_DISK_CORRUPT_ERROR);
  NT_EXPECT_TRUE(disk.empty());
}

NT_TEST(IoPartitionTable, HeadersThatLieAreRefused) {
  Disk disk;
  NT_ASSERT_TRUE(disk.made());
  NT_EXPECT_EQ(disk.Read(), STATUS_BAD_MASTER_BOOT_RECORD);
  NT_EXPECT_TRUE(disk.empty());
  PutEntry(0, 0, 0xEE, 1, kSectors - 1);
  const struct {
    ULONG offset, value;
  } lies[] = {{12, 91},       {12, kSector + 1}, {12, 0xFFFFFFFF}, {24, 2}, {40, kSectors},
              {48, kSectors}, {72, 0xFFFFFFFF},  {72, kSectors},   {80, 0}, {80, 1u << 31},
              {84, 0},        {84, 127},         {84, 0x80000000}, {88, 0}};
  for (const auto& lie : lies) {
    PutGpt(1, kSectors - 1, 2);
    Put<ULONG>(kSector + lie.offset, lie.value);
    Put<ULONG>(kSector + 16, 0);
    ULONG size = 92;
    RtlCopyMemory(&size, g_disk + kSector + 12, sizeof(size));
    Put<ULONG>(kSector + 16, RtlComputeCrc32(0, g_disk + kSector, size <= kSector ? size : 92));
    NT_EXPECT_EQ(disk.Read(), STATUS_DISK_CORRUPT_ERROR);
    NT_EXPECT_TRUE(disk.empty());
  }
}
