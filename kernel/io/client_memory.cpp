// Where a client's data lie in its process: slots of one page input and one page output with a reserved page
// behind each, so that a driver which goes beyond the end of a buffer faults.
#include "client.h"

namespace io {
namespace {

constexpr SIZE_T kSlotBytes = 4 * PAGE_SIZE;

constexpr SIZE_T WholePages(SIZE_T bytes) {
  return (bytes + PAGE_SIZE - 1) & ~static_cast<SIZE_T>(PAGE_SIZE - 1);
}

// The end of a buffer is the end of its last page, but for what its alignment takes.
PUCHAR AtEnd(PUCHAR pages, SIZE_T bytes) {
  return pages + WholePages(bytes) - ((bytes + 7) & ~SIZE_T{7});
}

NTSTATUS Reserve(SIZE_T bytes, PVOID* base) {
  *base = nullptr;
  return ZwAllocateVirtualMemory(ZwCurrentProcess(), base, 0, &bytes, MEM_RESERVE, PAGE_READWRITE);
}

NTSTATUS Commit(PVOID base, SIZE_T bytes) {
  if (bytes == 0) return STATUS_SUCCESS;
  return ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE);
}

void Release(PVOID base) {
  SIZE_T bytes = 0;
  ZwFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, MEM_RELEASE);
}

NTSTATUS TakeSlot(Client* client, SIZE_T input, SIZE_T output, ClientBuffers* buffers) {
  const ULONG slot = static_cast<ULONG>(__builtin_ctzll(client->free_slots));
  const ULONG64 bit = ULONG64{1} << slot;
  PUCHAR pages = client->arena + slot * kSlotBytes;
  if (!(client->used_once & bit)) {
    NTSTATUS status = Commit(pages, PAGE_SIZE);
    if (NT_SUCCESS(status)) status = Commit(pages + 2 * PAGE_SIZE, PAGE_SIZE);
    if (!NT_SUCCESS(status)) return status;
    client->used_once |= bit;
  }
  client->free_slots &= ~bit;
  // A buffer of no bytes is at the end, where nothing is.
  *buffers = {slot, nullptr, pages + PAGE_SIZE - ((input + 7) & ~SIZE_T{7}),
              pages + 3 * PAGE_SIZE - ((output + 7) & ~SIZE_T{7}), client->status_blocks + slot};
  return STATUS_SUCCESS;
}

NTSTATUS TakeAllocation(SIZE_T input, SIZE_T output, ClientBuffers* buffers) {
  const SIZE_T input_pages = WholePages(input), output_pages = WholePages(output);
  PVOID base;
  NTSTATUS status = Reserve(input_pages + output_pages + 4 * PAGE_SIZE, &base);
  if (!NT_SUCCESS(status)) return status;
  PUCHAR input_base = static_cast<PUCHAR>(base) + 2 * PAGE_SIZE;
  PUCHAR output_base = input_base + input_pages + PAGE_SIZE;
  status = Commit(base, PAGE_SIZE);
  if (NT_SUCCESS(status)) status = Commit(input_base, input_pages);
  if (NT_SUCCESS(status)) status = Commit(output_base, output_pages);
  if (!NT_SUCCESS(status)) {
    Release(base);
    return status;
  }
  *buffers = {kClientSlots, base, AtEnd(input_base, input), AtEnd(output_base, output),
              static_cast<PIO_STATUS_BLOCK>(base)};
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS PrepareClientMemory(Client* client) {
  static_assert(kClientSlots == 64 && kClientSlots * sizeof(IO_STATUS_BLOCK) <= PAGE_SIZE);
  PVOID base;
  NTSTATUS status = Reserve(kClientSlots * kSlotBytes + 2 * PAGE_SIZE, &base);
  if (NT_SUCCESS(status)) status = Commit(base, PAGE_SIZE);
  if (!NT_SUCCESS(status)) return status;
  client->status_blocks = static_cast<PIO_STATUS_BLOCK>(base);
  client->arena = static_cast<PUCHAR>(base) + 2 * PAGE_SIZE;
  client->free_slots = ~ULONG64{0};
  return STATUS_SUCCESS;
}

NTSTATUS TakeBuffers(Client* client, SIZE_T input, SIZE_T output, ClientBuffers* buffers) {
  if (input <= PAGE_SIZE && output <= PAGE_SIZE && client->free_slots != 0)
    return TakeSlot(client, input, output, buffers);
  return TakeAllocation(input, output, buffers);
}

void GiveBuffers(Client* client, const ClientBuffers& buffers) {
  if (buffers.slot < kClientSlots) {
    client->free_slots |= ULONG64{1} << buffers.slot;
  } else if (buffers.allocation != nullptr) {
    Release(buffers.allocation);
  }
}

}  // namespace io
