/* Two routines that only return, behind pointers such as the loader fills in for imports. */
#include <ntifs.h>

__attribute__((naked)) static KIRQL ReturnOnly(PKSPIN_LOCK SpinLock)
{
    __asm__ volatile("retq");
}

__attribute__((naked)) static VOID ReturnOnlyToo(PKSPIN_LOCK SpinLock, KIRQL NewIrql)
{
    __asm__ volatile("retq");
}

KIRQL (*const __imp_EmptyAcquire)(PKSPIN_LOCK) = ReturnOnly;
VOID (*const __imp_EmptyRelease)(PKSPIN_LOCK, KIRQL) = ReturnOnlyToo;
