// Notification of processes, threads and images; what processes are. Oracle: the WDK pages of the routines.
#include "ddi_security.h"
#include "nt_test.h"
#include "threads.h"

namespace {

enum class What { kProcess, kProcessEx, kThread, kProcessEnd, kProcessExEnd, kThreadEnd };

struct Note {
  What what;
  HANDLE process, thread;
  PETHREAD where;
};

// What the routines were told about one process, in order.
struct Log {
  HANDLE process;
  Note notes[16];
  volatile LONG count;
  PS_CREATE_NOTIFY_INFO created;
  NTSTATUS answer;
  bool raised;
} g_log;

void Take(What what, HANDLE process, HANDLE thread) {
  if (g_log.process != nullptr && process != g_log.process) return;
  const LONG at = InterlockedIncrement(&g_log.count) - 1;
  if (at >= 16) return;
  g_log.notes[at] = {what, process, thread, reinterpret_cast<PETHREAD>(KeGetCurrentThread())};
  if (KeGetCurrentIrql() != PASSIVE_LEVEL || !KeAreApcsDisabled()) g_log.raised = true;
}

VOID NTAPI OnProcess(HANDLE, HANDLE process, BOOLEAN create) {
  Take(create ? What::kProcess : What::kProcessEnd, process, nullptr);
}
VOID NTAPI OnProcessEx(PEPROCESS, HANDLE process, PPS_CREATE_NOTIFY_INFO information) {
  Take(information != nullptr ? What::kProcessEx : What::kProcessExEnd, process, nullptr);
  if (information == nullptr || g_log.process == nullptr || process != g_log.process) return;
  g_log.created = *information;
  information->CreationStatus = g_log.answer;
}
VOID NTAPI OnThread(HANDLE process, HANDLE thread, BOOLEAN create) {
  if (g_log.process == process) Take(create ? What::kThread : What::kThreadEnd, process, thread);
}

VOID NTAPI Nothing(PVOID) {
  PsTerminateSystemThread(STATUS_SUCCESS);
}

struct Process {
  HANDLE handle = nullptr;
  PEPROCESS object = nullptr;
  HANDLE id = nullptr;
  bool Create() {
    if (!NT_SUCCESS(PsCreateSystemProcess(&handle, PROCESS_ALL_ACCESS, nullptr))) return false;
    PVOID body;
    if (!NT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &body, nullptr)))
      return false;
    object = static_cast<PEPROCESS>(body);
    id = PsGetProcessId(object);
    g_log = {};
    g_log.process = id;
    return true;
  }
  NTSTATUS RunThread(bool wait = true) {
    HANDLE thread;
    const NTSTATUS status =
        PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, nullptr, handle, nullptr, Nothing, nullptr);
    if (!NT_SUCCESS(status)) return status;
    if (wait) ZwWaitForSingleObject(thread, FALSE, nullptr);
    ZwClose(thread);
    return status;
  }
  ~Process() {
    if (object != nullptr) ObDereferenceObject(object);
    if (handle != nullptr) ZwClose(handle);
  }
};

}  // namespace

NT_TEST(PsNotify, RoutinesHearInOrderAndAtPassiveLevel) {
  Process process;
  NT_ASSERT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE));
  NT_ASSERT_SUCCESS(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, FALSE));
  NT_ASSERT_SUCCESS(PsSetCreateThreadNotifyRoutine(OnThread));
  NT_ASSERT_TRUE(process.Create());
  NT_EXPECT_SUCCESS(process.RunThread());
  NT_EXPECT_SUCCESS(KeWaitForSingleObject(process.object, Executive, KernelMode, FALSE, nullptr));
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE));
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, TRUE));
  NT_EXPECT_SUCCESS(PsRemoveCreateThreadNotifyRoutine(OnThread));
  NT_ASSERT_EQ(g_log.count, 6);
  const What expected[] = {What::kProcess,   What::kProcessEx,  What::kThread,
                           What::kThreadEnd, What::kProcessEnd, What::kProcessExEnd};
  for (int i = 0; i < 6; ++i)
    NT_EXPECT_EQ(static_cast<int>(g_log.notes[i].what), static_cast<int>(expected[i]));
  auto* self = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  for (int i = 0; i < 3; ++i) NT_EXPECT_TRUE(g_log.notes[i].where == self);
  for (int i = 3; i < 6; ++i) {
    NT_EXPECT_TRUE(g_log.notes[i].where != self);
    NT_EXPECT_TRUE(g_log.notes[i].where == g_log.notes[3].where);
  }
  NT_EXPECT_TRUE(g_log.notes[2].thread == g_log.notes[3].thread && g_log.notes[2].thread != nullptr);
  NT_EXPECT_TRUE(!g_log.raised);
  NT_EXPECT_EQ(g_log.created.Size, sizeof(PS_CREATE_NOTIFY_INFO));
  NT_EXPECT_TRUE(g_log.created.ParentProcessId == PsGetCurrentProcessId());
  NT_EXPECT_TRUE(g_log.created.CreatingThreadId.UniqueThread == PsGetCurrentThreadId());
}

NT_TEST(PsNotify, ARoutineMayForbidAProcess) {
  Process process;
  NT_ASSERT_SUCCESS(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, FALSE));
  NT_ASSERT_TRUE(process.Create());
  g_log.answer = STATUS_ACCESS_DENIED;
  NT_EXPECT_EQ(process.RunThread(), STATUS_ACCESS_DENIED);
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutineEx(OnProcessEx, TRUE));
  NT_EXPECT_SUCCESS(KeWaitForSingleObject(process.object, Executive, KernelMode, FALSE, nullptr));
  NT_EXPECT_EQ(PsGetProcessExitStatus(process.object), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(g_log.count, 2);
}

NT_TEST(PsNotify, RegistrationIsChecked) {
  NT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE), STATUS_PROCEDURE_NOT_FOUND);
  NT_EXPECT_EQ(PsRemoveCreateThreadNotifyRoutine(OnThread), STATUS_PROCEDURE_NOT_FOUND);
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE));
  NT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess, FALSE), STATUS_INVALID_PARAMETER);
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess, TRUE));
  // The kernel's image has no integrity flag; neither has what is no image.
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"ExFreePool");
  auto* other = reinterpret_cast<PCREATE_PROCESS_NOTIFY_ROUTINE_EX>(MmGetSystemRoutineAddress(&name));
  NT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx(other, FALSE), STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx2(PsCreateProcessNotifySubsystems,
                                                  reinterpret_cast<PVOID>(other), FALSE),
               STATUS_ACCESS_DENIED);
  NT_EXPECT_EQ(PsSetCreateProcessNotifyRoutineEx2(static_cast<PSCREATEPROCESSNOTIFYTYPE>(1),
                                                  reinterpret_cast<PVOID>(OnProcessEx), FALSE),
               STATUS_INVALID_PARAMETER);
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutineEx2(PsCreateProcessNotifySubsystems,
                                                       reinterpret_cast<PVOID>(OnProcessEx), FALSE));
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutineEx2(PsCreateProcessNotifySubsystems,
                                                       reinterpret_cast<PVOID>(OnProcessEx), TRUE));
  NT_EXPECT_SUCCESS(
      PsSetCreateThreadNotifyRoutineEx(PsCreateThreadNotifyNonSystem, reinterpret_cast<PVOID>(OnThread)));
  NT_EXPECT_SUCCESS(PsRemoveCreateThreadNotifyRoutine(OnThread));
  const auto image = [](PUNICODE_STRING, HANDLE, PIMAGE_INFO) {};
  NT_EXPECT_EQ(PsSetLoadImageNotifyRoutineEx(image, 0x2), STATUS_INVALID_PARAMETER_2);
  NT_EXPECT_SUCCESS(PsSetLoadImageNotifyRoutineEx(image, 0x1));
  NT_EXPECT_SUCCESS(PsRemoveLoadImageNotifyRoutine(image));
  NT_EXPECT_EQ(PsRemoveLoadImageNotifyRoutine(image), STATUS_PROCEDURE_NOT_FOUND);
}

NT_TEST(PsNotify, SixtyFourRoutinesAreTheMost) {
  ULONG added = 0;
  while (added < 100 && NT_SUCCESS(PsSetCreateThreadNotifyRoutine(OnThread))) ++added;
  NT_EXPECT_EQ(added, 64u);
  NT_EXPECT_EQ(PsSetCreateThreadNotifyRoutine(OnThread), STATUS_INSUFFICIENT_RESOURCES);
  for (ULONG i = 0; i < added; ++i) NT_EXPECT_SUCCESS(PsRemoveCreateThreadNotifyRoutine(OnThread));
}

namespace {

KEVENT g_inside, g_go_on;
volatile LONG g_left;

VOID NTAPI SlowThread(HANDLE, HANDLE, BOOLEAN create) {
  if (!create || KeReadStateEvent(&g_inside) != 0) return;
  KeSetEvent(&g_inside, 0, FALSE);
  KeWaitForSingleObject(&g_go_on, Executive, KernelMode, FALSE, nullptr);
  InterlockedExchange(&g_left, 1);
}

VOID NTAPI CreateOne(PVOID) {
  nt_test::Thread thread(Nothing, nullptr);
}

VOID NTAPI RemoveIt(PVOID) {
  PsRemoveCreateThreadNotifyRoutine(SlowThread);
  NT_EXPECT_EQ(g_left, 1);
}

}  // namespace

NT_TEST(PsNotify, RemovalWaitsForTheCallsThatAreUnderWay) {
  KeInitializeEvent(&g_inside, NotificationEvent, FALSE);
  KeInitializeEvent(&g_go_on, NotificationEvent, FALSE);
  g_left = 0;
  NT_ASSERT_SUCCESS(PsSetCreateThreadNotifyRoutine(SlowThread));
  HANDLE handle;
  // The creator's creator must not be this thread, which would be held up.
  WORK_QUEUE_ITEM item;
  ExInitializeWorkItem(&item, CreateOne, nullptr);
  ExQueueWorkItem(&item, DelayedWorkQueue);
  KeWaitForSingleObject(&g_inside, Executive, KernelMode, FALSE, nullptr);
  NT_ASSERT_SUCCESS(
      PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, RemoveIt, nullptr));
  nt_test::Sleep(20);
  NT_EXPECT_EQ(g_left, 0);
  KeSetEvent(&g_go_on, 0, FALSE);
  ZwWaitForSingleObject(handle, FALSE, nullptr);
  ZwClose(handle);
}

NT_TEST(PsToken, ProcessesHaveTokensOfTheirOwn) {
  Process process;
  NT_ASSERT_TRUE(process.Create());
  PACCESS_TOKEN token = PsReferencePrimaryToken(process.object);
  PACCESS_TOKEN own = PsReferencePrimaryToken(PsInitialSystemProcess);
  NT_EXPECT_TRUE(token != nullptr && token != own);
  NT_EXPECT_TRUE(SeTokenIsAdmin(token));
  HANDLE handle;
  NT_EXPECT_SUCCESS(ZwOpenProcessTokenEx(process.handle, TOKEN_QUERY, OBJ_KERNEL_HANDLE, &handle));
  PVOID object = nullptr;
  NT_EXPECT_SUCCESS(
      ObReferenceObjectByHandle(handle, TOKEN_QUERY, *SeTokenObjectType, KernelMode, &object, nullptr));
  NT_EXPECT_TRUE(object == token);
  ObDereferenceObject(object);
  ZwClose(handle);
  PsDereferencePrimaryToken(own);
  PsDereferencePrimaryToken(token);
  ZwTerminateProcess(process.handle, STATUS_SUCCESS);
}

NT_TEST(PsToken, ImpersonationEndsWithNoToken) {
  auto* thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  PACCESS_TOKEN token = PsReferencePrimaryToken(PsInitialSystemProcess);
  NT_EXPECT_SUCCESS(PsImpersonateClient(thread, token, FALSE, TRUE, SecurityDelegation));
  BOOLEAN copy = TRUE, effective = FALSE;
  SECURITY_IMPERSONATION_LEVEL level;
  PACCESS_TOKEN seen = PsReferenceImpersonationToken(thread, &copy, &effective, &level);
  NT_EXPECT_TRUE(seen == token);
  NT_EXPECT_EQ(copy, FALSE);
  NT_EXPECT_EQ(effective, TRUE);
  NT_EXPECT_EQ(level, SecurityDelegation);
  if (seen != nullptr) PsDereferenceImpersonationToken(seen);
  NT_EXPECT_SUCCESS(PsImpersonateClient(thread, nullptr, FALSE, FALSE, SecurityAnonymous));
  NT_EXPECT_TRUE(PsReferenceImpersonationToken(thread, &copy, &effective, &level) == nullptr);
  PsDereferencePrimaryToken(token);
}

NT_TEST(PsProgram, TheSystemProcessHasNoProgram) {
  PEPROCESS system = PsInitialSystemProcess;
  NT_EXPECT_EQ(PsGetProcessSessionId(system), 0u);
  NT_EXPECT_TRUE(PsGetProcessPeb(system) == nullptr);
  NT_EXPECT_TRUE(PsGetProcessDebugPort(system) == nullptr);
  NT_EXPECT_TRUE(PsGetProcessSectionBaseAddress(system) == nullptr);
  NT_EXPECT_TRUE(PsGetProcessWow64Process(system) == nullptr);
  NT_EXPECT_TRUE(PsGetCurrentProcessWow64Process() == nullptr);
  NT_EXPECT_TRUE(PsGetProcessInheritedFromUniqueProcessId(system) == nullptr);
  NT_EXPECT_TRUE(PsGetCurrentThreadTeb() == nullptr);
  NT_EXPECT_TRUE(PsGetThreadProcess(reinterpret_cast<PETHREAD>(KeGetCurrentThread())) == system);
  PUNICODE_STRING name = nullptr;
  NT_ASSERT_SUCCESS(SeLocateProcessImageName(system, &name));
  NT_EXPECT_EQ(name->Length, 0);
  ExFreePool(name);
}

NT_TEST(PsProgram, AProcessAnswersQueries) {
  Process process;
  NT_ASSERT_TRUE(process.Create());
  PROCESS_BASIC_INFORMATION basic = {};
  ULONG length = 0;
  NT_EXPECT_EQ(
      ZwQueryInformationProcess(process.handle, ProcessBasicInformation, &basic, sizeof(basic) - 1, &length),
      STATUS_INFO_LENGTH_MISMATCH);
  NT_EXPECT_EQ(length, sizeof(basic));
  NT_ASSERT_SUCCESS(
      ZwQueryInformationProcess(process.handle, ProcessBasicInformation, &basic, sizeof(basic), &length));
  NT_EXPECT_EQ(basic.ExitStatus, STATUS_PENDING);
  NT_EXPECT_EQ(basic.UniqueProcessId, reinterpret_cast<ULONG_PTR>(process.id));
  NT_EXPECT_EQ(basic.InheritedFromUniqueProcessId, reinterpret_cast<ULONG_PTR>(PsGetCurrentProcessId()));
  ULONG_PTR port = 1;
  NT_EXPECT_SUCCESS(
      ZwQueryInformationProcess(process.handle, ProcessDebugPort, &port, sizeof(port), nullptr));
  NT_EXPECT_EQ(port, 0u);
  NT_EXPECT_EQ(
      ZwQueryInformationProcess(process.handle, ProcessDebugObjectHandle, &port, sizeof(port), nullptr),
      STATUS_PORT_NOT_SET);
  NT_EXPECT_SUCCESS(
      ZwQueryInformationProcess(process.handle, ProcessWow64Information, &port, sizeof(port), nullptr));
  ULONG number = 7;
  NT_EXPECT_SUCCESS(
      ZwQueryInformationProcess(process.handle, ProcessSessionInformation, &number, sizeof(number), nullptr));
  NT_EXPECT_EQ(number, 0u);
  KERNEL_USER_TIMES times = {};
  NT_EXPECT_SUCCESS(ZwQueryInformationProcess(process.handle, ProcessTimes, &times, sizeof(times), nullptr));
  NT_EXPECT_TRUE(times.CreateTime.QuadPart != 0 && times.ExitTime.QuadPart == 0);
  alignas(8) UCHAR name[64];
  NT_EXPECT_SUCCESS(
      ZwQueryInformationProcess(process.handle, ProcessImageFileName, name, sizeof(name), &length));
  NT_EXPECT_EQ(ZwQueryInformationProcess(process.handle, static_cast<PROCESSINFOCLASS>(0xFFFF), name,
                                         sizeof(name), nullptr),
               STATUS_INVALID_INFO_CLASS);
  NT_EXPECT_EQ(ZwQueryInformationProcess(nullptr, ProcessBasicInformation, &basic, sizeof(basic), nullptr),
               STATUS_INVALID_HANDLE);
  NT_EXPECT_SUCCESS(ZwTerminateProcess(process.handle, STATUS_CANCELLED));
  NT_EXPECT_EQ(ZwTerminateProcess(process.handle, STATUS_CANCELLED), STATUS_PROCESS_IS_TERMINATING);
  NT_EXPECT_SUCCESS(
      ZwQueryInformationProcess(process.handle, ProcessBasicInformation, &basic, sizeof(basic), nullptr));
  NT_EXPECT_EQ(basic.ExitStatus, STATUS_CANCELLED);
  NT_EXPECT_SUCCESS(ZwQueryInformationProcess(process.handle, ProcessTimes, &times, sizeof(times), nullptr));
  NT_EXPECT_TRUE(times.ExitTime.QuadPart >= times.CreateTime.QuadPart);
}
