// Handle operations as the callbacks of ObRegisterCallbacks see them.
#pragma once

#include "ob_internal.h"

struct _CALLBACK_ENTRY_ITEM;

namespace ob {

// The callbacks that concern one operation on one object, kept registered as long as this lives. Without any
// it costs two comparisons.
class HandleOperation {
 public:
  HandleOperation(POBJECT_TYPE type, PVOID object, OB_OPERATION operation, bool kernel_handle);
  ~HandleOperation();
  HandleOperation(const HandleOperation&) = delete;
  HandleOperation& operator=(const HandleOperation&) = delete;

  // Asks the pre-operation routines, highest altitude first; returns the access they leave.
  ACCESS_MASK Restrict(ACCESS_MASK access);
  // Tells the post-operation routines, lowest altitude first.
  void Complete(NTSTATUS status, ACCESS_MASK granted);

 private:
  static constexpr ULONG kMaximum = 32;
  struct Call {
    _CALLBACK_ENTRY_ITEM* item;
    PVOID context;
  };
  POBJECT_TYPE type_;
  PVOID object_;
  OB_OPERATION operation_;
  bool kernel_handle_;
  ULONG count_ = 0;
  Call calls_[kMaximum];
};

}  // namespace ob
