// A process without a program for a test, ended when it goes out of scope.
#pragma once

#include "ddi.h"
#include "ddi_security.h"

namespace nt_test {

class Process {
 public:
  Process() {
    PVOID body = nullptr;
    if (NT_SUCCESS(PsCreateSystemProcess(&handle_, PROCESS_ALL_ACCESS, nullptr)) &&
        NT_SUCCESS(ObReferenceObjectByHandle(handle_, 0, *PsProcessType, KernelMode, &body, nullptr)))
      object_ = static_cast<PEPROCESS>(body);
  }
  ~Process() {
    if (object_ == nullptr) return;
    if (PsGetProcessExitStatus(object_) == STATUS_PENDING) ZwTerminateProcess(handle_, STATUS_SUCCESS);
    ObDereferenceObject(object_);
    ZwClose(handle_);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;
  bool made() const { return object_ != nullptr; }
  HANDLE handle() const { return handle_; }
  PEPROCESS object() const { return object_; }
  HANDLE id() const { return PsGetProcessId(object_); }
  template <typename T>
  NTSTATUS Query(PROCESSINFOCLASS information, T* value) const {
    return ZwQueryInformationProcess(handle_, information, value, sizeof(T), nullptr);
  }

 private:
  HANDLE handle_ = nullptr;
  PEPROCESS object_ = nullptr;
};

}  // namespace nt_test
