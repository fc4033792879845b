/* What file systems and filters ask of FsRtl and Cc, some of which raise for want of memory. */
#include "starve.h"

static const GUID Parameter = { 0x7e5b1d01, 0x1111, 0x2222, { 1, 2, 3, 4, 5, 6, 7, 8 } };

static VOID Mcbs(VOID)
{
    LARGE_MCB Mcb;

    __try {
        FsRtlInitializeLargeMcb(&Mcb, PagedPool);
        Note(STATUS_SUCCESS);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
        return;
    }
    __try {
        for (LONGLONG Run = 0; Run < 40; ++Run)
            FsRtlAddLargeMcbEntry(&Mcb, 10 * Run, 1000 + 100 * Run, 5);
        FsRtlSplitLargeMcb(&Mcb, 2, 3);
        Note(STATUS_SUCCESS);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
    }
    FsRtlUninitializeLargeMcb(&Mcb);
}

static VOID Tunnels(VOID)
{
    static WCHAR LongBuffer[4];
    WCHAR ShortBuffer[13];
    UNICODE_STRING Short, Long, FoundShort = { 0, sizeof(ShortBuffer), ShortBuffer };
    UNICODE_STRING FoundLong = { 0, sizeof(LongBuffer), LongBuffer };
    ULONG Data = 7, Length = sizeof(Data);
    TUNNEL Cache;

    RtlInitUnicodeString(&Short, L"A~1.TXT");
    RtlInitUnicodeString(&Long, L"a long name.txt");
    FsRtlInitializeTunnelCache(&Cache);
    FsRtlAddToTunnelCache(&Cache, 1, &Short, &Long, TRUE, sizeof(Data), &Data);
    Note(FsRtlFindInTunnelCache(&Cache, 1, &Short, &FoundShort, &FoundLong, &Length, &Data) ? STATUS_SUCCESS
                                                                                            : STATUS_INSUFFICIENT_RESOURCES);
    if (FoundLong.Buffer != NULL && FoundLong.Buffer != LongBuffer)
        ExFreePool(FoundLong.Buffer);
    FsRtlDeleteTunnelCache(&Cache);
}

static VOID Allocations(VOID)
{
    PNOTIFY_SYNC Sync;
    PFILE_LOCK Lock = FsRtlAllocateFileLock(NULL, NULL);

    if (NotePointer(Lock))
        FsRtlFreeFileLock(Lock);
    __try {
        ExFreePool(FsRtlAllocatePoolWithTag(PagedPool, 32, TAG));
        Note(STATUS_SUCCESS);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
    }
    __try {
        FsRtlNotifyInitializeSync(&Sync);
        FsRtlNotifyUninitializeSync(&Sync);
        Note(STATUS_SUCCESS);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
    }
}

static VOID CreateParameters(VOID)
{
    PECP_LIST List;
    PVOID Context;

    if (!Note(FsRtlAllocateExtraCreateParameterList(0, &List)))
        return;
    if (Note(FsRtlAllocateExtraCreateParameter(&Parameter, 16, 0, NULL, TAG, &Context)))
        FsRtlFreeExtraCreateParameter(Context);
    FsRtlFreeExtraCreateParameterList(List);
}

static BOOLEAN NTAPI Acquire(PVOID Context, BOOLEAN Wait)
{
    UNREFERENCED_PARAMETER(Context);
    UNREFERENCED_PARAMETER(Wait);
    return TRUE;
}

static VOID NTAPI Release(PVOID Context)
{
    UNREFERENCED_PARAMETER(Context);
}

/* A new page of a stream is made, and forgotten before anybody writes it. */
static VOID NewPage(PFILE_OBJECT File)
{
    LARGE_INTEGER Offset = { 0 };
    PVOID Bcb, Buffer;

    __try {
        if (CcPreparePinWrite(File, &Offset, PAGE_SIZE, TRUE, PIN_WAIT, &Bcb, &Buffer))
            CcUnpinData(Bcb);
        Note(STATUS_SUCCESS);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
    }
    CcPurgeCacheSection(File->SectionObjectPointer, NULL, 0, 0);
}

static VOID Cache(VOID)
{
    static SECTION_OBJECT_POINTERS Pointers;
    static FSRTL_COMMON_FCB_HEADER Header;
    CACHE_MANAGER_CALLBACKS Callbacks = { Acquire, Release, Acquire, Release };
    CACHE_UNINITIALIZE_EVENT Gone;
    CC_FILE_SIZES Sizes;
    PFILE_OBJECT File = NULL;
    BOOLEAN Cached = FALSE;

    __try {
        File = IoCreateStreamFileObjectLite(NULL, Device);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
    }
    if (File == NULL)
        return;
    Sizes.AllocationSize.QuadPart = Sizes.FileSize.QuadPart = 0x10000;
    Sizes.ValidDataLength.QuadPart = 0;
    File->FsContext = &Header;
    File->SectionObjectPointer = &Pointers;
    __try {
        CcInitializeCacheMap(File, &Sizes, TRUE, &Callbacks, NULL);
        CcSetAdditionalCacheAttributes(File, TRUE, TRUE);
        Cached = Note(STATUS_SUCCESS);
    } __except (EXCEPTION_EXECUTE_HANDLER) {
        Note(GetExceptionCode());
    }
    if (Cached) {
        NewPage(File);
        KeInitializeEvent(&Gone.Event, NotificationEvent, FALSE);
        CcUninitializeCacheMap(File, NULL, &Gone);
        KeWaitForSingleObject(&Gone.Event, Executive, KernelMode, FALSE, NULL);
    }
    ObDereferenceObject(File);
}

VOID FileSystemHelpers(VOID)
{
    Mcbs();
    Tunnels();
    Allocations();
    CreateParameters();
    Cache();
}
