// The registry's tree, its object type and parse procedure.
#include "callbacks.h"
#include "cm_internal.h"
#include "nt/export.h"

extern "C" {
POBJECT_TYPE CmKeyObjectType;
}

/// The type of registry keys.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(CmKeyObjectType, Full, "KernelCm.*");

namespace cm {

Key* g_root;
Key* g_system;
bool g_dirty;
bool g_may_write;

namespace {

EX_PUSH_LOCK g_lock;

}  // namespace

void* HiveAllocate(size_t bytes) {
  return ExAllocatePoolWithTag(NonPagedPoolNx, bytes, '10MC');
}
void HiveFree(void* memory) {
  ExFreePoolWithTag(memory, '10MC');
}
char16_t HiveUpcase(char16_t c) {
  return static_cast<char16_t>(RtlUpcaseUnicodeChar(static_cast<WCHAR>(c)));
}

RegistryLock::RegistryLock(Access access) : access_(access) {
  KeEnterCriticalRegion();
  if (access_ == Access::kExclusive)
    ExAcquirePushLockExclusiveEx(&g_lock, 0);
  else
    ExAcquirePushLockSharedEx(&g_lock, 0);
}

RegistryLock::~RegistryLock() {
  if (access_ == Access::kExclusive)
    ExReleasePushLockExclusiveEx(&g_lock, 0);
  else
    ExReleasePushLockSharedEx(&g_lock, 0);
  KeLeaveCriticalRegion();
}

bool InSystemHive(const Key* key) {
  for (; key != nullptr; key = key->parent) {
    if (key->is_volatile) return false;
    if (key == g_system) return true;
  }
  return false;
}

void MarkChanged(Key* key, ULONG filter) {
  LARGE_INTEGER now;
  KeQuerySystemTime(&now);
  key->last_write = static_cast<uint64_t>(now.QuadPart);
  if (InSystemHive(key)) g_dirty = true;
  TellWatchers(key, filter);
}

NTSTATUS StatusOf(HiveStatus status) {
  switch (status) {
    case HiveStatus::kOk:
      return STATUS_SUCCESS;
    case HiveStatus::kNoMemory:
      return STATUS_INSUFFICIENT_RESOURCES;
    default:
      return STATUS_REGISTRY_CORRUPT;
  }
}

ULONG PathLength(const Key* key) {
  ULONG length = 0;
  for (; key != nullptr; key = key->parent) length += (key->name_length + 1) * sizeof(WCHAR);
  return length;
}

void CopyPath(const Key* key, WCHAR* name, ULONG length) {
  ULONG end = length / sizeof(WCHAR);
  for (; key != nullptr; key = key->parent) {
    end -= key->name_length;
    RtlCopyMemory(name + end, key->name, key->name_length * sizeof(WCHAR));
    name[--end] = L'\\';
  }
}

static void InitializeBody(PCM_KEY_BODY body, Key* key) {
  body->Type = kKeyBodyType;
  body->KeyControlBlock = key;
  body->Name = nullptr;
  InitializeListHead(&body->ContextListHead);
  ++key->references;
}

NTSTATUS NewKeyObject(Key* key, PVOID* object) {
  NTSTATUS status = ObCreateObject(KernelMode, CmKeyObjectType, nullptr, KernelMode, nullptr,
                                   sizeof(CM_KEY_BODY), 0, 0, object);
  if (!NT_SUCCESS(status)) return status;
  InitializeBody(static_cast<PCM_KEY_BODY>(*object), key);
  return STATUS_SUCCESS;
}

namespace {

// The last handle to a key object is closed.
VOID NTAPI CloseKeyObject(PEPROCESS, PVOID object, ULONG_PTR, ULONG_PTR system_handles) {
  if (system_handles != 1) return;
  auto* key = static_cast<PCM_KEY_BODY>(object);
  DropWatchers(key);
  REG_KEY_HANDLE_CLOSE_INFORMATION information = {};
  information.Object = object;
  (void)Notified(kCloseKeyHandle, &information, &information.CallContext, key, [] { return STATUS_SUCCESS; });
}

VOID NTAPI DeleteKeyObject(PVOID object) {
  CleanUpContexts(static_cast<PCM_KEY_BODY>(object));
  CmCallbackReleaseKeyObjectIDEx(static_cast<PUNICODE_STRING>(static_cast<PCM_KEY_BODY>(object)->Name));
  RegistryLock lock(RegistryLock::Access::kExclusive);
  Key* key = static_cast<PCM_KEY_BODY>(object)->KeyControlBlock;
  if (key != nullptr && --key->references == 0 && key->deleted) DestroyKey(key);
}

Text TakeComponent(Text* rest) {
  while (rest->length != 0 && rest->data[0] == u'\\') {
    ++rest->data;
    --rest->length;
  }
  Text component = {rest->data, 0};
  while (component.length < rest->length && rest->data[component.length] != u'\\') ++component.length;
  rest->data += component.length;
  rest->length = static_cast<uint16_t>(rest->length - component.length);
  return component;
}

bool OnlySeparators(Text text) {
  for (uint16_t i = 0; i < text.length; ++i) {
    if (text.data[i] != u'\\') return false;
  }
  return true;
}

// Creates the last component of a name below `parent`.
NTSTATUS CreateLast(Key* parent, Text name, KeyParseContext* context, Key** key) {
  if (name.length > 255) return STATUS_INVALID_PARAMETER;
  if (parent->is_volatile && !context->is_volatile && parent != g_root) return STATUS_CHILD_MUST_BE_VOLATILE;
  *key = CreateKey(parent, name, context->is_volatile);
  if (*key == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = StatusOf(SetClass(*key, context->class_name));
  if (NT_SUCCESS(status)) status = AssignKeySecurity(*key, context->security);
  if (!NT_SUCCESS(status)) {
    RemoveKey(*key);
    return status;
  }
  (*key)->is_link = context->is_link;
  MarkChanged(*key, 0);
  MarkChanged(parent, REG_NOTIFY_CHANGE_NAME);
  context->disposition = REG_CREATED_NEW_KEY;
  return STATUS_SUCCESS;
}

constexpr char16_t kLinkValue[] = u"SymbolicLinkValue";
constexpr uint32_t kRegLink = 6;
constexpr ULONG kMaximumLinks = 32;

NTSTATUS Walk(Key* start, Text name, KeyParseContext* context, ULONG links, Key** found);

// The key that a link means.
NTSTATUS FollowLink(Key* link, ULONG links, Key** found) {
  constexpr char16_t kRegistry[] = u"\\REGISTRY";
  constexpr uint16_t kPrefix = sizeof(kRegistry) / sizeof(char16_t) - 1;
  const Value* value = FindValue(link, {kLinkValue, sizeof(kLinkValue) / sizeof(char16_t) - 1});
  if (links == kMaximumLinks || value == nullptr || value->type != kRegLink)
    return STATUS_OBJECT_NAME_NOT_FOUND;
  const Text target = {reinterpret_cast<const char16_t*>(value->data),
                       static_cast<uint16_t>(value->data_length / sizeof(char16_t))};
  if (target.length <= kPrefix || CompareNames({target.data, kPrefix}, {kRegistry, kPrefix}) != 0 ||
      target.data[kPrefix] != u'\\')
    return STATUS_OBJECT_NAME_NOT_FOUND;
  return Walk(g_root, {target.data + kPrefix, static_cast<uint16_t>(target.length - kPrefix)}, nullptr,
              links + 1, found);
}

NTSTATUS Walk(Key* start, Text name, KeyParseContext* context, ULONG links, Key** found) {
  Key* key = start;
  for (;;) {
    const Text component = TakeComponent(&name);
    if (component.length == 0) break;
    Key* child = FindChild(key, component);
    if (child == nullptr) {
      const bool last = OnlySeparators(name);
      // Windows: a missing parent is a missing name, too, for keys.
      if (!last || context == nullptr || !context->create) return STATUS_OBJECT_NAME_NOT_FOUND;
      return CreateLast(key, component, context, found);
    }
    key = child;
    const bool itself = context != nullptr && context->open_link && OnlySeparators(name);
    if (key->is_link && !itself) {
      const NTSTATUS status = FollowLink(key, links, &key);
      if (!NT_SUCCESS(status)) return status;
    }
  }
  *found = key;
  return STATUS_SUCCESS;
}

NTSTATUS NTAPI ParseKey(PVOID ParseObject, PVOID, PACCESS_STATE, KPROCESSOR_MODE, ULONG, PUNICODE_STRING,
                        PUNICODE_STRING RemainingName, PVOID Context, PSECURITY_QUALITY_OF_SERVICE,
                        PVOID* Object) {
  auto* context = static_cast<KeyParseContext*>(Context);
  if (context != nullptr && context->magic != kParseMagic) return STATUS_OBJECT_TYPE_MISMATCH;
  RegistryLock lock(RegistryLock::Access::kExclusive);
  Key* start = static_cast<PCM_KEY_BODY>(ParseObject)->KeyControlBlock;
  if (start->deleted) return STATUS_KEY_DELETED;
  Key* key;
  NTSTATUS status = Walk(start, TextOf(RemainingName), context, 0, &key);
  return NT_SUCCESS(status) ? NewKeyObject(key, Object) : status;
}

NTSTATUS CreateRootObject() {
  UNICODE_STRING name = ob::String(L"\\REGISTRY");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_PERMANENT | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, CmKeyObjectType, &attributes, KernelMode, nullptr,
                                   sizeof(CM_KEY_BODY), 0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  InitializeBody(static_cast<PCM_KEY_BODY>(object), g_root);
  return ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr);
}

Key* Make(Key* parent, const char16_t* name, bool is_volatile) {
  Text text = {name, 0};
  while (name[text.length] != 0) ++text.length;
  if (parent != nullptr) {
    if (Key* key = FindChild(parent, text); key != nullptr) return key;
  }
  return CreateKey(parent, text, is_volatile);
}

// The volatile frame of the registry, and the keys of the system hive that everybody expects.
bool MakeFrame() {
  g_root = Make(nullptr, u"REGISTRY", true);
  if (g_root == nullptr) return false;
  Key* machine = Make(g_root, u"MACHINE", true);
  if (machine == nullptr || Make(g_root, u"USER", true) == nullptr) return false;
  g_system = Make(machine, u"SYSTEM", false);
  Key* hardware = Make(machine, u"HARDWARE", true);
  if (g_system == nullptr || hardware == nullptr) return false;
  Key* description = Make(hardware, u"DESCRIPTION", true);
  if (description == nullptr || Make(description, u"System", true) == nullptr ||
      Make(hardware, u"DEVICEMAP", true) == nullptr)
    return false;
  Key* control_set = Make(g_system, u"CurrentControlSet", false);
  return control_set != nullptr && Make(control_set, u"Services", false) != nullptr &&
         Make(control_set, u"Control", false) != nullptr && Make(control_set, u"Enum", false) != nullptr;
}

}  // namespace
}  // namespace cm

extern "C" NTSTATUS CmInitSystem() {
  const ob::TypeDescription type = {L"Key",
                                    ' yeK',
                                    {KEY_READ, KEY_WRITE, KEY_EXECUTE, KEY_ALL_ACCESS},
                                    KEY_ALL_ACCESS,
                                    cm::DeleteKeyObject,
                                    cm::CloseKeyObject,
                                    cm::ParseKey,
                                    nullptr,
                                    false,
                                    0};
  NTSTATUS status = ob::CreateType(type, &CmKeyObjectType);
  if (!NT_SUCCESS(status)) return status;
  CmKeyObjectType->TypeInfo.SecurityProcedure = reinterpret_cast<PVOID>(cm::KeySecurity);
  status = cm::InitTransactions();
  if (!NT_SUCCESS(status)) return status;
  if (!cm::MakeFrame()) return STATUS_INSUFFICIENT_RESOURCES;
  return cm::CreateRootObject();
}
