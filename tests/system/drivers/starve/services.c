/* Strings in code pages, registrations, security, queries of the system. */
#include "starve.h"

NTSTATUS NTAPI ZwQuerySystemInformation(ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
NTSTATUS NTAPI SeCaptureSecurityDescriptor(PSECURITY_DESCRIPTOR Given, KPROCESSOR_MODE Mode, POOL_TYPE Type, BOOLEAN Always,
                                           PSECURITY_DESCRIPTOR *Captured);
VOID NTAPI SeReleaseSecurityDescriptor(PSECURITY_DESCRIPTOR Captured, KPROCESSOR_MODE Mode, BOOLEAN Always);
NTSTATUS NTAPI RtlUpcaseUnicodeStringToAnsiString(PANSI_STRING Destination, PUNICODE_STRING Source, BOOLEAN Allocate);
NTSTATUS NTAPI IoCreateDriver(PUNICODE_STRING DriverName, PDRIVER_INITIALIZE InitializationFunction);
VOID NTAPI IoDeleteDriver(PDRIVER_OBJECT DriverObject);

static const GUID Something = { 0x7e5b1d02, 0x1111, 0x2222, { 1, 2, 3, 4, 5, 6, 7, 8 } };

VOID CodePages(VOID)
{
    UNICODE_STRING Wide, Made;
    ANSI_STRING Narrow;
    OEM_STRING Oem;

    RtlInitUnicodeString(&Wide, L"some text");
    RtlInitAnsiString(&Narrow, "other text");
    if (Note(RtlUnicodeStringToOemString(&Oem, &Wide, TRUE)))
        RtlFreeOemString(&Oem);
    if (Note(RtlUpcaseUnicodeStringToOemString(&Oem, &Wide, TRUE)))
        RtlFreeOemString(&Oem);
    if (Note(RtlUnicodeStringToCountedOemString(&Oem, &Wide, TRUE)))
        RtlFreeOemString(&Oem);
    if (Note(RtlUpcaseUnicodeStringToCountedOemString(&Oem, &Wide, TRUE)))
        RtlFreeOemString(&Oem);
    if (Note(RtlOemStringToUnicodeString(&Made, &Narrow, TRUE)))
        RtlFreeUnicodeString(&Made);
    if (Note(RtlOemStringToCountedUnicodeString(&Made, &Narrow, TRUE)))
        RtlFreeUnicodeString(&Made);
    if (Note(RtlUpcaseUnicodeStringToAnsiString(&Narrow, &Wide, TRUE)))
        RtlFreeAnsiString(&Narrow);
    if (Note(RtlDowncaseUnicodeString(&Made, &Wide, TRUE)))
        RtlFreeUnicodeString(&Made);
    if (Note(RtlDuplicateUnicodeString(0, &Wide, &Made)))
        RtlFreeUnicodeString(&Made);
    if (Note(RtlCreateUnicodeString(&Made, L"text") ? STATUS_SUCCESS : STATUS_NO_MEMORY))
        RtlFreeUnicodeString(&Made);
}

VOID HashTables(VOID)
{
    PRTL_DYNAMIC_HASH_TABLE Table = NULL;

    if (Note(RtlCreateHashTable(&Table, 0, 0) ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES))
        RtlDeleteHashTable(Table);
}

static VOID NTAPI HearFileSystem(PDEVICE_OBJECT FileSystem, BOOLEAN Active)
{
    UNREFERENCED_PARAMETER(FileSystem);
    UNREFERENCED_PARAMETER(Active);
}

static NTSTATUS NTAPI HearDevice(PVOID Notification, PVOID Context)
{
    UNREFERENCED_PARAMETER(Notification);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_SUCCESS;
}

static PDRIVER_OBJECT Second;

static NTSTATUS NTAPI SecondEntry(PDRIVER_OBJECT Object, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Second = Object;
    return STATUS_SUCCESS;
}

VOID MoreRegistrations(VOID)
{
    PVOID Entry = IoAllocateErrorLogEntry(Driver, 64);
    REGHANDLE Provider;

    if (NotePointer(Entry))
        IoFreeErrorLogEntry(Entry);
    if (Note(IoRegisterLastChanceShutdownNotification(Device)))
        IoUnregisterShutdownNotification(Device);
    if (Note(IoRegisterFsRegistrationChange(Driver, HearFileSystem)))
        IoUnregisterFsRegistrationChange(Driver, HearFileSystem);
    if (Note(IoRegisterPlugPlayNotification(EventCategoryDeviceInterfaceChange, 0, (PVOID)&Something, Driver, HearDevice, NULL,
                                            &Entry)))
        IoUnregisterPlugPlayNotification(Entry);
    Entry = PoRegisterSystemState(NULL, ES_CONTINUOUS);
    if (NotePointer(Entry))
        PoUnregisterSystemState(Entry);
    if (Note(EtwRegister(&Something, NULL, NULL, &Provider)))
        EtwUnregister(Provider);
    if (Note(IoCreateDriver(NULL, SecondEntry)))
        IoDeleteDriver(Second);
}

VOID Descriptors(VOID)
{
    SECURITY_DESCRIPTOR Absolute;
    PSECURITY_DESCRIPTOR Captured;
    PACCESS_TOKEN Token = PsReferencePrimaryToken(PsInitialSystemProcess);
    PUNICODE_STRING Image;
    BOOLEAN InPool;
    PVOID Information;

    RtlCreateSecurityDescriptor(&Absolute, SECURITY_DESCRIPTOR_REVISION);
    RtlSetDaclSecurityDescriptor(&Absolute, TRUE, NULL, FALSE);
    if (Note(SeCaptureSecurityDescriptor(&Absolute, KernelMode, PagedPool, TRUE, &Captured)))
        SeReleaseSecurityDescriptor(Captured, KernelMode, TRUE);
    if (Note(ObGetObjectSecurity(PsInitialSystemProcess, &Captured, &InPool)))
        ObReleaseObjectSecurity(Captured, InPool);
    if (Note(SeQueryInformationToken(Token, TokenUser, &Information)))
        ExFreePool(Information);
    if (Note(SeLocateProcessImageName(PsInitialSystemProcess, &Image)))
        ExFreePool(Image);
    PsDereferencePrimaryToken(Token);
}

VOID SystemQueries(VOID)
{
    static const ULONG Classes[] = { 5 /* processes */, 11 /* modules */, 16 /* handles */, 66 /* big pool */ };
    static UCHAR Answer[64];

    for (ULONG Index = 0; Index < RTL_NUMBER_OF(Classes); ++Index) {
        NTSTATUS Status = ZwQuerySystemInformation(Classes[Index], Answer, sizeof(Answer), NULL);

        Note(Status == STATUS_INFO_LENGTH_MISMATCH ? STATUS_SUCCESS : Status); /* too short, on purpose */
    }
}
