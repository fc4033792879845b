// A pop from an S-list reads the link of an entry that may be gone by then: see arch/x64/slist.S.
#include "ke_internal.h"

extern "C" {

extern UCHAR ExpInterlockedPopEntrySListFault[], ExpInterlockedPopEntrySListResume[];

BOOLEAN KiResumeSListPop(PKTRAP_FRAME trap) {
  if (trap->Rip != reinterpret_cast<ULONG64>(ExpInterlockedPopEntrySListFault)) return FALSE;
  const auto* header = reinterpret_cast<const volatile ULONG64*>(trap->R8);
  if (header[0] == trap->Rax && header[1] == trap->Rdx) return FALSE;  // the entry is on the list
  trap->Rip = reinterpret_cast<ULONG64>(ExpInterlockedPopEntrySListResume);
  return TRUE;
}

}  // extern "C"
