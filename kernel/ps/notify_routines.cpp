// Routines that drivers register for threads, processes and images.
#include "ps_internal.h"

#include "nt/export.h"

namespace ps {
namespace {

constexpr ULONG kMaximum = 64;  // as on Windows
void* volatile g_thread_routines[kMaximum];
void* volatile g_process_routines[kMaximum];
void* volatile g_image_routines[kMaximum];

NTSTATUS Add(void* volatile (&routines)[kMaximum], void* routine) {
  for (auto& slot : routines) {
    if (InterlockedCompareExchangePointer(&slot, routine, nullptr) == nullptr) return STATUS_SUCCESS;
  }
  return STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS Remove(void* volatile (&routines)[kMaximum], void* routine) {
  for (auto& slot : routines) {
    if (InterlockedCompareExchangePointer(&slot, nullptr, routine) == routine) return STATUS_SUCCESS;
  }
  return STATUS_PROCEDURE_NOT_FOUND;
}

}  // namespace

void NotifyThread(PETHREAD thread, BOOLEAN create) {
  for (auto& slot : g_thread_routines) {
    auto routine = reinterpret_cast<PCREATE_THREAD_NOTIFY_ROUTINE>(slot);
    if (routine != nullptr) routine(thread->Cid.UniqueProcess, thread->Cid.UniqueThread, create);
  }
}

void NotifyImageLoad(PUNICODE_STRING full_name, PVOID base, SIZE_T size) {
  IMAGE_INFO info = {};
  info.ImageAddressingMode = IMAGE_ADDRESSING_MODE_32BIT;
  info.SystemModeImage = 1;
  info.ImageBase = base;
  info.ImageSize = size;
  for (auto& slot : g_image_routines) {
    auto routine = reinterpret_cast<PLOAD_IMAGE_NOTIFY_ROUTINE>(slot);
    if (routine != nullptr) routine(full_name, nullptr, &info);
  }
}

}  // namespace ps

/// Registers a routine that is called when a thread is created (in the creator) and when it ends (in itself).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsSetCreateThreadNotifyRoutine.
NT_EXPORT(PsSetCreateThreadNotifyRoutine, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Add(ps::g_thread_routines, reinterpret_cast<void*>(NotifyRoutine));
}

/// Removes a routine that PsSetCreateThreadNotifyRoutine registered.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: does not wait for calls in progress.
/// Source: WDK ntddk/PsRemoveCreateThreadNotifyRoutine.
NT_EXPORT(PsRemoveCreateThreadNotifyRoutine, nt::AtMost(APC_LEVEL), Partial, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Remove(ps::g_thread_routines, reinterpret_cast<void*>(NotifyRoutine));
}

/// Registers a routine that is called when a driver's image has been mapped.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: driver images only; there are no user images.
/// Source: WDK ntddk/PsSetLoadImageNotifyRoutine.
NT_EXPORT(PsSetLoadImageNotifyRoutine, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Add(ps::g_image_routines, reinterpret_cast<void*>(NotifyRoutine));
}

/// Removes a routine that PsSetLoadImageNotifyRoutine registered.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: does not wait for calls in progress.
/// Source: WDK ntddk/PsRemoveLoadImageNotifyRoutine.
NT_EXPORT(PsRemoveLoadImageNotifyRoutine, nt::AtMost(APC_LEVEL), Partial, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Remove(ps::g_image_routines, reinterpret_cast<void*>(NotifyRoutine));
}

/// Registers (or removes) a routine for the creation and the end of processes. It is kept, and never called:
/// no process is created after boot. IRQL: PASSIVE_LEVEL. Differs from NT: there is only the System process.
/// Source: WDK ntddk/PsSetCreateProcessNotifyRoutine.
NT_EXPORT(PsSetCreateProcessNotifyRoutine, nt::AtMost(PASSIVE_LEVEL), Partial, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsSetCreateProcessNotifyRoutine(PCREATE_PROCESS_NOTIFY_ROUTINE NotifyRoutine,
                                                          BOOLEAN RemoveIt) {
  auto* routine = reinterpret_cast<void*>(NotifyRoutine);
  if (RemoveIt && NT_SUCCESS(ps::Remove(ps::g_process_routines, routine))) return STATUS_SUCCESS;
  return RemoveIt ? STATUS_INVALID_PARAMETER : ps::Add(ps::g_process_routines, routine);
}
