/* A driver that asks the kernel for everything that needs memory, again and again, gives back what it got and
 * goes on when it got nothing. It is what fail-pool is for (tests/system/low_memory_test.py). */
#pragma once

#include <ntifs.h>

#define TAG 'vrtS'

/* Counts an answer; whether it was a success. Running out of memory is the only refusal that a round may
 * meet. */
#define Note(Status) NoteAt(Status, __func__, __LINE__)
BOOLEAN NoteAt(NTSTATUS Status, PCSTR Where, ULONG Line);
/* The same for a routine that answers with a pointer. */
#define NotePointer(Pointer) Note((Pointer) == NULL ? STATUS_INSUFFICIENT_RESOURCES : STATUS_SUCCESS)

VOID Name(PUNICODE_STRING String, POBJECT_ATTRIBUTES Attributes, PCWSTR Text);

/* Removes a key: also one whose creation was refused when only its handle was missing, for then it is there.
 */
VOID ForgetKey(PCWSTR Text);

extern PDRIVER_OBJECT Driver;
extern PDEVICE_OBJECT Device;

/* The scenarios, each of which leaves nothing behind. */
VOID Locks(VOID);
VOID Callbacks(VOID);
VOID Timers(VOID);
VOID Lookasides(VOID);
VOID Registrations(VOID);
VOID FloatingPoint(VOID);
VOID Queries(VOID);
VOID MdlsAndMappings(VOID);
VOID Sections(VOID);
VOID ProcessMemory(VOID);
VOID PagingOut(VOID);
VOID Files(VOID);
VOID FileSystem(VOID);
VOID FileSystemHelpers(VOID);
VOID CodePages(VOID);
VOID HashTables(VOID);
VOID MoreRegistrations(VOID);
VOID Descriptors(VOID);
VOID SystemQueries(VOID);
VOID Requests(VOID);
VOID Devices(VOID);
VOID OtherDriver(VOID);
VOID Keys(VOID);
VOID RegistryHelpers(VOID);
VOID Strings(VOID);
VOID Names(VOID);
VOID Threads(VOID);
VOID Notifications(VOID);
VOID CopiedMemory(VOID);
