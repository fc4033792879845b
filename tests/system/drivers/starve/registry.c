/* The registry, names of objects, strings. */
#include "starve.h"

#define KEY L"\\Registry\\Machine\\SYSTEM\\Starve"

VOID ForgetKey(PCWSTR Text)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path;
    NTSTATUS Status;
    HANDLE Key;

    Name(&Path, &Attributes, Text);
    do {
        Status = ZwOpenKey(&Key, KEY_ALL_ACCESS, &Attributes);
        if (NT_SUCCESS(Status)) {
            ZwDeleteKey(Key);
            ZwClose(Key);
        }
    } while (Status != STATUS_OBJECT_NAME_NOT_FOUND);
}

VOID Keys(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path, Value;
    UCHAR Buffer[256];
    ULONG Length;
    HANDLE Key;

    Name(&Path, &Attributes, KEY);
    if (!Note(ZwCreateKey(&Key, KEY_ALL_ACCESS, &Attributes, 0, NULL, REG_OPTION_VOLATILE, NULL))) {
        ForgetKey(KEY);
        return;
    }
    RtlInitUnicodeString(&Value, L"Value");
    RtlZeroMemory(Buffer, sizeof(Buffer));
    if (Note(ZwSetValueKey(Key, &Value, 0, REG_BINARY, Buffer, 100))) {
        Note(ZwQueryValueKey(Key, &Value, KeyValuePartialInformation, Buffer, sizeof(Buffer), &Length));
        Note(ZwEnumerateValueKey(Key, 0, KeyValueBasicInformation, Buffer, sizeof(Buffer), &Length));
        Note(ZwQueryKey(Key, KeyFullInformation, Buffer, sizeof(Buffer), &Length));
        Note(ZwDeleteValueKey(Key, &Value));
    }
    ZwClose(Key);
    ForgetKey(KEY);
}

static NTSTATUS NTAPI OnValue(PWSTR ValueName, ULONG Type, PVOID Data, ULONG Length, PVOID Context, PVOID EntryContext)
{
    UNREFERENCED_PARAMETER(ValueName);
    UNREFERENCED_PARAMETER(Type);
    UNREFERENCED_PARAMETER(Data);
    UNREFERENCED_PARAMETER(Length);
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(EntryContext);
    return STATUS_SUCCESS;
}

VOID RegistryHelpers(VOID)
{
    UNICODE_STRING Direct = { 0 };
    RTL_QUERY_REGISTRY_TABLE Table[3];

    if (!Note(RtlWriteRegistryValue(RTL_REGISTRY_CONTROL, L"Starve", L"Text", REG_SZ, L"text", 5 * sizeof(WCHAR))))
        return;
    RtlZeroMemory(Table, sizeof(Table));
    Table[0].QueryRoutine = OnValue; /* all values */
    Note(RtlQueryRegistryValues(RTL_REGISTRY_CONTROL, L"Starve", Table, NULL, NULL));
    Table[0].QueryRoutine = NULL;
    Table[0].Flags = RTL_QUERY_REGISTRY_DIRECT;
    Table[0].Name = L"Text";
    Table[0].EntryContext = &Direct;
    if (Note(RtlQueryRegistryValues(RTL_REGISTRY_CONTROL, L"Starve", Table, NULL, NULL)))
        RtlFreeUnicodeString(&Direct);
    while (!Note(RtlDeleteRegistryValue(RTL_REGISTRY_CONTROL, L"Starve", L"Text")))
        ;
}

VOID Strings(VOID)
{
    static const GUID Identifier = { 1, 2, 3, { 4, 5, 6, 7, 8, 9, 10, 11 } };
    UNICODE_STRING Text = RTL_CONSTANT_STRING(L"text"), Wide;
    ANSI_STRING Narrow;

    if (Note(RtlStringFromGUID(&Identifier, &Wide)))
        RtlFreeUnicodeString(&Wide);
    if (Note(RtlUnicodeStringToAnsiString(&Narrow, &Text, TRUE))) {
        if (Note(RtlAnsiStringToUnicodeString(&Wide, &Narrow, TRUE)))
            RtlFreeUnicodeString(&Wide);
        RtlFreeAnsiString(&Narrow);
    }
    if (Note(RtlUpcaseUnicodeString(&Wide, &Text, TRUE)))
        RtlFreeUnicodeString(&Wide);
}

VOID Names(VOID)
{
    OBJECT_ATTRIBUTES Attributes;
    UNICODE_STRING Path, Target;
    HANDLE Directory, Object;

    Name(&Path, &Attributes, L"\\BaseNamedObjects\\Starve");
    if (Note(ZwCreateEvent(&Object, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE)))
        ZwClose(Object);
    Name(&Path, &Attributes, L"\\StarveDirectory");
    if (!Note(ZwCreateDirectoryObject(&Directory, DIRECTORY_ALL_ACCESS, &Attributes)))
        return;
    RtlInitUnicodeString(&Target, L"\\Device");
    Name(&Path, &Attributes, L"Link");
    Attributes.RootDirectory = Directory;
    if (Note(ZwCreateSymbolicLinkObject(&Object, SYMBOLIC_LINK_ALL_ACCESS, &Attributes, &Target)))
        ZwClose(Object);
    ZwClose(Directory);
}
