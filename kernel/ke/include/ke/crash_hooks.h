// What the crash path asks of modules above ke; init fills it in at boot. Every call must be safe with all
// other processors frozen, take no lock and touch no pageable memory. Empty members are skipped.
#pragma once

#include "nt/eprocess.h"

// An address of special pool that no block in use covers.
enum class KiSpecialPoolState : UCHAR { kNone, kFreed, kBeyondEnd };

struct KiCrashHooks {
  PKLDR_DATA_TABLE_ENTRY (*find_image)(PVOID address);
  PUNICODE_STRING (*find_unloaded_image)(PVOID address);  // the newest that lay there; 0: none
  KiSpecialPoolState (*special_pool_state)(PVOID address);
  ULONG64 (*describe_pages)(ULONG64* bitmap, ULONG64 bits);
  VOID (*update_debugger_data)();
  // Looks for damage in the pools, first around these addresses; bounded, and called last: a fault in there
  // costs nothing that was recorded before.
  VOID (*check_pools)(const ULONG_PTR* about, ULONG count);
};
extern KiCrashHooks KiCrash;
