// samples/ramfs and samples/fsfilter at work: C: has both images, which this driver loads.
#include "ddi_fs.h"
#include "nt_test.h"

namespace {

UNICODE_STRING Wide(const WCHAR* text) {
  UNICODE_STRING string;
  RtlInitUnicodeString(&string, text);
  return string;
}

// A volatile service key for C:\NAME.sys.
NTSTATUS MakeService(const WCHAR* key_path, const WCHAR* image_path) {
  UNICODE_STRING name = Wide(key_path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  HANDLE key;
  NTSTATUS status = ZwCreateKey(&key, KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_VOLATILE, nullptr);
  if (!NT_SUCCESS(status)) return status;
  UNICODE_STRING image = Wide(image_path);
  UNICODE_STRING value = Wide(L"ImagePath");
  ULONG one = 1, start = 3;
  ZwSetValueKey(key, &value, 0, REG_EXPAND_SZ, image.Buffer, image.Length + sizeof(WCHAR));
  value = Wide(L"Type");
  ZwSetValueKey(key, &value, 0, REG_DWORD, &one, sizeof one);
  value = Wide(L"ErrorControl");
  ZwSetValueKey(key, &value, 0, REG_DWORD, &one, sizeof one);
  value = Wide(L"Start");
  status = ZwSetValueKey(key, &value, 0, REG_DWORD, &start, sizeof start);
  ZwClose(key);
  return status;
}

// A driver that is loaded while this lives.
struct Loaded {
  UNICODE_STRING key;
  bool loaded;
  Loaded(const WCHAR* key_path, const WCHAR* image_path) : key(Wide(key_path)), loaded(false) {
    NT_EXPECT_SUCCESS(MakeService(key_path, image_path));
    const NTSTATUS status = ZwLoadDriver(&key);
    NT_EXPECT_EQ(status, STATUS_SUCCESS);
    loaded = NT_SUCCESS(status);
  }
  ~Loaded() {
    if (loaded) NT_EXPECT_EQ(ZwUnloadDriver(&key), STATUS_SUCCESS);
  }
};

constexpr WCHAR kRamFsKey[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\ramfs";
constexpr WCHAR kFilterKey[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\fsfilter";

NTSTATUS Open(const WCHAR* path, ACCESS_MASK access, ULONG disposition, PHANDLE handle, ULONG share = 7,
              ULONG options = FILE_SYNCHRONOUS_IO_NONALERT) {
  UNICODE_STRING name = Wide(path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  IO_STATUS_BLOCK iosb;
  *handle = nullptr;
  return ZwCreateFile(handle, access | SYNCHRONIZE, &attributes, &iosb, nullptr, 0, share, disposition,
                      options, nullptr, 0);
}

NTSTATUS Transfer(HANDLE handle, bool write, LONGLONG offset, PVOID buffer, ULONG length, ULONG* done) {
  LARGE_INTEGER at;
  at.QuadPart = offset;
  IO_STATUS_BLOCK iosb = {};
  const NTSTATUS status =
      write ? ZwWriteFile(handle, nullptr, nullptr, nullptr, &iosb, buffer, length, &at, nullptr)
            : ZwReadFile(handle, nullptr, nullptr, nullptr, &iosb, buffer, length, &at, nullptr);
  *done = static_cast<ULONG>(iosb.Information);
  return status;
}

constexpr WCHAR kVolume[] = L"\\Device\\RamFsDisk";
constexpr WCHAR kRoot[] = L"\\Device\\RamFsDisk\\";
constexpr WCHAR kHello[] = L"\\Device\\RamFsDisk\\hello.txt";

// The volume keeps the driver: it goes first.
void Dismount() {
  HANDLE volume;
  NT_ASSERT_SUCCESS(Open(kVolume, FILE_READ_DATA, FILE_OPEN, &volume));
  IO_STATUS_BLOCK iosb;
  NT_EXPECT_EQ(ZwFsControlFile(volume, nullptr, nullptr, nullptr, &iosb, FSCTL_DISMOUNT_VOLUME, nullptr, 0,
                               nullptr, 0),
               STATUS_SUCCESS);
  ZwClose(volume);
}

UCHAR g_data[20000];
UCHAR g_back[20000];

void CheckFiles() {
  HANDLE file;
  ULONG done = 0;
  NT_EXPECT_EQ(Open(kHello, FILE_READ_DATA, FILE_OPEN, &file), STATUS_OBJECT_NAME_NOT_FOUND);
  NT_ASSERT_SUCCESS(Open(kHello, FILE_READ_DATA | FILE_WRITE_DATA | DELETE, FILE_CREATE, &file));
  for (ULONG i = 0; i < sizeof g_data; ++i) g_data[i] = static_cast<UCHAR>(i * 11);
  NT_EXPECT_EQ(Transfer(file, true, 100, g_data, sizeof g_data, &done), STATUS_SUCCESS);
  NT_EXPECT_EQ(done, sizeof g_data);
  NT_EXPECT_EQ(Transfer(file, false, 100, g_back, sizeof g_back, &done), STATUS_SUCCESS);
  NT_EXPECT_TRUE(RtlCompareMemory(g_data, g_back, sizeof g_data) == sizeof g_data);
  NT_EXPECT_EQ(Transfer(file, false, 0, g_back, 200, &done), STATUS_SUCCESS);
  NT_EXPECT_EQ(g_back[99], 0);  // what was skipped is zeros
  NT_EXPECT_EQ(g_back[101], g_data[1]);
  NT_EXPECT_EQ(Transfer(file, false, 20100, g_back, 1, &done), STATUS_END_OF_FILE);
  FILE_STANDARD_INFORMATION standard = {};
  IO_STATUS_BLOCK iosb;
  NT_EXPECT_EQ(ZwQueryInformationFile(file, &iosb, &standard, sizeof standard, FileStandardInformation),
               STATUS_SUCCESS);
  NT_EXPECT_EQ(standard.EndOfFile.QuadPart, 20100);
  HANDLE second;
  NT_EXPECT_EQ(Open(kHello, FILE_READ_DATA, FILE_OPEN, &second, 0), STATUS_SHARING_VIOLATION);
  NT_EXPECT_EQ(Open(L"\\Device\\RamFsDisk\\HELLO.TXT", FILE_READ_DATA, FILE_CREATE, &second),
               STATUS_OBJECT_NAME_COLLISION);
  NT_EXPECT_EQ(Open(L"\\Device\\RamFsDisk\\hello.txt:stream", FILE_READ_DATA, FILE_OPEN, &second),
               STATUS_OBJECT_NAME_INVALID);
  NT_EXPECT_EQ(Open(L"\\Device\\RamFsDisk\\no\\way", FILE_READ_DATA, FILE_OPEN, &second),
               STATUS_OBJECT_PATH_NOT_FOUND);
  NT_EXPECT_EQ(ZwFlushBuffersFile(file, &iosb), STATUS_SUCCESS);
  ZwClose(file);
}

void CheckDirectory() {
  HANDLE directory;
  NT_ASSERT_SUCCESS(Open(kRoot, FILE_LIST_DIRECTORY, FILE_OPEN, &directory, 7,
                         FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE));
  alignas(8) UCHAR buffer[256];
  IO_STATUS_BLOCK iosb;
  UNICODE_STRING pattern = Wide(L"h*.txt");
  NT_EXPECT_EQ(ZwQueryDirectoryFile(directory, nullptr, nullptr, nullptr, &iosb, buffer, sizeof buffer,
                                    FileNamesInformation, FALSE, &pattern, TRUE),
               STATUS_SUCCESS);
  const auto* names = reinterpret_cast<PFILE_NAMES_INFORMATION>(buffer);
  NT_EXPECT_EQ(names->FileNameLength, 18);
  NT_EXPECT_EQ(names->NextEntryOffset, 0);
  NT_EXPECT_EQ(ZwQueryDirectoryFile(directory, nullptr, nullptr, nullptr, &iosb, buffer, sizeof buffer,
                                    FileNamesInformation, FALSE, nullptr, FALSE),
               STATUS_NO_MORE_FILES);
  ZwClose(directory);
}

}  // namespace

NT_TEST(RamFs, FilesAreKeptByTheVolume) {
  Loaded ramfs(kRamFsKey, L"\\??\\C:\\ramfs.sys");
  if (!ramfs.loaded) return;
  CheckFiles();
  CheckDirectory();
  Dismount();
  // The disk is the same: the volume is mounted again with what was written.
  HANDLE file;
  ULONG done = 0;
  NT_ASSERT_SUCCESS(Open(kHello, FILE_READ_DATA | DELETE, FILE_OPEN, &file));
  RtlZeroMemory(g_back, sizeof g_back);
  NT_EXPECT_EQ(Transfer(file, false, 100, g_back, sizeof g_back, &done), STATUS_SUCCESS);
  NT_EXPECT_TRUE(RtlCompareMemory(g_data, g_back, sizeof g_data) == sizeof g_data);
  FILE_DISPOSITION_INFORMATION gone = {TRUE};
  IO_STATUS_BLOCK iosb;
  NT_EXPECT_EQ(ZwSetInformationFile(file, &iosb, &gone, sizeof gone, FileDispositionInformation),
               STATUS_SUCCESS);
  ZwClose(file);
  NT_EXPECT_EQ(Open(kHello, FILE_READ_DATA, FILE_OPEN, &file), STATUS_OBJECT_NAME_NOT_FOUND);
  Dismount();
}

NT_TEST(FsFilter, OpensOfTheDriveGoThroughTheFilter) {
  Loaded filter(kFilterKey, L"\\??\\C:\\fsfilter.sys");
  if (!filter.loaded) return;
  HANDLE file;
  NT_ASSERT_SUCCESS(Open(L"\\??\\C:\\through_the_filter.txt", FILE_WRITE_DATA | DELETE, FILE_CREATE, &file, 7,
                         FILE_SYNCHRONOUS_IO_NONALERT | FILE_DELETE_ON_CLOSE));
  ULONG done = 0;
  NT_EXPECT_EQ(Transfer(file, true, 0, g_data, 100, &done), STATUS_SUCCESS);
  ZwClose(file);
}

NT_TEST(FsFilter, FileSystemsThatComeLaterAreFilteredToo) {
  Loaded filter(kFilterKey, L"\\??\\C:\\fsfilter.sys");
  if (!filter.loaded) return;
  Loaded ramfs(kRamFsKey, L"\\??\\C:\\ramfs.sys");
}
