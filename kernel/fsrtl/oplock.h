// Opportunistic locks of one stream: who holds which, which of them are breaking, who waits for that.
#pragma once

#include "fsrtl_internal.h"

// Statuses that the headers lack.
#ifndef STATUS_OPLOCK_SWITCHED_TO_NEW_HANDLE
#define STATUS_OPLOCK_SWITCHED_TO_NEW_HANDLE ((NTSTATUS)0x00000215)
#define STATUS_OPLOCK_HANDLE_CLOSED ((NTSTATUS)0x00000216)
#define STATUS_CANNOT_GRANT_REQUESTED_OPLOCK ((NTSTATUS)0x8000002E)
#endif

namespace fsrtl {

enum class OplockKind : UCHAR { kLevel2, kLevel1, kBatch, kFilter, kGranular };

inline constexpr ULONG kCacheRead = OPLOCK_LEVEL_CACHE_READ;
inline constexpr ULONG kCacheHandle = OPLOCK_LEVEL_CACHE_HANDLE;
inline constexpr ULONG kCacheWrite = OPLOCK_LEVEL_CACHE_WRITE;

struct Holder {
  LIST_ENTRY link;
  PFILE_OBJECT file;
  PIRP irp;  // the pending request; 0 while it breaks
  OplockKind kind;
  ULONG level;     // what it may cache
  ULONG break_to;  // while it breaks
  bool breaking;   // an acknowledgment is due
  bool blocks;     // and operations wait for it

  bool Exclusive() const { return kind == OplockKind::kFilter || (level & kCacheWrite) != 0; }
};

struct Waiter {
  LIST_ENTRY link;
  PIRP irp;
  PVOID context;
  POPLOCK_WAIT_COMPLETE_ROUTINE completion;  // 0: a thread waits for `event`
  KEVENT* event;
};

// Behind an OPLOCK, made by the first request.
struct OplockState {
  KSPIN_LOCK lock;
  LIST_ENTRY holders;
  LIST_ENTRY waiters;
};

inline OplockState* StateOf(POPLOCK oplock) {
  return static_cast<OplockState*>(*const_cast<PVOID volatile*>(oplock));
}

// What an operation does to an oplock.
struct Break {
  bool breaks;
  ULONG to;
  bool acknowledged;  // the holder must acknowledge
  bool waits;         // and the operation waits for that
};
inline constexpr Break kNoBreak = {};

Break BreakFor(const Holder& holder, PIRP irp);
Break BreakHandle(const Holder& holder, PIRP irp);
Break BreakAll(const Holder& holder, PIRP irp);

using Decision = Break (*)(const Holder& holder, PIRP irp);

NTSTATUS RequestOplock(POPLOCK oplock, PIRP irp, OplockKind kind, ULONG level, ULONG open_count);
NTSTATUS Acknowledge(POPLOCK oplock, PIRP irp, bool granular, ULONG accepted);
NTSTATUS ClosePending(POPLOCK oplock, PIRP irp);
NTSTATUS NotifyOfBreak(POPLOCK oplock, PIRP irp);
NTSTATUS CheckOplock(POPLOCK oplock, PIRP irp, ULONG flags, PVOID context,
                     POPLOCK_WAIT_COMPLETE_ROUTINE completion, POPLOCK_FS_PREPOST_IRP prepost,
                     Decision decide);
void HolderCloses(POPLOCK oplock, PFILE_OBJECT file);
void DeleteOplock(POPLOCK oplock);
// Whether a holder has any of the levels.
bool AnyHolder(POPLOCK oplock, bool (*wanted)(const Holder& holder));

}  // namespace fsrtl
