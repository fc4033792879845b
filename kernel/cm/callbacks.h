// Registry operations as the callbacks of CmRegisterCallback(Ex) see them.
#pragma once

#include "cm_internal.h"

namespace cm {

// What an operation is announced as before and after it.
struct Notice {
  REG_NOTIFY_CLASS before, after;
};
inline constexpr Notice kDeleteKey = {RegNtPreDeleteKey, RegNtPostDeleteKey};
inline constexpr Notice kSetValueKey = {RegNtPreSetValueKey, RegNtPostSetValueKey};
inline constexpr Notice kDeleteValueKey = {RegNtPreDeleteValueKey, RegNtPostDeleteValueKey};
inline constexpr Notice kEnumerateKey = {RegNtPreEnumerateKey, RegNtPostEnumerateKey};
inline constexpr Notice kEnumerateValueKey = {RegNtPreEnumerateValueKey, RegNtPostEnumerateValueKey};
inline constexpr Notice kQueryKey = {RegNtPreQueryKey, RegNtPostQueryKey};
inline constexpr Notice kQueryValueKey = {RegNtPreQueryValueKey, RegNtPostQueryValueKey};
inline constexpr Notice kCreateKey = {RegNtPreCreateKeyEx, RegNtPostCreateKeyEx};
inline constexpr Notice kOpenKey = {RegNtPreOpenKeyEx, RegNtPostOpenKeyEx};
inline constexpr Notice kCloseKeyHandle = {RegNtPreKeyHandleClose, RegNtPostKeyHandleClose};
inline constexpr Notice kFlushKey = {RegNtPreFlushKey, RegNtPostFlushKey};

// One operation. Holds every callback that is registered when it begins until its end; without any it costs a
// comparison. PASSIVE_LEVEL, registry not locked.
class Operation {
 public:
  // `contexts`: the members CallContext and, behind it, ObjectContext (RootObjectContext) of `information`.
  // `key`: whose object context that is; 0: none.
  Operation(Notice notice, PVOID information, PVOID* contexts, PCM_KEY_BODY key);
  ~Operation();
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;

  // Asks the callbacks, highest altitude first. STATUS_SUCCESS: go on. STATUS_CALLBACK_BYPASS: a callback has
  // done it. Anything else: a callback forbids it. Unless it is STATUS_SUCCESS, After is not to be called: it
  // has been.
  NTSTATUS Before();
  // Tells the callbacks, lowest altitude first; returns the status that they make of it.
  NTSTATUS After(PVOID object, NTSTATUS status);

 private:
  static constexpr ULONG kMaximum = 32;
  NTSTATUS AfterFrom(ULONG count, PVOID object, NTSTATUS status);

  Notice notice_;
  PVOID information_;
  PVOID* contexts_;
  PCM_KEY_BODY key_;
  ULONG count_ = 0;
  struct Call {
    struct Callback* callback;
    PVOID context;
  } calls_[kMaximum];
};

// An operation with its callbacks around it.
template <typename Function>
NTSTATUS Notified(Notice notice, PVOID information, PVOID* contexts, PCM_KEY_BODY key, Function function) {
  Operation operation(notice, information, contexts, key);
  const NTSTATUS status = operation.Before();
  if (status == STATUS_CALLBACK_BYPASS) return STATUS_SUCCESS;
  if (!NT_SUCCESS(status)) return status;
  return operation.After(key, function());
}

// A key object is about to go: its contexts are handed back to their owners.
void CleanUpContexts(PCM_KEY_BODY key);

}  // namespace cm
