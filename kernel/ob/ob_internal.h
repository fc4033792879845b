// Private to ob.
#pragma once

#include "ob/ob.h"

inline constexpr ULONG kObjectTag = 'jbOe';
inline constexpr ULONG kNameTag = 'mNbO';
inline constexpr ULONG kDirectoryTag = 'iDbO';
inline constexpr ULONG kHandleTag = 'atbO';
inline constexpr ULONG kMaxReparses = 32;

extern "C" {
// Frees an object whose last reference is gone. PASSIVE_LEVEL.
VOID ObpRemoveObjectRoutine(POBJECT_HEADER Header);
// Removes the name of a temporary object without handles, and the directory's reference.
VOID ObpDeleteNameCheck(PVOID Object);
// Directory entries; the directory's lock is taken inside. Insert takes a reference; lookup returns one.
NTSTATUS ObpInsertDirectoryEntry(POBJECT_DIRECTORY Directory, PVOID Object);
PVOID ObpLookupDirectoryEntry(POBJECT_DIRECTORY Directory, PCUNICODE_STRING Name);
BOOLEAN ObpDeleteDirectoryEntry(POBJECT_DIRECTORY Directory, PVOID Object);
VOID NTAPI ObpDeleteDirectory(PVOID Object);
VOID NTAPI ObpDeleteSymbolicLink(PVOID Object);

extern POBJECT_DIRECTORY ObpGlobalDosDevicesDirectory;
}

namespace ob {

NTSTATUS InitHandleTable();
// A handle to `object` with the access that the callbacks of ObRegisterCallbacks leave. `creator`: an address
// in the image that the handle belongs to, unless a Zw service knows it. <= DISPATCH_LEVEL for types without
// callbacks.
NTSTATUS CreateHandle(OB_OPERATION operation, PVOID object, ACCESS_MASK access, ULONG attributes,
                      PVOID creator, HANDLE* handle);
// The body of a Device, File... handle; 0 when the handle is not open. Takes a reference.
PVOID LookupHandle(HANDLE handle, KPROCESSOR_MODE mode, HANDLE_TABLE_ENTRY* entry);

}  // namespace ob
