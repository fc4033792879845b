// NT types for the host build of rtl (tests). The compiler runs with -fshort-wchar, so WCHAR is wchar_t as on
// Windows. Names that libc has are renamed, so that the tests reach ours.
#pragma once

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

static_assert(sizeof(wchar_t) == 2, "build with -fshort-wchar");

using VOID = void;
using PVOID = void*;
using CHAR = char;
using UCHAR = unsigned char;
using PUCHAR = UCHAR*;
using BOOLEAN = unsigned char;
using WCHAR = wchar_t;
using PWCHAR = WCHAR*;
using PWSTR = WCHAR*;
using PCWSTR = const WCHAR*;
using PWCH = WCHAR*;
using PCWCH = const WCHAR*;
using PCCH = const char*;
using PSTR = char*;
using PCHAR = char*;
using PCSTR = const char*;
using PCSZ = const char*;
using SHORT = short;
using CSHORT = short;
using USHORT = unsigned short;
using LONG = int;
using ULONG = unsigned;
using PULONG = ULONG*;
using PUSHORT = USHORT*;
using CLONG = ULONG;
using LONGLONG = long long;
using ULONGLONG = unsigned long long;
using ULONG64 = unsigned long long;
using PULONG64 = ULONG64*;
using SIZE_T = size_t;
using ULONG_PTR = uintptr_t;
using NTSTATUS = int;
using KIRQL = unsigned char;
using KPRIORITY = LONG;
using CCHAR = char;

#define IN
#define OUT
#define NTAPI
#define __cdecl
#define FORCEINLINE inline
#define TRUE 1
#define FALSE 0
#define PASSIVE_LEVEL 0
#define APC_LEVEL 1
#define DISPATCH_LEVEL 2
#define NT_SUCCESS(status) ((NTSTATUS)(status) >= 0)
#define RTL_HOST_STATUS(value) ((NTSTATUS)value)
#define STATUS_SUCCESS RTL_HOST_STATUS(0)
#define STATUS_BUFFER_ALL_ZEROS RTL_HOST_STATUS(0x00000117)
#define STATUS_NOT_SUPPORTED RTL_HOST_STATUS(0xC00000BB)
#define STATUS_BAD_COMPRESSION_BUFFER RTL_HOST_STATUS(0xC0000242)
#define STATUS_UNSUPPORTED_COMPRESSION RTL_HOST_STATUS(0xC000025F)
#define STATUS_FILE_SYSTEM_LIMITATION RTL_HOST_STATUS(0xC0000427)
#define STATUS_SOME_NOT_MAPPED RTL_HOST_STATUS(0x00000107)
#define STATUS_BUFFER_OVERFLOW RTL_HOST_STATUS(0x80000005)
#define STATUS_INVALID_PARAMETER RTL_HOST_STATUS(0xC000000D)
#define STATUS_NO_MEMORY RTL_HOST_STATUS(0xC0000017)
#define STATUS_BUFFER_TOO_SMALL RTL_HOST_STATUS(0xC0000023)
#define STATUS_NAME_TOO_LONG RTL_HOST_STATUS(0xC0000106)
#define STATUS_INVALID_PARAMETER_2 RTL_HOST_STATUS(0xC00000F0)
#define STATUS_REVISION_MISMATCH RTL_HOST_STATUS(0xC0000059)
#define STATUS_INVALID_BUFFER_SIZE RTL_HOST_STATUS(0xC0000206)
#define STATUS_UNMAPPABLE_CHARACTER RTL_HOST_STATUS(0xC0000162)

struct UNICODE_STRING {
  USHORT Length;
  USHORT MaximumLength;
  PWSTR Buffer;
};
using PUNICODE_STRING = UNICODE_STRING*;
using PCUNICODE_STRING = const UNICODE_STRING*;
struct STRING {
  USHORT Length;
  USHORT MaximumLength;
  PCHAR Buffer;
};
using PSTRING = STRING*;
using ANSI_STRING = STRING;
using PANSI_STRING = STRING*;
using PCANSI_STRING = const STRING*;
using OEM_STRING = STRING;
using POEM_STRING = STRING*;
using PCOEM_STRING = const STRING*;
using UTF8_STRING = STRING;
using PUTF8_STRING = STRING*;
using PCUTF8_STRING = const STRING*;

union LARGE_INTEGER {
  struct {
    ULONG LowPart;
    LONG HighPart;
  };
  LONGLONG QuadPart;
};
using PLARGE_INTEGER = LARGE_INTEGER*;

struct TIME_FIELDS {
  CSHORT Year, Month, Day, Hour, Minute, Second, Milliseconds, Weekday;
};
using PTIME_FIELDS = TIME_FIELDS*;

using ACCESS_MASK = ULONG;
using PACCESS_MASK = ACCESS_MASK*;
struct GENERIC_MAPPING {
  ACCESS_MASK GenericRead, GenericWrite, GenericExecute, GenericAll;
};
using PGENERIC_MAPPING = GENERIC_MAPPING*;
#define GENERIC_READ 0x80000000u
#define GENERIC_WRITE 0x40000000u
#define GENERIC_EXECUTE 0x20000000u
#define GENERIC_ALL 0x10000000u
#define VER_MINORVERSION 1
#define VER_MAJORVERSION 2
#define VER_BUILDNUMBER 4
#define VER_PLATFORMID 8
#define VER_SERVICEPACKMINOR 0x10
#define VER_SERVICEPACKMAJOR 0x20
#define VER_SUITENAME 0x40
#define VER_PRODUCT_TYPE 0x80

struct GENERATE_NAME_CONTEXT {
  USHORT Checksum;
  BOOLEAN CheckSumInserted;
  UCHAR NameLength;
  WCHAR NameBuffer[8];
  ULONG ExtensionLength;
  WCHAR ExtensionBuffer[4];
  ULONG LastIndexValue;
};
using PGENERATE_NAME_CONTEXT = GENERATE_NAME_CONTEXT*;

struct GUID {
  ULONG Data1;
  USHORT Data2;
  USHORT Data3;
  UCHAR Data4[8];
};
using REFGUID = const GUID&;

struct RTL_BITMAP {
  ULONG SizeOfBitMap;
  PULONG Buffer;
};
using PRTL_BITMAP = RTL_BITMAP*;
struct RTL_BITMAP_RUN {
  ULONG StartingIndex;
  ULONG NumberOfBits;
};
using PRTL_BITMAP_RUN = RTL_BITMAP_RUN*;

using PBOOLEAN = BOOLEAN*;
enum TABLE_SEARCH_RESULT { TableEmptyTree, TableFoundNode, TableInsertAsLeft, TableInsertAsRight };
enum RTL_GENERIC_COMPARE_RESULTS { GenericLessThan, GenericGreaterThan, GenericEqual };

struct LIST_ENTRY {
  LIST_ENTRY* Flink;
  LIST_ENTRY* Blink;
};
using PLIST_ENTRY = LIST_ENTRY*;

struct RTL_BALANCED_LINKS {
  RTL_BALANCED_LINKS *Parent, *LeftChild, *RightChild;
  CHAR Balance;
  UCHAR Reserved[3];
};
using PRTL_BALANCED_LINKS = RTL_BALANCED_LINKS*;
struct RTL_AVL_TABLE;
using PRTL_AVL_TABLE = RTL_AVL_TABLE*;
using PRTL_AVL_COMPARE_ROUTINE = RTL_GENERIC_COMPARE_RESULTS (*)(PRTL_AVL_TABLE, PVOID, PVOID);
using PRTL_AVL_ALLOCATE_ROUTINE = PVOID (*)(PRTL_AVL_TABLE, CLONG);
using PRTL_AVL_FREE_ROUTINE = VOID (*)(PRTL_AVL_TABLE, PVOID);
struct RTL_AVL_TABLE {
  RTL_BALANCED_LINKS BalancedRoot;
  PVOID OrderedPointer;
  ULONG WhichOrderedElement, NumberGenericTableElements, DepthOfTree;
  PRTL_BALANCED_LINKS RestartKey;
  ULONG DeleteCount;
  PRTL_AVL_COMPARE_ROUTINE CompareRoutine;
  PRTL_AVL_ALLOCATE_ROUTINE AllocateRoutine;
  PRTL_AVL_FREE_ROUTINE FreeRoutine;
  PVOID TableContext;
};

struct RTL_SPLAY_LINKS {
  RTL_SPLAY_LINKS *Parent, *LeftChild, *RightChild;
};
using PRTL_SPLAY_LINKS = RTL_SPLAY_LINKS*;
struct RTL_GENERIC_TABLE;
using PRTL_GENERIC_TABLE = RTL_GENERIC_TABLE*;
using PRTL_GENERIC_COMPARE_ROUTINE = RTL_GENERIC_COMPARE_RESULTS (*)(PRTL_GENERIC_TABLE, PVOID, PVOID);
using PRTL_GENERIC_ALLOCATE_ROUTINE = PVOID (*)(PRTL_GENERIC_TABLE, CLONG);
using PRTL_GENERIC_FREE_ROUTINE = VOID (*)(PRTL_GENERIC_TABLE, PVOID);
struct RTL_GENERIC_TABLE {
  PRTL_SPLAY_LINKS TableRoot;
  LIST_ENTRY InsertOrderList;
  PLIST_ENTRY OrderedPointer;
  ULONG WhichOrderedElement, NumberGenericTableElements;
  PRTL_GENERIC_COMPARE_ROUTINE CompareRoutine;
  PRTL_GENERIC_ALLOCATE_ROUTINE AllocateRoutine;
  PRTL_GENERIC_FREE_ROUTINE FreeRoutine;
  PVOID TableContext;
};

struct RTL_OSVERSIONINFOW {
  ULONG dwOSVersionInfoSize, dwMajorVersion, dwMinorVersion, dwBuildNumber, dwPlatformId;
  WCHAR szCSDVersion[128];
};
using PRTL_OSVERSIONINFOW = RTL_OSVERSIONINFOW*;
struct RTL_OSVERSIONINFOEXW {
  ULONG dwOSVersionInfoSize, dwMajorVersion, dwMinorVersion, dwBuildNumber, dwPlatformId;
  WCHAR szCSDVersion[128];
  USHORT wServicePackMajor, wServicePackMinor, wSuiteMask;
  UCHAR wProductType, wReserved;
};
using PRTL_OSVERSIONINFOEXW = RTL_OSVERSIONINFOEXW*;

// Tests count what is allocated and not freed.
inline int rtl_host_allocations = 0;
enum POOL_TYPE { NonPagedPool, PagedPool };
inline PVOID ExAllocatePoolWithTag(POOL_TYPE, SIZE_T size, ULONG) {
  ++rtl_host_allocations;
  return malloc(size);
}
inline VOID ExFreePoolWithTag(PVOID block, ULONG) {
  --rtl_host_allocations;
  free(block);
}

#define NT_EXPORT(Name, Irql, Level, Tests) static_assert(true)
#define NT_EXPORT_DATA(Name, Level, Tests) static_assert(true)

#include "rtl/host_names.h"
