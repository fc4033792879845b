// The page file: C:\pagefile.sys, opened when a page is first to be written. Its slots are a page each.
//
// A paging request is made by a thread at APC_LEVEL that may hold any lock of mm above the PFN lock, so the
// file system must not take page faults that need the page file while it serves one: it uses no paged pool
// and locks its callers' buffers before it takes locks of its own.
#include "mm/address_space.h"
#include "mm/process_counts.h"

namespace mm {
namespace {

constexpr ULONG64 kMaxSlots = 1024 * 1024;

KSPIN_LOCK g_slot_lock;
PageBitmap g_slots;  // slot n is bit n; slot 0 is never given out
PFILE_OBJECT volatile g_page_file;
bool g_open_failed;
ULONG64 g_most_slots_used;  // under the slots' lock

NTSTATUS NTAPI OnPagingDone(PDEVICE_OBJECT, PIRP irp, PVOID event) {
  KeSetEvent(static_cast<PKEVENT>(event), IO_NO_INCREMENT, FALSE);
  return STATUS_MORE_PROCESSING_REQUIRED;
}

NTSTATUS CreatePageFile(PVOID* file) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\??\\C:\\pagefile.sys");
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, nullptr, nullptr);
  IO_STATUS_BLOCK io;
  HANDLE handle;
  NTSTATUS status = ZwCreateFile(&handle, GENERIC_READ | GENERIC_WRITE | SYNCHRONIZE, &attributes, &io,
                                 nullptr, FILE_ATTRIBUTE_NORMAL, 0, FILE_OVERWRITE_IF,
                                 FILE_NON_DIRECTORY_FILE | FILE_NO_INTERMEDIATE_BUFFERING, nullptr, 0);
  if (!NT_SUCCESS(status)) return status;
  status =
      ObReferenceObjectByHandle(handle, FILE_READ_DATA | FILE_WRITE_DATA, nullptr, KernelMode, file, nullptr);
  // The handle stays open: its closing would end the file system's share access.
  if (!NT_SUCCESS(status)) ZwClose(handle);
  return status;
}

bool InitSlots() {
  if (g_slots.bits() != 0) return true;
  ULONG64 slots = 2 * MmNumberOfPhysicalPages;
  if (slots > kMaxSlots) slots = kMaxSlots;
  const PFN_NUMBER storage = MmAllocateContiguousPages(PagesFor(PageBitmap::WordsFor(slots) * 8));
  if (storage == kNoPage) return false;
  g_slots.Init(static_cast<uint64_t*>(PageAddress(storage)), slots);
  g_slots.MarkFree(1, slots - 1);
  return true;
}

}  // namespace

bool OpenPageFile() {
  if (g_page_file != nullptr) return true;
  if (g_open_failed || KeGetCurrentIrql() != PASSIVE_LEVEL || !InitSlots()) return false;
  PVOID file;
  const NTSTATUS status = CreatePageFile(&file);
  if (!NT_SUCCESS(status)) {
    // Memory may be there the next time.
    g_open_failed = status != STATUS_INSUFFICIENT_RESOURCES && status != STATUS_NO_MEMORY;
    return false;
  }
  __atomic_store_n(&g_page_file, static_cast<PFILE_OBJECT>(file), __ATOMIC_RELEASE);
  return true;
}

PKLDR_DATA_TABLE_ENTRY PageFileDriver() {
  if (g_page_file == nullptr) return nullptr;
  return static_cast<PKLDR_DATA_TABLE_ENTRY>(g_page_file->DeviceObject->DriverObject->DriverSection);
}

ULONG AllocateSlot() {
  if (g_page_file == nullptr) return 0;
  ke::SpinGuard guard(&g_slot_lock);
  const ULONG64 slot = g_slots.TakeOne();
  if (const ULONG64 used = SlotsInUse(); used > g_most_slots_used) g_most_slots_used = used;
  return slot == PageBitmap::kNone ? 0 : static_cast<ULONG>(slot);
}

void FreeSlot(ULONG slot) {
  bool ok;
  {
    ke::SpinGuard guard(&g_slot_lock);
    ok = g_slots.MarkFree(slot, 1);
  }
  if (!ok) KeBugCheckEx(MEMORY_MANAGEMENT, 0x888A, slot, 0, 0);
}

ULONG64 SlotsInUse() {
  return g_slots.bits() == 0 ? 0 : g_slots.bits() - 1 - g_slots.free_count();
}

namespace {

// Sends a request of which only the event hears, so that no APC is needed: the caller may be at APC_LEVEL.
NTSTATUS SendAndWait(PDEVICE_OBJECT device, PIRP irp, PFILE_OBJECT file) {
  KEVENT event;
  KeInitializeEvent(&event, NotificationEvent, FALSE);
  irp->RequestorMode = KernelMode;
  irp->Tail.Overlay.Thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  irp->Tail.Overlay.OriginalFileObject = file;
  IoGetNextIrpStackLocation(irp)->FileObject = file;
  IoSetCompletionRoutine(irp, OnPagingDone, &event, TRUE, TRUE, TRUE);
  IofCallDriver(device, irp);
  KeWaitForSingleObject(&event, WrPageIn, KernelMode, FALSE, nullptr);
  return irp->IoStatus.Status;
}

}  // namespace

NTSTATUS PagingTransfer(PFILE_OBJECT file, bool write, PFN_NUMBER pfn, ULONG64 offset, ULONG bytes,
                        ULONG* done) {
  struct {
    MDL mdl;
    PFN_NUMBER page;
  } list = {};
  PDEVICE_OBJECT device = IoGetRelatedDeviceObject(file);
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  MmInitializeMdl(&list.mdl, PageAddress(pfn), bytes);
  MmBuildMdlForNonPagedPool(&list.mdl);
  irp->MdlAddress = &list.mdl;
  irp->UserBuffer = PageAddress(pfn);
  irp->Flags = IRP_PAGING_IO | IRP_NOCACHE | IRP_SYNCHRONOUS_PAGING_IO;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = write ? IRP_MJ_WRITE : IRP_MJ_READ;
  stack->Parameters.Read.Length = bytes;  // Parameters.Write has the same layout
  stack->Parameters.Read.ByteOffset.QuadPart = static_cast<LONGLONG>(offset);
  const NTSTATUS status = SendAndWait(device, irp, file);
  *done = static_cast<ULONG>(irp->IoStatus.Information);
  irp->MdlAddress = nullptr;
  IoFreeIrp(irp);
  return status;
}

NTSTATUS FileInformation(PFILE_OBJECT file, bool set, FILE_INFORMATION_CLASS info_class, PVOID buffer,
                         ULONG bytes) {
  PDEVICE_OBJECT device = IoGetRelatedDeviceObject(file);
  PIRP irp = IoAllocateIrp(device->StackSize, FALSE);
  if (irp == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  irp->AssociatedIrp.SystemBuffer = buffer;
  PIO_STACK_LOCATION stack = IoGetNextIrpStackLocation(irp);
  stack->MajorFunction = set ? IRP_MJ_SET_INFORMATION : IRP_MJ_QUERY_INFORMATION;
  stack->Parameters.QueryFile.Length = bytes;  // Parameters.SetFile begins alike
  stack->Parameters.QueryFile.FileInformationClass = info_class;
  const NTSTATUS status = SendAndWait(device, irp, file);
  irp->AssociatedIrp.SystemBuffer = nullptr;
  IoFreeIrp(irp);
  return status;
}

NTSTATUS WriteSlot(ULONG slot, PFN_NUMBER pfn) {
  ULONG done = 0;
  Count(g_events.writes);
  const NTSTATUS status = PagingTransfer(g_page_file, true, pfn, slot * kPageSize, kPageSize, &done);
  return NT_SUCCESS(status) && done != kPageSize ? STATUS_DISK_FULL : status;
}

NTSTATUS ReadSlot(ULONG slot, PFN_NUMBER pfn) {
  ULONG done = 0;
  Count(g_events.reads);
  const NTSTATUS status = PagingTransfer(g_page_file, false, pfn, slot * kPageSize, kPageSize, &done);
  return NT_SUCCESS(status) && done != kPageSize ? STATUS_END_OF_FILE : status;
}

}  // namespace mm

extern "C" VOID MmQueryPageFile(MmPageFileCounts* Counts) {
  *Counts = {};
  ke::SpinGuard guard(&mm::g_slot_lock);
  if (mm::g_slots.bits() != 0) *Counts = {mm::g_slots.bits() - 1, mm::SlotsInUse(), mm::g_most_slots_used};
}
