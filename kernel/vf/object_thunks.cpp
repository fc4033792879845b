// Handles and references of verified drivers, and what else goes by an object: work items, threads, copied
// memory.
#include "call_checks.h"
#include "ob/ob.h"
#include "verifier.h"

namespace vf {
namespace {

#define CALLER __builtin_return_address(0)
constexpr ULONG kBadHandle = 0x3C, kZeroReference = 0x3F, kOverlap = 0xF0, kNullHandle = 0xF5,
                kUserHandle = 0xF6, kKernelHandle = 0xF7, kNotifyContext = 0xFC, kPageableWorkItem = 0x131;

[[noreturn]] FORCEINLINE void Violation(ULONG kind, ULONG_PTR p2, ULONG_PTR p3 = 0, ULONG_PTR p4 = 0) {
  VerifierBugCheckIfAppropriate(kViolation, kind, p2, p3, p4);
}

bool IsKernelHandle(HANDLE handle) {
  return reinterpret_cast<LONG_PTR>(handle) < 0;
}
bool IsPseudoHandle(HANDLE handle) {
  return handle == NtCurrentProcess() || handle == NtCurrentThread();
}

FORCEINLINE void CheckHandle(HANDLE handle, POBJECT_TYPE type, KPROCESSOR_MODE mode, PVOID caller) {
  const bool in_system = PsGetCurrentProcess() == PsInitialSystemProcess;
  if (handle == nullptr) Violation(kNullHandle, 0, Bits(type));
  if (IsPseudoHandle(handle)) return;
  if (mode == KernelMode && !IsKernelHandle(handle) && !in_system)
    Violation(kUserHandle, Bits(handle), Bits(PsGetCurrentProcess()), Bits(caller));
  if (mode == UserMode && IsKernelHandle(handle) && in_system)
    Violation(kKernelHandle, Bits(handle), Bits(type), static_cast<UCHAR>(mode));
}

FORCEINLINE void CheckReferences(PVOID object, LONG_PTR change) {
  if (ObjectToHeader(object)->PointerCount <= 0)
    Violation(kZeroReference, Bits(object), static_cast<ULONG_PTR>(change));
}

}  // namespace

extern "C" {

NTSTATUS NTAPI VerifierObReferenceObjectByHandle(HANDLE Handle, ACCESS_MASK DesiredAccess,
                                                 POBJECT_TYPE ObjectType, KPROCESSOR_MODE AccessMode,
                                                 PVOID* Object,
                                                 POBJECT_HANDLE_INFORMATION HandleInformation) {
  if (IsOn(kMiscellaneous)) CheckHandle(Handle, ObjectType, AccessMode, CALLER);
  const NTSTATUS status =
      ObReferenceObjectByHandle(Handle, DesiredAccess, ObjectType, AccessMode, Object, HandleInformation);
  if (status == STATUS_INVALID_HANDLE && AccessMode == KernelMode)
    Violation(kBadHandle, Bits(Handle), Bits(ObjectType));
  return status;
}

LONG_PTR FASTCALL VerifierObfReferenceObject(PVOID Object) {
  CheckReferences(Object, 1);
  return ObfReferenceObject(Object);
}

LONG_PTR FASTCALL VerifierObfDereferenceObject(PVOID Object) {
  CheckReferences(Object, -1);
  return ObfDereferenceObject(Object);
}

VOID NTAPI VerifierExQueueWorkItem(PWORK_QUEUE_ITEM WorkItem, WORK_QUEUE_TYPE QueueType) {
  if (IsPageable(WorkItem)) Violation(kPageableWorkItem, Bits(WorkItem));
  ExQueueWorkItem(WorkItem, QueueType);
}

NTSTATUS NTAPI VerifierZwNotifyChangeKey(HANDLE KeyHandle, HANDLE EventHandle, PIO_APC_ROUTINE ApcRoutine,
                                         PVOID ApcContext, PIO_STATUS_BLOCK IoStatusBlock, ULONG NotifyFilter,
                                         BOOLEAN WatchSubtree, PVOID Buffer, ULONG BufferLength,
                                         BOOLEAN Asynchronous) {
  // From kernel mode the routine is a work item, and the context says in which queue.
  if (ApcRoutine != nullptr && Bits(ApcContext) > HyperCriticalWorkQueue)
    Violation(kNotifyContext, Bits(CALLER), Bits(ApcContext));
  return ZwNotifyChangeKey(KeyHandle, EventHandle, ApcRoutine, ApcContext, IoStatusBlock, NotifyFilter,
                           WatchSubtree, Buffer, BufferLength, Asynchronous);
}

PVOID VerifierMemcpy(PVOID Destination, const VOID* Source, SIZE_T Bytes) {
  const ULONG_PTR to = reinterpret_cast<ULONG_PTR>(Destination), from = Bits(Source);
  if (to != from && (to - from < Bytes || from - to < Bytes)) Violation(kOverlap, to, from, Bytes);
  return memcpy(Destination, Source, Bytes);
}

}  // extern "C"

namespace {

#define VF_THUNK(Name) {#Name, reinterpret_cast<PVOID>(&Verifier##Name), 0}
const Thunk kThunks[] = {
    VF_THUNK(ObReferenceObjectByHandle), VF_THUNK(ObfReferenceObject),
    VF_THUNK(ObfDereferenceObject),      VF_THUNK(ExQueueWorkItem),
    VF_THUNK(ZwNotifyChangeKey),         {"memcpy", reinterpret_cast<PVOID>(&VerifierMemcpy), 0},
};

}  // namespace

const ThunkTable kObjectThunks = {kThunks, ARRAYSIZE(kThunks)};

}  // namespace vf
