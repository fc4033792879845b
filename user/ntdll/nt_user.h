/* The services, as programs declare them. */
#pragma once

#define WIN32_NO_STATUS
#include <windef.h>
#include <winnt.h>
#include <winternl.h>
#undef WIN32_NO_STATUS
#include <ntstatus.h>

#define USER_CURRENT_PROCESS ((HANDLE)(LONG_PTR) - 1)
#define USER_CURRENT_THREAD ((HANDLE)(LONG_PTR) - 2)

NTSTATUS NTAPI NtDelayExecution(BOOLEAN alertable, PLARGE_INTEGER interval);
NTSTATUS NTAPI NtProtectVirtualMemory(HANDLE process, PVOID* base, PSIZE_T size, ULONG protection,
                                      PULONG old);
NTSTATUS NTAPI NtRaiseException(PEXCEPTION_RECORD record, PCONTEXT context, BOOLEAN first_chance);
NTSTATUS NTAPI NtTerminateProcess(HANDLE process, NTSTATUS status);
NTSTATUS NTAPI NtTerminateThread(HANDLE thread, NTSTATUS status);
NTSTATUS NTAPI NtTestAlert(void);
NTSTATUS NTAPI NtYieldExecution(void);
