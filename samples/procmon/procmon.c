/*
 * Watches processes, threads, images and handles, as an anti-malware driver does: prints what it is told, forbids
 * programs called forbidden.exe, and takes PROCESS_TERMINATE from every handle that is opened to protected.exe.
 *
 * For images linked with /INTEGRITYCHECK alone: PsSetCreateProcessNotifyRoutineEx and ObRegisterCallbacks want it.
 */
#include <ntifs.h>

#define PROCMON_PROCESS_TERMINATE 0x0001

NTKERNELAPI PUCHAR NTAPI PsGetProcessImageFileName(PEPROCESS Process);
NTKERNELAPI ULONG NTAPI PsGetProcessSessionId(PEPROCESS Process);
NTKERNELAPI PVOID NTAPI PsGetProcessPeb(PEPROCESS Process);

static PVOID Registration;

static ULONG Id(HANDLE Handle)
{
    return (ULONG)(ULONG_PTR)Handle;
}

static BOOLEAN EndsWith(PCUNICODE_STRING Text, PCWSTR Tail)
{
    UNICODE_STRING Wanted, End;

    RtlInitUnicodeString(&Wanted, Tail);
    if (Text == NULL || Text->Length < Wanted.Length)
        return FALSE;
    End.Buffer = Text->Buffer + (Text->Length - Wanted.Length) / sizeof(WCHAR);
    End.Length = End.MaximumLength = Wanted.Length;
    return RtlEqualUnicodeString(&End, &Wanted, TRUE);
}

/* What a driver can find out about a new process: its image by name, its user by token, its PEB by attaching to it. */
static void Describe(PEPROCESS Process)
{
    PUNICODE_STRING Name;
    PACCESS_TOKEN Token;
    ULONG Level = 0, Platform = 0;
    KAPC_STATE State;
    BOOLEAN Administrator;

    Token = PsReferencePrimaryToken(Process);
    Administrator = SeTokenIsAdmin(Token);
    SeQueryInformationToken(Token, TokenIntegrityLevel, (PVOID *)&Level);
    PsDereferencePrimaryToken(Token);
    KeStackAttachProcess((PKPROCESS)Process, &State);
    __try {
        Platform = *(volatile ULONG *)((PUCHAR)PsGetProcessPeb(Process) + 0x124); /* OSPlatformId */
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Platform = 0xFFFFFFFF;
    }
    KeUnstackDetachProcess(&State);
    if (NT_SUCCESS(SeLocateProcessImageName(Process, &Name))) {
        DbgPrint("procmon: %u is %s, %wZ, session %u, level %x, administrator %u, platform %u\n",
                 Id(PsGetProcessId(Process)), PsGetProcessImageFileName(Process), Name, PsGetProcessSessionId(Process),
                 Level, Administrator, Platform);
        ExFreePool(Name);
    }
}

static VOID NTAPI OnProcess(PEPROCESS Process, HANDLE ProcessId, PPS_CREATE_NOTIFY_INFO Information)
{
    if (Information == NULL) {
        DbgPrint("procmon: process %u ends\n", Id(ProcessId));
        return;
    }
    DbgPrint("procmon: process %u created by %u: %wZ\n", Id(ProcessId), Id(Information->ParentProcessId),
             Information->CommandLine);
    if (EndsWith(Information->ImageFileName, L"\\forbidden.exe")) {
        Information->CreationStatus = STATUS_VIRUS_INFECTED;
        return;
    }
    Describe(Process);
}

static VOID NTAPI OnThread(HANDLE ProcessId, HANDLE ThreadId, BOOLEAN Create)
{
    DbgPrint("procmon: thread %u of process %u %s\n", Id(ThreadId), Id(ProcessId), Create ? "created" : "ends");
}

static VOID NTAPI OnImage(PUNICODE_STRING Name, HANDLE ProcessId, PIMAGE_INFO Information)
{
    DbgPrint("procmon: image %wZ in process %u, %s, current process %u\n", Name, Id(ProcessId),
             Information->SystemModeImage ? "system" : "user", Id(PsGetCurrentProcessId()));
}

static OB_PREOP_CALLBACK_STATUS NTAPI OnHandle(PVOID Context, POB_PRE_OPERATION_INFORMATION Information)
{
    PEPROCESS Process = Information->Object;
    UCHAR *Name = PsGetProcessImageFileName(Process);
    ACCESS_MASK *Access = &Information->Parameters->CreateHandleInformation.DesiredAccess;

    UNREFERENCED_PARAMETER(Context);
    if (strcmp((char *)Name, "protected.exe") == 0 && (*Access & PROCMON_PROCESS_TERMINATE) != 0) {
        *Access &= ~PROCMON_PROCESS_TERMINATE;
        DbgPrint("procmon: PROCESS_TERMINATE taken from a handle to %u\n", Id(PsGetProcessId(Process)));
    }
    return OB_PREOP_SUCCESS;
}

static NTSTATUS RegisterHandles(void)
{
    OB_OPERATION_REGISTRATION Operation = {PsProcessType, OB_OPERATION_HANDLE_CREATE | OB_OPERATION_HANDLE_DUPLICATE,
                                           OnHandle, NULL};
    OB_CALLBACK_REGISTRATION Callbacks = {OB_FLT_REGISTRATION_VERSION, 1, RTL_CONSTANT_STRING(L"385200"), NULL,
                                          &Operation};

    return ObRegisterCallbacks(&Callbacks, &Registration);
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    ObUnRegisterCallbacks(Registration);
    PsRemoveLoadImageNotifyRoutine(OnImage);
    PsRemoveCreateThreadNotifyRoutine(OnThread);
    PsSetCreateProcessNotifyRoutineEx(OnProcess, TRUE);
    DbgPrint("procmon: gone\n");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    NTSTATUS Status;

    UNREFERENCED_PARAMETER(RegistryPath);
    DriverObject->DriverUnload = Unload;
    Status = PsSetCreateProcessNotifyRoutineEx(OnProcess, FALSE);
    if (!NT_SUCCESS(Status))
        return Status;
    Status = PsSetCreateThreadNotifyRoutine(OnThread);
    if (NT_SUCCESS(Status)) {
        Status = PsSetLoadImageNotifyRoutine(OnImage);
        if (NT_SUCCESS(Status)) {
            Status = RegisterHandles();
            if (NT_SUCCESS(Status))
                return Status;
            PsRemoveLoadImageNotifyRoutine(OnImage);
        }
        PsRemoveCreateThreadNotifyRoutine(OnThread);
    }
    PsSetCreateProcessNotifyRoutineEx(OnProcess, TRUE);
    return Status;
}
