// Damaged images through the loader, in one boot: each is refused or loaded (and unloaded again; its entry is
// not called), the machine lives, and no page is lost. C:\loader_fuzz.txt holds "SEED COUNT" in decimal.
#include "nt_test.h"
#include "page_counts.h"
#include "random.h"
#include "settings.h"

extern "C" {
NTSTATUS NTAPI ZwSetSystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length);
}

using nt_test::Random;

namespace {

constexpr ULONG kTag = 'zFdL';
constexpr WCHAR kOwnFile[] = L"\\??\\C:\\Windows\\System32\\drivers\\loader_fuzz.sys";
constexpr WCHAR kDamagedFile[] = L"\\??\\C:\\damaged.sys";

struct GdiDriver {  // SYSTEM_GDI_DRIVER_INFORMATION
  UNICODE_STRING DriverName;
  PVOID ImageAddress;
  PVOID SectionPointer;
  PVOID EntryPoint;
  PVOID ExportSectionPointer;
  ULONG ImageLength;
};

HANDLE Open(PCWSTR path, ACCESS_MASK access, ULONG disposition) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES attributes;
  RtlInitUnicodeString(&name, path);
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  IO_STATUS_BLOCK io;
  HANDLE file = nullptr;
  ZwCreateFile(&file, access | SYNCHRONIZE, &attributes, &io, nullptr, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ,
               disposition, FILE_SYNCHRONOUS_IO_NONALERT, nullptr, 0);
  return file;
}

// The file's bytes in `buffer`; 0 if it cannot be read.
ULONG ReadAll(PCWSTR path, PVOID buffer, ULONG capacity) {
  HANDLE file = Open(path, FILE_READ_DATA, FILE_OPEN);
  if (file == nullptr) return 0;
  IO_STATUS_BLOCK io = {};
  LARGE_INTEGER offset = {};
  const NTSTATUS status =
      ZwReadFile(file, nullptr, nullptr, nullptr, &io, buffer, capacity, &offset, nullptr);
  ZwClose(file);
  return NT_SUCCESS(status) ? static_cast<ULONG>(io.Information) : 0;
}

bool WriteAll(PCWSTR path, PVOID buffer, ULONG bytes) {
  HANDLE file = Open(path, FILE_WRITE_DATA, FILE_OVERWRITE_IF);
  if (file == nullptr) return false;
  IO_STATUS_BLOCK io = {};
  LARGE_INTEGER offset = {};
  const NTSTATUS status = ZwWriteFile(file, nullptr, nullptr, nullptr, &io, buffer, bytes, &offset, nullptr);
  ZwClose(file);
  return NT_SUCCESS(status);
}

struct Image {
  UCHAR* bytes;
  ULONG size;
  ULONG Get(ULONG at) const { return at + 4 <= size ? *reinterpret_cast<ULONG*>(bytes + at) : 0; }
  void Put(ULONG at, ULONG value) {
    if (at + 4 <= size) *reinterpret_cast<ULONG*>(bytes + at) = value;
  }
  ULONG NtHeaders() const { return Get(0x3C) < size ? Get(0x3C) : 0; }
};

ULONG Interesting(const Image& image, Random& random) {
  const ULONG values[] = {0,
                          1,
                          0xFFFF,
                          0x10000,
                          0x7FFFFFFF,
                          0x80000000,
                          0xFFFFFFFF,
                          0xFFFFF000,
                          image.size,
                          image.size - 1,
                          image.size + 1,
                          0x1000,
                          static_cast<ULONG>(random.Next())};
  return values[random.Below(ARRAYSIZE(values))];
}

// Where a virtual address of the undamaged image lies in the file.
ULONG FileOffset(const Image& image, ULONG rva) {
  const ULONG nt = image.NtHeaders();
  const ULONG sections = image.Get(nt + 4) >> 16;
  const ULONG table = nt + 24 + (image.Get(nt + 20) & 0xFFFF);
  for (ULONG i = 0; i < sections && i < 96; ++i) {
    const ULONG at = table + i * 40;
    const ULONG start = image.Get(at + 12);
    if (rva >= start && rva - start < image.Get(at + 16)) return image.Get(at + 20) + rva - start;
  }
  return 0;
}

// A word of what a random data directory points to.
ULONG InDirectory(const Image& image, Random& random) {
  const ULONG directory = image.NtHeaders() + 24 + 112 + random.Below(16) * 8;
  const ULONG size = image.Get(directory + 4);
  const ULONG offset = FileOffset(image, image.Get(directory));
  if (offset == 0 || size == 0) return random.Below(image.size);
  return offset + random.Below(size < 0x4000 ? size : 0x4000);
}

void Damage(Image* image, Random& random) {
  const ULONG headers = image->size < 0x400 ? image->size : 0x400;
  if (headers < 8) return;
  switch (random.Below(7)) {
    case 0:  // bits of the headers
      for (ULONG i = 0, n = 1 + random.Below(8); i < n; ++i)
        image->bytes[random.Below(headers)] ^= 1u << random.Below(8);
      break;
    case 1:  // a word of the headers
      image->Put(random.Below(headers) & ~3u, Interesting(*image, random));
      break;
    case 2: {  // a field of the section table
      const ULONG table = image->NtHeaders() + 24 + (image->Get(image->NtHeaders() + 20) & 0xFFFF);
      image->Put(table + random.Below(8) * 40 + 8 + random.Below(8) * 4, Interesting(*image, random));
      break;
    }
    case 3:  // a data directory
      image->Put(image->NtHeaders() + 24 + 112 + random.Below(32) * 4, Interesting(*image, random));
      break;
    case 4:  // what a data directory points to
      image->Put(InDirectory(*image, random), Interesting(*image, random));
      break;
    case 5:  // bytes anywhere
      for (ULONG i = 0, n = 1 + random.Below(64); i < n; ++i) {
        image->bytes[random.Below(image->size)] = static_cast<UCHAR>(random.Next());
      }
      break;
    default:  // cut off
      image->size = 1 + random.Below(image->size);
      break;
  }
}

// Most damage is to get past the checksum.
void FixChecksum(Image* image) {
  const ULONG field = image->NtHeaders() + 0x58;
  if (field + 4 > image->size) return;
  image->Put(field, 0);
  ULONG64 sum = 0;
  for (ULONG i = 0; i < image->size; i += 2) {
    sum += image->bytes[i] | (i + 1 < image->size ? image->bytes[i + 1] << 8 : 0);
  }
  while (sum >> 16 != 0) sum = (sum & 0xFFFF) + (sum >> 16);
  image->Put(field, static_cast<ULONG>(sum) + image->size);
}

NTSTATUS LoadAndUnload() {
  GdiDriver driver = {};
  RtlInitUnicodeString(&driver.DriverName, kDamagedFile);
  const NTSTATUS status = ZwSetSystemInformation(26, &driver, sizeof(driver));
  if (!NT_SUCCESS(status)) return status;
  // Whatever the sections say, their pages are there or they are not.
  for (ULONG page = 0; page < driver.ImageLength; page += PAGE_SIZE) {
    UCHAR byte;
    SIZE_T copied;
    MM_COPY_ADDRESS from;
    from.VirtualAddress = static_cast<PUCHAR>(driver.ImageAddress) + page;
    MmCopyMemory(&byte, from, 1, MM_COPY_MEMORY_VIRTUAL, &copied);
  }
  NT_EXPECT_SUCCESS(ZwSetSystemInformation(27, &driver.SectionPointer, sizeof(PVOID)));
  return status;
}

// Goes once through all addresses that the loader, too, gives out: images of 1 MiB, most of it the last
// section's zeroes.
bool MakePageTables(const UCHAR* good, ULONG size, UCHAR* bytes) {
  constexpr ULONG kLarge = nt_test::kSpanOfAddresses;
  nt_test::MakePoolPageTables(kTag);
  RtlCopyMemory(bytes, good, size);
  Image image = {bytes, size};
  const ULONG nt = image.NtHeaders();
  const ULONG last = nt + 24 + (image.Get(nt + 20) & 0xFFFF) + ((image.Get(nt + 4) >> 16) - 1) * 40;
  image.Put(nt + 24 + 56, kLarge);
  image.Put(last + 8, kLarge - image.Get(last + 12));
  FixChecksum(&image);
  if (!WriteAll(kDamagedFile, bytes, size)) return false;
  for (ULONG i = 0; i < 300; ++i) {
    GdiDriver driver = {};
    RtlInitUnicodeString(&driver.DriverName, kDamagedFile);
    if (!NT_SUCCESS(ZwSetSystemInformation(26, &driver, sizeof(driver)))) return false;
    if (!NT_SUCCESS(ZwSetSystemInformation(27, &driver.SectionPointer, sizeof(PVOID)))) return false;
  }
  return true;
}

}  // namespace

NT_TEST(LoaderFuzz, DamagedImagesAreRefusedOrLoaded) {
  constexpr ULONG kCapacity = 1024 * 1024;
  ULONG64 settings[2];
  nt_test::ReadNumbers(L"\\??\\C:\\loader_fuzz.txt", settings, 2);
  Random random(settings[0]);
  const ULONG64 count = settings[1];
  auto* good = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kCapacity, kTag));
  auto* bytes = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kCapacity, kTag));
  NT_ASSERT_TRUE(good != nullptr && bytes != nullptr && count != 0);
  const ULONG size = ReadAll(kOwnFile, good, kCapacity);
  NT_ASSERT_TRUE(size > 0x1000);
  NT_ASSERT_TRUE(WriteAll(kDamagedFile, good, size));
  NT_ASSERT_SUCCESS(LoadAndUnload());  // undamaged
  NT_ASSERT_TRUE(MakePageTables(good, size, bytes));
  const ULONG before = nt_test::FreeAndPoolPages();
  ULONG loaded = 0;
  for (ULONG64 i = 0; i < count; ++i) {
    RtlCopyMemory(bytes, good, size);
    Image image = {bytes, size};
    for (ULONG n = 1 + random.Below(3); n != 0; --n) Damage(&image, random);
    if (random.Below(16) != 0) FixChecksum(&image);
    NT_ASSERT_TRUE(WriteAll(kDamagedFile, bytes, image.size));
    if (NT_SUCCESS(LoadAndUnload())) ++loaded;
  }
  DbgPrint("[test] %u of %u damaged images were loaded\n", loaded, static_cast<ULONG>(count));
  NT_EXPECT_TRUE(loaded != 0 && loaded != count);
  NT_EXPECT_EQ(nt_test::SettledPages(before), before);
  ExFreePoolWithTag(bytes, kTag);
  ExFreePoolWithTag(good, kTag);
}
