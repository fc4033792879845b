// Private to cm.
#pragma once

#include "cm/cm.h"
#include "hive.h"
#include "ob/ob.h"

extern "C" {
// The body of a Key object.
typedef struct _CM_KEY_BODY {
  ULONG Type;
  cm::Key* KeyControlBlock;
  PVOID Name;                  // UNICODE_STRING that CmCallbackGetKeyObjectID gave out; 0: none
  LIST_ENTRY ContextListHead;  // what callbacks attached to this object: cm/callbacks.cpp
} CM_KEY_BODY, *PCM_KEY_BODY;
inline constexpr ULONG kKeyBodyType = 0x6b793032;  // "ky02"
}

namespace cm {

// One push lock guards every hive. Held with normal kernel APCs off.
class RegistryLock {
 public:
  enum class Access { kShared, kExclusive };
  explicit RegistryLock(Access access);
  ~RegistryLock();
  RegistryLock(const RegistryLock&) = delete;
  RegistryLock& operator=(const RegistryLock&) = delete;

 private:
  Access access_;
};

extern Key* g_root;       // \REGISTRY
extern Key* g_system;     // \REGISTRY\MACHINE\SYSTEM
extern bool g_dirty;      // the system hive changed since it was written
extern bool g_may_write;  // the hive file was read, or there was none

// What NtCreateKey hands to the parse procedure.
struct KeyParseContext {
  ULONG magic;
  bool create;
  bool is_volatile;
  ULONG disposition;
  bool is_link = false;    // the new key is a link
  bool open_link = false;  // the last component is meant itself, link or not
  Text class_name = {};
  PSECURITY_DESCRIPTOR security = nullptr;
};
inline constexpr ULONG kParseMagic = 'yeKC';

bool InSystemHive(const Key* key);
// A key changed in the way that `filter` (REG_NOTIFY_CHANGE_...) says: its time, the hive's need to be
// written, who watches it. Registry locked exclusively.
void MarkChanged(Key* key, ULONG filter);
// Completes the requests to watch `key`, or a key above it with its subtree (notify.cpp). Registry locked.
void TellWatchers(Key* key, ULONG filter);
// ... all that were made through a key object whose last handle is closed.
void DropWatchers(PCM_KEY_BODY body);
NTSTATUS InitTransactions();
// The security method of the type Key (ob/security.h).
NTSTATUS KeySecurity(PVOID object, bool set, PSECURITY_INFORMATION information,
                     PSECURITY_DESCRIPTOR descriptor, PULONG length);
// Of a key that is being created with an explicit descriptor (0: none). Registry locked.
NTSTATUS AssignKeySecurity(Key* key, PSECURITY_DESCRIPTOR given);
// Whether the caller may open a key: kernel mode may, unless the attributes force the check.
NTSTATUS CheckKeyAccess(PVOID object, ACCESS_MASK desired, ULONG attributes, ACCESS_MASK* granted);
NTSTATUS NewKeyObject(Key* key, PVOID* object);
inline Text TextOf(PCUNICODE_STRING string) {
  return {reinterpret_cast<const char16_t*>(string->Buffer),
          static_cast<uint16_t>(string->Length / sizeof(WCHAR))};
}
NTSTATUS StatusOf(HiveStatus status);

// The full name of a key, \REGISTRY\...: its length in bytes, and its characters (no terminator). Registry
// locked.
ULONG PathLength(const Key* key);
void CopyPath(const Key* key, WCHAR* name, ULONG length);

}  // namespace cm
