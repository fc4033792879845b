// Private to ps.
#pragma once

#include "ob/ob.h"
#include "ps/ps.h"

extern "C" VOID NTAPI PspThreadDelete(PVOID Object);

namespace ps {

// Guards PsActiveProcessHead and every process's thread list. Never held over a call out of ps.
extern KSPIN_LOCK g_list_lock;

NTSTATUS InitThreadType();
HANDLE NewClientId();
void NotifyThread(PETHREAD thread, BOOLEAN create);
VOID NTAPI DeleteProcess(PVOID object);
// Called in nt!KiReaperThread: hands the thread to PspReaper.
VOID ReapThread(PKTHREAD thread);

}  // namespace ps
