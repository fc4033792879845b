// What a disk's partition table says, in Windows's layout (DRIVE_LAYOUT_INFORMATION_EX), and the tables on
// disk.
#pragma once

#include "nt/ntos.h"

namespace io {

enum class PartitionStyle : ULONG { kMbr = 0, kGpt = 1 };

struct PartitionEntry {  // PARTITION_INFORMATION_EX
  PartitionStyle style;
  LONGLONG offset, length;  // bytes
  ULONG number;             // 0: none is given
  BOOLEAN rewrite, service;
  union {
    struct {
      UCHAR type;
      BOOLEAN boot, recognized;
      ULONG hidden_sectors;
      GUID id;
    } mbr;
    struct {
      GUID type, id;
      ULONG64 attributes;
      WCHAR name[36];
    } gpt;
  };
};
static_assert(sizeof(PartitionEntry) == 0x90 && FIELD_OFFSET(PartitionEntry, mbr) == 0x20);

struct DriveLayout {  // DRIVE_LAYOUT_INFORMATION_EX
  PartitionStyle style;
  ULONG count;
  union {
    struct {
      ULONG signature, checksum;
    } mbr;
    struct {
      GUID disk;
      LONGLONG usable_offset, usable_length;
      ULONG most_partitions;
    } gpt;
  };
  PartitionEntry entries[1];
};
static_assert(FIELD_OFFSET(DriveLayout, entries) == 0x30);

// ---- On disk ----
#pragma pack(push, 1)
struct MbrEntry {
  UCHAR boot;
  UCHAR first_chs[3];
  UCHAR type;
  UCHAR last_chs[3];
  ULONG first, count;  // sectors
};
struct MbrSector {
  UCHAR code[0x1B8];
  ULONG signature;
  USHORT reserved;
  MbrEntry entries[4];
  USHORT mark;
};
static_assert(sizeof(MbrSector) == 512);
struct GptHeader {
  ULONG64 signature;
  ULONG revision, size, crc, reserved;
  ULONG64 own, other, first_usable, last_usable;  // sectors
  GUID disk;
  ULONG64 entries;
  ULONG entry_count, entry_size, entries_crc;
};
static_assert(sizeof(GptHeader) == 92);
struct GptEntry {
  GUID type, id;
  ULONG64 first, last, attributes;
  WCHAR name[36];
};
static_assert(sizeof(GptEntry) == 128);
#pragma pack(pop)

}  // namespace io
