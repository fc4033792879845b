/* Gives giver.exe three hundred handles, two of them inheritable; says of later programs which of them they have. */
#include <ntifs.h>

NTKERNELAPI PUCHAR NTAPI PsGetProcessImageFileName(PEPROCESS Process);

#define HANDLES 300
static const ULONG Inheritable[2] = {5, 290}; /* the second lies behind a table's first page */
static HANDLE Handles[HANDLES];
static PVOID Objects[HANDLES];

static VOID Give(VOID)
{
    for (ULONG Index = 0; Index < HANDLES; ++Index) {
        OBJECT_ATTRIBUTES Attributes;
        BOOLEAN Inherit = Index == Inheritable[0] || Index == Inheritable[1];

        InitializeObjectAttributes(&Attributes, NULL, Inherit ? OBJ_INHERIT : 0, NULL, NULL);
        if (!NT_SUCCESS(ZwCreateEvent(&Handles[Index], SYNCHRONIZE, &Attributes, NotificationEvent, FALSE)) ||
            !NT_SUCCESS(ObReferenceObjectByHandle(Handles[Index], 0, *ExEventObjectType, KernelMode, &Objects[Index], NULL)))
            DbgPrint("inherit: no handle %u\n", Index);
    }
}

static VOID Look(const char *Name)
{
    ULONG Same = 0, Found = 0, Access = 0, Attributes = 0;
    HANDLE Next = NULL;
    OBJECT_ATTRIBUTES NoName;

    for (ULONG Index = 0; Index < HANDLES; ++Index) {
        OBJECT_HANDLE_INFORMATION Information;
        PVOID Object;

        if (!NT_SUCCESS(ObReferenceObjectByHandle(Handles[Index], 0, NULL, KernelMode, &Object, &Information)))
            continue;
        Found++;
        Same += Object == Objects[Index] && (Index == Inheritable[0] || Index == Inheritable[1]);
        Access = Information.GrantedAccess;
        Attributes = Information.HandleAttributes;
        ObDereferenceObject(Object);
    }
    InitializeObjectAttributes(&NoName, NULL, 0, NULL, NULL);
    ZwCreateEvent(&Next, SYNCHRONIZE, &NoName, NotificationEvent, FALSE);
    DbgPrint("inherit: %s found %u same %u access %x attributes %x next %p\n", Name, Found, Same, Access, Attributes, Next);
}

static VOID NTAPI OnProcess(HANDLE Parent, HANDLE Process, BOOLEAN Create)
{
    PEPROCESS Object;
    KAPC_STATE State;

    UNREFERENCED_PARAMETER(Parent);
    if (!Create || !NT_SUCCESS(PsLookupProcessByProcessId(Process, &Object)))
        return;
    const char *Name = (const char *)PsGetProcessImageFileName(Object);
    KeStackAttachProcess((PKPROCESS)Object, &State);
    if (strcmp(Name, "giver.exe") == 0)
        Give();
    else
        Look(Name);
    KeUnstackDetachProcess(&State);
    ObDereferenceObject(Object);
}

static VOID NTAPI Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
    PsSetCreateProcessNotifyRoutine(OnProcess, TRUE);
    for (ULONG Index = 0; Index < HANDLES; ++Index) {
        if (Objects[Index] == NULL)
            continue;
        ULONG_PTR Left = ObDereferenceObject(Objects[Index]);
        if (Index == Inheritable[0] || Index == Inheritable[1])
            DbgPrint("inherit: event %u has %u references left\n", Index, (ULONG)Left);
    }
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    return PsSetCreateProcessNotifyRoutine(OnProcess, FALSE);
}
