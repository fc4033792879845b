// What a driver's touch of user memory raises, and what the routines that probe and lock raise. Oracle: the
// WDK pages; not yet run on a real NT.
#include "nt_test.h"

namespace {

UCHAR ReadByte(volatile UCHAR* address) {
  return *address;
}
VOID WriteByte(volatile UCHAR* address) {
  *address = 1;
}
// Called through variables: only calls that may raise are guarded.
UCHAR (*volatile g_read)(volatile UCHAR*) = ReadByte;
VOID (*volatile g_write)(volatile UCHAR*) = WriteByte;

NTSTATUS TryRead(volatile UCHAR* address) {
  __try {
    g_read(address);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

NTSTATUS TryWrite(volatile UCHAR* address) {
  __try {
    g_write(address);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

NTSTATUS TryProbe(PVOID address, SIZE_T length, ULONG alignment, bool write) {
  __try {
    if (write) {
      ProbeForWrite(address, length, alignment);
    } else {
      ProbeForRead(address, length, alignment);
    }
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

NTSTATUS TryLock(PMDL mdl, KPROCESSOR_MODE mode, LOCK_OPERATION operation) {
  __try {
    MmProbeAndLockPages(mdl, mode, operation);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return static_cast<NTSTATUS>(_exception_code());
  }
  return STATUS_SUCCESS;
}

UCHAR* Allocate(ULONG pages, ULONG protect, ULONG type = MEM_RESERVE | MEM_COMMIT) {
  PVOID base = nullptr;
  SIZE_T bytes = pages * PAGE_SIZE;
  NT_EXPECT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, type, protect));
  return static_cast<UCHAR*>(base);
}

void Free(PVOID base) {
  SIZE_T bytes = 0;
  NT_EXPECT_SUCCESS(ZwFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, MEM_RELEASE));
}

}  // namespace

NT_TEST(MmUser, FaultsRaiseInTheDriver) {
  NT_EXPECT_EQ(TryRead(nullptr), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryWrite(reinterpret_cast<UCHAR*>(ULONG_PTR{0x7FFFFFFF0000})), STATUS_ACCESS_VIOLATION);
  UCHAR* reserved = Allocate(1, PAGE_READWRITE, MEM_RESERVE);
  UCHAR* read_only = Allocate(1, PAGE_READONLY);
  UCHAR* none = Allocate(1, PAGE_NOACCESS);
  NT_EXPECT_EQ(TryRead(reserved), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryRead(read_only), STATUS_SUCCESS);
  NT_EXPECT_EQ(TryWrite(read_only), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryRead(none), STATUS_ACCESS_VIOLATION);
  Free(reserved);
  NT_EXPECT_EQ(TryRead(read_only), STATUS_SUCCESS);
  Free(read_only);
  NT_EXPECT_EQ(TryRead(read_only), STATUS_ACCESS_VIOLATION);
  Free(none);
}

NT_TEST(MmVirtual, GuardPagesRaiseOnce) {
  UCHAR* guarded = Allocate(2, PAGE_READWRITE | PAGE_GUARD);
  NT_EXPECT_EQ(TryRead(guarded), STATUS_GUARD_PAGE_VIOLATION);
  NT_EXPECT_EQ(TryRead(guarded), STATUS_SUCCESS);
  NT_EXPECT_EQ(TryWrite(guarded + PAGE_SIZE), STATUS_GUARD_PAGE_VIOLATION);
  NT_EXPECT_EQ(TryWrite(guarded + PAGE_SIZE), STATUS_SUCCESS);
  Free(guarded);
}

NT_TEST(MmUser, ProbesRaise) {
  UCHAR* read_only = Allocate(2, PAGE_READONLY);
  NT_EXPECT_EQ(TryProbe(read_only, PAGE_SIZE, 1, false), STATUS_SUCCESS);
  NT_EXPECT_EQ(TryProbe(read_only, PAGE_SIZE, 1, true), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryProbe(read_only + 2, 4, 4, false), STATUS_DATATYPE_MISALIGNMENT);
  NT_EXPECT_EQ(TryProbe(MmSystemRangeStart, 4, 1, false), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryProbe(MmSystemRangeStart, 4, 1, true), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryProbe(reinterpret_cast<PVOID>(ULONG_PTR{0x7FFFFFFE0000}), 0x20000, 1, false),
               STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(TryProbe(read_only, ~SIZE_T{0}, 1, false), STATUS_ACCESS_VIOLATION);
  Free(read_only);
}

NT_TEST(MmMdl, LockRaisesWhereItCannot) {
  UCHAR* read_only = Allocate(2, PAGE_READONLY);
  PMDL mdl = IoAllocateMdl(read_only, 2 * PAGE_SIZE, FALSE, FALSE, nullptr);
  PMDL system = IoAllocateMdl(const_cast<PVOID*>(&MmSystemRangeStart), 8, FALSE, FALSE, nullptr);
  NT_ASSERT_TRUE(mdl != nullptr && system != nullptr);
  NT_EXPECT_EQ(TryLock(mdl, UserMode, IoWriteAccess), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_EQ(mdl->MdlFlags & MDL_PAGES_LOCKED, 0);
  NT_EXPECT_EQ(TryLock(mdl, UserMode, IoReadAccess), STATUS_SUCCESS);
  MmUnlockPages(mdl);
  NT_EXPECT_EQ(TryLock(system, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
  Free(read_only);
  NT_EXPECT_EQ(TryLock(mdl, UserMode, IoReadAccess), STATUS_ACCESS_VIOLATION);
  IoFreeMdl(mdl);
  IoFreeMdl(system);
}

NT_TEST(MmSection, ReadOnlyViewRefusesWrites) {
  LARGE_INTEGER size;
  size.QuadPart = PAGE_SIZE;
  HANDLE section = nullptr;
  NT_ASSERT_SUCCESS(
      ZwCreateSection(&section, SECTION_ALL_ACCESS, nullptr, &size, PAGE_READWRITE, SEC_COMMIT, nullptr));
  PVOID view = nullptr;
  SIZE_T bytes = 0;
  NT_ASSERT_SUCCESS(ZwMapViewOfSection(section, ZwCurrentProcess(), &view, 0, 0, nullptr, &bytes, ViewUnmap,
                                       0, PAGE_READONLY));
  NT_EXPECT_EQ(TryRead(static_cast<UCHAR*>(view)), STATUS_SUCCESS);
  NT_EXPECT_EQ(TryWrite(static_cast<UCHAR*>(view)), STATUS_ACCESS_VIOLATION);
  NT_EXPECT_SUCCESS(ZwUnmapViewOfSection(ZwCurrentProcess(), view));
  NT_EXPECT_EQ(TryRead(static_cast<UCHAR*>(view)), STATUS_ACCESS_VIOLATION);
  ZwClose(section);
}
