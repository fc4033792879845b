// Routines that drivers register for processes, threads and images. They are called at PASSIVE_LEVEL with
// normal kernel APCs off. Who removes one waits until the calls that are under way have returned.
#include "ps_internal.h"

#include "mm/image.h"
#include "nt/export.h"

namespace ps {
namespace {

constexpr ULONG kMaximum = 64;  // as on Windows

enum Kind : ULONG {
  kPlain,      // PsSetCreateProcessNotifyRoutine, PsSetCreateThreadNotifyRoutine
  kEx,         // PsSetCreateProcessNotifyRoutineEx, PsCreateThreadNotifySubsystems
  kEx2,        // PsSetCreateProcessNotifyRoutineEx2
  kNonSystem,  // PsCreateThreadNotifyNonSystem: called in the new thread
};

struct Slot {
  void* routine;  // 0: free, or waiting for its calls to end
  ULONG kind;
  bool removing;
  EX_RUNDOWN_REF calls;
};

struct Registry {
  Slot slots[kMaximum];
};

KSPIN_LOCK g_lock;
Registry g_processes, g_threads, g_images;

NTSTATUS Add(Registry* registry, void* routine, ULONG kind, bool unique) {
  ke::SpinGuard guard(&g_lock);
  Slot* free = nullptr;
  for (Slot& slot : registry->slots) {
    if (unique && slot.routine == routine) return STATUS_INVALID_PARAMETER;
    if (free == nullptr && slot.routine == nullptr && !slot.removing) free = &slot;
  }
  if (free == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  ExInitializeRundownProtection(&free->calls);
  free->kind = kind;
  free->routine = routine;
  return STATUS_SUCCESS;
}

Slot* TakeOut(Registry* registry, void* routine, ULONG kinds) {
  ke::SpinGuard guard(&g_lock);
  for (Slot& slot : registry->slots) {
    if (slot.routine != routine || !(kinds >> slot.kind & 1)) continue;
    slot.routine = nullptr;
    slot.removing = true;
    return &slot;
  }
  return nullptr;
}

NTSTATUS Remove(Registry* registry, void* routine, ULONG kinds) {
  Slot* slot = TakeOut(registry, routine, kinds);
  if (slot == nullptr) return STATUS_PROCEDURE_NOT_FOUND;
  ExWaitForRundownProtectionRelease(&slot->calls);
  ke::SpinGuard guard(&g_lock);
  slot->removing = false;
  return STATUS_SUCCESS;
}

// The routine of a slot, kept registered until ExReleaseRundownProtection; 0 if there is none.
void* Hold(Slot* slot, ULONG kinds, ULONG* kind) {
  if (slot->routine == nullptr) return nullptr;
  ke::SpinGuard guard(&g_lock);
  if (slot->routine == nullptr || !(kinds >> slot->kind & 1)) return nullptr;
  if (!ExAcquireRundownProtection(&slot->calls)) return nullptr;
  *kind = slot->kind;
  return slot->routine;
}

// Calls each routine of the kinds (a bit each).
template <typename Call>
void ForEach(Registry* registry, ULONG kinds, Call call) {
  for (Slot& slot : registry->slots) {
    ULONG kind;
    void* routine = Hold(&slot, kinds, &kind);
    if (routine == nullptr) continue;
    KeEnterCriticalRegion();
    call(routine, kind);
    KeLeaveCriticalRegion();
    ExReleaseRundownProtection(&slot.calls);
  }
}

constexpr ULONG Bit(Kind kind) {
  return 1u << kind;
}
constexpr ULONG kAll = ~0u;

// The extended routines are for images that are linked with /INTEGRITYCHECK.
bool HasIntegrityFlag(void* routine) {
  constexpr USHORT kForceIntegrity = 0x0080;
  PKLDR_DATA_TABLE_ENTRY image = MiLookupDataTableEntry(routine);
  if (image == nullptr) return false;
  const auto* base = static_cast<const UCHAR*>(image->DllBase);
  const ULONG header = *reinterpret_cast<const ULONG*>(base + 0x3C);  // e_lfanew
  constexpr ULONG kCharacteristics = 4 + 20 + 70;  // signature, file header, DllCharacteristics
  return (*reinterpret_cast<const USHORT*>(base + header + kCharacteristics) & kForceIntegrity) != 0;
}

NTSTATUS SetProcessRoutine(void* routine, Kind kind, BOOLEAN remove) {
  if (remove) return Remove(&g_processes, routine, Bit(kind));
  if (kind != kPlain && !HasIntegrityFlag(routine)) return STATUS_ACCESS_DENIED;
  const NTSTATUS status = Add(&g_processes, routine, kind, true);
  return status == STATUS_INSUFFICIENT_RESOURCES ? STATUS_INVALID_PARAMETER : status;
}

}  // namespace

void NotifyProcess(PEPROCESS process, PPS_CREATE_NOTIFY_INFO information) {
  ForEach(&g_processes, kAll, [&](void* routine, ULONG kind) {
    if (kind == kPlain) {
      reinterpret_cast<PCREATE_PROCESS_NOTIFY_ROUTINE>(routine)(
          process->InheritedFromUniqueProcessId, process->UniqueProcessId, information != nullptr);
    } else {
      reinterpret_cast<PCREATE_PROCESS_NOTIFY_ROUTINE_EX>(routine)(process, process->UniqueProcessId,
                                                                   information);
    }
  });
}

namespace {

void CallThreadRoutines(PETHREAD thread, BOOLEAN create, ULONG kinds) {
  ForEach(&g_threads, kinds, [&](void* routine, ULONG) {
    reinterpret_cast<PCREATE_THREAD_NOTIFY_ROUTINE>(routine)(thread->Cid.UniqueProcess,
                                                             thread->Cid.UniqueThread, create);
  });
}

}  // namespace

void NotifyThread(PETHREAD thread, BOOLEAN create) {
  const ULONG others = create || thread->SystemThread ? ~Bit(kNonSystem) : kAll;
  CallThreadRoutines(thread, create, others);
}

void NotifyNewThread(PETHREAD thread) {
  if (!thread->SystemThread) CallThreadRoutines(thread, TRUE, Bit(kNonSystem));
}

void NotifyImage(PUNICODE_STRING full_name, HANDLE process, PVOID base, SIZE_T size, PFILE_OBJECT file) {
  struct {
    SIZE_T size;
    IMAGE_INFO info;
    PFILE_OBJECT file;
  } extended = {};  // IMAGE_INFO_EX
  extended.size = sizeof(extended);
  extended.file = file;
  extended.info.ImageAddressingMode = IMAGE_ADDRESSING_MODE_32BIT;
  extended.info.SystemModeImage = process == nullptr;
  extended.info.ExtendedInfoPresent = file != nullptr;
  extended.info.ImageBase = base;
  extended.info.ImageSize = size;
  ForEach(&g_images, kAll, [&](void* routine, ULONG) {
    reinterpret_cast<PLOAD_IMAGE_NOTIFY_ROUTINE>(routine)(full_name, process, &extended.info);
  });
}

void NotifyImageLoad(PUNICODE_STRING full_name, PVOID base, SIZE_T size) {
  NotifyImage(full_name, nullptr, base, size, nullptr);
}

}  // namespace ps

/// Has a routine called when a thread is created (in its creator, before it runs) and when one ends (in it).
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsSetCreateThreadNotifyRoutine.
NT_EXPORT(PsSetCreateThreadNotifyRoutine, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.* PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Add(&ps::g_threads, reinterpret_cast<void*>(NotifyRoutine), ps::kPlain, false);
}

/// The same; with PsCreateThreadNotifyNonSystem the routine hears of threads that are not the system's, of
/// their creation in the new thread itself.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsSetCreateThreadNotifyRoutineEx.
NT_EXPORT(PsSetCreateThreadNotifyRoutineEx, nt::AtMost(PASSIVE_LEVEL), Full, "PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetCreateThreadNotifyRoutineEx(PSCREATETHREADNOTIFYTYPE NotifyType,
                                                           PVOID NotifyInformation) {
  if (NotifyType != PsCreateThreadNotifyNonSystem && NotifyType != PsCreateThreadNotifySubsystems)
    return STATUS_INVALID_PARAMETER;
  const ULONG kind = NotifyType == PsCreateThreadNotifyNonSystem ? ps::kNonSystem : ps::kEx;
  return ps::Add(&ps::g_threads, NotifyInformation, kind, false);
}

/// Removes a thread routine; waits until the calls of it that are under way have returned.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsRemoveCreateThreadNotifyRoutine.
NT_EXPORT(PsRemoveCreateThreadNotifyRoutine, nt::AtMost(APC_LEVEL), Full, "KernelPs.* PsNotify.*");
extern "C" NTSTATUS NTAPI PsRemoveCreateThreadNotifyRoutine(PCREATE_THREAD_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Remove(&ps::g_threads, reinterpret_cast<void*>(NotifyRoutine), ps::kAll);
}

/// Has a routine called when an image is loaded: a driver (no process id) or a program's, in its process.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsSetLoadImageNotifyRoutine.
NT_EXPORT(PsSetLoadImageNotifyRoutine, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.* PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Add(&ps::g_images, reinterpret_cast<void*>(NotifyRoutine), ps::kPlain, false);
}

/// The same, for images of other architectures too when the flag asks for them.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; images of other architectures are never mapped here.
/// Source: WDK ntddk/PsSetLoadImageNotifyRoutineEx.
NT_EXPORT(PsSetLoadImageNotifyRoutineEx, nt::AtMost(PASSIVE_LEVEL), Full, "PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetLoadImageNotifyRoutineEx(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine,
                                                        ULONG_PTR Flags) {
  if (Flags & ~ULONG_PTR{PS_IMAGE_NOTIFY_CONFLICTING_ARCHITECTURE}) return STATUS_INVALID_PARAMETER_2;
  return ps::Add(&ps::g_images, reinterpret_cast<void*>(NotifyRoutine), ps::kPlain, false);
}

/// Removes an image routine; waits until the calls of it that are under way have returned.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsRemoveLoadImageNotifyRoutine.
NT_EXPORT(PsRemoveLoadImageNotifyRoutine, nt::AtMost(APC_LEVEL), Full, "KernelPs.* PsNotify.*");
extern "C" NTSTATUS NTAPI PsRemoveLoadImageNotifyRoutine(PLOAD_IMAGE_NOTIFY_ROUTINE NotifyRoutine) {
  return ps::Remove(&ps::g_images, reinterpret_cast<void*>(NotifyRoutine), ps::kAll);
}

/// Has a routine called when a process is created (after its first thread, before that runs) and when it ends
/// (in its last thread); or removes it, and waits for the calls that are under way.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsSetCreateProcessNotifyRoutine.
NT_EXPORT(PsSetCreateProcessNotifyRoutine, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.* PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetCreateProcessNotifyRoutine(PCREATE_PROCESS_NOTIFY_ROUTINE NotifyRoutine,
                                                          BOOLEAN Remove) {
  return ps::SetProcessRoutine(reinterpret_cast<void*>(NotifyRoutine), ps::kPlain, Remove);
}

/// The same with what the process is (file, command line, creator), and the right to forbid it: a failure in
/// CreationStatus ends it before it has run. For images linked with /INTEGRITYCHECK.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsSetCreateProcessNotifyRoutineEx.
NT_EXPORT(PsSetCreateProcessNotifyRoutineEx, nt::AtMost(PASSIVE_LEVEL), Full, "PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetCreateProcessNotifyRoutineEx(PCREATE_PROCESS_NOTIFY_ROUTINE_EX NotifyRoutine,
                                                            BOOLEAN Remove) {
  return ps::SetProcessRoutine(reinterpret_cast<void*>(NotifyRoutine), ps::kEx, Remove);
}

/// The same for the processes of all subsystems.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; there are no processes of other subsystems.
/// Source: WDK ntddk/PsSetCreateProcessNotifyRoutineEx2.
NT_EXPORT(PsSetCreateProcessNotifyRoutineEx2, nt::AtMost(PASSIVE_LEVEL), Full, "PsNotify.*");
extern "C" NTSTATUS NTAPI PsSetCreateProcessNotifyRoutineEx2(PSCREATEPROCESSNOTIFYTYPE NotifyType,
                                                             PVOID NotifyInformation, BOOLEAN Remove) {
  if (NotifyType != PsCreateProcessNotifySubsystems) return STATUS_INVALID_PARAMETER;
  return ps::SetProcessRoutine(NotifyInformation, ps::kEx2, Remove);
}
