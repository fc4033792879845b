// A system thread for a test, joined when it goes out of scope.
#pragma once

#include "ddi.h"

namespace nt_test {

class Thread {
 public:
  // PASSIVE_LEVEL. Check started() before use.
  Thread(PKSTART_ROUTINE routine, PVOID context) {
    HANDLE handle;
    if (!NT_SUCCESS(
            PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, routine, context)))
      return;
    if (!NT_SUCCESS(ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, &object_,
                                              nullptr)))
      object_ = nullptr;
    ZwClose(handle);
  }
  ~Thread() { Join(); }
  Thread(const Thread&) = delete;
  Thread& operator=(const Thread&) = delete;

  bool started() const { return object_ != nullptr; }
  PETHREAD object() const { return static_cast<PETHREAD>(object_); }

  void Join() {
    if (object_ == nullptr) return;
    KeWaitForSingleObject(object_, Executive, KernelMode, FALSE, nullptr);
    ObDereferenceObject(object_);
    object_ = nullptr;
  }

 private:
  PVOID object_ = nullptr;
};

inline LARGE_INTEGER Milliseconds(LONGLONG count) {
  LARGE_INTEGER interval;
  interval.QuadPart = -10000 * count;
  return interval;
}

inline void Sleep(LONGLONG milliseconds) {
  LARGE_INTEGER interval = Milliseconds(milliseconds);
  KeDelayExecutionThread(KernelMode, FALSE, &interval);
}

}  // namespace nt_test
