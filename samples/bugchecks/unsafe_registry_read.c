/*
 * A value of a hive that programs write to is read directly, without a check of its type: it could be longer than the
 * buffer. RtlQueryRegistryValues fails fast, whatever the value is.
 */
#include <ntddk.h>

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    static WCHAR Path[] = L"\\Registry\\User\\UnsafeRead";
    static ULONG Value;
    RTL_QUERY_REGISTRY_TABLE Table[2];
    UNICODE_STRING Name;
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Key;

    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(RegistryPath);
    RtlInitUnicodeString(&Name, Path);
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE | OBJ_CASE_INSENSITIVE, NULL, NULL);
    if (!NT_SUCCESS(ZwCreateKey(&Key, KEY_READ, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL)))
        return STATUS_UNSUCCESSFUL;
    RtlZeroMemory(Table, sizeof Table);
    Table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
    Table[0].Name = L"Level";
    Table[0].EntryContext = &Value;
    RtlQueryRegistryValues(RTL_REGISTRY_ABSOLUTE, Path, Table, NULL, NULL);
    ZwClose(Key);
    return STATUS_UNSUCCESSFUL;
}
