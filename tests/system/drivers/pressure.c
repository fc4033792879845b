/*
 * Takes paged pool until the machine has fewer free pages than it wants to keep (boot option low-pages=LOW_PAGES), then waits until
 * some of it has left by itself, and looks at the contents of all of it.
 */
#include <ntifs.h>

#define TAG 'rusP'
#define LOW_PAGES 6000 /* as in tests/system/pressure_test.py */
#define CHUNK (64 * PAGE_SIZE)
#define CHUNKS 256
#define SYSTEM_PERFORMANCE_INFORMATION 2

NTSTATUS NTAPI ZwQuerySystemInformation(ULONG Class, PVOID Buffer, ULONG Length, PULONG ReturnLength);

static PULONG64 Chunks[CHUNKS];
static ULONG Count;

#pragma code_seg("PAGE")
__attribute__((noinline)) static ULONG Pageable(ULONG Value)
{
    return Value * 3 + 1;
}
#pragma code_seg()

static ULONG AvailablePages(VOID)
{
    ULONG Information[0x158 / sizeof(ULONG)] = { 0 };

    ZwQuerySystemInformation(SYSTEM_PERFORMANCE_INFORMATION, Information, sizeof(Information), NULL);
    return Information[44 / 4];
}

static ULONG PagesGone(VOID)
{
    ULONG Gone = 0;

    for (ULONG Index = 0; Index < Count; ++Index) {
        for (ULONG Offset = 0; Offset < CHUNK; Offset += PAGE_SIZE)
            Gone += !MmIsAddressValid((PUCHAR)Chunks[Index] + Offset);
    }
    return Gone;
}

static VOID Sleep(VOID)
{
    LARGE_INTEGER Pause;

    Pause.QuadPart = -500000;
    KeDelayExecutionThread(KernelMode, FALSE, &Pause);
}

/* Takes chunks until that few pages are free. */
static VOID TakeDownTo(ULONG Pages)
{
    while (Count < CHUNKS && AvailablePages() > Pages) {
        Chunks[Count] = ExAllocatePoolWithTag(PagedPool, CHUNK, TAG);
        if (Chunks[Count] == NULL)
            return;
        for (ULONG Word = 0; Word < CHUNK / sizeof(ULONG64); ++Word)
            Chunks[Count][Word] = ((ULONG64)Count << 32) + Word;
        ++Count;
    }
}

static ULONG WrongWords(VOID)
{
    ULONG Wrong = 0;

    for (ULONG Index = 0; Index < Count; ++Index) {
        for (ULONG Word = 0; Word < CHUNK / sizeof(ULONG64); ++Word)
            Wrong += Chunks[Index][Word] != ((ULONG64)Index << 32) + Word;
    }
    return Wrong;
}

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    ULONG Early, Gone, Available;

    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    TakeDownTo(LOW_PAGES + 500);
    for (ULONG Round = 0; Round < 10; ++Round)
        Sleep();
    Early = PagesGone();
    Pageable(1);
    TakeDownTo(LOW_PAGES - 100);
    while ((Available = AvailablePages()) < LOW_PAGES)
        Sleep();
    Gone = PagesGone();
    DbgPrint("pressure: %u pages gone before, %u after, code %s, %u pages available\n", Early, Gone,
             MmIsAddressValid((PVOID)(ULONG_PTR)Pageable) ? "resident" : "gone", Available);
    DbgPrint("pressure: %u words wrong, the code answers %u\n", WrongWords(), Pageable(2));
    for (ULONG Index = 0; Index < Count; ++Index)
        ExFreePoolWithTag(Chunks[Index], TAG);
    return STATUS_SUCCESS;
}
