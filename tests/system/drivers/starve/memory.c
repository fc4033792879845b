/* What mm hands out. */
#include "starve.h"

NTSTATUS NTAPI ZwQuerySystemInformation(ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);
ULONG NTAPI MmTrimAllSystemPagableMemory(ULONG PurgeTransition);
NTSTATUS NTAPI PsCreateSystemProcess(PHANDLE Process, ULONG Access, POBJECT_ATTRIBUTES Attributes);

NTSTATUS NTAPI MmCopyVirtualMemory(PEPROCESS Source, PVOID From, PEPROCESS Target, PVOID To, SIZE_T Bytes, KPROCESSOR_MODE Mode,
                                   PSIZE_T Done);

#define BYTES (4 * PAGE_SIZE)

VOID Queries(VOID)
{
    static UCHAR Buffer[64 * 1024];
    PPHYSICAL_MEMORY_RANGE Ranges = MmGetPhysicalMemoryRanges();

    if (NotePointer(Ranges))
        ExFreePool(Ranges);
    Note(ZwQuerySystemInformation(5, Buffer, sizeof(Buffer), NULL));  /* processes */
    Note(ZwQuerySystemInformation(11, Buffer, sizeof(Buffer), NULL)); /* modules */
}

static NTSTATUS Lock(PMDL Mdl)
{
    NTSTATUS Status = STATUS_SUCCESS;

    __try {
        MmProbeAndLockPages(Mdl, KernelMode, IoModifyAccess);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Status = GetExceptionCode();
    }
    return Status;
}

static VOID LockedPages(VOID)
{
    PVOID Block = ExAllocatePoolWithTag(PagedPool, BYTES, TAG);
    PMDL Mdl;

    if (Block == NULL)
        return;
    Mdl = IoAllocateMdl(Block, BYTES, FALSE, FALSE, NULL);
    if (NotePointer(Mdl)) {
        if (Note(Lock(Mdl))) {
            NotePointer(MmGetSystemAddressForMdlSafe(Mdl, NormalPagePriority | MdlMappingNoExecute));
            MmUnlockPages(Mdl);
        }
        IoFreeMdl(Mdl);
    }
    ExFreePoolWithTag(Block, TAG);
}

VOID MdlsAndMappings(VOID)
{
    PHYSICAL_ADDRESS Low, High, Skip;
    PVOID Mapping;
    PMDL Mdl;

    LockedPages();
    Low.QuadPart = Skip.QuadPart = 0;
    High.QuadPart = -1;
    Mdl = MmAllocatePagesForMdlEx(Low, High, Skip, BYTES, MmCached, 0);
    if (NotePointer(Mdl)) {
        if (NotePointer(Mapping = MmMapLockedPagesSpecifyCache(Mdl, KernelMode, MmCached, NULL, FALSE, NormalPagePriority)))
            MmUnmapLockedPages(Mapping, Mdl);
        MmFreePagesFromMdl(Mdl);
        ExFreePool(Mdl);
    }
    if (NotePointer(Mapping = MmAllocateMappingAddress(BYTES, TAG)))
        MmFreeMappingAddress(Mapping, TAG);
    if (NotePointer(Mapping = MmAllocateContiguousMemory(BYTES, High)))
        MmFreeContiguousMemory(Mapping);
}

VOID Sections(VOID)
{
    LARGE_INTEGER Size;
    HANDLE Section;
    PVOID Object, View = NULL;
    SIZE_T Bytes = 0;

    Size.QuadPart = BYTES;
    if (!Note(ZwCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL)))
        return;
    if (Note(ZwMapViewOfSection(Section, ZwCurrentProcess(), &View, 0, 0, NULL, &Bytes, ViewUnmap, 0, PAGE_READWRITE))) {
        *(volatile ULONG *)View = 1;
        ZwUnmapViewOfSection(ZwCurrentProcess(), View);
    }
    if (Note(ObReferenceObjectByHandle(Section, SECTION_ALL_ACCESS, NULL, KernelMode, &Object, NULL))) {
        Bytes = 0;
        View = NULL;
        if (Note(MmMapViewInSystemSpace(Object, &View, &Bytes)))
            MmUnmapViewInSystemSpace(View);
        ObDereferenceObject(Object);
    }
    ZwClose(Section);
}

static VOID UseProcess(HANDLE Process, PVOID Object)
{
    PVOID Base = NULL;
    SIZE_T Bytes = BYTES;
    KAPC_STATE State;
    HANDLE Secured;

    if (!Note(ZwAllocateVirtualMemory(Process, &Base, 0, &Bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)))
        return;
    KeStackAttachProcess(Object, &State);
    if (NotePointer(Secured = MmSecureVirtualMemory(Base, BYTES, PAGE_READWRITE)))
        MmUnsecureVirtualMemory(Secured);
    KeUnstackDetachProcess(&State);
    Bytes = 0;
    ZwFreeVirtualMemory(Process, &Base, &Bytes, MEM_RELEASE);
}

VOID ProcessMemory(VOID)
{
    HANDLE Process;
    PVOID Object;

    if (!Note(PsCreateSystemProcess(&Process, PROCESS_ALL_ACCESS, NULL)))
        return;
    if (Note(ObReferenceObjectByHandle(Process, 0, *PsProcessType, KernelMode, &Object, NULL))) {
        UseProcess(Process, Object);
        ObDereferenceObject(Object);
    }
    ZwTerminateProcess(Process, STATUS_SUCCESS);
    ZwClose(Process);
}

/* Paged pool goes out to the file and comes back: a request that cannot be allocated leaves the page where it is. */
static VOID PageOutOnce(VOID)
{
    volatile ULONG *Block = ExAllocatePoolWithTag(PagedPool, BYTES, TAG);
    ULONG Wrong = 0;

    if (Block == NULL)
        return;
    for (ULONG Index = 0; Index < BYTES / sizeof(ULONG); ++Index)
        Block[Index] = Index;
    MmTrimAllSystemPagableMemory(TRUE);
    for (ULONG Index = 0; Index < BYTES / sizeof(ULONG); ++Index)
        Wrong += Block[Index] != Index;
    if (Wrong != 0)
        DbgPrint("starve: %u words of paged pool are wrong\n", Wrong);
    ExFreePoolWithTag((PVOID)Block, TAG);
}

/* Nobody is told that a page could not be written: often enough for every failure there is. */
VOID PagingOut(VOID)
{
    for (ULONG Round = 0; Round < 12; ++Round)
        PageOutOnce();
}

VOID CopiedMemory(VOID)
{
    static UCHAR From[100], To[100];
    SIZE_T Done;

    Note(MmCopyVirtualMemory(PsGetCurrentProcess(), From, PsGetCurrentProcess(), To, sizeof(To), KernelMode, &Done));
}
