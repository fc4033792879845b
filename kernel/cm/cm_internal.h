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
};
inline constexpr ULONG kParseMagic = 'yeKC';

bool InSystemHive(const Key* key);
void MarkChanged(Key* key);
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
