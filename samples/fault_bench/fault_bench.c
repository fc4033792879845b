/*
 * What page faults and exceptions cost, for `make bench`: nanoseconds a page, by where the page comes from; on one processor
 * under -icount instructions.
 */
#include "fault_bench.h"

#define PAGES 512
#define BYTES (PAGES * PAGE_SIZE)
#define TAG 'hcnB'

NTSYSAPI ULONG NTAPI MmTrimAllSystemPagableMemory(ULONG PurgeTransition);

static VOID Unload(PDRIVER_OBJECT Driver)
{
    UNREFERENCED_PARAMETER(Driver);
}

/* Touches each page once; nanoseconds a page. */
static ULONG64 Touch(volatile UCHAR *Memory, BOOLEAN Write)
{
    LARGE_INTEGER Frequency, Start = KeQueryPerformanceCounter(&Frequency), End;
    ULONG Page, Sum = 0;

    for (Page = 0; Page < PAGES; ++Page) {
        if (Write)
            Memory[Page * PAGE_SIZE] = 1;
        else
            Sum += Memory[Page * PAGE_SIZE];
    }
    End = KeQueryPerformanceCounter(NULL);
    if (!Write && Sum == 0xFFFFFFFF)
        DbgPrint("fault_bench: ERROR: the sum cannot be this large\n");
    return (ULONG64)(End.QuadPart - Start.QuadPart) * 1000000000 / (ULONG64)Frequency.QuadPart / PAGES;
}

VOID Report(const char *What, ULONG64 Value)
{
    DbgPrint("fault_bench: %s = %I64u\n", What, Value);
}

static VOID MeasurePool(VOID)
{
    volatile UCHAR *Memory = ExAllocatePoolWithTag(PagedPool, BYTES, TAG);

    if (Memory == NULL)
        return;
    Report("paged pool, demand-zero", Touch(Memory, TRUE));
    MmTrimAllSystemPagableMemory(FALSE);
    Report("paged pool, still in memory", Touch(Memory, TRUE));
    MmTrimAllSystemPagableMemory(TRUE);
    Report("paged pool, from the page file", Touch(Memory, TRUE));
    ExFreePoolWithTag((PVOID)Memory, TAG);
}

static VOID MeasureViews(VOID)
{
    LARGE_INTEGER Size;
    HANDLE Section;
    PVOID First = NULL, Second = NULL, Copy = NULL;
    SIZE_T Bytes = 0;

    Size.QuadPart = BYTES;
    if (!NT_SUCCESS(ZwCreateSection(&Section, SECTION_ALL_ACCESS, NULL, &Size, PAGE_READWRITE, SEC_COMMIT, NULL)))
        return;
    if (NT_SUCCESS(ZwMapViewOfSection(Section, ZwCurrentProcess(), &First, 0, 0, NULL, &Bytes, ViewUnmap, 0, PAGE_READWRITE)))
        Report("section, demand-zero", Touch(First, TRUE));
    Bytes = 0;
    if (NT_SUCCESS(ZwMapViewOfSection(Section, ZwCurrentProcess(), &Second, 0, 0, NULL, &Bytes, ViewUnmap, 0, PAGE_READWRITE)))
        Report("section, a second view", Touch(Second, FALSE));
    Bytes = 0;
    if (NT_SUCCESS(ZwMapViewOfSection(Section, ZwCurrentProcess(), &Copy, 0, 0, NULL, &Bytes, ViewUnmap, 0, PAGE_WRITECOPY)))
        Report("section, copy-on-write", Touch(Copy, TRUE));
    ZwUnmapViewOfSection(ZwCurrentProcess(), First);
    ZwUnmapViewOfSection(ZwCurrentProcess(), Second);
    ZwUnmapViewOfSection(ZwCurrentProcess(), Copy);
    ZwClose(Section);
}

static VOID MeasureUser(VOID)
{
    PVOID Base = NULL;
    SIZE_T Bytes = BYTES;

    if (!NT_SUCCESS(ZwAllocateVirtualMemory(ZwCurrentProcess(), &Base, 0, &Bytes, MEM_COMMIT, PAGE_READWRITE)))
        return;
    Report("user memory, demand-zero", Touch(Base, TRUE));
    Bytes = 0;
    ZwFreeVirtualMemory(ZwCurrentProcess(), &Base, &Bytes, MEM_RELEASE);
}

NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING RegistryPath)
{
    UNREFERENCED_PARAMETER(RegistryPath);
    Driver->DriverUnload = Unload;
    if (KeQueryActiveProcessorCount(NULL) == 1)
        CountExceptions();
    MeasurePool();
    MeasureUser();
    MeasureViews();
    return STATUS_SUCCESS;
}
