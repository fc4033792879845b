// Reading the partition table of a disk, whose driver asks for it. What stands on the disk is nobody's
// promise: every place and size is checked before it is used.
#include "partition_table.h"

#include "nt/export.h"

extern "C" ULONG NTAPI RtlComputeCrc32(ULONG PartialCrc, PVOID Buffer, ULONG Length);

namespace io {
namespace {

constexpr ULONG kTag = 'traP';
constexpr ULONG kDiskGeometryEx = 0x000700A0;  // IOCTL_DISK_GET_DRIVE_GEOMETRY_EX
constexpr USHORT kMbrMark = 0xAA55;
constexpr ULONG64 kGptSignature = 0x5452415020494645;  // "EFI PART"
constexpr UCHAR kUnused = 0, kProtective = 0xEE;
constexpr ULONG kMostTables = 64;            // a chain of extended partitions ends somewhere
constexpr ULONG kMostGptBytes = 256 * 1024;  // of the array of entries

bool IsExtended(UCHAR type) {
  return type == 0x05 || type == 0x0F;
}
// Types with a file system that Windows mounts.
bool IsRecognized(UCHAR type) {
  constexpr UCHAR kTypes[] = {0x01, 0x04, 0x06, 0x07, 0x0B, 0x0C, 0x0E};
  for (const UCHAR known : kTypes) {
    if (type == known) return true;
  }
  return false;
}

// A buffer in nonpaged pool.
class Block {
 public:
  explicit Block(ULONG bytes) : data_(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag)) {}
  ~Block() {
    if (data_ != nullptr) ExFreePoolWithTag(data_, kTag);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  bool made() const { return data_ != nullptr; }
  UCHAR* get() const { return static_cast<UCHAR*>(data_); }

 private:
  PVOID data_;
};

class Disk {
 public:
  explicit Disk(PDEVICE_OBJECT device) : device_(device) {}

  // Asks the driver how large the disk and its sectors are.
  NTSTATUS Measure() {
    struct {
      LONGLONG cylinders;
      ULONG media, tracks, sectors, bytes_per_sector;
      LONGLONG bytes;
      UCHAR more[128];
    } geometry = {};
    KEVENT done;
    IO_STATUS_BLOCK iosb;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    PIRP irp = IoBuildDeviceIoControlRequest(kDiskGeometryEx, device_, nullptr, 0, &geometry,
                                             sizeof(geometry), FALSE, &done, &iosb);
    const NTSTATUS status = Send(irp, &done, &iosb);
    if (!NT_SUCCESS(status)) return status;
    const ULONG bytes = geometry.bytes_per_sector;
    if (bytes < sizeof(MbrSector) || bytes > 0x10000 || (bytes & (bytes - 1)) != 0 || geometry.bytes < bytes)
      return STATUS_DISK_CORRUPT_ERROR;
    sector_bytes_ = bytes;
    sectors_ = static_cast<ULONG64>(geometry.bytes) / bytes;
    return STATUS_SUCCESS;
  }

  ULONG sector_bytes() const { return sector_bytes_; }
  ULONG64 sectors() const { return sectors_; }

  // `bytes` is a multiple of the sector's.
  NTSTATUS Read(ULONG64 sector, PVOID buffer, ULONG bytes) const {
    const ULONG64 count = bytes / sector_bytes_;
    if (sector >= sectors_ || count > sectors_ - sector) return STATUS_DISK_CORRUPT_ERROR;
    LARGE_INTEGER offset;
    offset.QuadPart = static_cast<LONGLONG>(sector * sector_bytes_);
    KEVENT done;
    IO_STATUS_BLOCK iosb;
    KeInitializeEvent(&done, NotificationEvent, FALSE);
    PIRP irp = IoBuildSynchronousFsdRequest(IRP_MJ_READ, device_, buffer, bytes, &offset, &done, &iosb);
    if (irp != nullptr) IoGetNextIrpStackLocation(irp)->Flags |= SL_OVERRIDE_VERIFY_VOLUME;
    return Send(irp, &done, &iosb);
  }

 private:
  NTSTATUS Send(PIRP irp, PKEVENT done, PIO_STATUS_BLOCK iosb) const {
    if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    NTSTATUS status = IofCallDriver(device_, irp);
    if (status != STATUS_PENDING) return status;
    KeWaitForSingleObject(done, Executive, KernelMode, FALSE, nullptr);
    return iosb->Status;
  }

  PDEVICE_OBJECT device_;
  ULONG sector_bytes_ = 0;
  ULONG64 sectors_ = 0;
};

DriveLayout* NewLayout(PartitionStyle style, ULONG most) {
  const SIZE_T bytes = FIELD_OFFSET(DriveLayout, entries) + most * sizeof(PartitionEntry);
  auto* layout = static_cast<DriveLayout*>(ExAllocatePoolWithTag(NonPagedPoolNx, bytes, kTag));
  if (layout == nullptr) return nullptr;
  RtlZeroMemory(layout, bytes);
  layout->style = style;
  return layout;
}

// ---- Master boot records ----

// The four entries of a table; `base`: of its partitions, `link_base`: of the table that follows it.
void AddTable(const Disk& disk, const MbrSector& table, ULONG64 base, ULONG64 link_base, ULONG* number,
              DriveLayout* layout) {
  for (const MbrEntry& from : table.entries) {
    PartitionEntry& to = layout->entries[layout->count++];
    to.style = PartitionStyle::kMbr;
    if (from.type == kUnused || from.count == 0) continue;
    const ULONG64 first = (IsExtended(from.type) ? link_base : base) + from.first;
    to.offset = static_cast<LONGLONG>(first * disk.sector_bytes());
    to.length = static_cast<LONGLONG>(ULONG64{from.count} * disk.sector_bytes());
    to.mbr.type = from.type;
    to.mbr.boot = from.boot == 0x80;
    to.mbr.recognized = IsRecognized(from.type);
    to.mbr.hidden_sectors = from.first;
    if (!IsExtended(from.type)) to.number = (*number)++;
  }
}

// Where the next table is, 0: nowhere.
ULONG64 NextTable(const MbrSector& table, ULONG64 link_base) {
  for (const MbrEntry& entry : table.entries) {
    if (IsExtended(entry.type) && entry.count != 0) return link_base + entry.first;
  }
  return 0;
}

// Tables that cannot be read, or are none, end the chain: what was before them counts.
NTSTATUS ReadMbr(const Disk& disk, UCHAR* sector, DriveLayout** result) {
  auto* layout = NewLayout(PartitionStyle::kMbr, kMostTables * 4);
  if (layout == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const auto& table = *reinterpret_cast<const MbrSector*>(sector);
  layout->mbr.signature = table.signature;
  ULONG number = 1;
  AddTable(disk, table, 0, 0, &number, layout);
  const ULONG64 extended = NextTable(table, 0);
  ULONG64 next = extended;
  for (ULONG tables = 1; next != 0 && tables < kMostTables; ++tables) {
    if (!NT_SUCCESS(disk.Read(next, sector, disk.sector_bytes())) || table.mark != kMbrMark) break;
    AddTable(disk, table, next, extended, &number, layout);
    // The first link may be relative to 0 only: later ones lead on, behind the table that they stand in.
    const ULONG64 after = NextTable(table, extended);
    if (after <= next) break;
    next = after;
  }
  *result = layout;
  return STATUS_SUCCESS;
}

// ---- GUID partition tables ----

bool ValidHeader(const Disk& disk, UCHAR* sector, ULONG64 own) {
  auto* header = reinterpret_cast<GptHeader*>(sector);
  if (header->signature != kGptSignature || header->size < sizeof(GptHeader) ||
      header->size > disk.sector_bytes())
    return false;
  const ULONG crc = header->crc;
  header->crc = 0;
  const bool sound = RtlComputeCrc32(0, sector, header->size) == crc;
  header->crc = crc;
  if (!sound || header->own != own || header->entry_size < sizeof(GptEntry) || header->entry_size % 8 != 0)
    return false;
  const ULONG64 bytes = ULONG64{header->entry_count} * header->entry_size;
  return header->entry_count != 0 && bytes <= kMostGptBytes && header->first_usable <= header->last_usable &&
         header->last_usable < disk.sectors();
}

void AddEntry(const Disk& disk, const GptEntry& from, ULONG number, DriveLayout* layout) {
  PartitionEntry& to = layout->entries[layout->count++];
  to.style = PartitionStyle::kGpt;
  to.offset = static_cast<LONGLONG>(from.first * disk.sector_bytes());
  to.length = static_cast<LONGLONG>((from.last - from.first + 1) * disk.sector_bytes());
  to.number = number;
  to.gpt.type = from.type;
  to.gpt.id = from.id;
  to.gpt.attributes = from.attributes;
  RtlCopyMemory(to.gpt.name, from.name, sizeof(to.gpt.name));
}

// The table whose header stands in a sector. STATUS_DISK_CORRUPT_ERROR: it is damaged.
NTSTATUS ReadGptAt(const Disk& disk, ULONG64 where, UCHAR* sector, DriveLayout** result) {
  NTSTATUS status = disk.Read(where, sector, disk.sector_bytes());
  if (!NT_SUCCESS(status)) return status;
  if (!ValidHeader(disk, sector, where)) return STATUS_DISK_CORRUPT_ERROR;
  const auto& header = *reinterpret_cast<const GptHeader*>(sector);
  const ULONG bytes = header.entry_count * header.entry_size;
  const ULONG whole = (bytes + disk.sector_bytes() - 1) & ~(disk.sector_bytes() - 1);
  Block entries(whole);
  if (!entries.made()) return STATUS_INSUFFICIENT_RESOURCES;
  status = disk.Read(header.entries, entries.get(), whole);
  if (!NT_SUCCESS(status)) return status;
  if (RtlComputeCrc32(0, entries.get(), bytes) != header.entries_crc) return STATUS_DISK_CORRUPT_ERROR;
  auto* layout = NewLayout(PartitionStyle::kGpt, header.entry_count);
  if (layout == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  const LONGLONG sector_bytes = disk.sector_bytes();
  layout->gpt.disk = header.disk;
  layout->gpt.usable_offset = static_cast<LONGLONG>(header.first_usable) * sector_bytes;
  layout->gpt.usable_length =
      static_cast<LONGLONG>(header.last_usable - header.first_usable + 1) * sector_bytes;
  layout->gpt.most_partitions = header.entry_count;
  constexpr GUID kNone = {};
  for (ULONG i = 0; i < header.entry_count; ++i) {
    const auto& entry = *reinterpret_cast<const GptEntry*>(entries.get() + i * header.entry_size);
    const bool used = !RtlEqualMemory(&entry.type, &kNone, sizeof(GUID));
    if (used && entry.first <= entry.last && entry.last < disk.sectors())
      AddEntry(disk, entry, layout->count + 1, layout);
  }
  *result = layout;
  return STATUS_SUCCESS;
}

// A disk whose first table is damaged has another at its end.
NTSTATUS ReadGpt(const Disk& disk, UCHAR* sector, DriveLayout** result) {
  const NTSTATUS status = ReadGptAt(disk, 1, sector, result);
  if (NT_SUCCESS(status) || status == STATUS_INSUFFICIENT_RESOURCES) return status;
  return ReadGptAt(disk, disk.sectors() - 1, sector, result);
}

NTSTATUS ReadLayout(PDEVICE_OBJECT device, DriveLayout** result) {
  Disk disk(device);
  NTSTATUS status = disk.Measure();
  if (!NT_SUCCESS(status)) return status;
  Block sector(disk.sector_bytes());
  if (!sector.made()) return STATUS_INSUFFICIENT_RESOURCES;
  status = disk.Read(0, sector.get(), disk.sector_bytes());
  if (!NT_SUCCESS(status)) return status;
  const auto& table = *reinterpret_cast<const MbrSector*>(sector.get());
  if (table.mark != kMbrMark) return STATUS_BAD_MASTER_BOOT_RECORD;
  for (const MbrEntry& entry : table.entries) {
    if (entry.type == kProtective) return ReadGpt(disk, sector.get(), result);
  }
  return ReadMbr(disk, sector.get(), result);
}

}  // namespace
}  // namespace io

/// Reads a disk's partition table (a master boot record with its chain of extended partitions, or a GUID
/// partition table, its copy where the first is damaged) into new memory that the caller frees with
/// ExFreePool. The disk's driver is asked for its geometry and for the sectors. Returns:
/// STATUS_BAD_MASTER_BOOT_RECORD, STATUS_DISK_CORRUPT_ERROR, the driver's status.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/IoReadPartitionTableEx.
NT_EXPORT(IoReadPartitionTableEx, nt::Exactly(PASSIVE_LEVEL), Full, "IoPartitionTable.*");
extern "C" NTSTATUS NTAPI IoReadPartitionTableEx(PDEVICE_OBJECT DeviceObject,
                                                 struct _DRIVE_LAYOUT_INFORMATION_EX** PartitionBuffer) {
  io::DriveLayout* layout = nullptr;
  const NTSTATUS status = io::ReadLayout(DeviceObject, &layout);
  *PartitionBuffer = reinterpret_cast<struct _DRIVE_LAYOUT_INFORMATION_EX*>(layout);
  return status;
}
