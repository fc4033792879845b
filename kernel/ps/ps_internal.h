// Private to ps.
#pragma once

#include "nt/access_rights.h"
#include "ob/ob.h"
#include "ps/ps.h"
#include "se/token.h"

extern "C" {
VOID NTAPI PspThreadDelete(PVOID Object);
// The first routine of a thread of a program, which goes on in ring 3.
VOID NTAPI PspUserThreadStartup(PVOID context);
extern LIST_ENTRY PsActiveProcessHead;
}

namespace ps {

// Guards PsActiveProcessHead and every process's thread list. Never held over a call out of ps.
extern KSPIN_LOCK g_list_lock;
extern OBJECT_NAME_INFORMATION g_no_name;

NTSTATUS InitThreadType();
HANDLE NewClientId();
VOID NTAPI DeleteProcess(PVOID object);
// Called in nt!KiReaperThread: hands the thread to PspReaper.
VOID ReapThread(PKTHREAD thread);

// Makes a string whose text stands behind it, as in Windows's answers: PackedBytes(text) in all.
inline ULONG PackedBytes(const UNICODE_STRING& text) {
  return sizeof(UNICODE_STRING) + text.Length + sizeof(WCHAR);
}
void PackString(PUNICODE_STRING string, const UNICODE_STRING& text);

// The notification routines. A process: `information` 0 at its end. PASSIVE_LEVEL.
void NotifyProcess(PEPROCESS process, PPS_CREATE_NOTIFY_INFO information);
void NotifyThread(PETHREAD thread, BOOLEAN create);
void NotifyNewThread(PETHREAD thread);  // in the new thread
void NotifyImage(PUNICODE_STRING full_name, HANDLE process, PVOID base, SIZE_T size, PFILE_OBJECT file);

// Threads of programs: made, announced and started, or dropped unstarted.
NTSTATUS PrepareUserThread(PEPROCESS process, PETHREAD* thread);
void StartThread(PETHREAD thread);
void DropThread(PEPROCESS process, PETHREAD thread);

// user_thread.cpp. Once; then what threads of programs have in user memory goes, in the thread; then their
// end from outside: a thread of a program ends before its next instruction in ring 3, others end by
// themselves. STATUS_PROCESS_IS_TERMINATING for a process that was told before.
void InitUserMode();
void ReleaseUserThread(PETHREAD thread);
void EndUserThread(PETHREAD thread, NTSTATUS status);
NTSTATUS EndProcessThreads(PEPROCESS process, NTSTATUS status);
void RegisterUserServices();  // user_services.cpp

// A new process with an address space and a token, in the list, announced to nobody. Nothing of the program.
NTSTATUS CreateProcessObject(POBJECT_ATTRIBUTES attributes, PEPROCESS parent, PEPROCESS* process);
// Tells the routines of a new process, once; a failure is the status with which one of them forbids it.
NTSTATUS Announce(PEPROCESS process);
// The last thread has gone (or there was none): tells the routines, closes its handles, gives its memory
// back. Once. PASSIVE_LEVEL.
void ExitProcess(PEPROCESS process, NTSTATUS status);
// The exit status of a process that has ended, as long as not too many ended after it.
bool LookupEnded(HANDLE id, NTSTATUS* status);

// A process's token: of an account, or a copy of another process's.
NTSTATUS SetToken(PEPROCESS process, se::Account account, ULONG session);
NTSTATUS InheritToken(PEPROCESS process, PEPROCESS parent);

}  // namespace ps
