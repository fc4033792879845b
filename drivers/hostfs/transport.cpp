#include "transport.h"

namespace hostfs {
namespace {

constexpr ULONG64 kDeviceWindow = 0xFEB00000;
constexpr ULONG kSlotSize = 0x200;
constexpr ULONG kSlotCount = 8;
constexpr ULONG kMagic = 0x74726976;
constexpr ULONG kVersion = 2;
constexpr ULONG kDevice9p = 9;

// virtio-mmio registers
constexpr ULONG kRegMagic = 0x00;
constexpr ULONG kRegVersion = 0x04;
constexpr ULONG kRegDeviceId = 0x08;
constexpr ULONG kRegDeviceFeatures = 0x10;
constexpr ULONG kRegDeviceFeaturesSelect = 0x14;
constexpr ULONG kRegDriverFeatures = 0x20;
constexpr ULONG kRegDriverFeaturesSelect = 0x24;
constexpr ULONG kRegQueueSelect = 0x30;
constexpr ULONG kRegQueueNumMax = 0x34;
constexpr ULONG kRegQueueNum = 0x38;
constexpr ULONG kRegQueueReady = 0x44;
constexpr ULONG kRegQueueNotify = 0x50;
constexpr ULONG kRegInterruptStatus = 0x60;
constexpr ULONG kRegInterruptAcknowledge = 0x64;
constexpr ULONG kRegStatus = 0x70;
constexpr ULONG kRegQueueDescriptors = 0x80;
constexpr ULONG kRegQueueDriver = 0x90;
constexpr ULONG kRegQueueDevice = 0xA0;
constexpr ULONG kRegConfig = 0x100;

constexpr ULONG kStatusAcknowledge = 1;
constexpr ULONG kStatusDriver = 2;
constexpr ULONG kStatusDriverOk = 4;
constexpr ULONG kStatusFeaturesOk = 8;
constexpr ULONG kFeatureMountTag = 1u << 0;
constexpr ULONG kFeatureVersion1 = 1u << 0;  // bit 32: the first of the upper half
constexpr USHORT kNext = 1;
constexpr USHORT kDeviceWrites = 2;
constexpr USHORT kNoInterrupt = 1;

// How long a reply is looked for by spinning; longer costs more processor time than it saves. How long a wait
// for the interrupt lasts before the next look all the same, and when the host counts as gone.
constexpr LONGLONG kSpinMicroseconds = 40;
constexpr int kLooksPerPause = 4000;          // a pause takes the emulator's lock, which the reply needs too
constexpr LONGLONG kLookAgain = -20 * 10000;  // 20 ms, relative
constexpr LONGLONG kGiveUpMicroseconds = 60000000;

constexpr ULONG kWriteSlotSize = kWriteBehindSize + p9::kWriteHeaderSize;
constexpr ULONG kSmallSize = 64;

PVOID AllocateContiguous(SIZE_T size) {
  PHYSICAL_ADDRESS highest;
  highest.QuadPart = MAXLONGLONG;
  PVOID memory = MmAllocateContiguousMemory(size, highest);
  if (memory != nullptr) RtlZeroMemory(memory, size);
  return memory;
}

}  // namespace

BOOLEAN NTAPI Transport::OnInterrupt(PKINTERRUPT, PVOID context) {
  auto* transport = static_cast<Transport*>(context);
  const ULONG reasons = transport->Read(kRegInterruptStatus);
  if (reasons == 0) return FALSE;
  transport->Write(kRegInterruptAcknowledge, reasons);
  KeInsertQueueDpc(&transport->dpc_, nullptr, nullptr);
  return TRUE;
}

VOID NTAPI Transport::OnDpc(PKDPC, PVOID context, PVOID, PVOID) {
  KeSetEvent(&static_cast<Transport*>(context)->answered_, IO_DISK_INCREMENT, FALSE);
}

#pragma code_seg("PAGE")

NTSTATUS StatusOfErrno(ULONG error) {
  switch (error) {
    case 1:  // EPERM
    case 13:
      return STATUS_ACCESS_DENIED;  // EACCES
    case 2:
      return STATUS_OBJECT_NAME_NOT_FOUND;  // ENOENT
    case 12:
      return STATUS_INSUFFICIENT_RESOURCES;  // ENOMEM
    case 16:
      return STATUS_SHARING_VIOLATION;  // EBUSY
    case 17:
      return STATUS_OBJECT_NAME_COLLISION;  // EEXIST
    case 18:
      return STATUS_NOT_SAME_DEVICE;  // EXDEV
    case 20:
      return STATUS_NOT_A_DIRECTORY;  // ENOTDIR
    case 21:
      return STATUS_FILE_IS_A_DIRECTORY;  // EISDIR
    case 22:
      return STATUS_INVALID_PARAMETER;  // EINVAL
    case 23:                            // ENFILE
    case 24:
      return STATUS_TOO_MANY_OPENED_FILES;  // EMFILE
    case 27:                                // EFBIG
    case 28:                                // ENOSPC
    case 122:
      return STATUS_DISK_FULL;  // EDQUOT
    case 30:
      return STATUS_MEDIA_WRITE_PROTECTED;  // EROFS
    case 36:
      return STATUS_OBJECT_NAME_INVALID;  // ENAMETOOLONG
    case 39:
      return STATUS_DIRECTORY_NOT_EMPTY;  // ENOTEMPTY
    case 40:
      return STATUS_IO_REPARSE_TAG_NOT_HANDLED;  // ELOOP
    case 95:
      return STATUS_NOT_SUPPORTED;  // EOPNOTSUPP
    default:
      return STATUS_IO_DEVICE_ERROR;
  }
}

NTSTATUS Transport::Initialize(ULONG first_line) {
  NTSTATUS status = FindDevice(first_line);
  if (NT_SUCCESS(status)) status = AllocateBuffers();
  if (NT_SUCCESS(status)) {
    ConnectInterrupt();
    status = StartDevice();
  }
  if (!NT_SUCCESS(status)) Shutdown();
  return status;
}

NTSTATUS Transport::FindDevice(ULONG first_line) {
  PHYSICAL_ADDRESS physical;
  physical.QuadPart = static_cast<LONGLONG>(kDeviceWindow);
  window_ = static_cast<PUCHAR>(MmMapIoSpace(physical, kSlotSize * kSlotCount, MmNonCached));
  if (window_ == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  bool old_version = false;
  for (ULONG slot = 0; slot < kSlotCount; ++slot) {
    registers_ = window_ + slot * kSlotSize;
    if (Read(kRegMagic) != kMagic || Read(kRegDeviceId) != kDevice9p) continue;
    if (Read(kRegVersion) != kVersion) {
      old_version = true;
      continue;
    }
    const char wanted[] = "host";
    volatile UCHAR* config = registers_ + kRegConfig;
    bool same = config[0] == sizeof(wanted) - 1 && config[1] == 0;
    for (ULONG i = 0; same && i < sizeof(wanted) - 1; ++i)
      same = config[2 + i] == static_cast<UCHAR>(wanted[i]);
    line_ = first_line + slot;
    if (same) return STATUS_SUCCESS;
  }
  registers_ = nullptr;
  return old_version ? STATUS_DEVICE_CONFIGURATION_ERROR : STATUS_NO_SUCH_DEVICE;
}

void Transport::ConnectInterrupt() {
  KeInitializeEvent(&answered_, SynchronizationEvent, FALSE);
  KeInitializeDpc(&dpc_, OnDpc, this);
  const NTSTATUS status =
      IoConnectInterrupt(&interrupt_, OnInterrupt, this, nullptr, line_, DISPATCH_LEVEL + 1,
                         DISPATCH_LEVEL + 1, LevelSensitive, TRUE, 1, FALSE);
  if (!NT_SUCCESS(status)) interrupt_ = nullptr;
}

NTSTATUS Transport::AllocateBuffers() {
  shared_ = static_cast<Shared*>(AllocateContiguous(PAGE_SIZE));
  request_ = static_cast<PUCHAR>(AllocateContiguous(kMessageSize));
  reply_ = static_cast<PUCHAR>(AllocateContiguous(kMessageSize));
  writes_ = static_cast<PUCHAR>(AllocateContiguous((kSlots - kFirstWriteSlot) * kWriteSlotSize));
  if (shared_ == nullptr || request_ == nullptr || reply_ == nullptr || writes_ == nullptr)
    return STATUS_INSUFFICIENT_RESOURCES;
  for (USHORT slot = 0; slot < kSlots; ++slot) {
    PUCHAR out = RequestBuffer(slot);
    PUCHAR in = slot == 0 ? reply_ : shared_->small[slot][1];
    const USHORT first = static_cast<USHORT>(2 * slot);
    shared_->descriptors[first] = {static_cast<ULONG64>(MmGetPhysicalAddress(out).QuadPart), 0, kNext,
                                   static_cast<USHORT>(first + 1)};
    shared_->descriptors[first + 1] = {static_cast<ULONG64>(MmGetPhysicalAddress(in).QuadPart),
                                       slot == 0 ? kMessageSize : 64, kDeviceWrites, 0};
  }
  return STATUS_SUCCESS;
}

NTSTATUS Transport::StartDevice() {
  Write(kRegStatus, 0);
  Write(kRegStatus, kStatusAcknowledge);
  Write(kRegStatus, kStatusAcknowledge | kStatusDriver);
  Write(kRegDeviceFeaturesSelect, 1);
  if ((Read(kRegDeviceFeatures) & kFeatureVersion1) == 0) return STATUS_DEVICE_CONFIGURATION_ERROR;
  Write(kRegDriverFeaturesSelect, 0);
  Write(kRegDriverFeatures, kFeatureMountTag);
  Write(kRegDriverFeaturesSelect, 1);
  Write(kRegDriverFeatures, kFeatureVersion1);
  const ULONG ready = kStatusAcknowledge | kStatusDriver | kStatusFeaturesOk;
  Write(kRegStatus, ready);
  if ((Read(kRegStatus) & kStatusFeaturesOk) == 0) return STATUS_DEVICE_CONFIGURATION_ERROR;
  Write(kRegQueueSelect, 0);
  if (Read(kRegQueueNumMax) < kQueueSize) return STATUS_DEVICE_CONFIGURATION_ERROR;
  Write(kRegQueueNum, kQueueSize);
  shared_->available.flags = kNoInterrupt;
  const ULONG registers[] = {kRegQueueDescriptors, kRegQueueDriver, kRegQueueDevice};
  PVOID const parts[] = {shared_->descriptors, &shared_->available, &shared_->used};
  for (int i = 0; i < 3; ++i) {
    const PHYSICAL_ADDRESS address = MmGetPhysicalAddress(parts[i]);
    Write(registers[i], address.LowPart);
    Write(registers[i] + 4, static_cast<ULONG>(address.HighPart));
  }
  Write(kRegQueueReady, 1);
  Write(kRegStatus, ready | kStatusDriverOk);
  return STATUS_SUCCESS;
}

void Transport::Shutdown() {
  if (registers_ != nullptr) Write(kRegStatus, 0);
  if (interrupt_ != nullptr) {
    IoDisconnectInterrupt(interrupt_);
    KeFlushQueuedDpcs();
  }
  if (shared_ != nullptr) MmFreeContiguousMemory(shared_);
  if (request_ != nullptr) MmFreeContiguousMemory(request_);
  if (reply_ != nullptr) MmFreeContiguousMemory(reply_);
  if (writes_ != nullptr) MmFreeContiguousMemory(writes_);
  if (window_ != nullptr) MmUnmapIoSpace(window_, kSlotSize * kSlotCount);
  *this = {};
}

p9::Encoder Transport::Begin(p9::Type type) {
  type_ = type;
  return p9::Encoder(request_, kMessageSize, type, type == p9::Type::kTversion ? p9::kNoTag : 0);
}

NTSTATUS Transport::Call(p9::Encoder& request, p9::Decoder* reply) {
  const ULONG size = request.Finish();
  if (size == 0) return STATUS_INVALID_PARAMETER;
  if (busy_[0])
    return STATUS_DEVICE_NOT_CONNECTED;  // an earlier request was given up: its buffers are still the
                                         // device's
  Submit(0, size);
  const NTSTATUS status = WaitFor(0);
  if (!NT_SUCCESS(status)) return status;
  const USHORT tag = type_ == p9::Type::kTversion ? p9::kNoTag : 0;
  const p9::Reply parsed =
      p9::ParseReply(reply_, reply_length_ < kMessageSize ? reply_length_ : kMessageSize, type_, tag);
  if (!parsed.well_formed) return STATUS_IO_DEVICE_ERROR;
  if (parsed.error != 0) return StatusOfErrno(parsed.error);
  *reply = p9::Decoder(parsed.body, parsed.body_size);
  return STATUS_SUCCESS;
}

PUCHAR Transport::RequestBuffer(USHORT slot) {
  if (slot == 0) return request_;
  return slot >= kFirstWriteSlot ? writes_ + (slot - kFirstWriteSlot) * kWriteSlotSize
                                 : shared_->small[slot][0];
}

// A free slot of a range, waited for if there is none; kSlots if the device is gone.
USHORT Transport::FreeSlot(USHORT first, USHORT end) {
  Reap();
  for (USHORT slot = first; slot < end; ++slot) {
    if (!busy_[slot]) return slot;
  }
  return NT_SUCCESS(WaitFor(first)) ? first : kSlots;
}

void Transport::ClunkLater(ULONG fid) {
  const USHORT slot = FreeSlot(kFirstClunkSlot, kFirstWriteSlot);
  if (slot == kSlots) return;
  p9::Encoder request(RequestBuffer(slot), kSmallSize, p9::Type::kTclunk, slot);
  Submit(slot, request.U32(fid).Finish());
}

bool Transport::WriteLater(ULONG fid, ULONG64 offset, const void* bytes, ULONG count) {
  if (count > kWriteBehindSize) return false;
  const USHORT slot = FreeSlot(kFirstWriteSlot, kSlots);
  if (slot == kSlots) return false;
  p9::Encoder request(RequestBuffer(slot), kWriteSlotSize, p9::Type::kTwrite, slot);
  request.U32(fid).U64(offset).U32(count);
  if (uint8_t* room = request.Reserve(count)) RtlCopyMemory(room, bytes, count);
  write_counts_[slot - kFirstWriteSlot] = count;
  Submit(slot, request.Finish());
  return true;
}

void Transport::CloneLater(ULONG fid, ULONG new_fid) {
  if (!NT_SUCCESS(FinishClone())) return;
  p9::Encoder request(RequestBuffer(kCloneSlot), kSmallSize, p9::Type::kTwalk, kCloneSlot);
  Submit(kCloneSlot, request.U32(fid).U32(new_fid).U16(0).Finish());
}

NTSTATUS Transport::FinishClone() {
  const NTSTATUS status = WaitFor(kCloneSlot);
  return NT_SUCCESS(status) ? clone_status_ : status;
}

NTSTATUS Transport::Settle() {
  for (USHORT slot = kFirstWriteSlot; slot < kSlots; ++slot) {
    const NTSTATUS status = WaitFor(slot);
    if (!NT_SUCCESS(status)) return status;
  }
  const NTSTATUS status = late_error_;
  late_error_ = STATUS_SUCCESS;
  return status;
}

void Transport::Submit(USHORT slot, ULONG request_size) {
  const USHORT first = static_cast<USHORT>(2 * slot);
  shared_->descriptors[first].length = request_size;
  busy_[slot] = true;
  const USHORT index = shared_->available.index;
  shared_->available.ring[index % kQueueSize] = first;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  shared_->available.index = static_cast<USHORT>(index + 1);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  Write(kRegQueueNotify, 0);
}

// Takes note of every request that the device has finished.
void Transport::Reap() {
  while (last_used_ != shared_->used.index) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    const UsedElement element = shared_->used.ring[last_used_ % kQueueSize];
    ++last_used_;
    const ULONG slot = element.id / 2;
    if (slot >= kSlots)
      continue;  // not ours: the device is at fault, and the request it forgot will time out
    busy_[slot] = false;
    Finished(static_cast<USHORT>(slot), element.length);
  }
}

void Transport::Finished(USHORT slot, ULONG length) {
  if (slot == 0) {
    reply_length_ = length;
    return;
  }
  if (slot >= kFirstClunkSlot && slot < kFirstWriteSlot) return;
  const bool is_write = slot >= kFirstWriteSlot;
  const p9::Reply reply = p9::ParseReply(shared_->small[slot][1], length < kSmallSize ? length : kSmallSize,
                                         is_write ? p9::Type::kTwrite : p9::Type::kTwalk, slot);
  NTSTATUS status = !reply.well_formed ? STATUS_IO_DEVICE_ERROR
                    : reply.error != 0 ? StatusOfErrno(reply.error)
                                       : STATUS_SUCCESS;
  if (!is_write) {
    clone_status_ = status;
    return;
  }
  p9::Decoder body(reply.body, reply.body_size);
  if (NT_SUCCESS(status) && body.U32() != write_counts_[slot - kFirstWriteSlot]) status = STATUS_DISK_FULL;
  if (NT_SUCCESS(status)) return;
  if (NT_SUCCESS(late_error_)) late_error_ = status;
  DbgPrint("hostfs: a delayed write failed: %08lX\n", status);
}

NTSTATUS Transport::WaitFor(USHORT slot) {
  LARGE_INTEGER frequency;
  const LONGLONG start = KeQueryPerformanceCounter(&frequency).QuadPart;
  for (;;) {
    for (int looks = 0; looks < kLooksPerPause; ++looks) {
      if (last_used_ != shared_->used.index) Reap();
      if (!busy_[slot]) return STATUS_SUCCESS;
    }
    const LONGLONG elapsed =
        (KeQueryPerformanceCounter(nullptr).QuadPart - start) * 1000000 / frequency.QuadPart;
    if (elapsed > kGiveUpMicroseconds) return STATUS_IO_TIMEOUT;
    if (elapsed > kSpinMicroseconds) {
      Sleep();
    } else {
      YieldProcessor();
    }
  }
}

// Until the next interrupt, or a while.
void Transport::Sleep() {
  LARGE_INTEGER limit;
  limit.QuadPart = kLookAgain;
  if (interrupt_ == nullptr) {
    KeDelayExecutionThread(KernelMode, FALSE, &limit);
    return;
  }
  shared_->available.flags = 0;
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (last_used_ == shared_->used.index) {
    KeWaitForSingleObject(&answered_, Executive, KernelMode, FALSE, &limit);
  }
  shared_->available.flags = kNoInterrupt;
}

}  // namespace hostfs
