// The performance counter routines that mingw-w64's DDK headers lack, as the WDK's wdm.h declares them.
#pragma once

#include "ddi.h"

extern "C" {
struct PCW_COUNTER {
  USHORT Id, StructIndex, Offset, Size;
};
struct PCW_INFORMATION {
  ULONG Version, Size;
  PCUNICODE_STRING Name;
  ULONG CounterCount;
  PCW_COUNTER* Counters;
  PVOID Callback, CallbackContext;
};
struct PCW_BYTES {
  const VOID* Data;
  ULONG Size;
};
NTSTATUS NTAPI PcwRegister(PVOID* Registration, PCW_INFORMATION* Info);
VOID NTAPI PcwUnregister(PVOID Registration);
NTSTATUS NTAPI PcwCreateInstance(PVOID* Instance, PVOID Registration, PCUNICODE_STRING Name, ULONG Count,
                                 PCW_BYTES* Data);
VOID NTAPI PcwCloseInstance(PVOID Instance);
NTSTATUS NTAPI PcwAddInstance(PVOID Buffer, PCUNICODE_STRING Name, ULONG Id, ULONG Count, PCW_BYTES* Data);
}
