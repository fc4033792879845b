#include "cc_internal.h"

namespace cc {

namespace {

constexpr ULONG64 Mask(ULONG first, ULONG count) {
  return (count >= 64 ? ~0ull : (1ull << count) - 1) << first;
}

ULONG CountBits(ULONG64 mask) {
  return static_cast<ULONG>(__builtin_popcountll(mask));
}

void ClearDirty(PSHARED_CACHE_MAP map, View* view, ULONG64 mask) {
  const auto pages = static_cast<LONG>(CountBits(view->dirty & mask));
  view->dirty &= ~mask;
  map->DirtyPages -= pages;
  InterlockedExchangeAdd(&g_dirty_pages, -pages);
}

NTSTATUS NTAPI OnPagingDone(PDEVICE_OBJECT, PIRP irp, PVOID event) {
  if (irp->PendingReturned) KeSetEvent(static_cast<PKEVENT>(event), IO_NO_INCREMENT, FALSE);
  return STATUS_MORE_PROCESSING_REQUIRED;
}

PIRP BuildPagingIrp(PFILE_OBJECT file, PDEVICE_OBJECT device, bool write, LONGLONG offset, ULONG length) {
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) return nullptr;
  irp->Flags = IRP_PAGING_IO | IRP_SYNCHRONOUS_PAGING_IO | IRP_NOCACHE;
  irp->RequestorMode = KernelMode;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  irp->Tail.Overlay.OriginalFileObject = file;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = write ? IRP_MJ_WRITE : IRP_MJ_READ;
  stack->FileObject = file;
  stack->Parameters.Read.Length = length;  // Write's members lie at the same places
  stack->Parameters.Read.ByteOffset.QuadPart = offset;
  return irp;
}

DECLSPEC_NOINLINE NTSTATUS LockBuffer(PMDL mdl, bool write) {
  __try {
    MmProbeAndLockPages(mdl, KernelMode, write ? IoReadAccess : IoWriteAccess);
  } __except (EXCEPTION_EXECUTE_HANDLER) {
    return GetExceptionCode();
  }
  return STATUS_SUCCESS;
}

}  // namespace

NTSTATUS PagingIo(PFILE_OBJECT file, bool write, LONGLONG offset, PVOID buffer, ULONG length) {
  PDEVICE_OBJECT device = IoGetRelatedDeviceObject(file);
  PIRP irp = BuildPagingIrp(file, device, write, offset, length);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  PMDL mdl = IoAllocateMdl(buffer, length, FALSE, FALSE, irp);
  NTSTATUS status = mdl != nullptr ? LockBuffer(mdl, write) : STATUS_INSUFFICIENT_RESOURCES;
  if (NT_SUCCESS(status)) {
    irp->UserBuffer = buffer;
    KEVENT event;
    KeInitializeEvent(&event, NotificationEvent, FALSE);
    IoSetCompletionRoutine(irp, OnPagingDone, &event, TRUE, TRUE, TRUE);
    if (IofCallDriver(device, irp) == STATUS_PENDING)
      KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, nullptr);
    status = irp->IoStatus.Status;
    if (!write && NT_SUCCESS(status) && irp->IoStatus.Information < length) {
      const auto got = static_cast<ULONG>(irp->IoStatus.Information);
      RtlZeroMemory(static_cast<PUCHAR>(buffer) + got, length - got);
    }
    MmUnlockPages(mdl);
  }
  if (mdl != nullptr) IoFreeMdl(mdl);
  irp->MdlAddress = nullptr;
  IoFreeIrp(irp);
  return status;
}

View* FindView(PSHARED_CACHE_MAP map, LONGLONG offset, bool make) {
  const LONGLONG start = offset & ~static_cast<LONGLONG>(kViewSize - 1);
  for (LIST_ENTRY* link = map->Views.Flink; link != &map->Views; link = link->Flink) {
    auto* view = CONTAINING_RECORD(link, View, link);
    if (view->offset != start) continue;
    RemoveEntryList(link);
    InsertHeadList(&map->Views, link);
    return view;
  }
  if (!make) return nullptr;
  if (g_views >= kMaximumViews) Trim(map, kMaximumViews - 1);
  auto* view = static_cast<View*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(View), kTag));
  if (view == nullptr) return nullptr;
  *view = {};
  view->base = static_cast<PUCHAR>(ExAllocatePoolWithTag(PagedPool, kViewSize, kTag));
  if (view->base == nullptr) {
    ExFreePoolWithTag(view, kTag);
    return nullptr;
  }
  view->offset = start;
  InsertHeadList(&map->Views, &view->link);
  InterlockedIncrement(&g_views);
  return view;
}

NTSTATUS FillPages(PSHARED_CACHE_MAP map, View* view, ULONG first, ULONG count, bool wait) {
  for (ULONG page = first; page < first + count;) {
    if ((view->valid >> page) & 1) {
      ++page;
      continue;
    }
    const LONGLONG offset = view->offset + static_cast<LONGLONG>(page) * PAGE_SIZE;
    const LONGLONG known = map->ValidDataLength.QuadPart < map->FileSize.QuadPart
                               ? map->ValidDataLength.QuadPart
                               : map->FileSize.QuadPart;
    PUCHAR address = view->base + page * PAGE_SIZE;
    if (offset >= known) {
      RtlZeroMemory(address, PAGE_SIZE);
      view->valid |= Mask(page, 1);
      ++page;
      continue;
    }
    if (!wait) return STATUS_CANT_WAIT;
    // What is missing here and right behind it is read at once.
    const ULONG limit = map->DisableReadAhead ? first + count : kViewPages;
    ULONG run = 1;
    while (run < kReadCluster && page + run < limit && !((view->valid >> (page + run)) & 1) &&
           offset + static_cast<LONGLONG>(run) * PAGE_SIZE < known)
      ++run;
    const NTSTATUS status = PagingIo(map->FileObject, false, offset, address, run * PAGE_SIZE);
    if (status == STATUS_END_OF_FILE) {
      RtlZeroMemory(address, run * PAGE_SIZE);
    } else if (!NT_SUCCESS(status)) {
      return status;
    }
    // The last page's bytes beyond the valid data are zeros, whatever lies on the volume.
    const LONGLONG end = offset + static_cast<LONGLONG>(run) * PAGE_SIZE;
    if (end > known) RtlZeroMemory(address + (known - offset), static_cast<SIZE_T>(end - known));
    view->valid |= Mask(page, run);
    page += run;
  }
  return STATUS_SUCCESS;
}

NTSTATUS FillForWrite(PSHARED_CACHE_MAP map, View* view, ULONG from, ULONG to, bool wait) {
  for (ULONG page = from / PAGE_SIZE; page * PAGE_SIZE < to; ++page) {
    const bool whole = from <= page * PAGE_SIZE && to >= (page + 1) * PAGE_SIZE;
    if (whole || ((view->valid >> page) & 1)) continue;
    const NTSTATUS status = FillPages(map, view, page, 1, wait);
    if (!NT_SUCCESS(status)) return status;
  }
  return STATUS_SUCCESS;
}

void SetDirty(PSHARED_CACHE_MAP map, View* view, ULONG first, ULONG count) {
  const ULONG64 mask = Mask(first, count);
  const auto fresh = static_cast<LONG>(CountBits(mask & ~view->dirty));
  view->valid |= mask;
  view->dirty |= mask;
  map->DirtyPages += fresh;
  InterlockedExchangeAdd(&g_dirty_pages, fresh);
  if (fresh != 0) WakeLazyWriter();
}

namespace {

// The pages of a view that lie in [offset, end), as a mask.
ULONG64 MaskOf(const View* view, LONGLONG offset, LONGLONG end) {
  const LONGLONG from = offset > view->offset ? offset - view->offset : 0;
  const LONGLONG to = end - view->offset < kViewSize ? end - view->offset : kViewSize;
  if (to <= from || from >= kViewSize) return 0;
  const auto first = static_cast<ULONG>(from / PAGE_SIZE);
  return Mask(first, static_cast<ULONG>((to + PAGE_SIZE - 1) / PAGE_SIZE) - first);
}

NTSTATUS FlushView(PSHARED_CACHE_MAP map, View* view, ULONG64 wanted) {
  NTSTATUS result = STATUS_SUCCESS;
  for (ULONG page = 0; page < kViewPages;) {
    if (!((view->dirty & wanted) >> page & 1)) {
      ++page;
      continue;
    }
    ULONG run = 1;
    while (page + run < kViewPages && ((view->dirty & wanted) >> (page + run) & 1)) ++run;
    // Clean before the write: what is changed meanwhile is dirty again.
    const ULONG64 mask = Mask(page, run);
    ClearDirty(map, view, mask);
    const NTSTATUS status =
        PagingIo(map->FileObject, true, view->offset + static_cast<LONGLONG>(page) * PAGE_SIZE,
                 view->base + page * PAGE_SIZE, run * PAGE_SIZE);
    if (!NT_SUCCESS(status)) {
      SetDirty(map, view, page, run);
      result = status;
    }
    page += run;
  }
  return result;
}

void FreeView(PSHARED_CACHE_MAP map, View* view) {
  ClearDirty(map, view, ~0ull);
  RemoveEntryList(&view->link);
  ExFreePoolWithTag(view->base, kTag);
  ExFreePoolWithTag(view, kTag);
  InterlockedDecrement(&g_views);
}

}  // namespace

NTSTATUS Flush(PSHARED_CACHE_MAP map, LONGLONG offset, LONGLONG end) {
  NTSTATUS result = STATUS_SUCCESS;
  for (LIST_ENTRY* link = map->Views.Flink; link != &map->Views; link = link->Flink) {
    auto* view = CONTAINING_RECORD(link, View, link);
    const ULONG64 mask = MaskOf(view, offset, end);
    if ((view->dirty & mask) == 0) continue;
    const NTSTATUS status = FlushView(map, view, mask);
    if (!NT_SUCCESS(status)) result = status;
  }
  return result;
}

bool Purge(PSHARED_CACHE_MAP map, LONGLONG offset, LONGLONG end) {
  bool all = true;
  for (LIST_ENTRY* link = map->Views.Flink; link != &map->Views;) {
    auto* view = CONTAINING_RECORD(link, View, link);
    link = link->Flink;
    const ULONG64 mask = MaskOf(view, offset, end);
    if (mask == 0) continue;
    if (view->users != 0) {
      all = false;
      continue;
    }
    ClearDirty(map, view, mask);
    view->valid &= ~mask;
    if (view->valid == 0) FreeView(map, view);
  }
  return all;
}

void Trim(PSHARED_CACHE_MAP map, LONG limit) {
  for (LIST_ENTRY* link = map->Views.Blink; link != &map->Views && g_views > limit;) {
    auto* view = CONTAINING_RECORD(link, View, link);
    link = link->Blink;
    if (view->users == 0 && view->dirty == 0) FreeView(map, view);
  }
}

void FreeViews(PSHARED_CACHE_MAP map) {
  while (!IsListEmpty(&map->Views)) FreeView(map, CONTAINING_RECORD(map->Views.Flink, View, link));
}

}  // namespace cc
