// The Idle and System processes, process look-up.
#include "ps_internal.h"

#include "ke/ke.h"
#include "nt/export.h"

extern "C" {
LIST_ENTRY PsActiveProcessHead;
PEPROCESS PsInitialSystemProcess;
PEPROCESS PsIdleProcess;
POBJECT_TYPE PsProcessType;
extern ERESOURCE PsLoadedModuleResource;
}

/// The System process's EPROCESS.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm.
NT_EXPORT_DATA(PsInitialSystemProcess, Full, "KernelPs.*");
/// The type of process objects.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/ObReferenceObjectByHandle.
NT_EXPORT_DATA(PsProcessType, Full, "KernelPs.*");

namespace ps {

KSPIN_LOCK g_list_lock;

void PackString(PUNICODE_STRING string, const UNICODE_STRING& text) {
  *string = {text.Length, static_cast<USHORT>(text.Length + sizeof(WCHAR)),
             reinterpret_cast<PWCH>(string + 1)};
  RtlCopyMemory(string->Buffer, text.Buffer, text.Length);
  string->Buffer[text.Length / sizeof(WCHAR)] = 0;
}
OBJECT_NAME_INFORMATION g_no_name;

namespace {

void SetImageName(PEPROCESS process, const char* name) {
  for (ULONG i = 0; i < sizeof(process->ImageFileName) - 1 && name[i] != 0; ++i) {
    process->ImageFileName[i] = static_cast<UCHAR>(name[i]);
  }
}

// ke made the idle process and its threads; the executive's part of them is set here.
void AdoptIdleProcess() {
  PEPROCESS idle = &KiInitialProcess;
  PsIdleProcess = idle;
  SetImageName(idle, "Idle");
  idle->UniqueProcessId = nullptr;
  idle->ObjectTable = ObpKernelHandleTable;
  idle->SeAuditProcessCreationInfo.ImageFileName = &g_no_name;
  KeQuerySystemTime(&idle->CreateTime);
}

NTSTATUS CreateSystemProcess() {
  PVOID object;
  NTSTATUS status = ObCreateObject(KernelMode, PsProcessType, nullptr, KernelMode, nullptr, sizeof(EPROCESS),
                                   0, 0, &object);
  if (!NT_SUCCESS(status)) return status;
  auto* process = static_cast<PEPROCESS>(object);
  KeInitializeProcess(&process->Pcb, 8, ~KAFFINITY{0}, __readcr3());
  InitializeListHead(&process->ThreadListHead);
  process->Announced = 1;
  process->UniqueProcessId = reinterpret_cast<HANDLE>(ULONG_PTR{4});
  process->ObjectTable = ObpKernelHandleTable;
  ObpKernelHandleTable->QuotaProcess = process;
  process->ExitStatus = STATUS_PENDING;
  process->SeAuditProcessCreationInfo.ImageFileName = &g_no_name;
  process->PriorityClass = 2;
  SetImageName(process, "System");
  KeQuerySystemTime(&process->CreateTime);
  InsertTailList(&PsActiveProcessHead, &process->ActiveProcessLinks);
  PsInitialSystemProcess = process;
  status = SetToken(process, se::Account::kSystem, 0);
  if (!NT_SUCCESS(status)) return status;
  PsIdleProcess->Token = process->Token;
  ObfReferenceObject(process->Token);
  return ObInsertObject(object, nullptr, 0, 0, nullptr, nullptr);
}

}  // namespace
}  // namespace ps

extern "C" NTSTATUS PsInitSystem() {
  InitializeListHead(&PsActiveProcessHead);
  KeInitializeSpinLock(&ps::g_list_lock);
  const ob::TypeDescription process = {L"Process",
                                       'corP',
                                       {STANDARD_RIGHTS_READ | 0x0410, STANDARD_RIGHTS_WRITE | 0x0BEA,
                                        STANDARD_RIGHTS_EXECUTE | 0x121000, PROCESS_ALL_ACCESS},
                                       PROCESS_ALL_ACCESS,
                                       ps::DeleteProcess,
                                       nullptr,
                                       nullptr,
                                       nullptr,
                                       true,
                                       0};
  NTSTATUS status = ob::CreateType(process, &PsProcessType);
  if (NT_SUCCESS(status)) status = ps::InitThreadType();
  if (!NT_SUCCESS(status)) return status;
  PsProcessType->TypeInfo.SupportsObjectCallbacks = 1;
  PsThreadType->TypeInfo.SupportsObjectCallbacks = 1;
  ps::AdoptIdleProcess();
  KeSetThreadReaper(ps::ReapThread);
  ExInitializeResourceLite(&PsLoadedModuleResource);
  return ps::CreateSystemProcess();
}

/// The process that the current thread belongs to.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/IoGetCurrentProcess.
NT_EXPORT(IoGetCurrentProcess, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" PEPROCESS NTAPI IoGetCurrentProcess() {
  return reinterpret_cast<PEPROCESS>(KeCurrentThread()->ApcState.Process);
}

#undef PsGetCurrentProcess
/// The process that the current thread belongs to.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/PsGetCurrentProcess.
NT_EXPORT(PsGetCurrentProcess, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" PEPROCESS NTAPI PsGetCurrentProcess() {
  return reinterpret_cast<PEPROCESS>(KeCurrentThread()->ApcState.Process);
}

/// The id of the current thread's process.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/PsGetCurrentProcessId.
NT_EXPORT(PsGetCurrentProcessId, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" HANDLE NTAPI PsGetCurrentProcessId() {
  return reinterpret_cast<PETHREAD>(KeCurrentThread())->Cid.UniqueProcess;
}

/// The id of a process.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/PsGetProcessId.
NT_EXPORT(PsGetProcessId, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" HANDLE NTAPI PsGetProcessId(PEPROCESS Process) {
  return Process->UniqueProcessId;
}

/// The file name of a process's image, at most 14 characters.
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; used by many drivers.
NT_EXPORT(PsGetProcessImageFileName, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" UCHAR* NTAPI PsGetProcessImageFileName(PEPROCESS Process) {
  return Process->ImageFileName;
}

/// When a process was created (100 ns since 1601).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntddk/PsGetProcessCreateTimeQuadPart.
NT_EXPORT(PsGetProcessCreateTimeQuadPart, nt::AnyIrql(), Full, "KernelPs.*");
extern "C" LONGLONG NTAPI PsGetProcessCreateTimeQuadPart(PEPROCESS Process) {
  return Process->CreateTime.QuadPart;
}

/// The exit status of a process, STATUS_PENDING while it lives.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsGetProcessExitStatus.
NT_EXPORT(PsGetProcessExitStatus, nt::AtMost(APC_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsGetProcessExitStatus(PEPROCESS Process) {
  return Process->ExitStatus;
}

/// The process with an id, referenced.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/PsLookupProcessByProcessId.
NT_EXPORT(PsLookupProcessByProcessId, nt::AtMost(APC_LEVEL), Full, "KernelPs.*");
extern "C" NTSTATUS NTAPI PsLookupProcessByProcessId(HANDLE ProcessId, PEPROCESS* Process) {
  *Process = nullptr;
  ke::SpinGuard guard(&ps::g_list_lock);
  for (LIST_ENTRY* link = PsActiveProcessHead.Flink; link != &PsActiveProcessHead; link = link->Flink) {
    PEPROCESS process = CONTAINING_RECORD(link, EPROCESS, ActiveProcessLinks);
    if (process->UniqueProcessId != ProcessId || !ob::ReferenceIfAlive(process)) continue;
    *Process = process;
    return STATUS_SUCCESS;
  }
  return STATUS_INVALID_CID;
}

/// The version of the system that the kernel reports: major, minor, build; the service pack string is empty.
/// Returns FALSE: a free build.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/PsGetVersion.
NT_EXPORT(PsGetVersion, nt::AtMost(PASSIVE_LEVEL), Full, "KernelPs.*");
extern "C" BOOLEAN NTAPI PsGetVersion(PULONG MajorVersion, PULONG MinorVersion, PULONG BuildNumber,
                                      PUNICODE_STRING CSDVersion) {
  RTL_OSVERSIONINFOW version;
  version.dwOSVersionInfoSize = sizeof(version);
  RtlGetVersion(&version);
  if (MajorVersion != nullptr) *MajorVersion = version.dwMajorVersion;
  if (MinorVersion != nullptr) *MinorVersion = version.dwMinorVersion;
  if (BuildNumber != nullptr) *BuildNumber = version.dwBuildNumber;
  if (CSDVersion != nullptr) *CSDVersion = {};
  return FALSE;
}
