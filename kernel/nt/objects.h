// _OBJECT_HEADER, _OBJECT_TYPE, _HANDLE_TABLE, directories. Owner: io (ob). Windows's names; the layout of
// the object header is Windows 10's (Body at 0x30), the rest is ours. TypeIndex is stored plain: there is no
// ObHeaderCookie.
#pragma once

#include "nt/eprocess.h"

typedef struct _OBJECT_CREATE_INFORMATION {
  ULONG Attributes;
  HANDLE RootDirectory;
  CHAR ProbeMode;
  PVOID ParseContext;
} OBJECT_CREATE_INFORMATION, *POBJECT_CREATE_INFORMATION;

// Before the header when InfoMask has OB_INFOMASK_NAME.
typedef struct _OBJECT_HEADER_NAME_INFO {
  struct _OBJECT_DIRECTORY* Directory;  // 0: not inserted, or removed from its directory
  UNICODE_STRING Name;
  LONG ReferenceCount;
  ULONG Reserved;
} OBJECT_HEADER_NAME_INFO, *POBJECT_HEADER_NAME_INFO;
static_assert(sizeof(OBJECT_HEADER_NAME_INFO) == 0x20);

#ifndef OBJ_PROTECT_CLOSE
#define OBJ_PROTECT_CLOSE 0x00000001  // in HANDLE_TABLE_ENTRY.Attributes
#endif

#define OB_INFOMASK_NAME 0x02

#define OB_FLAG_NEW_OBJECT 0x01  // ObjectCreateInfo is valid: not inserted yet
#define OB_FLAG_KERNEL_OBJECT 0x02
#define OB_FLAG_PERMANENT_OBJECT 0x10
#define OB_FLAG_DELETED_INLINE 0x80

typedef struct _OBJECT_HEADER {
  volatile LONG_PTR PointerCount;
  union {
    volatile LONG_PTR HandleCount;
    PVOID NextToFree;
  };
  EX_PUSH_LOCK Lock;
  UCHAR TypeIndex;
  UCHAR TraceFlags;
  UCHAR InfoMask;
  UCHAR Flags;
  ULONG Reserved;
  union {
    POBJECT_CREATE_INFORMATION ObjectCreateInfo;
    PVOID QuotaBlockCharged;
  };
  PVOID SecurityDescriptor;
  QUAD Body;
} OBJECT_HEADER, *POBJECT_HEADER;
static_assert(FIELD_OFFSET(OBJECT_HEADER, Body) == 0x30 && FIELD_OFFSET(OBJECT_HEADER, TypeIndex) == 0x18);

typedef struct _OBJECT_DIRECTORY_ENTRY {
  struct _OBJECT_DIRECTORY_ENTRY* ChainLink;
  PVOID Object;
  ULONG HashValue;
} OBJECT_DIRECTORY_ENTRY, *POBJECT_DIRECTORY_ENTRY;

#define OBJECT_HASH_BUCKETS 37

typedef struct _OBJECT_DIRECTORY {
  POBJECT_DIRECTORY_ENTRY HashBuckets[OBJECT_HASH_BUCKETS];
  KSPIN_LOCK Lock;
  struct _OBJECT_DIRECTORY* ShadowDirectory;
} OBJECT_DIRECTORY, *POBJECT_DIRECTORY;

typedef struct _OBJECT_SYMBOLIC_LINK {
  LARGE_INTEGER CreationTime;
  UNICODE_STRING LinkTarget;
  ULONG Flags;
  ACCESS_MASK AccessMask;
} OBJECT_SYMBOLIC_LINK, *POBJECT_SYMBOLIC_LINK;

typedef NTSTATUS(NTAPI* OB_PARSE_METHOD)(PVOID ParseObject, PVOID ObjectType, PACCESS_STATE AccessState,
                                         KPROCESSOR_MODE AccessMode, ULONG Attributes,
                                         PUNICODE_STRING CompleteName, PUNICODE_STRING RemainingName,
                                         PVOID Context, PSECURITY_QUALITY_OF_SERVICE SecurityQos,
                                         PVOID* Object);
typedef VOID(NTAPI* OB_DELETE_METHOD)(PVOID Object);
typedef VOID(NTAPI* OB_CLOSE_METHOD)(PEPROCESS Process, PVOID Object, ULONG_PTR ProcessHandleCount,
                                     ULONG_PTR SystemHandleCount);
typedef NTSTATUS(NTAPI* OB_QUERYNAME_METHOD)(PVOID Object, BOOLEAN HasObjectName, PUNICODE_STRING Prefix,
                                             PUNICODE_STRING Remaining);

typedef struct _OBJECT_TYPE_INITIALIZER {
  USHORT Length;
  union {
    USHORT ObjectTypeFlags;
    struct {
      UCHAR CaseInsensitive : 1;
      UCHAR UnnamedObjectsOnly : 1;
      UCHAR UseDefaultObject : 1;
      UCHAR SecurityRequired : 1;
      UCHAR MaintainHandleCount : 1;
      UCHAR MaintainTypeList : 1;
      UCHAR SupportsObjectCallbacks : 1;
    };
  };
  ULONG ObjectTypeCode;
  ULONG InvalidAttributes;
  GENERIC_MAPPING GenericMapping;
  ULONG ValidAccessMask;
  ULONG RetainAccess;
  POOL_TYPE PoolType;
  ULONG DefaultPagedPoolCharge;
  ULONG DefaultNonPagedPoolCharge;
  PVOID DumpProcedure;
  PVOID OpenProcedure;
  OB_CLOSE_METHOD CloseProcedure;
  OB_DELETE_METHOD DeleteProcedure;
  OB_PARSE_METHOD ParseProcedure;
  PVOID SecurityProcedure;
  OB_QUERYNAME_METHOD QueryNameProcedure;
  PVOID OkayToCloseProcedure;
  ULONG WaitObjectFlagMask;
  USHORT WaitObjectFlagOffset;
  USHORT WaitObjectPointerOffset;
} OBJECT_TYPE_INITIALIZER, *POBJECT_TYPE_INITIALIZER;

typedef struct _OBJECT_TYPE {
  LIST_ENTRY TypeList;
  UNICODE_STRING Name;
  PVOID DefaultObject;  // (PVOID)-1: wait on the body; else the offset of a pointer to the dispatcher object
  UCHAR Index;
  volatile ULONG TotalNumberOfObjects;
  volatile ULONG TotalNumberOfHandles;
  ULONG HighWaterNumberOfObjects;
  ULONG HighWaterNumberOfHandles;
  OBJECT_TYPE_INITIALIZER TypeInfo;
  EX_PUSH_LOCK TypeLock;
  ULONG Key;  // pool tag
  LIST_ENTRY CallbackList;
} OBJECT_TYPE;

typedef struct _HANDLE_TABLE_ENTRY {
  PVOID Object;  // OBJECT_HEADER*, 0 = free
  union {
    ULONG GrantedAccessBits;
    ULONG NextFreeTableEntry;
  };
  ULONG Attributes;  // OBJ_INHERIT, OBJ_PROTECT_CLOSE
  PVOID Creator;     // return address of the code that asked for the handle: names the driver that leaves it
                     // behind
} HANDLE_TABLE_ENTRY, *PHANDLE_TABLE_ENTRY;

#define HANDLE_TABLE_PAGE_ENTRIES 256
#define HANDLE_TABLE_PAGES 256

typedef struct _HANDLE_TABLE {
  ULONG NextHandleNeedingPool;  // entries that exist
  ULONG FirstFreeHandle;        // index, 0 = none
  LONG HandleCount;
  KSPIN_LOCK Lock;
  PEPROCESS QuotaProcess;
  HANDLE_TABLE_ENTRY* TableCode[HANDLE_TABLE_PAGES];
} HANDLE_TABLE, *PHANDLE_TABLE;

extern "C" POBJECT_TYPE ObTypeIndexTable[64];

FORCEINLINE POBJECT_HEADER ObjectToHeader(PVOID object) {
  return CONTAINING_RECORD(object, OBJECT_HEADER, Body);
}
FORCEINLINE POBJECT_HEADER_NAME_INFO ObjectNameInfo(POBJECT_HEADER header) {
  return (header->InfoMask & OB_INFOMASK_NAME) ? reinterpret_cast<POBJECT_HEADER_NAME_INFO>(header) - 1
                                               : nullptr;
}
