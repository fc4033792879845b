/* Locks, callbacks, timers, registrations: what ex, ke, ob and cm keep for a driver. */
#include "starve.h"

static VOID NTAPI OnCallback(PVOID Context, PVOID First, PVOID Second)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(First);
    UNREFERENCED_PARAMETER(Second);
}

typedef struct _SHARER {
    PERESOURCE Resource;
    KEVENT LetGo;
    volatile LONG Owners;
} SHARER, *PSHARER;

static VOID Share(PVOID Context)
{
    PSHARER Sharer = Context;

    KeEnterCriticalRegion();
    ExAcquireResourceSharedLite(Sharer->Resource, TRUE);
    InterlockedIncrement(&Sharer->Owners);
    KeWaitForSingleObject(&Sharer->LetGo, Executive, KernelMode, FALSE, NULL);
    ExReleaseResourceLite(Sharer->Resource);
    KeLeaveCriticalRegion();
    PsTerminateSystemThread(STATUS_SUCCESS);
}

/* A resource with more sharers than its first table has room for. */
static VOID SharedResource(VOID)
{
    ERESOURCE Resource;
    PVOID Sharers[6];
    SHARER Sharer = { &Resource, { 0 }, 0 };
    ULONG Started = 0;

    if (!Note(ExInitializeResourceLite(&Resource)))
        return;
    KeInitializeEvent(&Sharer.LetGo, NotificationEvent, FALSE);
    for (; Started < RTL_NUMBER_OF(Sharers); ++Started) {
        HANDLE Thread;

        if (!Note(PsCreateSystemThread(&Thread, THREAD_ALL_ACCESS, NULL, NULL, NULL, Share, &Sharer)))
            break;
        while (!NT_SUCCESS(ObReferenceObjectByHandle(Thread, THREAD_ALL_ACCESS, *PsThreadType, KernelMode, &Sharers[Started], NULL)))
            ;
        ZwClose(Thread);
    }
    while (Sharer.Owners != (LONG)Started) {
        LARGE_INTEGER Pause;

        Pause.QuadPart = -10000;
        KeDelayExecutionThread(KernelMode, FALSE, &Pause);
    }
    KeSetEvent(&Sharer.LetGo, 0, FALSE);
    while (Started-- != 0) {
        KeWaitForSingleObject(Sharers[Started], Executive, KernelMode, FALSE, NULL);
        ObDereferenceObject(Sharers[Started]);
    }
    ExDeleteResourceLite(&Resource);
}

VOID Locks(VOID)
{
    PEX_RUNDOWN_REF_CACHE_AWARE Rundown = ExAllocateCacheAwareRundownProtection(NonPagedPoolNx, TAG);
    IO_REMOVE_LOCK Lock;

    if (NotePointer(Rundown))
        ExFreeCacheAwareRundownProtection(Rundown);
    SharedResource();
    IoInitializeRemoveLock(&Lock, TAG, 0, 0);
    if (Note(IoAcquireRemoveLock(&Lock, &Lock)))
        IoReleaseRemoveLockAndWait(&Lock, &Lock);
}

static NTSTATUS NTAPI OnRegistry(PVOID Context, PVOID First, PVOID Second)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(First);
    UNREFERENCED_PARAMETER(Second);
    return STATUS_SUCCESS;
}

static OB_PREOP_CALLBACK_STATUS NTAPI OnHandle(PVOID Context, POB_PRE_OPERATION_INFORMATION Information)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Information);
    return OB_PREOP_SUCCESS;
}

static VOID ObjectCallbacks(VOID)
{
    OB_OPERATION_REGISTRATION Operation = { PsThreadType, OB_OPERATION_HANDLE_CREATE, OnHandle, NULL };
    OB_CALLBACK_REGISTRATION Registration = { OB_FLT_REGISTRATION_VERSION, 1, RTL_CONSTANT_STRING(L"4711"), NULL, &Operation };
    PVOID Handle;

    if (Note(ObRegisterCallbacks(&Registration, &Handle)))
        ObUnRegisterCallbacks(Handle);
}

VOID Callbacks(VOID)
{
    UNICODE_STRING Altitude = RTL_CONSTANT_STRING(L"4711"), Path;
    OBJECT_ATTRIBUTES Attributes;
    PCALLBACK_OBJECT Callback;
    LARGE_INTEGER Cookie;

    Name(&Path, &Attributes, L"\\Callback\\Starve");
    if (Note(ExCreateCallback(&Callback, &Attributes, TRUE, TRUE))) {
        PVOID Registered = ExRegisterCallback(Callback, OnCallback, NULL);

        if (NotePointer(Registered))
            ExUnregisterCallback(Registered);
        ObDereferenceObject(Callback);
    }
    if (Note(CmRegisterCallbackEx(OnRegistry, &Altitude, Driver, NULL, &Cookie, NULL)))
        CmUnRegisterCallback(Cookie);
    ObjectCallbacks();
}

static VOID NTAPI OnDeviceTimer(PDEVICE_OBJECT Object, PVOID Context)
{
    UNREFERENCED_PARAMETER(Object);
    UNREFERENCED_PARAMETER(Context);
}

VOID Timers(VOID)
{
    PEX_TIMER Timer = ExAllocateTimer(NULL, NULL, 0);
    PDEVICE_OBJECT Other;

    if (NotePointer(Timer))
        ExDeleteTimer(Timer, TRUE, FALSE, NULL);
    if (Note(IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Other))) {
        if (Note(IoInitializeTimer(Other, OnDeviceTimer, NULL))) {
            IoStartTimer(Other);
            IoStopTimer(Other);
        }
        IoDeleteDevice(Other);
    }
}

VOID Lookasides(VOID)
{
    LOOKASIDE_LIST_EX List;
    NPAGED_LOOKASIDE_LIST NonPaged;
    PAGED_LOOKASIDE_LIST Paged;
    PVOID Block;

    if (Note(ExInitializeLookasideListEx(&List, NULL, NULL, NonPagedPoolNx, 0, 100, TAG, 0))) {
        if (NotePointer(Block = ExAllocateFromLookasideListEx(&List)))
            ExFreeToLookasideListEx(&List, Block);
        ExDeleteLookasideListEx(&List);
    }
    ExInitializeNPagedLookasideList(&NonPaged, NULL, NULL, POOL_NX_ALLOCATION, 200, TAG, 0);
    if (NotePointer(Block = ExAllocateFromNPagedLookasideList(&NonPaged)))
        ExFreeToNPagedLookasideList(&NonPaged, Block);
    ExDeleteNPagedLookasideList(&NonPaged);
    ExInitializePagedLookasideList(&Paged, NULL, NULL, 0, 200, TAG, 0);
    if (NotePointer(Block = ExAllocateFromPagedLookasideList(&Paged)))
        ExFreeToPagedLookasideList(&Paged, Block);
    ExDeletePagedLookasideList(&Paged);
}

static BOOLEAN NTAPI OnNmi(PVOID Context, BOOLEAN Handled)
{
    UNREFERENCED_PARAMETER(Context);
    return Handled;
}

static VOID NTAPI OnProcessor(PVOID Context, PKE_PROCESSOR_CHANGE_NOTIFY_CONTEXT Change, PNTSTATUS Status)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Change);
    UNREFERENCED_PARAMETER(Status);
}

VOID Registrations(VOID)
{
    PVOID Handle;

    if (NotePointer(Handle = KeRegisterNmiCallback(OnNmi, NULL)))
        KeDeregisterNmiCallback(Handle);
    if (NotePointer(Handle = KeRegisterProcessorChangeCallback(OnProcessor, NULL, 0)))
        KeDeregisterProcessorChangeCallback(Handle);
    if (Note(IoRegisterShutdownNotification(Device)))
        IoUnregisterShutdownNotification(Device);
}

VOID FloatingPoint(VOID)
{
    XSTATE_SAVE Save;

    if (Note(KeSaveExtendedProcessorState(XSTATE_MASK_LEGACY, &Save)))
        KeRestoreExtendedProcessorState(&Save);
}

static VOID Short(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
    PsTerminateSystemThread(STATUS_SUCCESS);
}

VOID Threads(VOID)
{
    HANDLE Handle;
    PVOID Object;

    if (Note(PsCreateSystemThread(&Handle, THREAD_ALL_ACCESS, NULL, NULL, NULL, Short, NULL))) {
        if (Note(ObReferenceObjectByHandle(Handle, THREAD_ALL_ACCESS, NULL, KernelMode, &Object, NULL))) {
            KeWaitForSingleObject(Object, Executive, KernelMode, FALSE, NULL);
            ObDereferenceObject(Object);
        }
        ZwClose(Handle);
    }
}

static VOID NTAPI OnThread(HANDLE Process, HANDLE Thread, BOOLEAN Create)
{
    UNREFERENCED_PARAMETER(Process);
    UNREFERENCED_PARAMETER(Thread);
    UNREFERENCED_PARAMETER(Create);
}

/* Contexts that a registry callback keeps at keys, notifications of threads. */
VOID Notifications(VOID)
{
    UNICODE_STRING Altitude = RTL_CONSTANT_STRING(L"4712");
    LARGE_INTEGER Cookie;
    PCUNICODE_STRING KeyName;
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path;
    PVOID Object, Old;
    HANDLE Key;

    if (Note(PsSetCreateThreadNotifyRoutine(OnThread)))
        PsRemoveCreateThreadNotifyRoutine(OnThread);
    if (!Note(CmRegisterCallbackEx(OnRegistry, &Altitude, Driver, NULL, &Cookie, NULL)))
        return;
    Name(&Path, &Attributes, L"\\Registry\\Machine\\SYSTEM");
    if (Note(ZwOpenKey(&Key, KEY_READ, &Attributes))) {
        if (Note(ObReferenceObjectByHandle(Key, 0, NULL, KernelMode, &Object, NULL))) {
            if (Note(CmSetCallbackObjectContext(Object, &Cookie, Driver, &Old)))
                CmSetCallbackObjectContext(Object, &Cookie, NULL, &Old);
            if (Note(CmCallbackGetKeyObjectIDEx(&Cookie, Object, NULL, &KeyName, 0)))
                CmCallbackReleaseKeyObjectIDEx(KeyName);
            ObDereferenceObject(Object);
        }
        ZwClose(Key);
    }
    CmUnRegisterCallback(Cookie);
}
