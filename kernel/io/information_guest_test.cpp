// Information classes of files and volumes: lengths, access, statuses, on C: and on a device of the test's
// own. Oracles: the WDK pages of ZwQueryInformationFile and ZwSetInformationFile, [MS-FSCC] for the lengths,
// [MS-FSA] for the statuses; not yet run on a real NT.
#include "ddi_fs.h"
#include "nt_test.h"

extern "C" {
NTSTATUS NTAPI NtQueryDirectoryFileEx(HANDLE FileHandle, HANDLE Event, PIO_APC_ROUTINE ApcRoutine,
                                      PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, PVOID FileInformation,
                                      ULONG Length, FILE_INFORMATION_CLASS FileInformationClass,
                                      ULONG QueryFlags, PUNICODE_STRING FileName);
}

namespace {

constexpr WCHAR kPath[] = L"\\??\\C:\\information.txt";
constexpr ULONG kAll = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;

struct File {
  HANDLE handle = nullptr;
  IO_STATUS_BLOCK io = {};
  explicit File(ACCESS_MASK access = GENERIC_READ | GENERIC_WRITE | DELETE,
                ULONG options = FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, PCWSTR path = kPath) {
    UNICODE_STRING name;
    OBJECT_ATTRIBUTES object;
    RtlInitUnicodeString(&name, path);
    InitializeObjectAttributes(&object, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
    NT_EXPECT_SUCCESS(ZwCreateFile(&handle, access | SYNCHRONIZE, &object, &io, nullptr, 0, kAll,
                                   FILE_OPEN_IF, options, nullptr, 0));
  }
  ~File() { ZwClose(handle); }
  NTSTATUS Query(FILE_INFORMATION_CLASS what, PVOID buffer, ULONG length) {
    io = {};
    return ZwQueryInformationFile(handle, &io, buffer, length, what);
  }
  NTSTATUS Set(FILE_INFORMATION_CLASS what, PVOID buffer, ULONG length) {
    io = {};
    return ZwSetInformationFile(handle, &io, buffer, length, what);
  }
};

alignas(16) UCHAR g_buffer[1024];

struct Case {
  int what;
  ULONG length;
  NTSTATUS status;  // of a query on C: with just that length
};

constexpr WCHAR kLink[] = L"\\??\\C:\\information.link";

NTSTATUS Remove(PCWSTR path) {
  UNICODE_STRING name;
  OBJECT_ATTRIBUTES object;
  RtlInitUnicodeString(&name, path);
  InitializeObjectAttributes(&object, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwDeleteFile(&object);
}

}  // namespace

NT_TEST(IoInformation, QueriesHaveTheirLengths) {
  constexpr Case kCases[] = {
      {FileBasicInformation, 40, STATUS_SUCCESS},
      {FileStandardInformation, 24, STATUS_SUCCESS},
      {FileInternalInformation, 8, STATUS_SUCCESS},
      {FileEaInformation, 4, STATUS_SUCCESS},
      {FileAccessInformation, 4, STATUS_SUCCESS},
      {FilePositionInformation, 8, STATUS_SUCCESS},
      {FileModeInformation, 4, STATUS_SUCCESS},
      {FileAlignmentInformation, 4, STATUS_SUCCESS},
      {FileNetworkOpenInformation, 56, STATUS_SUCCESS},
      {FileAttributeTagInformation, 8, STATUS_SUCCESS},
      {FileCompressionInformation, 16, STATUS_SUCCESS},
      {FileIoCompletionNotificationInformation, 4, STATUS_SUCCESS},
      {FileIoPriorityHintInformation, 4, STATUS_SUCCESS},
      {FileIsRemoteDeviceInformation, 1, STATUS_SUCCESS},
      {FileStandardLinkInformation, 12, STATUS_SUCCESS},
      {59 /* FileIdInformation */, 24, STATUS_SUCCESS},
      {68 /* FileStatInformation */, 72, STATUS_SUCCESS},
      {FileNameInformation, 8, STATUS_BUFFER_OVERFLOW},
      {FileNormalizedNameInformation, 8, STATUS_BUFFER_OVERFLOW},
      {FileAllInformation, 104, STATUS_BUFFER_OVERFLOW},
      {58 /* FileVolumeNameInformation */, 8, STATUS_BUFFER_OVERFLOW},
      {FileStreamInformation, 32, STATUS_BUFFER_OVERFLOW},
      {FileAlternateNameInformation, 8, STATUS_OBJECT_NAME_NOT_FOUND},
      {71 /* FileCaseSensitiveInformation */, 4, STATUS_NOT_A_DIRECTORY},
      {FileObjectIdInformation, 72, STATUS_INVALID_INFO_CLASS},
      {FileReparsePointInformation, 16, STATUS_INVALID_INFO_CLASS},
  };
  File file;
  for (const Case& entry : kCases) {
    const auto what = static_cast<FILE_INFORMATION_CLASS>(entry.what);
    NT_EXPECT_EQ(file.Query(what, g_buffer, entry.length), entry.status);
    if (entry.status == STATUS_SUCCESS) NT_EXPECT_EQ(file.io.Information, entry.length);
    NT_EXPECT_EQ(file.Query(what, g_buffer, entry.length - 1), STATUS_INFO_LENGTH_MISMATCH);
  }
  // What lists directories or only sets is no query.
  constexpr int kNone[] = {0,
                           FileDirectoryInformation,
                           FileRenameInformation,
                           FileDispositionInformation,
                           FileAllocationInformation,
                           FileEndOfFileInformation,
                           FileNamesInformation,
                           64,
                           66,
                           77,
                           1000,
                           -1};
  for (const int what : kNone)
    NT_EXPECT_EQ(file.Query(static_cast<FILE_INFORMATION_CLASS>(what), g_buffer, sizeof g_buffer),
                 STATUS_INVALID_INFO_CLASS);
}

NT_TEST(IoInformation, AnswersAreTrue) {
  File file;
  char text[] = "0123456789";
  NT_EXPECT_SUCCESS(
      ZwWriteFile(file.handle, nullptr, nullptr, nullptr, &file.io, text, 10, nullptr, nullptr));
  auto* all = reinterpret_cast<PFILE_ALL_INFORMATION>(g_buffer);
  NT_EXPECT_SUCCESS(file.Query(FileAllInformation, all, sizeof g_buffer));
  NT_EXPECT_EQ(all->StandardInformation.EndOfFile.QuadPart, 10);
  NT_EXPECT_EQ(all->PositionInformation.CurrentByteOffset.QuadPart, 10);
  NT_EXPECT_EQ(all->AccessInformation.AccessFlags & DELETE, DELETE);
  NT_EXPECT_EQ(all->ModeInformation.Mode, FILE_SYNCHRONOUS_IO_NONALERT);
  NT_EXPECT_EQ(all->NameInformation.FileNameLength, 32);
  NT_EXPECT_EQ(RtlCompareMemory(all->NameInformation.FileName, L"\\information.txt", 32), 32);
  const ULONG64 id = static_cast<ULONG64>(all->InternalInformation.IndexNumber.QuadPart);
  NT_EXPECT_SUCCESS(file.Query(static_cast<FILE_INFORMATION_CLASS>(59), g_buffer, 24));
  NT_EXPECT_EQ(reinterpret_cast<ULONG64*>(g_buffer)[1], id);
  auto* stream = reinterpret_cast<PFILE_STREAM_INFORMATION>(g_buffer);
  NT_EXPECT_SUCCESS(file.Query(FileStreamInformation, stream, sizeof g_buffer));
  NT_EXPECT_EQ(stream->StreamSize.QuadPart, 10);
  NT_EXPECT_EQ(RtlCompareMemory(stream->StreamName, L"::$DATA", 14), 14);
  auto* volume = reinterpret_cast<PULONG>(g_buffer);
  NT_EXPECT_SUCCESS(file.Query(static_cast<FILE_INFORMATION_CLASS>(58), g_buffer, sizeof g_buffer));
  NT_EXPECT_EQ(volume[0], 40);
  NT_EXPECT_EQ(RtlCompareMemory(volume + 1, L"\\Device\\HostFsVolume", 40), 40);
  File directory(FILE_LIST_DIRECTORY, FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE, L"\\??\\C:\\");
  NT_EXPECT_SUCCESS(directory.Query(FileStreamInformation, g_buffer, sizeof g_buffer));
  NT_EXPECT_EQ(directory.io.Information, 0);
  NT_EXPECT_EQ(ZwWriteFile(directory.handle, nullptr, nullptr, nullptr, &file.io, text, 1, nullptr, nullptr),
               STATUS_ACCESS_DENIED);
}

NT_TEST(IoInformation, HandlesNeedTheirAccess) {
  File data(FILE_READ_DATA);
  NT_EXPECT_EQ(data.Query(FileBasicInformation, g_buffer, 40), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(data.Query(FileAllInformation, g_buffer, sizeof g_buffer), STATUS_ACCESS_DENIED);
  NT_EXPECT_SUCCESS(data.Query(FileStandardInformation, g_buffer, 24));
  LARGE_INTEGER zero = {};
  UCHAR one = 1;
  FILE_BASIC_INFORMATION basic = {};
  NT_EXPECT_EQ(data.Set(FileEndOfFileInformation, &zero, 8), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(data.Set(FileDispositionInformation, &one, 1), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(data.Set(FileBasicInformation, &basic, sizeof basic), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(ZwFlushBuffersFile(data.handle, &data.io), STATUS_ACCESS_DENIED);
  File attributes(FILE_READ_ATTRIBUTES);
  NT_EXPECT_EQ(
      ZwReadFile(attributes.handle, nullptr, nullptr, nullptr, &attributes.io, g_buffer, 1, &zero, nullptr),
      STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(
      ZwQueryEaFile(attributes.handle, &attributes.io, g_buffer, 64, FALSE, nullptr, 0, nullptr, TRUE),
      STATUS_ACCESS_DENIED);
}

NT_TEST(IoInformation, SetsAreChecked) {
  File file;
  const struct {
    FILE_INFORMATION_CLASS what;
    ULONG length;
  } kLengths[] = {
      {FileBasicInformation, 40},      {FileRenameInformation, 24},       {FileLinkInformation, 24},
      {FileDispositionInformation, 1}, {FilePositionInformation, 8},      {FileModeInformation, 4},
      {FileAllocationInformation, 8},  {FileEndOfFileInformation, 8},     {FileValidDataLengthInformation, 8},
      {FileCompletionInformation, 16}, {FileIoPriorityHintInformation, 4}};
  for (const auto& entry : kLengths)
    NT_EXPECT_EQ(file.Set(entry.what, g_buffer, entry.length - 1), STATUS_INFO_LENGTH_MISMATCH);
  constexpr int kNone[] = {0, FileAllInformation, FileAccessInformation, 1000};
  for (const int what : kNone)
    NT_EXPECT_EQ(file.Set(static_cast<FILE_INFORMATION_CLASS>(what), g_buffer, sizeof g_buffer),
                 STATUS_INVALID_INFO_CLASS);
  LARGE_INTEGER offset;
  offset.QuadPart = -1;
  NT_EXPECT_EQ(file.Set(FilePositionInformation, &offset, 8), STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(file.Set(FileEndOfFileInformation, &offset, 8), STATUS_INVALID_PARAMETER);
  offset.QuadPart = 1 << 20;
  NT_EXPECT_EQ(file.Set(FileValidDataLengthInformation, &offset, 8), STATUS_INVALID_PARAMETER);
  FILE_COMPLETION_INFORMATION port = {file.handle, nullptr};
  NT_EXPECT_EQ(file.Set(FileCompletionInformation, &port, sizeof port), STATUS_OBJECT_TYPE_MISMATCH);
  port.Port = reinterpret_cast<HANDLE>(0x7FF0);
  NT_EXPECT_EQ(file.Set(FileCompletionInformation, &port, sizeof port), STATUS_INVALID_HANDLE);
  struct {
    FILE_NAME_INFORMATION name;
    WCHAR more[8];
  } short_name = {{2, {L'A'}}, {}};
  NT_EXPECT_EQ(file.Set(FileShortNameInformation, &short_name, sizeof short_name),
               STATUS_SHORT_NAMES_NOT_ENABLED_ON_VOLUME);
}

NT_TEST(IoInformation, ModesKeepTheirKind) {
  File file;
  File asynchronous(FILE_READ_DATA, FILE_NON_DIRECTORY_FILE);
  const struct {
    ULONG mode;
    NTSTATUS synchronous, asynchronous;
  } kModes[] = {
      {FILE_SYNCHRONOUS_IO_NONALERT | FILE_WRITE_THROUGH, STATUS_SUCCESS, STATUS_INVALID_PARAMETER},
      {FILE_SYNCHRONOUS_IO_ALERT, STATUS_SUCCESS, STATUS_INVALID_PARAMETER},
      {FILE_SYNCHRONOUS_IO_ALERT | FILE_SYNCHRONOUS_IO_NONALERT, STATUS_INVALID_PARAMETER,
       STATUS_INVALID_PARAMETER},
      {FILE_SEQUENTIAL_ONLY, STATUS_INVALID_PARAMETER, STATUS_SUCCESS},
      {FILE_DELETE_ON_CLOSE | FILE_SYNCHRONOUS_IO_NONALERT, STATUS_INVALID_PARAMETER,
       STATUS_INVALID_PARAMETER},
      {FILE_SYNCHRONOUS_IO_NONALERT, STATUS_SUCCESS, STATUS_INVALID_PARAMETER},
  };
  for (const auto& entry : kModes) {
    FILE_MODE_INFORMATION mode = {entry.mode};
    FILE_MODE_INFORMATION now = {};
    NT_EXPECT_EQ(file.Set(FileModeInformation, &mode, sizeof mode), entry.synchronous);
    NT_EXPECT_SUCCESS(file.Query(FileModeInformation, &now, sizeof now));
    if (NT_SUCCESS(entry.synchronous)) NT_EXPECT_EQ(now.Mode, entry.mode);
    NT_EXPECT_EQ(asynchronous.Set(FileModeInformation, &mode, sizeof mode), entry.asynchronous);
  }
  FILE_IO_PRIORITY_HINT_INFORMATION hint = {IoPriorityLow};
  NT_EXPECT_SUCCESS(file.Set(FileIoPriorityHintInformation, &hint, sizeof hint));
  hint.PriorityHint = IoPriorityHigh;
  NT_EXPECT_SUCCESS(file.Query(FileIoPriorityHintInformation, &hint, sizeof hint));
  NT_EXPECT_EQ(hint.PriorityHint, IoPriorityLow);
  hint.PriorityHint = MaxIoPriorityTypes;
  NT_EXPECT_EQ(file.Set(FileIoPriorityHintInformation, &hint, sizeof hint), STATUS_INVALID_PARAMETER);
  FILE_IO_COMPLETION_NOTIFICATION_INFORMATION skip = {FILE_SKIP_SET_EVENT_ON_HANDLE};
  NT_EXPECT_SUCCESS(asynchronous.Set(FileIoCompletionNotificationInformation, &skip, sizeof skip));
  skip.Flags = 0;
  NT_EXPECT_SUCCESS(asynchronous.Set(FileIoCompletionNotificationInformation, &skip, sizeof skip));
  NT_EXPECT_SUCCESS(asynchronous.Query(FileIoCompletionNotificationInformation, &skip, sizeof skip));
  NT_EXPECT_EQ(skip.Flags, FILE_SKIP_SET_EVENT_ON_HANDLE);  // once set, it stays
  skip.Flags = 0x80;
  NT_EXPECT_EQ(asynchronous.Set(FileIoCompletionNotificationInformation, &skip, sizeof skip),
               STATUS_INVALID_PARAMETER);
}

NT_TEST(IoInformation, HardLinksShareTheirFile) {
  File file;
  Remove(kLink);
  union {
    FILE_LINK_INFORMATION link;
    UCHAR bytes[128];
  } u = {};
  constexpr WCHAR kName[] = L"information.link";
  u.link.FileNameLength = sizeof kName - sizeof(WCHAR);
  RtlCopyMemory(u.link.FileName, kName, u.link.FileNameLength);
  NT_EXPECT_SUCCESS(file.Set(FileLinkInformation, &u, sizeof u));
  FILE_STANDARD_INFORMATION standard = {};
  NT_EXPECT_SUCCESS(file.Query(FileStandardInformation, &standard, sizeof standard));
  NT_EXPECT_EQ(standard.NumberOfLinks, 2);
  NT_EXPECT_EQ(file.Set(FileLinkInformation, &u, sizeof u), STATUS_OBJECT_NAME_COLLISION);
  u.link.ReplaceIfExists = TRUE;
  NT_EXPECT_SUCCESS(file.Set(FileLinkInformation, &u, sizeof u));
  {
    File other(FILE_READ_DATA | FILE_READ_ATTRIBUTES, FILE_SYNCHRONOUS_IO_NONALERT, kLink);
    FILE_INTERNAL_INFORMATION first = {}, second = {};
    NT_EXPECT_SUCCESS(file.Query(FileInternalInformation, &first, sizeof first));
    NT_EXPECT_SUCCESS(other.Query(FileInternalInformation, &second, sizeof second));
    NT_EXPECT_EQ(first.IndexNumber.QuadPart, second.IndexNumber.QuadPart);
  }
  NT_EXPECT_SUCCESS(Remove(kLink));
  File directory(FILE_LIST_DIRECTORY, FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE, L"\\??\\C:\\");
  NT_EXPECT_EQ(directory.Set(FileLinkInformation, &u, sizeof u), STATUS_FILE_IS_A_DIRECTORY);
}

NT_TEST(IoInformation, VolumesAndAttributes) {
  File file;
  const struct {
    FS_INFORMATION_CLASS what;
    ULONG length;
    NTSTATUS status;
  } kCases[] = {{FileFsVolumeInformation, 24, STATUS_BUFFER_OVERFLOW},
                {FileFsSizeInformation, 24, STATUS_SUCCESS},
                {FileFsDeviceInformation, 8, STATUS_SUCCESS},
                {FileFsAttributeInformation, 16, STATUS_BUFFER_OVERFLOW},
                {FileFsFullSizeInformation, 32, STATUS_SUCCESS},
                {FileFsSectorSizeInformation, 28, STATUS_SUCCESS},
                {FileFsObjectIdInformation, 64, STATUS_INVALID_INFO_CLASS}};
  for (const auto& entry : kCases) {
    NT_EXPECT_EQ(ZwQueryVolumeInformationFile(file.handle, &file.io, g_buffer, entry.length, entry.what),
                 entry.status);
    NT_EXPECT_EQ(ZwQueryVolumeInformationFile(file.handle, &file.io, g_buffer, entry.length - 1, entry.what),
                 STATUS_INFO_LENGTH_MISMATCH);
  }
  NT_EXPECT_EQ(ZwQueryVolumeInformationFile(file.handle, &file.io, g_buffer, 64, FileFsLabelInformation),
               STATUS_INVALID_INFO_CLASS);
  struct {
    FILE_FS_DRIVER_PATH_INFORMATION path;
    WCHAR more[64];
  } driver = {};
  constexpr WCHAR kDriver[] = L"\\FileSystem\\hostfs";
  driver.path.DriverNameLength = sizeof driver;
  NT_EXPECT_EQ(ZwQueryVolumeInformationFile(file.handle, &file.io, &driver, sizeof driver,
                                            FileFsDriverPathInformation),
               STATUS_INVALID_PARAMETER);
  driver.path.DriverNameLength = sizeof kDriver - sizeof(WCHAR);
  RtlCopyMemory(driver.path.DriverName, kDriver, driver.path.DriverNameLength);
  NT_EXPECT_SUCCESS(ZwQueryVolumeInformationFile(file.handle, &file.io, &driver, sizeof driver,
                                                 FileFsDriverPathInformation));
  NT_EXPECT_EQ(ZwSetVolumeInformationFile(file.handle, &file.io, g_buffer, 7, FileFsLabelInformation),
               STATUS_INFO_LENGTH_MISMATCH);
  NT_EXPECT_EQ(ZwSetVolumeInformationFile(file.handle, &file.io, g_buffer, 64, FileFsSizeInformation),
               STATUS_INVALID_INFO_CLASS);
  NT_EXPECT_EQ(ZwSetVolumeInformationFile(file.handle, &file.io, g_buffer, 8, FileFsLabelInformation),
               STATUS_INVALID_DEVICE_REQUEST);  // the label of C: is fixed
  NT_EXPECT_EQ(ZwQueryEaFile(file.handle, &file.io, g_buffer, 64, FALSE, nullptr, 0, nullptr, TRUE),
               STATUS_EAS_NOT_SUPPORTED);
  RtlZeroMemory(g_buffer, 64);
  NT_EXPECT_EQ(ZwQueryEaFile(file.handle, &file.io, g_buffer, 64, FALSE, g_buffer, 3, nullptr, TRUE),
               STATUS_EA_LIST_INCONSISTENT);
  struct {
    FILE_FULL_EA_INFORMATION ea;
    CHAR more[8];
  } set = {};
  set.ea.EaNameLength = 1;
  set.ea.EaName[0] = 'A';
  NT_EXPECT_EQ(ZwSetEaFile(file.handle, &file.io, &set, sizeof set), STATUS_EAS_NOT_SUPPORTED);
  NT_EXPECT_EQ(ZwSetEaFile(file.handle, &file.io, &set, 4), STATUS_EA_LIST_INCONSISTENT);
}

NT_TEST(IoInformation, ListingsTakeFlagsAndPatterns) {
  File directory(FILE_LIST_DIRECTORY, FILE_SYNCHRONOUS_IO_NONALERT | FILE_DIRECTORY_FILE, L"\\??\\C:\\");
  File file;
  UNICODE_STRING pattern;
  RtlInitUnicodeString(&pattern, L"information.t?t");
  auto* entry = reinterpret_cast<PFILE_NAMES_INFORMATION>(g_buffer);
  NT_EXPECT_SUCCESS(NtQueryDirectoryFileEx(directory.handle, nullptr, nullptr, nullptr, &directory.io, entry,
                                           sizeof g_buffer, FileNamesInformation, SL_RETURN_SINGLE_ENTRY,
                                           &pattern));
  NT_EXPECT_EQ(entry->FileNameLength, 30);
  NT_EXPECT_EQ(NtQueryDirectoryFileEx(directory.handle, nullptr, nullptr, nullptr, &directory.io, entry,
                                      sizeof g_buffer, FileNamesInformation, SL_RETURN_SINGLE_ENTRY, nullptr),
               STATUS_NO_MORE_FILES);
  NT_EXPECT_SUCCESS(NtQueryDirectoryFileEx(directory.handle, nullptr, nullptr, nullptr, &directory.io, entry,
                                           sizeof g_buffer, FileNamesInformation,
                                           SL_RETURN_SINGLE_ENTRY | SL_RESTART_SCAN, nullptr));
  NT_EXPECT_EQ(NtQueryDirectoryFileEx(directory.handle, nullptr, nullptr, nullptr, &directory.io, entry,
                                      sizeof g_buffer, FileNamesInformation, 0x100, nullptr),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_SUCCESS(Remove(kPath));
}
