// What the answers to ZwQuerySystemInformation are put together with, and the classes by file.
#pragma once

#include "ex/pool.h"
#include "system_information.h"

namespace ex {

inline constexpr ULONG kInformationTag = 'fnIS';

inline LARGE_INTEGER Ticks(ULONG64 count) {
  constexpr ULONG64 kTick = 156'250;  // 100 ns
  LARGE_INTEGER time;
  time.QuadPart = static_cast<LONGLONG>(count * kTick);
  return time;
}

// The answer to a query: what fits is written, what all of it takes is counted. The caller's buffer may be
// pageable: no lock is held while it is written.
class Answer {
 public:
  Answer(PVOID buffer, ULONG length) : buffer_(static_cast<UCHAR*>(buffer)), length_(length) {}
  ULONG needed() const { return needed_; }
  void Put(ULONG offset, const void* data, ULONG bytes) {
    if (offset <= length_ && bytes <= length_ - offset) RtlCopyMemory(buffer_ + offset, data, bytes);
    if (needed_ < offset + bytes) needed_ = offset + bytes;
  }
  ULONG Append(const void* data, ULONG bytes) {
    const ULONG at = needed_;
    Put(at, data, bytes);
    return at;
  }
  void AlignTo(ULONG alignment) { needed_ = (needed_ + alignment - 1) & ~(alignment - 1); }
  PVOID AddressOf(ULONG offset) const { return buffer_ + offset; }
  NTSTATUS Finish(PULONG returned) const {
    if (returned != nullptr) *returned = needed_;
    return needed_ <= length_ ? STATUS_SUCCESS : STATUS_INFO_LENGTH_MISMATCH;
  }

 private:
  UCHAR* buffer_;
  ULONG length_;
  ULONG needed_ = 0;
};

// An array in nonpaged pool that a walk under a spin lock fills; grows between walks.
template <typename T>
class Snapshot {
 public:
  ~Snapshot() {
    if (items_ != nullptr) ExFreePoolWithTag(items_, kInformationTag);
  }
  // Walks until everything fits: fill(this) calls Add for each item.
  template <typename Fill>
  NTSTATUS Take(Fill fill) {
    for (ULONG capacity = 64;; capacity = found_ + found_ / 4 + 8) {
      if (items_ != nullptr) ExFreePoolWithTag(items_, kInformationTag);
      items_ = static_cast<T*>(ExAllocatePoolWithTag(NonPagedPoolNx, capacity * sizeof(T), kInformationTag));
      if (items_ == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
      capacity_ = capacity;
      found_ = 0;
      fill(this);
      if (found_ <= capacity_) return STATUS_SUCCESS;
    }
  }
  void Add(const T& item) {
    if (found_ < capacity_) items_[found_] = item;
    ++found_;
  }
  ULONG count() const { return found_; }
  const T& operator[](ULONG i) const { return items_[i]; }

 private:
  T* items_ = nullptr;
  ULONG capacity_ = 0, found_ = 0;
};

// system_processes.cpp
NTSTATUS QueryProcesses(Answer* answer, bool extended);
NTSTATUS QueryProcessId(PVOID information, ULONG length, PULONG returned);
// system_handles.cpp
NTSTATUS QueryHandles(Answer* answer, bool extended);
// system_facts.cpp: what takes a few lines. STATUS_INVALID_INFO_CLASS: no class of that file.
NTSTATUS QueryFact(ULONG information_class, Answer* answer);

}  // namespace ex
