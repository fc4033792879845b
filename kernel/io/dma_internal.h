// Adapters of bus masters. A device reaches memory by its physical addresses. What it cannot reach, because
// its addresses are too short or it wants one piece, goes through bounce pages: those are the map registers.
#pragma once

#include "io_internal.h"

namespace dma {

inline constexpr ULONG kTag = ' amD';
inline constexpr ULONG kMostRegisters = 1024;  // of an adapter

// A part of a chain of MDLs.
struct Part {
  PMDL mdl;
  ULONG64 offset;  // from the first MDL's beginning
  ULONG length;
};

// A bounce page. A run of them, a group, is what drivers know as MapRegisterBase.
struct Register {
  ULONG count, used;  // of the group that begins here
  Part part;          // that is bounced from here on; length 0: none
};

// Somebody who asked for registers, in nonpaged pool. Lives until its routine was called.
struct Waiter {
  LIST_ENTRY link;
  ULONG registers;
  bool exclusive;  // wants the adapter for itself too
  PDEVICE_OBJECT device;
  PIRP irp;
  PDRIVER_CONTROL routine;
  PVOID context;
  PVOID transfer;  // the driver's DmaTransferContext, by which it can be cancelled
};

struct Adapter {
  DMA_ADAPTER adapter;  // what the driver holds
  ULONG64 highest;      // address that the device can form
  ULONG width;          // in bits
  bool scatter;         // takes more than one piece
  ULONG limit;          // map registers that a driver may ask for at once
  // Bounce pages; count 0: none are ever needed.
  ULONG count;
  PUCHAR bounce;
  ULONG64 bounce_physical;
  Register* registers;
  KSPIN_LOCK lock;  // of what follows
  RTL_BITMAP taken;
  LIST_ENTRY waiting;
  bool busy;        // somebody has the adapter for itself
  Register* owned;  // by that one
  bool serving;     // somebody goes through the waiting already
};

inline Adapter* Of(PDMA_ADAPTER adapter) {
  return CONTAINING_RECORD(adapter, Adapter, adapter);
}

inline ULONG64 OffsetOf(PMDL mdl, PVOID current) {
  return static_cast<ULONG64>(static_cast<PUCHAR>(current) -
                              static_cast<PUCHAR>(MmGetMdlVirtualAddress(mdl)));
}

// ---- registers (dma_registers.cpp); IRQL <= DISPATCH_LEVEL ----
// Bounce pages for an adapter that may need them. False: no memory.
bool CreateRegisters(Adapter* adapter, ULONG wanted);
void DestroyRegisters(Adapter* adapter);
// Calls the routine at DISPATCH_LEVEL when registers (and the adapter) are free, maybe at once. `now`: or
// fails. With 0 as routine, `base` gets the registers, at once or not at all.
struct Wish {
  ULONG registers;
  bool exclusive, now;
  PDEVICE_OBJECT device;
  PDRIVER_CONTROL routine;
  PVOID context, transfer;
  PVOID* base;
};
NTSTATUS Acquire(Adapter* adapter, const Wish& wish);
bool Cancel(Adapter* adapter, PDEVICE_OBJECT device, PVOID transfer);
void FreeGroup(Adapter* adapter, Register* group);
void ReleaseAdapter(Adapter* adapter, bool keep_registers);

// ---- transfers (dma_transfer.cpp); IRQL <= DISPATCH_LEVEL ----
// The device's address of a part's first bytes; `part.length` becomes how many there are, 0: no register is
// left.
ULONG64 Map(Adapter* adapter, Register* group, Part* part, bool write);
// After the device is done: brings what was read into the bounce pages to its place.
void Flush(Adapter* adapter, Register* group, const Part& part, bool write);
// What a part takes. False: the chain ends before it.
bool Measure(const Adapter* adapter, const Part& part, ULONG* elements, ULONG* registers);

// ---- lists (dma_lists.cpp) ----
struct ListWish {
  Part part;
  bool write, now;
  PDEVICE_OBJECT device;
  PDRIVER_LIST_CONTROL routine;
  PVOID context, transfer;
  PSCATTER_GATHER_LIST* list;
};
NTSTATUS GetList(Adapter* adapter, const ListWish& wish);
NTSTATUS BuildList(Adapter* adapter, const ListWish& wish, PVOID buffer, ULONG room);
ULONG ListSize(ULONG elements);  // with what we need behind it

// ---- tables of functions ----
// The first 15 (or 12, in version 1), and the others of version 3 (dma_version3.cpp).
void FillVersion3(PDMA_OPERATIONS operations);
PVOID AllocateCommon(Adapter* adapter, ULONG length, ULONG64 lowest, ULONG64 highest,
                     MEMORY_CACHING_TYPE type, PPHYSICAL_ADDRESS logical);

}  // namespace dma
