/* The RtlUnicodeString* functions of the WDK's <ntstrsafe.h>: counted strings, never beyond MaximumLength. Truncation
 * gives STATUS_BUFFER_OVERFLOW with what fitted. Included by the overlay's <ntstrsafe.h>. */
#ifndef BUGCHECK_OVERLAY_UNICODE_STRSAFE
#define BUGCHECK_OVERLAY_UNICODE_STRSAFE

#define NTSTRSAFE_UNICODE_STRING_MAX_CCH (0xffff / sizeof(WCHAR))

#ifdef __cplusplus
extern "C" {
#endif

FORCEINLINE NTSTATUS RtlUnicodeStringValidate(PCUNICODE_STRING SourceString) {
  if (SourceString == NULL) {
    return STATUS_SUCCESS;
  }
  if (SourceString->Length % sizeof(WCHAR) != 0 || SourceString->MaximumLength % sizeof(WCHAR) != 0 ||
      SourceString->Length > SourceString->MaximumLength ||
      (SourceString->Buffer == NULL && SourceString->MaximumLength != 0)) {
    return STATUS_INVALID_PARAMETER;
  }
  return STATUS_SUCCESS;
}

/* Writes `count` characters at character `at` of the destination, as far as they fit. */
FORCEINLINE NTSTATUS BugcheckUnicodePut(PUNICODE_STRING destination, SIZE_T at, const WCHAR *source, SIZE_T count) {
  SIZE_T room = destination->MaximumLength / sizeof(WCHAR) - at;
  SIZE_T copied = count < room ? count : room;
  SIZE_T i;
  for (i = 0; i < copied; i++) {
    destination->Buffer[at + i] = source[i];
  }
  destination->Length = (USHORT)((at + copied) * sizeof(WCHAR));
  return copied == count ? STATUS_SUCCESS : STATUS_BUFFER_OVERFLOW;
}

FORCEINLINE SIZE_T BugcheckStringLength(const WCHAR *source, SIZE_T limit) {
  SIZE_T length = 0;
  while (source != NULL && length < limit && source[length] != 0) {
    length++;
  }
  return length;
}

FORCEINLINE NTSTATUS BugcheckUnicodePutString(PUNICODE_STRING destination, BOOLEAN append, const WCHAR *source,
                                              SIZE_T limit) {
  NTSTATUS status = destination != NULL ? RtlUnicodeStringValidate(destination) : STATUS_INVALID_PARAMETER;
  if (!NT_SUCCESS(status)) {
    return status;
  }
  return BugcheckUnicodePut(destination, append ? destination->Length / sizeof(WCHAR) : 0, source,
                            BugcheckStringLength(source, limit));
}

FORCEINLINE NTSTATUS BugcheckUnicodePutUnicode(PUNICODE_STRING destination, BOOLEAN append, PCUNICODE_STRING source,
                                               SIZE_T limit) {
  SIZE_T count;
  NTSTATUS status = destination != NULL ? RtlUnicodeStringValidate(destination) : STATUS_INVALID_PARAMETER;
  if (NT_SUCCESS(status)) {
    status = source != NULL ? RtlUnicodeStringValidate(source) : STATUS_INVALID_PARAMETER;
  }
  if (!NT_SUCCESS(status)) {
    return status;
  }
  count = source->Length / sizeof(WCHAR);
  return BugcheckUnicodePut(destination, append ? destination->Length / sizeof(WCHAR) : 0, source->Buffer,
                            count < limit ? count : limit);
}

FORCEINLINE NTSTATUS RtlUnicodeStringInit(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  SIZE_T length = BugcheckStringLength(SourceString, NTSTRSAFE_UNICODE_STRING_MAX_CCH);
  if (DestinationString == NULL || length == NTSTRSAFE_UNICODE_STRING_MAX_CCH) {
    return STATUS_INVALID_PARAMETER;
  }
  DestinationString->Length = (USHORT)(length * sizeof(WCHAR));
  DestinationString->MaximumLength = (USHORT)(SourceString != NULL ? (length + 1) * sizeof(WCHAR) : 0);
  DestinationString->Buffer = (PWSTR)SourceString;
  return STATUS_SUCCESS;
}

FORCEINLINE NTSTATUS RtlUnicodeStringCopyString(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  return BugcheckUnicodePutString(DestinationString, FALSE, SourceString, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCatString(PUNICODE_STRING DestinationString, PCWSTR SourceString) {
  return BugcheckUnicodePutString(DestinationString, TRUE, SourceString, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCchCopyStringN(PUNICODE_STRING DestinationString, PCWSTR SourceString,
                                                    size_t cchToCopy) {
  return BugcheckUnicodePutString(DestinationString, FALSE, SourceString, cchToCopy);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCchCatStringN(PUNICODE_STRING DestinationString, PCWSTR SourceString,
                                                   size_t cchToAppend) {
  return BugcheckUnicodePutString(DestinationString, TRUE, SourceString, cchToAppend);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCbCopyStringN(PUNICODE_STRING DestinationString, PCWSTR SourceString,
                                                   size_t cbToCopy) {
  return BugcheckUnicodePutString(DestinationString, FALSE, SourceString, cbToCopy / sizeof(WCHAR));
}
FORCEINLINE NTSTATUS RtlUnicodeStringCbCatStringN(PUNICODE_STRING DestinationString, PCWSTR SourceString,
                                                  size_t cbToAppend) {
  return BugcheckUnicodePutString(DestinationString, TRUE, SourceString, cbToAppend / sizeof(WCHAR));
}
FORCEINLINE NTSTATUS RtlUnicodeStringCopy(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString) {
  return BugcheckUnicodePutUnicode(DestinationString, FALSE, SourceString, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCat(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString) {
  return BugcheckUnicodePutUnicode(DestinationString, TRUE, SourceString, NTSTRSAFE_MAX_CCH);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCchCopyN(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                              size_t cchToCopy) {
  return BugcheckUnicodePutUnicode(DestinationString, FALSE, SourceString, cchToCopy);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCchCatN(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                             size_t cchToAppend) {
  return BugcheckUnicodePutUnicode(DestinationString, TRUE, SourceString, cchToAppend);
}
FORCEINLINE NTSTATUS RtlUnicodeStringCbCopyN(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                             size_t cbToCopy) {
  return BugcheckUnicodePutUnicode(DestinationString, FALSE, SourceString, cbToCopy / sizeof(WCHAR));
}
FORCEINLINE NTSTATUS RtlUnicodeStringCbCatN(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                            size_t cbToAppend) {
  return BugcheckUnicodePutUnicode(DestinationString, TRUE, SourceString, cbToAppend / sizeof(WCHAR));
}

FORCEINLINE NTSTATUS RtlUnicodeStringVPrintf(PUNICODE_STRING DestinationString, PCWSTR pszFormat, va_list argList) {
  SIZE_T room;
  int written;
  NTSTATUS status =
      DestinationString != NULL ? RtlUnicodeStringValidate(DestinationString) : STATUS_INVALID_PARAMETER;
  if (!NT_SUCCESS(status)) {
    return status;
  }
  room = DestinationString->MaximumLength / sizeof(WCHAR);
  written = _vsnwprintf((wchar_t *)DestinationString->Buffer, room, (const wchar_t *)pszFormat, argList);
  if (written < 0 || (SIZE_T)written > room) {
    DestinationString->Length = (USHORT)(room * sizeof(WCHAR));
    return STATUS_BUFFER_OVERFLOW;
  }
  DestinationString->Length = (USHORT)((SIZE_T)written * sizeof(WCHAR));
  return STATUS_SUCCESS;
}

__inline NTSTATUS RtlUnicodeStringPrintf(PUNICODE_STRING DestinationString, PCWSTR pszFormat, ...) {
  NTSTATUS status;
  va_list arguments;
  va_start(arguments, pszFormat);
  status = RtlUnicodeStringVPrintf(DestinationString, pszFormat, arguments);
  va_end(arguments);
  return status;
}

#ifdef __cplusplus
}
#endif
#endif
