// Prototypes of rtl's exports for the host tests (in the kernel NT's own headers declare them).
#pragma once

#include "rtl/rtl.h"

extern "C" {
NTSTATUS NTAPI RtlGetCompressionWorkSpaceSize(USHORT, PULONG, PULONG);
NTSTATUS NTAPI RtlCompressBuffer(USHORT, PUCHAR, ULONG, PUCHAR, ULONG, ULONG, PULONG, PVOID);
NTSTATUS NTAPI RtlDecompressBuffer(USHORT, PUCHAR, ULONG, PUCHAR, ULONG, PULONG);
NTSTATUS NTAPI RtlDecompressBufferEx(USHORT, PUCHAR, ULONG, PUCHAR, ULONG, PULONG, PVOID);
NTSTATUS NTAPI RtlDecompressFragment(USHORT, PUCHAR, ULONG, PUCHAR, ULONG, ULONG, PULONG, PVOID);
ULONG NTAPI RtlComputeCrc32(ULONG PartialCrc, PVOID Buffer, ULONG Length);
NTSTATUS NTAPI RtlGenerate8dot3Name(PCUNICODE_STRING, BOOLEAN, PGENERATE_NAME_CONTEXT, PUNICODE_STRING);
BOOLEAN NTAPI RtlIsNameLegalDOS8Dot3(PCUNICODE_STRING, POEM_STRING, PBOOLEAN);
BOOLEAN NTAPI RtlIsValidOemCharacter(PWCHAR Char);
extern USHORT NlsAnsiCodePage, NlsOemCodePage;
extern BOOLEAN NlsMbCodePageTag, NlsMbOemCodePageTag;
extern PUSHORT NlsOemLeadByteInfo;
ULONGLONG NTAPI VerSetConditionMask(ULONGLONG ConditionMask, ULONG TypeMask, UCHAR Condition);
NTSTATUS NTAPI RtlOemStringToCountedUnicodeString(PUNICODE_STRING DestinationString,
                                                  PCOEM_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUnicodeStringToCountedOemString(POEM_STRING DestinationString,
                                                  PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUpcaseUnicodeStringToCountedOemString(POEM_STRING DestinationString,
                                                        PCUNICODE_STRING SourceString,
                                                        BOOLEAN AllocateDestinationString);
ULONG NTAPI RtlxOemStringToUnicodeSize(PCOEM_STRING OemString);
ULONG NTAPI RtlxUnicodeStringToOemSize(PCUNICODE_STRING UnicodeString);
VOID NTAPI RtlInitializeGenericTableAvl(PRTL_AVL_TABLE Table, PRTL_AVL_COMPARE_ROUTINE CompareRoutine,
                                        PRTL_AVL_ALLOCATE_ROUTINE AllocateRoutine,
                                        PRTL_AVL_FREE_ROUTINE FreeRoutine, PVOID TableContext);
PVOID NTAPI RtlLookupElementGenericTableFullAvl(PRTL_AVL_TABLE Table, PVOID Buffer, PVOID* NodeOrParent,
                                                TABLE_SEARCH_RESULT* SearchResult);
PVOID NTAPI RtlLookupElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer);
PVOID NTAPI RtlInsertElementGenericTableFullAvl(PRTL_AVL_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                                PBOOLEAN NewElement, PVOID NodeOrParent,
                                                TABLE_SEARCH_RESULT SearchResult);
PVOID NTAPI RtlInsertElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                            PBOOLEAN NewElement);
BOOLEAN NTAPI RtlDeleteElementGenericTableAvl(PRTL_AVL_TABLE Table, PVOID Buffer);
PVOID NTAPI RtlEnumerateGenericTableWithoutSplayingAvl(PRTL_AVL_TABLE Table, PVOID* RestartKey);
PVOID NTAPI RtlEnumerateGenericTableAvl(PRTL_AVL_TABLE Table, BOOLEAN Restart);
PVOID NTAPI RtlGetElementGenericTableAvl(PRTL_AVL_TABLE Table, ULONG I);
ULONG NTAPI RtlNumberGenericTableElementsAvl(PRTL_AVL_TABLE Table);
BOOLEAN NTAPI RtlIsGenericTableEmptyAvl(PRTL_AVL_TABLE Table);
VOID NTAPI RtlInitializeBitMap(PRTL_BITMAP BitMapHeader, PULONG BitMapBuffer, ULONG SizeOfBitMap);
VOID NTAPI RtlSetBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToSet);
VOID NTAPI RtlClearBits(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG NumberToClear);
VOID NTAPI RtlSetBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber);
VOID NTAPI RtlClearBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber);
BOOLEAN NTAPI RtlTestBit(PRTL_BITMAP BitMapHeader, ULONG BitNumber);
VOID NTAPI RtlSetAllBits(PRTL_BITMAP BitMapHeader);
VOID NTAPI RtlClearAllBits(PRTL_BITMAP BitMapHeader);
BOOLEAN NTAPI RtlAreBitsSet(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length);
BOOLEAN NTAPI RtlAreBitsClear(PRTL_BITMAP BitMapHeader, ULONG StartingIndex, ULONG Length);
ULONG NTAPI RtlFindSetBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG NTAPI RtlFindClearBits(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG NTAPI RtlFindSetBitsAndClear(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG NTAPI RtlFindClearBitsAndSet(PRTL_BITMAP BitMapHeader, ULONG NumberToFind, ULONG HintIndex);
ULONG NTAPI RtlNumberOfSetBits(PRTL_BITMAP BitMapHeader);
ULONG NTAPI RtlNumberOfClearBits(PRTL_BITMAP BitMapHeader);
ULONG NTAPI RtlNumberOfSetBitsUlongPtr(ULONG_PTR Target);
ULONG NTAPI RtlFindNextForwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex);
ULONG NTAPI RtlFindFirstRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex);
ULONG NTAPI RtlFindLastBackwardRunClear(PRTL_BITMAP BitMapHeader, ULONG FromIndex, PULONG StartingRunIndex);
ULONG NTAPI RtlFindLongestRunClear(PRTL_BITMAP BitMapHeader, PULONG StartingIndex);
ULONG NTAPI RtlFindClearRuns(PRTL_BITMAP BitMapHeader, PRTL_BITMAP_RUN RunArray, ULONG SizeOfRunArray,
                             BOOLEAN LocateLongestRuns);
CCHAR NTAPI RtlFindLeastSignificantBit(ULONGLONG Set);
CCHAR NTAPI RtlFindMostSignificantBit(ULONGLONG Set);
int __cdecl _vsnprintf(char* __restrict__ buffer, size_t count, const char* __restrict__ format,
                       va_list arguments);
int __cdecl _snprintf(char* __restrict__ buffer, size_t count, const char* __restrict__ format, ...);
int __cdecl sprintf(char* __restrict__ buffer, const char* __restrict__ format, ...);
int __cdecl vsprintf(char* __restrict__ buffer, const char* __restrict__ format, va_list arguments);
int __cdecl vsprintf_s(char* buffer, size_t size, const char* format, va_list arguments);
int __cdecl sprintf_s(char* buffer, size_t size, const char* format, ...);
int __cdecl _vsnprintf_s(char* buffer, size_t size, size_t count, const char* format, va_list arguments);
int __cdecl _snprintf_s(char* buffer, size_t size, size_t count, const char* format, ...);
int __cdecl _vsnwprintf(WCHAR* __restrict__ buffer, size_t count, const WCHAR* __restrict__ format,
                        va_list arguments);
int __cdecl _snwprintf(WCHAR* __restrict__ buffer, size_t count, const WCHAR* __restrict__ format, ...);
int __cdecl _swprintf(WCHAR* __restrict__ buffer, const WCHAR* __restrict__ format, ...);
int __cdecl _vswprintf(WCHAR* __restrict__ buffer, const WCHAR* __restrict__ format, va_list arguments);
int __cdecl swprintf(WCHAR* __restrict__ buffer, const WCHAR* __restrict__ format, ...);
int __cdecl vswprintf_s(WCHAR* buffer, size_t size, const WCHAR* format, va_list arguments);
int __cdecl swprintf_s(WCHAR* buffer, size_t size, const WCHAR* format, ...);
int __cdecl _vsnwprintf_s(WCHAR* buffer, size_t size, size_t count, const WCHAR* format, va_list arguments);
int __cdecl _snwprintf_s(WCHAR* buffer, size_t size, size_t count, const WCHAR* format, ...);
VOID NTAPI RtlInitializeGenericTable(PRTL_GENERIC_TABLE Table, PRTL_GENERIC_COMPARE_ROUTINE CompareRoutine,
                                     PRTL_GENERIC_ALLOCATE_ROUTINE AllocateRoutine,
                                     PRTL_GENERIC_FREE_ROUTINE FreeRoutine, PVOID TableContext);
PVOID NTAPI RtlLookupElementGenericTableFull(PRTL_GENERIC_TABLE Table, PVOID Buffer, PVOID* NodeOrParent,
                                             TABLE_SEARCH_RESULT* SearchResult);
PVOID NTAPI RtlLookupElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer);
PVOID NTAPI RtlInsertElementGenericTableFull(PRTL_GENERIC_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                             PBOOLEAN NewElement, PVOID NodeOrParent,
                                             TABLE_SEARCH_RESULT SearchResult);
PVOID NTAPI RtlInsertElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer, CLONG BufferSize,
                                         PBOOLEAN NewElement);
BOOLEAN NTAPI RtlDeleteElementGenericTable(PRTL_GENERIC_TABLE Table, PVOID Buffer);
PVOID NTAPI RtlEnumerateGenericTableWithoutSplaying(PRTL_GENERIC_TABLE Table, PVOID* RestartKey);
PVOID NTAPI RtlEnumerateGenericTable(PRTL_GENERIC_TABLE Table, BOOLEAN Restart);
PVOID NTAPI RtlGetElementGenericTable(PRTL_GENERIC_TABLE Table, ULONG I);
ULONG NTAPI RtlNumberGenericTableElements(PRTL_GENERIC_TABLE Table);
BOOLEAN NTAPI RtlIsGenericTableEmpty(PRTL_GENERIC_TABLE Table);
NTSTATUS NTAPI RtlIntegerToUnicodeString(ULONG Value, ULONG Base, PUNICODE_STRING String);
NTSTATUS NTAPI RtlInt64ToUnicodeString(ULONGLONG Value, ULONG Base, PUNICODE_STRING String);
NTSTATUS NTAPI RtlUnicodeStringToInteger(PCUNICODE_STRING String, ULONG Base, PULONG Value);
NTSTATUS NTAPI RtlCharToInteger(PCSZ String, ULONG Base, PULONG Value);
NTSTATUS NTAPI RtlStringFromGUID(REFGUID Guid, PUNICODE_STRING GuidString);
NTSTATUS NTAPI RtlGUIDFromString(PUNICODE_STRING GuidString, GUID* Guid);
int __cdecl atoi(const char* text);
LONG __cdecl atol(const char* text);
int __cdecl _wtoi(const WCHAR* text);
LONG __cdecl _wtol(const WCHAR* text);
ULONG __cdecl wcstoul(const WCHAR* text, WCHAR** end, int base);
ULONGLONG __cdecl _strtoui64(const char* text, char** end, int base);
char* __cdecl _itoa(int value, char* buffer, int base);
WCHAR* __cdecl _itow(int value, WCHAR* buffer, int base);
int __cdecl _itoa_s(int value, char* buffer, size_t size, int base);
int __cdecl _itow_s(int value, WCHAR* buffer, size_t size, int base);
int __cdecl _ltoa_s(LONG value, char* buffer, size_t size, int base);
int __cdecl _ltow_s(LONG value, WCHAR* buffer, size_t size, int base);
int __cdecl _ultoa_s(ULONG value, char* buffer, size_t size, int base);
int __cdecl _ultow_s(ULONG value, WCHAR* buffer, size_t size, int base);
int __cdecl _i64toa_s(LONGLONG value, char* buffer, size_t size, int base);
int __cdecl _i64tow_s(LONGLONG value, WCHAR* buffer, size_t size, int base);
int __cdecl _ui64toa_s(ULONGLONG value, char* buffer, size_t size, int base);
int __cdecl _ui64tow_s(ULONGLONG value, WCHAR* buffer, size_t size, int base);
int __cdecl isdigit(int c);
int __cdecl islower(int c);
int __cdecl isupper(int c);
int __cdecl isprint(int c);
int __cdecl isspace(int c);
int __cdecl isxdigit(int c);
int __cdecl tolower(int c);
int __cdecl toupper(int c);
unsigned short __cdecl towlower(unsigned short c);
unsigned short __cdecl towupper(unsigned short c);
void __cdecl qsort(void* base, size_t count, size_t size, int (*compare)(const void*, const void*));
void* __cdecl bsearch(const void* key, const void* base, size_t count, size_t size,
                      int (*compare)(const void*, const void*));
int __cdecl memcpy_s(void* to, size_t size, const void* from, size_t count);
int __cdecl memmove_s(void* to, size_t size, const void* from, size_t count);
void* __cdecl memcpy(void* __restrict__ to, const void* __restrict__ from, size_t count);
void* __cdecl memmove(void* to, const void* from, size_t count);
void* __cdecl memset(void* to, int value, size_t count);
int __cdecl memcmp(const void* a, const void* b, size_t count);
void* __cdecl memchr(const void* block, int value, size_t count);
VOID NTAPI RtlMoveMemory(PVOID Destination, const VOID* Source, SIZE_T Length);
VOID NTAPI RtlCopyMemoryNonTemporal(PVOID Destination, const VOID* Source, SIZE_T Length);
VOID NTAPI RtlFillMemory(PVOID Destination, SIZE_T Length, UCHAR Value);
VOID NTAPI RtlZeroMemory(PVOID Destination, SIZE_T Length);
SIZE_T NTAPI RtlCompareMemory(const VOID* Source1, const VOID* Source2, SIZE_T Length);
SIZE_T NTAPI RtlCompareMemoryUlong(PVOID Source, SIZE_T Length, ULONG Pattern);
VOID NTAPI RtlPrefetchMemoryNonTemporal(PVOID Source, SIZE_T Length);
NTSTATUS NTAPI RtlGetVersion(PRTL_OSVERSIONINFOW VersionInformation);
ULONG NTAPI RtlRandomEx(PULONG Seed);
ULONG NTAPI RtlRandom(PULONG Seed);
NTSTATUS NTAPI RtlVerifyVersionInfo(PRTL_OSVERSIONINFOEXW VersionInfo, ULONG TypeMask,
                                    ULONGLONG ConditionMask);
BOOLEAN NTAPI RtlIsNtDdiVersionAvailable(ULONG Version);
VOID NTAPI RtlMapGenericMask(PACCESS_MASK AccessMask, PGENERIC_MAPPING GenericMapping);
BOOLEAN NTAPI RtlAreAllAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess);
BOOLEAN NTAPI RtlAreAnyAccessesGranted(ACCESS_MASK GrantedAccess, ACCESS_MASK DesiredAccess);
void __cdecl srand(unsigned seed);
int __cdecl rand(void);
size_t __cdecl strlen(const char* text);
size_t __cdecl strnlen(const char* text, size_t limit);
int __cdecl strncmp(const char* a, const char* b, size_t count);
int __cdecl strcmp(const char* a, const char* b);
int __cdecl _strnicmp(const char* a, const char* b, size_t count);
int __cdecl _stricmp(const char* a, const char* b);
char* __cdecl strcpy(char* __restrict__ to, const char* __restrict__ from);
char* __cdecl strncpy(char* __restrict__ to, const char* __restrict__ from, size_t count);
char* __cdecl strncat(char* __restrict__ to, const char* __restrict__ from, size_t count);
char* __cdecl strcat(char* __restrict__ to, const char* __restrict__ from);
char* __cdecl strchr(const char* text, int wanted);
char* __cdecl strrchr(const char* text, int wanted);
char* __cdecl strstr(const char* text, const char* wanted);
size_t __cdecl strspn(const char* text, const char* accepted);
char* __cdecl _strupr(char* text);
char* __cdecl _strlwr(char* text);
char* __cdecl strlwr(char* text);
char* __cdecl _strrev(char* text);
char* __cdecl _strnset(char* text, int value, size_t count);
int __cdecl strcpy_s(char* to, size_t size, const char* from);
int __cdecl strcat_s(char* to, size_t size, const char* from);
int __cdecl strncpy_s(char* to, size_t size, const char* from, size_t count);
int __cdecl strncat_s(char* to, size_t size, const char* from, size_t count);
PRTL_SPLAY_LINKS NTAPI RtlSplay(PRTL_SPLAY_LINKS Links);
PRTL_SPLAY_LINKS NTAPI RtlDelete(PRTL_SPLAY_LINKS Links);
VOID NTAPI RtlDeleteNoSplay(PRTL_SPLAY_LINKS Links, PRTL_SPLAY_LINKS* Root);
PRTL_SPLAY_LINKS NTAPI RtlSubtreeSuccessor(PRTL_SPLAY_LINKS Links);
PRTL_SPLAY_LINKS NTAPI RtlSubtreePredecessor(PRTL_SPLAY_LINKS Links);
PRTL_SPLAY_LINKS NTAPI RtlRealSuccessor(PRTL_SPLAY_LINKS Links);
PRTL_SPLAY_LINKS NTAPI RtlRealPredecessor(PRTL_SPLAY_LINKS Links);
NTSTATUS NTAPI RtlAnsiStringToUnicodeString(PUNICODE_STRING DestinationString, PANSI_STRING SourceString,
                                            BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlOemStringToUnicodeString(PUNICODE_STRING DestinationString, PCOEM_STRING SourceString,
                                           BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUnicodeStringToAnsiString(PANSI_STRING DestinationString, PCUNICODE_STRING SourceString,
                                            BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUnicodeStringToOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                           BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUpcaseUnicodeStringToAnsiString(PANSI_STRING DestinationString,
                                                  PCUNICODE_STRING SourceString,
                                                  BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUpcaseUnicodeStringToOemString(POEM_STRING DestinationString, PCUNICODE_STRING SourceString,
                                                 BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlUpcaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                      BOOLEAN AllocateDestinationString);
NTSTATUS NTAPI RtlDowncaseUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString,
                                        BOOLEAN AllocateDestinationString);
CHAR NTAPI RtlUpperChar(CHAR Character);
VOID NTAPI RtlUpperString(PSTRING DestinationString, const PSTRING SourceString);
BOOLEAN NTAPI RtlCreateUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString);
NTSTATUS NTAPI RtlDuplicateUnicodeString(ULONG Flags, PCUNICODE_STRING SourceString,
                                         PUNICODE_STRING DestinationString);
VOID NTAPI RtlFreeUnicodeString(PUNICODE_STRING UnicodeString);
VOID NTAPI RtlFreeAnsiString(PANSI_STRING AnsiString);
VOID NTAPI RtlFreeOemString(POEM_STRING OemString);
NTSTATUS NTAPI RtlUnicodeToMultiByteN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed,
                                      PCWCH UnicodeString, ULONG BytesInUnicodeString);
NTSTATUS NTAPI RtlUnicodeToOemN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed, PCWCH UnicodeString,
                                ULONG BytesInUnicodeString);
NTSTATUS NTAPI RtlUpcaseUnicodeToMultiByteN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed,
                                            PCWCH UnicodeString, ULONG BytesInUnicodeString);
NTSTATUS NTAPI RtlUpcaseUnicodeToOemN(PCHAR Destination, ULONG MaxBytes, PULONG BytesUsed,
                                      PCWCH UnicodeString, ULONG BytesInUnicodeString);
NTSTATUS NTAPI RtlMultiByteToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString,
                                      PULONG BytesInUnicodeString, PCCH Source, ULONG BytesInSource);
NTSTATUS NTAPI RtlOemToUnicodeN(PWCH UnicodeString, ULONG MaxBytesInUnicodeString,
                                PULONG BytesInUnicodeString, PCCH Source, ULONG BytesInSource);
NTSTATUS NTAPI RtlUnicodeToMultiByteSize(PULONG BytesInMultiByteString, PCWCH UnicodeString,
                                         ULONG BytesInUnicodeString);
NTSTATUS NTAPI RtlMultiByteToUnicodeSize(PULONG BytesInUnicodeString, const CHAR* MultiByteString,
                                         ULONG BytesInMultiByteString);
ULONG NTAPI RtlxAnsiStringToUnicodeSize(PCANSI_STRING AnsiString);
ULONG NTAPI RtlxUnicodeStringToAnsiSize(PCUNICODE_STRING UnicodeString);
WCHAR NTAPI RtlAnsiCharToUnicodeChar(PUCHAR* SourceCharacter);
NTSTATUS NTAPI RtlUnicodeToUTF8N(PCHAR Destination, ULONG MaxBytes, PULONG ActualBytes, PCWCH Source,
                                 ULONG SourceBytes);
NTSTATUS NTAPI RtlUTF8ToUnicodeN(PWSTR Destination, ULONG MaxBytes, PULONG ActualBytes, PCCH Source,
                                 ULONG SourceBytes);
NTSTATUS NTAPI RtlHashUnicodeString(const UNICODE_STRING* String, BOOLEAN CaseInSensitive,
                                    ULONG HashAlgorithm, PULONG HashValue);
NTSTATUS NTAPI RtlValidateUnicodeString(ULONG Flags, PCUNICODE_STRING String);
NTSTATUS NTAPI RtlUTF8StringToUnicodeString(PUNICODE_STRING DestinationString, PUTF8_STRING SourceString,
                                            BOOLEAN AllocateDestinationString);
VOID NTAPI RtlTimeToTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields);
BOOLEAN NTAPI RtlTimeFieldsToTime(PTIME_FIELDS TimeFields, PLARGE_INTEGER Time);
VOID NTAPI RtlTimeToElapsedTimeFields(PLARGE_INTEGER Time, PTIME_FIELDS TimeFields);
BOOLEAN NTAPI RtlTimeToSecondsSince1970(PLARGE_INTEGER Time, PULONG ElapsedSeconds);
BOOLEAN NTAPI RtlTimeToSecondsSince1980(PLARGE_INTEGER Time, PULONG ElapsedSeconds);
VOID NTAPI RtlSecondsSince1970ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time);
VOID NTAPI RtlSecondsSince1980ToTime(ULONG ElapsedSeconds, PLARGE_INTEGER Time);
WCHAR NTAPI RtlUpcaseUnicodeChar(WCHAR SourceCharacter);
WCHAR NTAPI RtlDowncaseUnicodeChar(WCHAR SourceCharacter);
VOID NTAPI RtlInitUnicodeString(PUNICODE_STRING DestinationString, PCWSTR SourceString);
NTSTATUS NTAPI RtlInitUnicodeStringEx(PUNICODE_STRING DestinationString, PCWSTR SourceString);
VOID NTAPI RtlInitString(PSTRING DestinationString, PCSZ SourceString);
NTSTATUS NTAPI RtlInitStringEx(PSTRING DestinationString, PCSZ SourceString);
VOID NTAPI RtlInitAnsiString(PANSI_STRING DestinationString, PCSZ SourceString);
NTSTATUS NTAPI RtlInitAnsiStringEx(PANSI_STRING DestinationString, PCSZ SourceString);
LONG NTAPI RtlCompareUnicodeStrings(PCWCH String1, SIZE_T String1Length, PCWCH String2, SIZE_T String2Length,
                                    BOOLEAN CaseInSensitive);
LONG NTAPI RtlCompareUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2,
                                   BOOLEAN CaseInSensitive);
BOOLEAN NTAPI RtlEqualUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2,
                                    BOOLEAN CaseInSensitive);
LONG NTAPI RtlCompareString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive);
BOOLEAN NTAPI RtlEqualString(const PSTRING String1, const PSTRING String2, BOOLEAN CaseInSensitive);
BOOLEAN NTAPI RtlPrefixUnicodeString(PCUNICODE_STRING String1, PCUNICODE_STRING String2,
                                     BOOLEAN CaseInSensitive);
BOOLEAN NTAPI RtlPrefixString(const STRING* String1, const STRING* String2, BOOLEAN CaseInSensitive);
VOID NTAPI RtlCopyUnicodeString(PUNICODE_STRING DestinationString, PCUNICODE_STRING SourceString);
VOID NTAPI RtlCopyString(PSTRING DestinationString, const PSTRING SourceString);
NTSTATUS NTAPI RtlAppendUnicodeStringToString(PUNICODE_STRING Destination, PCUNICODE_STRING Source);
NTSTATUS NTAPI RtlAppendUnicodeToString(PUNICODE_STRING Destination, PCWSTR Source);
NTSTATUS NTAPI RtlAppendStringToString(PSTRING Destination, const STRING* Source);
NTSTATUS NTAPI RtlAppendAsciizToString(PSTRING Destination, PCSTR Source);
size_t __cdecl wcslen(const WCHAR* text);
size_t __cdecl wcsnlen(const WCHAR* text, size_t limit);
int __cdecl wcsncmp(const WCHAR* a, const WCHAR* b, size_t count);
int __cdecl wcscmp(const WCHAR* a, const WCHAR* b);
int __cdecl _wcsnicmp(const WCHAR* a, const WCHAR* b, size_t count);
int __cdecl _wcsicmp(const WCHAR* a, const WCHAR* b);
WCHAR* __cdecl wcscpy(WCHAR* __restrict__ to, const WCHAR* __restrict__ from);
WCHAR* __cdecl wcsncpy(WCHAR* __restrict__ to, const WCHAR* __restrict__ from, size_t count);
WCHAR* __cdecl wcsncat(WCHAR* __restrict__ to, const WCHAR* __restrict__ from, size_t count);
WCHAR* __cdecl wcscat(WCHAR* __restrict__ to, const WCHAR* __restrict__ from);
WCHAR* __cdecl wcschr(const WCHAR* text, WCHAR wanted);
WCHAR* __cdecl wcsrchr(const WCHAR* text, WCHAR wanted);
WCHAR* __cdecl wcsstr(const WCHAR* text, const WCHAR* wanted);
size_t __cdecl wcsspn(const WCHAR* text, const WCHAR* accepted);
size_t __cdecl wcscspn(const WCHAR* text, const WCHAR* rejected);
WCHAR* __cdecl _wcsupr(WCHAR* text);
WCHAR* __cdecl _wcslwr(WCHAR* text);
WCHAR* __cdecl wcslwr(WCHAR* text);
WCHAR* __cdecl _wcsrev(WCHAR* text);
WCHAR* __cdecl _wcsnset(WCHAR* text, WCHAR value, size_t count);
int __cdecl wcscpy_s(WCHAR* to, size_t size, const WCHAR* from);
int __cdecl wcscat_s(WCHAR* to, size_t size, const WCHAR* from);
int __cdecl wcsncpy_s(WCHAR* to, size_t size, const WCHAR* from, size_t count);
int __cdecl wcsncat_s(WCHAR* to, size_t size, const WCHAR* from, size_t count);
}  // extern "C"
