// Waiting until memory changes: a push lock's word as the head of a list of threads that wait for addresses.
// Bit 0 locks the list; the rest points to its first block, on the stack of the thread that waits.
#include "push_lock.h"

#include "arch/cpu.h"
#include "ex/ex.h"
#include "nt/export.h"

namespace {

constexpr ULONG_PTR kListLocked = 1;

struct alignas(16) AddressBlock {
  KEVENT event;
  AddressBlock* next;
  volatile VOID* address;
  bool listed;  // guarded by the list's lock
};

// At DISPATCH_LEVEL while it lives: the list is locked.
class ListGuard {
 public:
  explicit ListGuard(PEX_PUSH_LOCK word) : word_(word), irql_(KfRaiseIrql(DISPATCH_LEVEL)) {
    while ((__atomic_fetch_or(word_, kListLocked, __ATOMIC_ACQUIRE) & kListLocked) != 0) arch::Pause();
  }
  ~ListGuard() {
    __atomic_fetch_and(word_, ~kListLocked, __ATOMIC_RELEASE);
    KeLowerIrql(irql_);
  }
  ListGuard(const ListGuard&) = delete;
  ListGuard& operator=(const ListGuard&) = delete;

  AddressBlock* first() const { return reinterpret_cast<AddressBlock*>(*word_ & ~kListLocked); }
  void set_first(AddressBlock* block) { *word_ = reinterpret_cast<ULONG_PTR>(block) | kListLocked; }

 private:
  PEX_PUSH_LOCK word_;
  KIRQL irql_;
};

void Append(PEX_PUSH_LOCK word, AddressBlock* block) {
  ListGuard list(word);
  block->listed = true;
  AddressBlock* last = list.first();
  if (last == nullptr) return list.set_first(block);
  while (last->next != nullptr) last = last->next;
  last->next = block;
}

// FALSE: somebody woke the block, its event is set or will be.
bool Remove(PEX_PUSH_LOCK word, AddressBlock* block) {
  ListGuard list(word);
  if (!block->listed) return false;
  AddressBlock* before = list.first();
  if (before == block) {
    list.set_first(block->next);
    return true;
  }
  while (before->next != block) before = before->next;
  before->next = block->next;
  return true;
}

// Takes the blocks of an address (0: all) off the list; returns them as a list of their own.
AddressBlock* Detach(PEX_PUSH_LOCK word, volatile VOID* address) {
  ListGuard list(word);
  AddressBlock* woken = nullptr;
  AddressBlock** woken_end = &woken;
  AddressBlock* kept = nullptr;
  AddressBlock** kept_end = &kept;
  for (AddressBlock* block = list.first(); block != nullptr; block = block->next) {
    const bool wake = address == nullptr || block->address == address;
    AddressBlock**& end = wake ? woken_end : kept_end;
    *end = block;
    end = &block->next;
    if (wake) block->listed = false;
  }
  *kept_end = nullptr;
  *woken_end = nullptr;
  list.set_first(kept);
  return woken;
}

void WakeAddress(PEX_PUSH_LOCK word, volatile VOID* address) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // the caller's change of the memory comes before
  if (*static_cast<volatile ULONG_PTR*>(word) == 0) return;
  AddressBlock* block = Detach(word, address);
  while (block != nullptr) {
    AddressBlock* next = block->next;
    KeSetEvent(&block->event, 0, FALSE);
    block = next;
  }
}

bool IsStill(volatile VOID* address, PVOID compare, SIZE_T size) {
  switch (size) {
    case 1:
      return *static_cast<volatile UCHAR*>(address) == *static_cast<UCHAR*>(compare);
    case 2:
      return *static_cast<volatile USHORT*>(address) == *static_cast<USHORT*>(compare);
    case 4:
      return *static_cast<volatile ULONG*>(address) == *static_cast<ULONG*>(compare);
    default:
      return *static_cast<volatile ULONG64*>(address) == *static_cast<ULONG64*>(compare);
  }
}

}  // namespace

/// Waits until ExUnblockOnAddressPushLockEx is called for Address, if the memory there still equals that at
/// CompareAddress (1, 2, 4 or 8 bytes). The push lock serves for nothing else.
/// Returns STATUS_SUCCESS, at once if the memory differs, or STATUS_TIMEOUT.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: not documented, exported.
NT_EXPORT(ExBlockOnAddressPushLock, nt::AtMost(APC_LEVEL), Full, "ExBlockOnAddress.*");
extern "C" NTSTATUS NTAPI ExBlockOnAddressPushLock(PEX_PUSH_LOCK PushLock, volatile VOID* Address,
                                                   PVOID CompareAddress, SIZE_T AddressSize,
                                                   PLARGE_INTEGER Timeout) {
  if (AddressSize != 1 && AddressSize != 2 && AddressSize != 4 && AddressSize != 8)
    return STATUS_INVALID_PARAMETER;
  AddressBlock block;
  KeInitializeEvent(&block.event, SynchronizationEvent, FALSE);
  block.next = nullptr;
  block.address = Address;
  Append(PushLock, &block);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  if (!IsStill(Address, CompareAddress, AddressSize) && Remove(PushLock, &block)) return STATUS_SUCCESS;
  NTSTATUS status = KeWaitForSingleObject(&block.event, WrPushLock, KernelMode, FALSE, Timeout);
  if (status != STATUS_TIMEOUT || Remove(PushLock, &block)) return status;
  KeWaitForSingleObject(&block.event, WrPushLock, KernelMode, FALSE, nullptr);
  return STATUS_SUCCESS;
}

/// Wakes the threads that wait for Address, after the memory there was changed. Flags: 0.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: no flag has a meaning.
/// Source: not documented, exported.
NT_EXPORT(ExUnblockOnAddressPushLockEx, nt::AtMost(DISPATCH_LEVEL), Partial, "ExBlockOnAddress.*");
extern "C" VOID FASTCALL ExUnblockOnAddressPushLockEx(PEX_PUSH_LOCK PushLock, volatile VOID* Address,
                                                      ULONG Flags) {
  UNREFERENCED_PARAMETER(Flags);
  WakeAddress(PushLock, Address);
}

/// Wakes all threads that ExBlockOnAddressPushLock has put on this push lock.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: wait blocks of the caller's own (ExBlockPushLock) do not exist; the argument is ignored.
/// Source: not documented, exported.
NT_EXPORT(ExfUnblockPushLock, nt::AtMost(DISPATCH_LEVEL), Partial, "ExBlockOnAddress.*");
extern "C" VOID FASTCALL ExfUnblockPushLock(PEX_PUSH_LOCK PushLock, PVOID WaitBlock) {
  UNREFERENCED_PARAMETER(WaitBlock);
  WakeAddress(PushLock, nullptr);
}
