// Damaged images through the loader, in one boot: each is refused or loaded (and unloaded again; its entry is
// not called), the machine lives, and no page is lost. C:\loader_fuzz.txt holds "SEED COUNT" in decimal.
#include "nt_test.h"

extern "C" {
NTSTATUS NTAPI ZwSetSystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length);
NTSTATUS NTAPI ZwQuerySystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length,
                                        PULONG ReturnLength);
}

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

class Random {  // SplitMix64
 public:
  explicit Random(ULONG64 seed) : state_(seed) {}
  ULONG64 Next() {
    ULONG64 z = (state_ += 0x9E3779B97F4A7C15ull);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
  }
  ULONG Below(ULONG limit) { return static_cast<ULONG>(Next() % limit); }

 private:
  ULONG64 state_;
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

// Goes once through all addresses that the loader and the pools give out, so that every page table exists and
// pages can be counted: images of 1 MiB, most of it the last section's zeroes.
bool MakePageTables(const UCHAR* good, ULONG size, UCHAR* bytes) {
  constexpr ULONG kLarge = 1024 * 1024;  // less than a page table's span: none is passed over
  for (ULONG i = 0; i < 1100; ++i) {
    if (PVOID reserved = MmAllocateMappingAddress(kLarge, kTag)) MmFreeMappingAddress(reserved, kTag);
    if (PVOID paged = ExAllocatePoolWithTag(PagedPool, kLarge, kTag)) ExFreePoolWithTag(paged, kTag);
    if (PVOID nonpaged = ExAllocatePoolWithTag(NonPagedPoolNx, kLarge, kTag))
      ExFreePoolWithTag(nonpaged, kTag);
  }
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

ULONG FreePages() {
  ULONG information[0x158 / sizeof(ULONG)] = {};
  NT_EXPECT_SUCCESS(ZwQuerySystemInformation(2, information, sizeof(information), nullptr));
  return information[44 / 4] + information[128 / 4] + information[180 / 4];
}

ULONG64 ParseNumber(const char** at) {
  ULONG64 value = 0;
  while (**at == ' ') ++*at;
  for (; **at >= '0' && **at <= '9'; ++*at) value = value * 10 + static_cast<ULONG64>(**at - '0');
  return value;
}

}  // namespace

NT_TEST(LoaderFuzz, DamagedImagesAreRefusedOrLoaded) {
  constexpr ULONG kCapacity = 1024 * 1024;
  char text[64] = {};
  ReadAll(L"\\??\\C:\\loader_fuzz.txt", text, sizeof(text) - 1);
  const char* at = text;
  Random random(ParseNumber(&at));
  const ULONG64 count = ParseNumber(&at);
  auto* good = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kCapacity, kTag));
  auto* bytes = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, kCapacity, kTag));
  NT_ASSERT_TRUE(good != nullptr && bytes != nullptr && count != 0);
  const ULONG size = ReadAll(kOwnFile, good, kCapacity);
  NT_ASSERT_TRUE(size > 0x1000);
  NT_ASSERT_TRUE(WriteAll(kDamagedFile, good, size));
  NT_ASSERT_SUCCESS(LoadAndUnload());  // undamaged
  NT_ASSERT_TRUE(MakePageTables(good, size, bytes));
  const ULONG before = FreePages();
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
  ULONG after = FreePages();
  LARGE_INTEGER pause;
  pause.QuadPart = -1'000'000;
  for (ULONG i = 0; i < 100 && after != before; ++i) {
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
    after = FreePages();
  }
  NT_EXPECT_EQ(after, before);
  ExFreePoolWithTag(bytes, kTag);
  ExFreePoolWithTag(good, kTag);
}
