/* A driver that several tool chains build in several ways. DriverEntry, in a section that is discarded, checks what the
 * loader had to do: relocations, zeroed and initialised data of megabytes, the security cookie, resources; the unload
 * routine checks that the discarded section is gone. It fails with STATUS_INVALID_IMAGE_FORMAT where something is wrong. */
#include <ntddk.h>

#ifdef _MSC_VER
#pragma code_seg("INIT")
DRIVER_INITIALIZE DriverEntry;
#pragma code_seg()
#define INIT_SECTION __attribute__((section("INIT")))
#else
#define INIT_SECTION __attribute__((section("INIT")))
#endif

#ifdef BIG_SECTIONS
#define BIG (8 * 1024 * 1024)
#else
#define BIG 4096
#endif

NTKERNELAPI PVOID NTAPI RtlImageDirectoryEntryToData(PVOID Base, BOOLEAN Mapped, USHORT Entry, PULONG Size);

static UCHAR zeroed[BIG];
static UCHAR filled[BIG] = {[0] = 1, [BIG / 2] = 2, [BIG - 1] = 3};

typedef ULONG (*STEP)(ULONG);
static ULONG __attribute__((noinline)) AddOne(ULONG value) { return value + 1; }
static ULONG __attribute__((noinline)) Double(ULONG value) { return value * 2; }
static STEP volatile steps[] = {AddOne, Double, AddOne}; /* pointers that are relocated, and called indirectly */

#ifdef GUARD
/* Calls through pointers go through this one, which the loader sets; until then it leads to the target unchecked. */
void GuardNothing(void);
__asm__(".globl GuardNothing\nGuardNothing:\n  jmp *%rax\n");
void (*const volatile __guard_dispatch_icall_fptr)(void) = GuardNothing;
static void CheckNothing(void) {}
void (*const volatile __guard_check_icall_fptr)(void) = CheckNothing;
extern const ULONG __guard_fids_table[], __guard_fids_count[], __guard_flags[];
#endif

#ifdef STACK_COOKIE
/* What BufferOverflowFastFailK.lib gives a driver: the loader replaces the value. */
#define DEFAULT_COOKIE 0x00002B992DDFA232ULL
ULONG_PTR __security_cookie = DEFAULT_COOKIE;
void __security_check_cookie(ULONG_PTR cookie) {
  if (cookie != __security_cookie) KeBugCheckEx(0xF7, cookie, __security_cookie, 0, 0);
}

/* Large enough that the compiler protects it. */
static ULONG __attribute__((noinline)) UseBuffer(ULONG value) {
  volatile char buffer[64];
  ULONG i, sum = 0;
  for (i = 0; i < sizeof(buffer); ++i) buffer[i] = (char)(value + i);
  for (i = 0; i < sizeof(buffer); ++i) sum += (UCHAR)buffer[i];
  return sum;
}
#endif

#if defined(GUARD) || defined(STACK_COOKIE)
/* The load configuration directory as far as it is used here. */
typedef struct {
  ULONG Size;
  ULONG unused[21];
  ULONG_PTR SecurityCookie; /* 0x58 */
  ULONG_PTR SEHandler[2];
  ULONG_PTR GuardCFCheckFunctionPointer; /* 0x70 */
  ULONG_PTR GuardCFDispatchFunctionPointer;
  ULONG_PTR GuardCFFunctionTable;
  ULONG_PTR GuardCFFunctionCount;
  ULONG_PTR GuardFlags; /* and CodeIntegrity */
  ULONG_PTR end;
} LOAD_CONFIG;
const LOAD_CONFIG _load_config_used = {
    .Size = 0xA0,
#ifdef STACK_COOKIE
    .SecurityCookie = (ULONG_PTR)&__security_cookie,
#endif
#ifdef GUARD
    .GuardCFCheckFunctionPointer = (ULONG_PTR)&__guard_check_icall_fptr,
    .GuardCFDispatchFunctionPointer = (ULONG_PTR)&__guard_dispatch_icall_fptr,
    .GuardCFFunctionTable = (ULONG_PTR)__guard_fids_table,
    .GuardCFFunctionCount = (ULONG_PTR)__guard_fids_count,
    .GuardFlags = (ULONG_PTR)__guard_flags,
#endif
};
#endif

static PVOID entry_address;

static BOOLEAN CheckData(void) {
  ULONG i;
  for (i = 0; i < BIG; i += 4093) {
    if (zeroed[i] != 0) return FALSE;
    zeroed[i] = 0xAA; /* written, too: every page takes it */
  }
  return filled[0] == 1 && filled[1] == 0 && filled[BIG / 2] == 2 && filled[BIG - 1] == 3;
}

static VOID NTAPI Unload(PDRIVER_OBJECT driver) {
  UNREFERENCED_PARAMETER(driver);
  DbgPrint("toolchain " VARIANT ": discarded section is %s\n", MmIsAddressValid(entry_address) ? "there" : "gone");
}

INIT_SECTION NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT driver, PUNICODE_STRING path) {
  ULONG value = 20, i;
  UNREFERENCED_PARAMETER(path);
  driver->DriverUnload = Unload;
  entry_address = (PVOID)driver->DriverInit;
  for (i = 0; i < 3; ++i) value = steps[i](value);
  if (value != 43 || !CheckData()) return STATUS_INVALID_IMAGE_FORMAT;
#ifdef STACK_COOKIE
  if (__security_cookie == DEFAULT_COOKIE || __security_cookie == 0) return STATUS_INVALID_IMAGE_FORMAT;
  if (UseBuffer(1) != 64 * 65 / 2) return STATUS_INVALID_IMAGE_FORMAT;
#endif
#ifdef RESOURCES
  {
    ULONG size = 0;
    PVOID resources = RtlImageDirectoryEntryToData(driver->DriverStart, TRUE, 2, &size);
    if (resources == NULL || size < 64) return STATUS_INVALID_IMAGE_FORMAT;
  }
#endif
  DbgPrint("toolchain " VARIANT ": good\n");
  return STATUS_SUCCESS;
}
