// What the crash path asks of modules above ke; init fills it in at boot. Every call must be safe with all
// other processors frozen, take no lock and touch no pageable memory. Empty members are skipped.
#pragma once

#include "nt/eprocess.h"

struct KiCrashHooks {
  PKLDR_DATA_TABLE_ENTRY (*find_image)(PVOID address);
  ULONG64 (*describe_pages)(ULONG64* bitmap, ULONG64 bits);
  VOID (*update_debugger_data)();
};
extern KiCrashHooks KiCrash;
