// The virtio 9P device: one queue in contiguous memory, several requests in flight. Replies are looked
// for by spinning for a short while, then waited for until the device interrupts.
// Callers hold the volume's lock.
#pragma once

#include <ntifs.h>

#include "p9_protocol.h"

namespace hostfs {

inline constexpr ULONG kMessageSize = 64 * 1024;  // 9P's msize
inline constexpr ULONG kWriteBehindSize = 8 * 1024 - p9::kWriteHeaderSize;

class Transport {
 public:
  // Finds the device with mount tag "host", brings its queue up. PASSIVE_LEVEL. Slot n interrupts on line
  // first_line + n of the I/O APIC.
  // STATUS_NO_SUCH_DEVICE: no such device; STATUS_DEVICE_CONFIGURATION_ERROR: it does not speak virtio 1.
  NTSTATUS Initialize(ULONG first_line);
  void Shutdown();

  // The request under construction; Finish it and Call.
  p9::Encoder Begin(p9::Type type);
  // Sends what was encoded and waits for the reply, which stays valid until the next Begin. Errno becomes
  // NTSTATUS.
  NTSTATUS Call(p9::Encoder& request, p9::Decoder* reply);
  // Requests that nobody waits for. A clunk's outcome does not matter. A write's failure is told by Settle,
  // and printed.
  void ClunkLater(ULONG fid);
  // False: too long, or not in the pool of buffers; use Call. `count` at most kWriteBehindSize.
  bool WriteLater(ULONG fid, ULONG64 offset, const void* bytes, ULONG count);
  // Starts a copy of a fid; at most one at a time. FinishClone waits for it.
  void CloneLater(ULONG fid, ULONG new_fid);
  NTSTATUS FinishClone();
  // Waits for all writes on their way; the first failure since the last call.
  NTSTATUS Settle();

 private:
  struct Descriptor {
    ULONG64 address;
    ULONG length;
    USHORT flags;
    USHORT next;
  };
  struct AvailableRing {
    USHORT flags;
    volatile USHORT index;
    USHORT ring[16];
  };
  struct UsedElement {
    ULONG id;
    ULONG length;
  };
  struct UsedRing {
    USHORT flags;
    volatile USHORT index;
    UsedElement ring[16];
  };
  // What the device reads and writes besides the two large buffers: in one page.
  struct Shared {
    Descriptor descriptors[16];
    AvailableRing available;
    alignas(64) UsedRing used;
    alignas(64) UCHAR small[8][2][64];  // requests (but for slot 0 and writes) and replies
  };
  static_assert(sizeof(Shared) <= PAGE_SIZE);

  static constexpr USHORT kQueueSize = 16;
  static constexpr USHORT kSlots = 8;  // 0: the caller's request, 1: clones, 2 to 4: clunks, 5 to 7: writes
  static constexpr USHORT kCloneSlot = 1;
  static constexpr USHORT kFirstClunkSlot = 2;
  static constexpr USHORT kFirstWriteSlot = 5;

  static KSERVICE_ROUTINE OnInterrupt;
  static KDEFERRED_ROUTINE OnDpc;

  NTSTATUS FindDevice(ULONG first_line);
  void ConnectInterrupt();
  NTSTATUS StartDevice();
  NTSTATUS AllocateBuffers();
  ULONG Read(ULONG offset) const {
    return READ_REGISTER_ULONG(reinterpret_cast<PULONG>(registers_ + offset));
  }
  void Write(ULONG offset, ULONG value) {
    WRITE_REGISTER_ULONG(reinterpret_cast<PULONG>(registers_ + offset), value);
  }
  PUCHAR RequestBuffer(USHORT slot);
  USHORT FreeSlot(USHORT first, USHORT end);
  void Submit(USHORT slot, ULONG request_size);
  void Finished(USHORT slot, ULONG length);
  void Reap();
  NTSTATUS WaitFor(USHORT slot);
  void Sleep();

  PUCHAR window_ = nullptr;          // all eight slots of the device window
  PUCHAR registers_ = nullptr;       // the one that is ours
  ULONG line_ = 0;                   // of the I/O APIC
  PKINTERRUPT interrupt_ = nullptr;  // 0: none; then waiting is sleeping between looks
  KDPC dpc_ = {};
  KEVENT answered_ = {};  // auto-reset
  Shared* shared_ = nullptr;
  PUCHAR request_ = nullptr;
  PUCHAR reply_ = nullptr;
  PUCHAR writes_ = nullptr;  // kWriteBehindSize and a header for each write slot
  NTSTATUS late_error_ = STATUS_SUCCESS;
  NTSTATUS clone_status_ = STATUS_SUCCESS;
  USHORT last_used_ = 0;
  bool busy_[kSlots] = {};
  ULONG write_counts_[kSlots - kFirstWriteSlot] = {};
  ULONG reply_length_ = 0;
  p9::Type type_ = p9::Type::kTversion;
};

// NTSTATUS of a Linux errno.
NTSTATUS StatusOfErrno(ULONG error);

}  // namespace hostfs
