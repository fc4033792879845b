#include "information_classes.h"

namespace io {
namespace {

// Large integers, handles and lists of entries want eight bytes, all else four.
template <typename T>
constexpr ClassRule Of(ACCESS_MASK access = 0) {
  return {sizeof(T), alignof(T) < sizeof(ULONG) ? 1 : alignof(T), access};
}

struct NumberedRule {
  ULONG number;
  ClassRule rule;
};

template <SIZE_T N>
ClassRule Find(const NumberedRule (&table)[N], ULONG number) {
  for (const NumberedRule& entry : table) {
    if (entry.number == number) return entry.rule;
  }
  return {0, 1, 0};
}

constexpr NumberedRule kFileQueries[] = {
    {FileBasicInformation, Of<FILE_BASIC_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileStandardInformation, Of<FILE_STANDARD_INFORMATION>()},
    {FileInternalInformation, Of<FILE_INTERNAL_INFORMATION>()},
    {FileEaInformation, Of<FILE_EA_INFORMATION>()},
    {FileAccessInformation, Of<FILE_ACCESS_INFORMATION>()},
    {FileNameInformation, Of<FILE_NAME_INFORMATION>()},
    {FileNormalizedNameInformation, Of<FILE_NAME_INFORMATION>()},
    {FileAlternateNameInformation, Of<FILE_NAME_INFORMATION>()},
    {FileNetworkPhysicalNameInformation, Of<FILE_NETWORK_PHYSICAL_NAME_INFORMATION>()},
    {FilePositionInformation, Of<FILE_POSITION_INFORMATION>()},
    {FileModeInformation, Of<FILE_MODE_INFORMATION>()},
    {FileAlignmentInformation, Of<FILE_ALIGNMENT_INFORMATION>()},
    {FileAllInformation, Of<FILE_ALL_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileStreamInformation, Of<FILE_STREAM_INFORMATION>()},
    {FilePipeInformation, Of<FILE_PIPE_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FilePipeLocalInformation, Of<FILE_PIPE_LOCAL_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FilePipeRemoteInformation, Of<FILE_PIPE_REMOTE_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileMailslotQueryInformation, Of<FILE_MAILSLOT_QUERY_INFORMATION>()},
    {FileCompressionInformation, Of<FILE_COMPRESSION_INFORMATION>()},
    {FileObjectIdInformation, Of<FILE_OBJECTID_INFORMATION>()},
    {FileQuotaInformation, Of<FILE_QUOTA_INFORMATION>()},
    {FileReparsePointInformation, Of<FILE_REPARSE_POINT_INFORMATION>()},
    {FileNetworkOpenInformation, Of<FILE_NETWORK_OPEN_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileAttributeTagInformation, Of<FILE_ATTRIBUTE_TAG_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileIoCompletionNotificationInformation, Of<FILE_IO_COMPLETION_NOTIFICATION_INFORMATION>()},
    {FileIoPriorityHintInformation, Of<FILE_IO_PRIORITY_HINT_INFORMATION>(FILE_READ_DATA)},
    {FileHardLinkInformation, Of<FILE_LINKS_INFORMATION>()},
    {FileProcessIdsUsingFileInformation, Of<FILE_PROCESS_IDS_USING_FILE_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileIsRemoteDeviceInformation, Of<FILE_IS_REMOTE_DEVICE_INFORMATION>()},
    {FileNumaNodeInformation, Of<FILE_NUMA_NODE_INFORMATION>()},
    {FileStandardLinkInformation, Of<FILE_STANDARD_LINK_INFORMATION>()},
    {FileRemoteProtocolInformation, Of<FILE_REMOTE_PROTOCOL_INFORMATION>()},
    {FileVolumeNameInformation, Of<FILE_VOLUME_NAME_INFORMATION>()},
    {FileIdInformation, Of<FILE_ID_INFORMATION>()},
    {FileStatInformation, Of<FILE_STAT_INFORMATION>(FILE_READ_ATTRIBUTES)},
    {FileCaseSensitiveInformation, Of<FILE_CASE_SENSITIVE_INFORMATION>(FILE_READ_ATTRIBUTES)},
};

constexpr NumberedRule kFileSets[] = {
    {FileBasicInformation, Of<FILE_BASIC_INFORMATION>(FILE_WRITE_ATTRIBUTES)},
    {FileRenameInformation, Of<FILE_RENAME_INFORMATION>(DELETE)},
    {FileRenameInformationEx, Of<FILE_RENAME_INFORMATION>(DELETE)},
    {FileLinkInformation, Of<FILE_LINK_INFORMATION>()},
    {FileLinkInformationEx, Of<FILE_LINK_INFORMATION>()},
    {FileDispositionInformation, Of<FILE_DISPOSITION_INFORMATION>(DELETE)},
    {FileDispositionInformationEx, Of<FILE_DISPOSITION_INFORMATION_EX>(DELETE)},
    {FilePositionInformation, Of<FILE_POSITION_INFORMATION>()},
    {FileModeInformation, Of<FILE_MODE_INFORMATION>()},
    {FileAllocationInformation, Of<FILE_ALLOCATION_INFORMATION>(FILE_WRITE_DATA)},
    {FileEndOfFileInformation, Of<FILE_END_OF_FILE_INFORMATION>(FILE_WRITE_DATA)},
    {FilePipeInformation, Of<FILE_PIPE_INFORMATION>(FILE_WRITE_ATTRIBUTES)},
    {FilePipeRemoteInformation, Of<FILE_PIPE_REMOTE_INFORMATION>(FILE_WRITE_ATTRIBUTES)},
    {FileMailslotSetInformation, Of<FILE_MAILSLOT_SET_INFORMATION>()},
    {FileObjectIdInformation, Of<FILE_OBJECTID_INFORMATION>(FILE_WRITE_DATA)},
    {FileCompletionInformation, Of<FILE_COMPLETION_INFORMATION>()},
    {FileQuotaInformation, Of<FILE_QUOTA_INFORMATION>(FILE_WRITE_DATA)},
    {FileValidDataLengthInformation, Of<FILE_VALID_DATA_LENGTH_INFORMATION>(FILE_WRITE_DATA)},
    {FileShortNameInformation, Of<FILE_NAME_INFORMATION>(DELETE)},
    {FileIoCompletionNotificationInformation, Of<FILE_IO_COMPLETION_NOTIFICATION_INFORMATION>()},
    {FileIoPriorityHintInformation, Of<FILE_IO_PRIORITY_HINT_INFORMATION>()},
    {FileCaseSensitiveInformation, Of<FILE_CASE_SENSITIVE_INFORMATION>(FILE_WRITE_ATTRIBUTES)},
};

constexpr NumberedRule kVolumeQueries[] = {
    {FileFsVolumeInformation, Of<FILE_FS_VOLUME_INFORMATION>()},
    {FileFsSizeInformation, Of<FILE_FS_SIZE_INFORMATION>()},
    {FileFsDeviceInformation, Of<FILE_FS_DEVICE_INFORMATION>()},
    {FileFsAttributeInformation, Of<FILE_FS_ATTRIBUTE_INFORMATION>()},
    {FileFsControlInformation, Of<FILE_FS_CONTROL_INFORMATION>(FILE_READ_DATA)},
    {FileFsFullSizeInformation, Of<FILE_FS_FULL_SIZE_INFORMATION>()},
    {FileFsObjectIdInformation, Of<FILE_FS_OBJECTID_INFORMATION>()},
    {FileFsDriverPathInformation, Of<FILE_FS_DRIVER_PATH_INFORMATION>()},
    {FileFsSectorSizeInformation, Of<FILE_FS_SECTOR_SIZE_INFORMATION>()},
};

constexpr NumberedRule kVolumeSets[] = {
    {FileFsLabelInformation, Of<FILE_FS_LABEL_INFORMATION>(FILE_WRITE_DATA)},
    {FileFsControlInformation, Of<FILE_FS_CONTROL_INFORMATION>(FILE_WRITE_DATA)},
    {FileFsObjectIdInformation, Of<FILE_FS_OBJECTID_INFORMATION>(FILE_WRITE_DATA)},
};

}  // namespace

ClassRule FileQueryRule(FILE_INFORMATION_CLASS information_class) {
  return Find(kFileQueries, static_cast<ULONG>(information_class));
}
ClassRule FileSetRule(FILE_INFORMATION_CLASS information_class) {
  return Find(kFileSets, static_cast<ULONG>(information_class));
}
ClassRule VolumeQueryRule(FS_INFORMATION_CLASS information_class) {
  return Find(kVolumeQueries, static_cast<ULONG>(information_class));
}
ClassRule VolumeSetRule(FS_INFORMATION_CLASS information_class) {
  return Find(kVolumeSets, static_cast<ULONG>(information_class));
}

namespace {

NTSTATUS CheckRule(const ClassRule& rule, PIO_STATUS_BLOCK iosb, ULONG length) {
  if (rule.minimum == 0) return STATUS_INVALID_INFO_CLASS;
  if (length < rule.minimum) return STATUS_INFO_LENGTH_MISMATCH;
  return ProbeCallerWrite(iosb, sizeof(*iosb), sizeof(ULONG));
}

}  // namespace

NTSTATUS CheckQuery(const ClassRule& rule, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length) {
  const NTSTATUS status = CheckRule(rule, iosb, length);
  return NT_SUCCESS(status) ? ProbeCallerWrite(buffer, length, rule.alignment) : status;
}

NTSTATUS CheckSet(const ClassRule& rule, PIO_STATUS_BLOCK iosb, PVOID buffer, ULONG length,
                  CapturedBuffer* captured) {
  NTSTATUS status = CheckRule(rule, iosb, length);
  if (NT_SUCCESS(status)) status = ProbeCallerRead(buffer, length, rule.alignment);
  return NT_SUCCESS(status) ? captured->Capture(buffer, length) : status;
}

NTSTATUS BeginService(const ClassRule& rule, HANDLE handle, FileService* service) {
  const NTSTATUS status = BeginService(handle, nullptr, service);
  if (status != STATUS_SUCCESS || (rule.access & service->granted) == rule.access) return status;
  return AbandonService(service, STATUS_ACCESS_DENIED);
}

}  // namespace io
