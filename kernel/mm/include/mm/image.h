// Driver images: loading, lookup, unloading.
#pragma once

#include "nt/eprocess.h"
#include "nt/ntos.h"

namespace mm {

// What a load found out, as text for the user: one finding a line, UTF-8. About 8 KiB: allocate it from
// nonpaged pool.
//   "ntoskrnl.exe!NoSuchFunction"             a missing import: the load fails
//   "missing library: other.sys"                        the load fails
//   "warning: ntoskrnl.exe!IoFoo is not implemented; ..." bound to a trap
//   "invalid image: <reason>"                           the load fails
struct ImageReport {
  ULONG missing_imports;
  ULONG missing_libraries;
  ULONG trapped_imports;
  ULONG lines_dropped;  // findings that did not fit
  ULONG length;         // bytes of text, without the final zero
  char text[8192 - 20];
};

}  // namespace mm

extern "C" {

// Loads the raw file `File` as a system image; DriverEntry is not called (entry->EntryPoint). `Report` is
// reset and filled. Errors as Windows gives them: STATUS_INVALID_IMAGE_NOT_MZ, STATUS_INVALID_IMAGE_FORMAT,
// STATUS_INVALID_IMAGE_WIN_32 (an x86 image), STATUS_IMAGE_CHECKSUM_MISMATCH,
// STATUS_DRIVER_ENTRYPOINT_NOT_FOUND, STATUS_DRIVER_UNABLE_TO_LOAD (an imported library that is not loaded),
// STATUS_INSUFFICIENT_RESOURCES; STATUS_IMAGE_ALREADY_LOADED for a full name that is loaded. IRQL:
// PASSIVE_LEVEL.
NTSTATUS MmLoadSystemImage(const void* File, SIZE_T Size, PCUNICODE_STRING FullName,
                           PCUNICODE_STRING BaseName, mm::ImageReport* Report, PKLDR_DATA_TABLE_ENTRY* Entry);

// Unloads it: STATUS_SUCCESS, or STATUS_CANNOT_DELETE while another image imports from it. Remembers it in
// MmUnloadedDrivers.
NTSTATUS MmUnloadSystemImage(PKLDR_DATA_TABLE_ENTRY Entry);

// Frees the discardable sections (INIT): after DriverEntry succeeded.
VOID MmFreeDriverInitialization(PKLDR_DATA_TABLE_ENTRY Entry);

// The image that contains Pc, 0 if none. Takes no lock: any IRQL, crash path.
PKLDR_DATA_TABLE_ENTRY MiLookupDataTableEntry(PVOID Pc);

// The address of an exported name of a loaded image (forwarders followed), 0 if it exports none.
PVOID MiFindExportedRoutine(PKLDR_DATA_TABLE_ENTRY Entry, const char* Name);

// What Driver Verifier wants to know of images; 0: no verifier. Called under the load lock.
struct MiVerifierHooks {
  // What an import of the kernel's export `name` is bound to; the image's entry has its name already.
  PVOID (*bind_import)(PKLDR_DATA_TABLE_ENTRY image, const char* name, PVOID original);
  void (*loaded)(PKLDR_DATA_TABLE_ENTRY image);     // before its entry routine runs
  void (*unloading)(PKLDR_DATA_TABLE_ENTRY image);  // its pages are still there
  void (*unloaded)(PCUNICODE_STRING base_name);     // no processor can run its code any more
};
extern const MiVerifierHooks* MiVerifier;

typedef struct _UNLOADED_DRIVERS {
  UNICODE_STRING Name;
  PVOID StartAddress;
  PVOID EndAddress;
  LARGE_INTEGER CurrentTime;
} UNLOADED_DRIVERS, *PUNLOADED_DRIVERS;
#define MI_UNLOADED_DRIVERS 50
extern PUNLOADED_DRIVERS MmUnloadedDrivers;
extern ULONG MmLastUnloadedDriver;
// The name of the driver that lay there last, 0 if none is remembered. Takes no lock: crash path.
PUNICODE_STRING MiLookupUnloadedDriver(PVOID Address);

}  // extern "C"
