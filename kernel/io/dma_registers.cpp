// Map registers: bounce pages that the device can reach, and who waits for them.
#include "dma_internal.h"

namespace dma {
namespace {

class Lock {
 public:
  explicit Lock(Adapter* adapter) : lock_(&adapter->lock) { KeAcquireSpinLock(lock_, &irql_); }
  ~Lock() { KeReleaseSpinLock(lock_, irql_); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  PKSPIN_LOCK lock_;
  KIRQL irql_;
};

void FreeGroupLocked(Adapter* adapter, Register* group) {
  if (group == nullptr) return;
  const auto first = static_cast<ULONG>(group - adapter->registers);
  for (ULONG i = 0; i < group->count; ++i) group[i].part.length = 0;
  RtlClearBits(&adapter->taken, first, group->count);
}

// Takes what a waiter wants, if it is there.
bool GrantLocked(Adapter* adapter, const Waiter& waiter, Register** group) {
  *group = nullptr;
  if (waiter.exclusive && adapter->busy) return false;
  if (adapter->count != 0 && waiter.registers != 0) {
    const ULONG first = RtlFindClearBitsAndSet(&adapter->taken, waiter.registers, 0);
    if (first == MAXULONG) return false;
    *group = &adapter->registers[first];
    (*group)->count = waiter.registers;
    (*group)->used = 0;
  }
  if (waiter.exclusive) {
    adapter->busy = true;
    adapter->owned = *group;
  }
  return true;
}

void Call(Adapter* adapter, Waiter* waiter, Register* group) {
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  const IO_ALLOCATION_ACTION action = waiter->routine(waiter->device, waiter->irp, group, waiter->context);
  KeLowerIrql(irql);
  Lock lock(adapter);
  if (action == KeepObject) return;
  if (waiter->exclusive) adapter->busy = false;
  if (action == DeallocateObject) FreeGroupLocked(adapter, group);
}

// Calls in order of arrival whoever has its turn. What is freed meanwhile is seen by who goes through.
void Serve(Adapter* adapter) {
  {
    Lock lock(adapter);
    if (adapter->serving) return;
    adapter->serving = true;
  }
  for (;;) {
    Waiter* waiter = nullptr;
    Register* group;
    {
      Lock lock(adapter);
      if (!IsListEmpty(&adapter->waiting)) {
        waiter = CONTAINING_RECORD(adapter->waiting.Flink, Waiter, link);
        if (!GrantLocked(adapter, *waiter, &group)) waiter = nullptr;
      }
      if (waiter == nullptr) {
        adapter->serving = false;
        return;
      }
      RemoveEntryList(&waiter->link);
    }
    Call(adapter, waiter, group);
    ExFreePoolWithTag(waiter, kTag);
  }
}

}  // namespace

bool CreateRegisters(Adapter* adapter, ULONG wanted) {
  if (wanted > kMostRegisters) wanted = kMostRegisters;
  const PHYSICAL_ADDRESS low = {}, boundary = {};
  PHYSICAL_ADDRESS high;
  high.QuadPart = static_cast<LONGLONG>(adapter->highest);
  const ULONG bitmap_size = (wanted + 31) / 32 * sizeof(ULONG);
  adapter->bounce = static_cast<PUCHAR>(MmAllocateContiguousMemorySpecifyCache(
      static_cast<SIZE_T>(wanted) * PAGE_SIZE, low, high, boundary, MmCached));
  if (adapter->bounce == nullptr) return false;
  const SIZE_T size = wanted * sizeof(Register) + bitmap_size;
  adapter->registers = static_cast<Register*>(ExAllocatePoolWithTag(NonPagedPoolNx, size, kTag));
  if (adapter->registers == nullptr) {
    MmFreeContiguousMemory(adapter->bounce);
    return false;
  }
  RtlZeroMemory(adapter->registers, size);
  RtlInitializeBitMap(&adapter->taken, reinterpret_cast<PULONG>(adapter->registers + wanted), wanted);
  adapter->bounce_physical = static_cast<ULONG64>(MmGetPhysicalAddress(adapter->bounce).QuadPart);
  adapter->count = wanted;
  return true;
}

void DestroyRegisters(Adapter* adapter) {
  if (adapter->count == 0) return;
  MmFreeContiguousMemory(adapter->bounce);
  ExFreePoolWithTag(adapter->registers, kTag);
}

namespace {

// Nobody is overtaken.
bool GrantNow(Adapter* adapter, const Waiter& waiter, Register** group) {
  Lock lock(adapter);
  return IsListEmpty(&adapter->waiting) && GrantLocked(adapter, waiter, group);
}

}  // namespace

NTSTATUS Acquire(Adapter* adapter, const Wish& wish) {
  if (wish.registers > adapter->limit) return STATUS_INSUFFICIENT_RESOURCES;
  Waiter now = {{},           wish.registers, wish.exclusive, wish.device, wish.device->CurrentIrp,
                wish.routine, wish.context,   wish.transfer};
  if (wish.now) {
    Register* group;
    if (!GrantNow(adapter, now, &group)) return STATUS_INSUFFICIENT_RESOURCES;
    if (wish.routine == nullptr) {
      *wish.base = group;
    } else {
      Call(adapter, &now, group);
      Serve(adapter);
    }
    return STATUS_SUCCESS;
  }
  auto* waiter = static_cast<Waiter*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Waiter), kTag));
  if (waiter == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *waiter = now;
  {
    Lock lock(adapter);
    InsertTailList(&adapter->waiting, &waiter->link);
  }
  Serve(adapter);
  return STATUS_SUCCESS;
}

bool Cancel(Adapter* adapter, PDEVICE_OBJECT device, PVOID transfer) {
  Waiter* found = nullptr;
  {
    Lock lock(adapter);
    for (LIST_ENTRY* at = adapter->waiting.Flink; at != &adapter->waiting && found == nullptr;
         at = at->Flink) {
      auto* waiter = CONTAINING_RECORD(at, Waiter, link);
      if (waiter->device == device && waiter->transfer == transfer) found = waiter;
    }
    if (found != nullptr) RemoveEntryList(&found->link);
  }
  if (found == nullptr) return false;
  ExFreePoolWithTag(found, kTag);
  Serve(adapter);  // the one behind may want less
  return true;
}

void FreeGroup(Adapter* adapter, Register* group) {
  {
    Lock lock(adapter);
    FreeGroupLocked(adapter, group);
  }
  Serve(adapter);
}

void ReleaseAdapter(Adapter* adapter, bool keep_registers) {
  {
    Lock lock(adapter);
    if (!keep_registers) FreeGroupLocked(adapter, adapter->owned);
    adapter->owned = nullptr;
    adapter->busy = false;
  }
  Serve(adapter);
}

}  // namespace dma
