/*
 * Guards a part of the registry: below its service key's subkey Guarded nothing may be set or deleted, whoever asks.
 * Its DriverEntry tries all of that itself and says what came of it; a value beside the guarded key is not its affair.
 */
#include <ntddk.h>

static LARGE_INTEGER Cookie;
static UNICODE_STRING GuardedPath; /* the full name of the guarded key */
static PVOID PathBuffer;
static volatile LONG Refused;

/* Whether a key is the guarded one or below it. */
static BOOLEAN IsGuarded(PVOID Object)
{
    PCUNICODE_STRING Name;
    BOOLEAN Guarded;

    if (!NT_SUCCESS(CmCallbackGetKeyObjectIDEx(&Cookie, Object, NULL, &Name, 0)))
        return FALSE;
    Guarded = RtlPrefixUnicodeString(&GuardedPath, Name, TRUE) &&
              (Name->Length == GuardedPath.Length || Name->Buffer[GuardedPath.Length / sizeof(WCHAR)] == L'\\');
    CmCallbackReleaseKeyObjectIDEx(Name);
    return Guarded;
}

static NTSTATUS NTAPI Guard(PVOID Context, PVOID Argument1, PVOID Argument2)
{
    PVOID Object;

    UNREFERENCED_PARAMETER(Context);
    switch ((REG_NOTIFY_CLASS)(ULONG_PTR)Argument1) {
    case RegNtPreSetValueKey:
        Object = ((PREG_SET_VALUE_KEY_INFORMATION)Argument2)->Object;
        break;
    case RegNtPreDeleteValueKey:
        Object = ((PREG_DELETE_VALUE_KEY_INFORMATION)Argument2)->Object;
        break;
    case RegNtPreDeleteKey:
        Object = ((PREG_DELETE_KEY_INFORMATION)Argument2)->Object;
        break;
    default:
        return STATUS_SUCCESS;
    }
    if (!IsGuarded(Object))
        return STATUS_SUCCESS;
    InterlockedIncrement(&Refused);
    return STATUS_ACCESS_DENIED;
}

static NTSTATUS OpenKey(HANDLE Root, PUNICODE_STRING Name, PHANDLE Key)
{
    OBJECT_ATTRIBUTES Attributes;

    InitializeObjectAttributes(&Attributes, Name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, Root, NULL);
    return ZwCreateKey(Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_NON_VOLATILE, NULL);
}

static void Try(HANDLE Service, HANDLE Guarded)
{
    UNICODE_STRING Value = RTL_CONSTANT_STRING(L"Value");
    ULONG Number = 2;
    NTSTATUS Set, Delete, DeleteKey, Beside;

    Set = ZwSetValueKey(Guarded, &Value, 0, REG_DWORD, &Number, sizeof(Number));
    Delete = ZwDeleteValueKey(Guarded, &Value);
    DeleteKey = ZwDeleteKey(Guarded);
    Beside = ZwSetValueKey(Service, &Value, 0, REG_DWORD, &Number, sizeof(Number));
    DbgPrint("regguard: set %08x, delete value %08x, delete key %08x, beside %08x, refused %d\n", Set, Delete,
             DeleteKey, Beside, Refused);
}

static NTSTATUS Watch(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath, HANDLE Service)
{
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"Guarded");
    UNICODE_STRING Altitude = RTL_CONSTANT_STRING(L"385300");
    UNICODE_STRING Value = RTL_CONSTANT_STRING(L"Value");
    ULONG Number = 1;
    HANDLE Guarded;
    NTSTATUS Status = OpenKey(Service, &Name, &Guarded);

    if (!NT_SUCCESS(Status))
        return Status;
    Status = ZwSetValueKey(Guarded, &Value, 0, REG_DWORD, &Number, sizeof(Number));
    GuardedPath.MaximumLength = RegistryPath->Length + sizeof(WCHAR) + Name.Length;
    GuardedPath.Buffer = PathBuffer = ExAllocatePoolWithTag(NonPagedPoolNx, GuardedPath.MaximumLength, 'ugeR');
    if (NT_SUCCESS(Status) && PathBuffer == NULL)
        Status = STATUS_INSUFFICIENT_RESOURCES;
    if (NT_SUCCESS(Status)) {
        RtlCopyUnicodeString(&GuardedPath, RegistryPath);
        RtlAppendUnicodeToString(&GuardedPath, L"\\");
        RtlAppendUnicodeStringToString(&GuardedPath, &Name);
        Status = CmRegisterCallbackEx(Guard, &Altitude, DriverObject, NULL, &Cookie, NULL);
    }
    if (NT_SUCCESS(Status))
        Try(Service, Guarded);
    else if (PathBuffer != NULL)
        ExFreePoolWithTag(PathBuffer, 'ugeR');
    ZwClose(Guarded);
    return Status;
}

static VOID NTAPI Unload(PDRIVER_OBJECT DriverObject)
{
    UNREFERENCED_PARAMETER(DriverObject);
    CmUnRegisterCallback(Cookie);
    ExFreePoolWithTag(PathBuffer, 'ugeR');
    DbgPrint("regguard: gone\n");
}

NTSTATUS NTAPI DriverEntry(PDRIVER_OBJECT DriverObject, PUNICODE_STRING RegistryPath)
{
    HANDLE Service;
    NTSTATUS Status = OpenKey(NULL, RegistryPath, &Service);

    if (!NT_SUCCESS(Status))
        return Status;
    DriverObject->DriverUnload = Unload;
    Status = Watch(DriverObject, RegistryPath, Service);
    ZwClose(Service);
    return Status;
}
