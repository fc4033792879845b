// Hash tables, images, UUIDs and facts of the boot through the ABI. Oracle: the WDK pages, RFC 4122, the PE
// format.
#include "nt_test.h"
#include "random.h"

#include <ntimage.h>

extern "C" {
PIMAGE_NT_HEADERS NTAPI RtlImageNtHeader(PVOID Base);
NTSTATUS NTAPI RtlImageNtHeaderEx(ULONG Flags, PVOID Base, ULONG64 Size, PIMAGE_NT_HEADERS* Headers);
PVOID NTAPI RtlImageDirectoryEntryToData(PVOID Base, BOOLEAN MappedAsImage, USHORT DirectoryEntry,
                                         PULONG Size);
PVOID NTAPI RtlPcToFileHeader(PVOID PcValue, PVOID* BaseOfImage);
PVOID NTAPI RtlFindExportedRoutineByName(PVOID DllBase, PCSZ RoutineName);
}

namespace {

constexpr ULONG kEntries = 300;

struct Item {
  RTL_DYNAMIC_HASH_TABLE_ENTRY entry;
  ULONG number;
  bool in;
};
Item items[kEntries];

ULONG_PTR SignatureOf(ULONG number) {
  return (number / 3 + 1) * 16;  // three entries share one
}

// How many entries of a signature the table finds; each is one that is in.
ULONG CountOf(PRTL_DYNAMIC_HASH_TABLE table, ULONG_PTR signature) {
  RTL_DYNAMIC_HASH_TABLE_CONTEXT context = {};
  ULONG count = 0;
  for (auto* entry = RtlLookupEntryHashTable(table, signature, &context); entry != nullptr;
       entry = RtlGetNextEntryHashTable(table, &context)) {
    NT_EXPECT_EQ(entry->Signature, signature);
    NT_EXPECT_TRUE(CONTAINING_RECORD(entry, Item, entry)->in);
    ++count;
  }
  return count;
}

void CheckAll(PRTL_DYNAMIC_HASH_TABLE table, ULONG in) {
  NT_EXPECT_EQ(table->NumEntries, in);
  for (ULONG i = 0; i < kEntries; i += 3) {
    const ULONG expected = items[i].in + items[i + 1].in + items[i + 2].in;
    NT_EXPECT_EQ(CountOf(table, SignatureOf(i)), expected);
  }
  RTL_DYNAMIC_HASH_TABLE_ENUMERATOR enumerator = {};
  NT_EXPECT_TRUE(RtlInitEnumerationHashTable(table, &enumerator));
  ULONG seen = 0;
  while (auto* entry = RtlEnumerateEntryHashTable(table, &enumerator)) {
    NT_EXPECT_TRUE(CONTAINING_RECORD(entry, Item, entry)->in);
    ++seen;
  }
  NT_EXPECT_TRUE(!RtlExpandHashTable(table));
  RtlEndEnumerationHashTable(table, &enumerator);
  NT_EXPECT_EQ(seen, in);
}

}  // namespace

NT_TEST(RtlHashTable, FindsWhatIsInWhileItGrowsAndShrinks) {
  RTL_DYNAMIC_HASH_TABLE storage = {};
  PRTL_DYNAMIC_HASH_TABLE table = &storage;
  NT_ASSERT_TRUE(RtlCreateHashTable(&table, 4, 0));
  NT_EXPECT_EQ(table, &storage);
  RtlZeroMemory(items, sizeof(items));
  ULONG in = 0;
  for (ULONG i = 0; i < kEntries; ++i) {
    items[i].number = i;
    items[i].in = true;
    NT_EXPECT_TRUE(RtlInsertEntryHashTable(table, &items[i].entry, SignatureOf(i), nullptr));
    ++in;
  }
  CheckAll(table, in);
  for (ULONG i = 0; i < 200; ++i) NT_EXPECT_TRUE(RtlExpandHashTable(table));
  NT_EXPECT_EQ(table->TableSize, 328u);
  CheckAll(table, in);
  for (ULONG i = 0; i < kEntries; i += 2) {
    NT_EXPECT_TRUE(RtlRemoveEntryHashTable(table, &items[i].entry, nullptr));
    items[i].in = false;
    --in;
  }
  CheckAll(table, in);
  ULONG contracted = 0;
  while (RtlContractHashTable(table)) ++contracted;
  NT_EXPECT_EQ(contracted, 200u);
  CheckAll(table, in);
  for (ULONG i = 0; i < 3; ++i) NT_EXPECT_TRUE(RtlExpandHashTable(table));
  CheckAll(table, in);
  for (Item& item : items) {
    if (item.in) RtlRemoveEntryHashTable(table, &item.entry, nullptr);
    item.in = false;
  }
  NT_EXPECT_EQ(table->NumEntries, 0u);
  NT_EXPECT_EQ(table->NonEmptyBuckets, 0u);
  RtlDeleteHashTable(table);
}

NT_TEST(RtlHashTable, OfItsOwnMemory) {
  PRTL_DYNAMIC_HASH_TABLE table = nullptr;
  NT_EXPECT_TRUE(!RtlCreateHashTable(&table, 0, 8));
  NT_ASSERT_TRUE(RtlCreateHashTable(&table, 0, 0));
  RTL_DYNAMIC_HASH_TABLE_ENTRY entry = {};
  RTL_DYNAMIC_HASH_TABLE_CONTEXT context = {};
  NT_EXPECT_TRUE(RtlInsertEntryHashTable(table, &entry, 5, &context));
  NT_EXPECT_EQ(RtlLookupEntryHashTable(table, 5, nullptr), &entry);
  NT_EXPECT_EQ(RtlLookupEntryHashTable(table, 6, &context), (PRTL_DYNAMIC_HASH_TABLE_ENTRY) nullptr);
  NT_EXPECT_TRUE(RtlRemoveEntryHashTable(table, &entry, &context));
  RtlDeleteHashTable(table);
}

NT_TEST(RtlImage, HeadersAndDirectories) {
  PVOID base = nt_test::driver->DriverStart;
  PIMAGE_NT_HEADERS headers = RtlImageNtHeader(base);
  NT_ASSERT_TRUE(headers != nullptr);
  NT_EXPECT_EQ(headers->Signature, (ULONG)IMAGE_NT_SIGNATURE);
  NT_EXPECT_EQ(headers->OptionalHeader.SizeOfImage, nt_test::driver->DriverSize);
  PIMAGE_NT_HEADERS same = nullptr;
  NT_EXPECT_EQ(RtlImageNtHeaderEx(0, base, nt_test::driver->DriverSize, &same), STATUS_SUCCESS);
  NT_EXPECT_EQ(same, headers);
  NT_EXPECT_EQ(RtlImageNtHeaderEx(0, base, 32, &same), STATUS_INVALID_IMAGE_FORMAT);
  NT_EXPECT_EQ(same, (PIMAGE_NT_HEADERS) nullptr);
  NT_EXPECT_EQ(RtlImageNtHeaderEx(8, base, 4096, &same), STATUS_INVALID_PARAMETER);
  static UCHAR zeros[512];
  NT_EXPECT_EQ(RtlImageNtHeader(zeros), (PIMAGE_NT_HEADERS) nullptr);
  NT_EXPECT_EQ(RtlImageNtHeader(nullptr), (PIMAGE_NT_HEADERS) nullptr);
  ULONG size = 0;
  PVOID imports = RtlImageDirectoryEntryToData(base, TRUE, IMAGE_DIRECTORY_ENTRY_IMPORT, &size);
  NT_EXPECT_TRUE(imports > base && size >= sizeof(IMAGE_IMPORT_DESCRIPTOR));
  NT_EXPECT_EQ(RtlImageDirectoryEntryToData(base, TRUE, 99, &size), (PVOID) nullptr);
  NT_EXPECT_EQ(size, 0u);
}

NT_TEST(RtlImage, ExportsOfTheKernel) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"KeBugCheckEx");
  PVOID expected = MmGetSystemRoutineAddress(&name);
  PVOID base = nullptr;
  RtlPcToFileHeader(expected, &base);
  NT_ASSERT_TRUE(base != nullptr);
  NT_EXPECT_EQ(RtlFindExportedRoutineByName(base, "KeBugCheckEx"), expected);
  NT_EXPECT_TRUE(RtlFindExportedRoutineByName(base, "wcslen") != nullptr);
  NT_EXPECT_EQ(RtlFindExportedRoutineByName(base, "NoSuchRoutine"), (PVOID) nullptr);
  NT_EXPECT_EQ(RtlFindExportedRoutineByName(base, ""), (PVOID) nullptr);
}

NT_TEST(ExUuid, AreOfVersionOneAndDiffer) {
  static GUID ids[64];
  for (GUID& id : ids) NT_EXPECT_SUCCESS(ExUuidCreate(&id));
  ULONG equal = 0;
  for (ULONG i = 0; i < 64; ++i) {
    NT_EXPECT_EQ(ids[i].Data3 >> 12, 1);
    NT_EXPECT_EQ(ids[i].Data4[0] & 0xC0, 0x80);
    NT_EXPECT_EQ(ids[i].Data4[2] & 1, 1);  // no network address
    for (ULONG k = 0; k < i; ++k)
      equal += RtlCompareMemory(&ids[i], &ids[k], sizeof(GUID)) == sizeof(GUID) ? 1 : 0;
  }
  NT_EXPECT_EQ(equal, 0u);
}

NT_TEST(RtlConversion, CodePageVariablesAreExported) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"NlsOemLeadByteInfo");
  auto* lead_bytes = static_cast<USHORT**>(MmGetSystemRoutineAddress(&name));
  NT_ASSERT_TRUE(lead_bytes != nullptr);
  for (ULONG i = 0; i < 256; ++i) NT_EXPECT_EQ((*lead_bytes)[i], 0);
  RtlInitUnicodeString(&name, L"NlsMbOemCodePageTag");
  auto* tag = static_cast<BOOLEAN*>(MmGetSystemRoutineAddress(&name));
  NT_ASSERT_TRUE(tag != nullptr);
  NT_EXPECT_EQ(*tag, FALSE);
}
