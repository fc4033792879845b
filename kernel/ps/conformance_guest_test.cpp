// Processes and threads through the ABI, row by row. Oracle: the WDK pages of the routines; not yet run on a
// real NT.
#include "ddi_security.h"
#include "nt_test.h"
#include "test_process.h"
#include "threads.h"

using nt_test::Process;

namespace {

bool IsSignaled(PVOID object) {
  LARGE_INTEGER now = {};
  return KeWaitForSingleObject(object, Executive, KernelMode, FALSE, &now) == STATUS_SUCCESS;
}

}  // namespace

// ---- Ids ----

NT_TEST(PsConformance, ProcessIdsLeadToTheirProcesses) {
  constexpr ULONG kCount = 8;
  HANDLE ids[kCount + 1];
  {
    Process processes[kCount];
    for (ULONG i = 0; i < kCount; ++i) {
      NT_ASSERT_TRUE(processes[i].made());
      ids[i] = processes[i].id();
      NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(ids[i]) % 4, 0u);
      for (ULONG k = 0; k < i; ++k) NT_EXPECT_TRUE(ids[k] != ids[i]);
      PEPROCESS found = nullptr;
      NT_EXPECT_SUCCESS(PsLookupProcessByProcessId(ids[i], &found));
      NT_ASSERT_TRUE(found == processes[i].object());
      ObDereferenceObject(found);
      NT_EXPECT_TRUE(PsGetProcessInheritedFromUniqueProcessId(found) == PsGetCurrentProcessId());
      NT_EXPECT_EQ(PsGetProcessExitStatus(found), STATUS_PENDING);
      NT_EXPECT_EQ(PsGetProcessSessionId(found), 0u);
      NT_EXPECT_TRUE(PsGetProcessPeb(found) == nullptr);
      NT_EXPECT_TRUE(!IsSignaled(found));
      if (i != 0) {
        NT_EXPECT_TRUE(PsGetProcessCreateTimeQuadPart(found) >=
                       PsGetProcessCreateTimeQuadPart(processes[i - 1].object()));
      }
    }
  }
  ids[kCount] = reinterpret_cast<HANDLE>(ULONG_PTR{0x7FFFFFF0});
  for (HANDLE id : ids) {
    PEPROCESS found = reinterpret_cast<PEPROCESS>(1);
    NT_EXPECT_EQ(PsLookupProcessByProcessId(id, &found), STATUS_INVALID_CID);
  }
}

NT_TEST(PsConformance, AReferenceOutlivesTheProcess) {
  const NTSTATUS statuses[] = {STATUS_SUCCESS, 1, STATUS_CANCELLED, STATUS_ACCESS_VIOLATION, -1};
  for (const NTSTATUS status : statuses) {
    PEPROCESS kept = nullptr;
    HANDLE id;
    {
      Process process;
      NT_ASSERT_TRUE(process.made());
      id = process.id();
      NT_ASSERT_SUCCESS(PsLookupProcessByProcessId(id, &kept));
      NT_EXPECT_TRUE(!IsSignaled(kept));
      NT_EXPECT_SUCCESS(ZwTerminateProcess(process.handle(), status));
      NT_EXPECT_TRUE(IsSignaled(kept));
      NT_EXPECT_TRUE(IsSignaled(kept));  // for good
    }
    NT_EXPECT_EQ(PsGetProcessExitStatus(kept), status);
    NT_EXPECT_TRUE(PsGetProcessId(kept) == id);
    ObDereferenceObject(kept);
  }
}

// ---- Threads ----

namespace {

struct Start {
  KEVENT go_on;
  NTSTATUS status;
  HANDLE id, process;
  PEPROCESS own_process;
  bool system, terminating, apcs_disabled;
  KIRQL irql;
};

VOID NTAPI WaitAndEnd(PVOID context) {
  auto* start = static_cast<Start*>(context);
  auto* self = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  start->id = PsGetCurrentThreadId();
  start->process = PsGetCurrentProcessId();
  start->own_process = PsGetThreadProcess(self);
  start->system = PsIsSystemThread(self) != FALSE;
  start->terminating = PsIsThreadTerminating(self) != FALSE;
  start->apcs_disabled = KeAreApcsDisabled() != FALSE;
  start->irql = KeGetCurrentIrql();
  KeWaitForSingleObject(&start->go_on, Executive, KernelMode, FALSE, nullptr);
  PsTerminateSystemThread(start->status);
}

NTSTATUS StartThread(Start* start, HANDLE process, HANDLE* thread, PCLIENT_ID id = nullptr) {
  KeInitializeEvent(&start->go_on, NotificationEvent, FALSE);
  return PsCreateSystemThread(thread, THREAD_ALL_ACCESS, nullptr, process, id, WaitAndEnd, start);
}

}  // namespace

NT_TEST(PsConformance, ThreadsAreWhatTheirCreatorAskedFor) {
  const NTSTATUS statuses[] = {STATUS_SUCCESS, 7, STATUS_CANCELLED, -1, STATUS_TIMEOUT};
  for (const NTSTATUS status : statuses) {
    for (int way = 0; way < 2; ++way) {
      const bool own = way == 0;
      Start start = {};
      start.status = status;
      HANDLE handle;
      CLIENT_ID id = {};
      NT_ASSERT_SUCCESS(StartThread(&start, own ? ZwCurrentProcess() : nullptr, &handle, &id));
      PVOID thread;
      NT_ASSERT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsThreadType, KernelMode, &thread, nullptr));
      auto* object = static_cast<PETHREAD>(thread);
      NT_EXPECT_TRUE(PsGetThreadId(object) == id.UniqueThread);
      NT_EXPECT_TRUE(PsGetThreadProcessId(object) == id.UniqueProcess);
      NT_EXPECT_TRUE(PsGetThreadProcess(object) == PsInitialSystemProcess);
      NT_EXPECT_TRUE(IoThreadToProcess(object) == PsInitialSystemProcess);
      NT_EXPECT_EQ(PsGetThreadExitStatus(object), STATUS_PENDING);
      NT_EXPECT_TRUE(!IsSignaled(object));
      PETHREAD found = nullptr;
      NT_EXPECT_SUCCESS(PsLookupThreadByThreadId(id.UniqueThread, &found));
      NT_EXPECT_TRUE(found == object);
      if (found != nullptr) ObDereferenceObject(found);
      KeSetEvent(&start.go_on, 0, FALSE);
      KeWaitForSingleObject(object, Executive, KernelMode, FALSE, nullptr);
      NT_EXPECT_EQ(PsGetThreadExitStatus(object), status);
      NT_EXPECT_TRUE(PsIsThreadTerminating(object) != FALSE);
      NT_EXPECT_TRUE(start.id == id.UniqueThread);
      NT_EXPECT_TRUE(start.process == id.UniqueProcess);
      NT_EXPECT_TRUE(start.own_process == PsInitialSystemProcess);
      NT_EXPECT_TRUE(start.system && !start.terminating && !start.apcs_disabled);
      NT_EXPECT_EQ(start.irql, PASSIVE_LEVEL);
      ObDereferenceObject(object);
      ZwClose(handle);
    }
  }
}

NT_TEST(PsConformance, AProcessEndsWithItsLastThread) {
  constexpr ULONG kThreads = 4;
  Process process;
  NT_ASSERT_TRUE(process.made());
  Start starts[kThreads] = {};
  HANDLE threads[kThreads];
  for (ULONG i = 0; i < kThreads; ++i) {
    starts[i].status = static_cast<NTSTATUS>(100 + i);
    NT_ASSERT_SUCCESS(StartThread(&starts[i], process.handle(), &threads[i]));
  }
  for (ULONG i = 0; i < kThreads; ++i) {
    NT_EXPECT_TRUE(!IsSignaled(process.object()));
    NT_EXPECT_EQ(PsGetProcessExitStatus(process.object()), STATUS_PENDING);
    KeSetEvent(&starts[i].go_on, 0, FALSE);
    NT_EXPECT_SUCCESS(ZwWaitForSingleObject(threads[i], FALSE, nullptr));
    NT_EXPECT_TRUE(starts[i].process == process.id());
    NT_EXPECT_TRUE(starts[i].own_process == process.object());
    NT_EXPECT_TRUE(starts[i].system);
    ZwClose(threads[i]);
  }
  NT_EXPECT_SUCCESS(KeWaitForSingleObject(process.object(), Executive, KernelMode, FALSE, nullptr));
  NT_EXPECT_EQ(PsGetProcessExitStatus(process.object()), static_cast<NTSTATUS>(100 + kThreads - 1));
  HANDLE late;
  Start start = {};
  NT_EXPECT_EQ(StartThread(&start, process.handle(), &late), STATUS_PROCESS_IS_TERMINATING);
}

NT_TEST(PsConformance, ThreadsAreRefused) {
  HANDLE thread = nullptr, event;
  Start start = {};
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NT_ASSERT_SUCCESS(ZwCreateEvent(&event, EVENT_ALL_ACCESS, &attributes, NotificationEvent, FALSE));
  NT_EXPECT_EQ(StartThread(&start, event, &thread), STATUS_OBJECT_TYPE_MISMATCH);
  ZwClose(event);
  NT_EXPECT_EQ(StartThread(&start, event, &thread), STATUS_INVALID_HANDLE);
  PETHREAD found = nullptr;
  const ULONG_PTR ids[] = {0x7FFFFFF0, 0x7FFFFFF4, ~ULONG_PTR{3}};
  for (const ULONG_PTR id : ids)
    NT_EXPECT_EQ(PsLookupThreadByThreadId(reinterpret_cast<HANDLE>(id), &found), STATUS_INVALID_CID);
}

// ---- Opening ----

NT_TEST(PsConformance, OpeningByIdsRowByRow) {
  Process process;
  NT_ASSERT_TRUE(process.made());
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, L"\\NoProcess");
  OBJECT_ATTRIBUTES unnamed, named;
  InitializeObjectAttributes(&unnamed, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  InitializeObjectAttributes(&named, &name, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  const HANDLE bad = reinterpret_cast<HANDLE>(ULONG_PTR{0x7FFFFFF0});
  CLIENT_ID by_process = {process.id(), nullptr}, by_thread = {nullptr, PsGetCurrentThreadId()};
  CLIENT_ID wrong_pair = {process.id(), PsGetCurrentThreadId()}, none = {bad, nullptr},
            no_thread = {nullptr, bad};
  CLIENT_ID own_pair = {PsGetCurrentProcessId(), PsGetCurrentThreadId()};
  const struct {
    POBJECT_ATTRIBUTES attributes;
    PCLIENT_ID id;
    NTSTATUS process, thread;
  } rows[] = {{&unnamed, &by_process, STATUS_SUCCESS, STATUS_INVALID_CID},
              {&unnamed, &by_thread, STATUS_SUCCESS, STATUS_SUCCESS},
              {&unnamed, &own_pair, STATUS_SUCCESS, STATUS_SUCCESS},
              {&unnamed, &wrong_pair, STATUS_INVALID_CID, STATUS_INVALID_CID},
              {&unnamed, &none, STATUS_INVALID_CID, STATUS_INVALID_CID},
              {&unnamed, &no_thread, STATUS_INVALID_CID, STATUS_INVALID_CID},
              {&unnamed, nullptr, STATUS_INVALID_PARAMETER_MIX, STATUS_INVALID_PARAMETER_MIX},
              {&named, &by_process, STATUS_INVALID_PARAMETER_MIX, STATUS_INVALID_PARAMETER_MIX},
              {&named, nullptr, STATUS_OBJECT_NAME_NOT_FOUND, STATUS_OBJECT_NAME_NOT_FOUND}};
  for (const auto& row : rows) {
    HANDLE handle = nullptr;
    NTSTATUS status = ZwOpenProcess(&handle, PROCESS_ALL_ACCESS, row.attributes, row.id);
    NT_EXPECT_EQ(status, row.process);
    if (NT_SUCCESS(status)) ZwClose(handle);
    status = ZwOpenThread(&handle, THREAD_ALL_ACCESS, row.attributes, row.id);
    NT_EXPECT_EQ(status, row.thread);
    if (NT_SUCCESS(status)) ZwClose(handle);
  }
}

NT_TEST(PsConformance, AHandleGrantsWhatWasAskedFor) {
  Process process;
  NT_ASSERT_TRUE(process.made());
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  CLIENT_ID id = {process.id(), nullptr};
  // PROCESS_TERMINATE, CREATE_THREAD, VM_OPERATION, VM_READ, VM_WRITE, DUP_HANDLE, CREATE_PROCESS,
  // QUERY_INFORMATION
  const ACCESS_MASK rights[] = {0x0001, 0x0002, 0x0008,      0x0010,       0x0020, 0x0040,
                                0x0080, 0x0400, SYNCHRONIZE, READ_CONTROL, DELETE, WRITE_DAC};
  for (const ACCESS_MASK right : rights) {
    HANDLE handle;
    NT_ASSERT_SUCCESS(ZwOpenProcess(&handle, right, &attributes, &id));
    PUBLIC_OBJECT_BASIC_INFORMATION basic = {};
    NT_EXPECT_SUCCESS(ZwQueryObject(handle, ObjectBasicInformation, &basic, sizeof(basic), nullptr));
    NT_EXPECT_EQ(basic.GrantedAccess, right);
    PVOID object = nullptr;
    // A caller from user mode has this right alone.
    NT_EXPECT_EQ(ObReferenceObjectByHandle(handle, right, *PsProcessType, UserMode, &object, nullptr),
                 STATUS_INVALID_HANDLE);  // a kernel handle, which is none for it
    NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(handle, right, *PsProcessType, KernelMode, &object, nullptr));
    NT_EXPECT_TRUE(object == process.object());
    if (object != nullptr) ObDereferenceObject(object);
    NT_EXPECT_EQ(ObReferenceObjectByHandle(handle, right, *PsThreadType, KernelMode, &object, nullptr),
                 STATUS_OBJECT_TYPE_MISMATCH);
    ZwClose(handle);
  }
}

// ---- Being in another process ----

NT_TEST(PsConformance, AttachingNestsAndUndoes) {
  constexpr ULONG kDepth = 4;
  Process processes[kDepth];
  KAPC_STATE states[kDepth];
  PEPROCESS own = IoGetCurrentProcess();
  for (ULONG i = 0; i < kDepth; ++i) {
    NT_ASSERT_TRUE(processes[i].made());
    KeStackAttachProcess(reinterpret_cast<PKPROCESS>(processes[i].object()), &states[i]);
    NT_EXPECT_TRUE(IoGetCurrentProcess() == processes[i].object());
    NT_EXPECT_TRUE(PsGetCurrentProcess() == processes[i].object());
    // Whose thread it is does not change.
    NT_EXPECT_TRUE(PsGetThreadProcess(reinterpret_cast<PETHREAD>(KeGetCurrentThread())) == own);
    NT_EXPECT_TRUE(PsGetCurrentProcessId() == PsGetProcessId(own));
  }
  for (ULONG i = kDepth; i-- > 0;) {
    KeUnstackDetachProcess(&states[i]);
    NT_EXPECT_TRUE(IoGetCurrentProcess() == (i == 0 ? own : processes[i - 1].object()));
  }
}

// ---- Tokens ----

NT_TEST(PsConformance, ImpersonationRowByRow) {
  auto* self = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  PACCESS_TOKEN token = PsReferencePrimaryToken(PsInitialSystemProcess);
  NT_EXPECT_EQ(SeTokenType(token), TokenPrimary);
  NT_EXPECT_TRUE(SeTokenIsAdmin(token) != FALSE);
  const SECURITY_IMPERSONATION_LEVEL levels[] = {SecurityAnonymous, SecurityIdentification,
                                                 SecurityImpersonation, SecurityDelegation};
  for (const SECURITY_IMPERSONATION_LEVEL level : levels) {
    for (BOOLEAN copy_on_open = FALSE; copy_on_open <= TRUE; ++copy_on_open) {
      for (BOOLEAN effective_only = FALSE; effective_only <= TRUE; ++effective_only) {
        NT_EXPECT_SUCCESS(PsImpersonateClient(self, token, copy_on_open, effective_only, level));
        BOOLEAN copy = 2, effective = 2;
        SECURITY_IMPERSONATION_LEVEL seen = SecurityAnonymous;
        PACCESS_TOKEN client = PsReferenceImpersonationToken(self, &copy, &effective, &seen);
        NT_EXPECT_TRUE(client == token);
        NT_EXPECT_EQ(copy, copy_on_open);
        NT_EXPECT_EQ(effective, effective_only);
        NT_EXPECT_EQ(seen, level);
        if (client != nullptr) PsDereferenceImpersonationToken(client);
        SECURITY_SUBJECT_CONTEXT subject;
        SeCaptureSubjectContext(&subject);
        NT_EXPECT_TRUE(subject.ClientToken == token);
        NT_EXPECT_EQ(subject.ImpersonationLevel, level);
        NT_EXPECT_TRUE(subject.PrimaryToken == token);
        SeReleaseSubjectContext(&subject);
      }
    }
  }
  PsRevertToSelf();
  SECURITY_SUBJECT_CONTEXT subject;
  SeCaptureSubjectContext(&subject);
  NT_EXPECT_TRUE(subject.ClientToken == nullptr);
  NT_EXPECT_TRUE(SeQuerySubjectContextToken(&subject) == token);
  SeReleaseSubjectContext(&subject);
  PsDereferencePrimaryToken(token);
}

NT_TEST(PsConformance, AProcessInheritsItsParentsToken) {
  Process process;
  NT_ASSERT_TRUE(process.made());
  PACCESS_TOKEN own = PsReferencePrimaryToken(PsInitialSystemProcess);
  PACCESS_TOKEN token = PsReferencePrimaryToken(process.object());
  NT_EXPECT_TRUE(token != own);
  LUID first, second;
  NT_EXPECT_SUCCESS(SeQueryAuthenticationIdToken(own, &first));
  NT_EXPECT_SUCCESS(SeQueryAuthenticationIdToken(token, &second));
  NT_EXPECT_EQ(first.LowPart, 0x3E7u);  // SYSTEM_LUID
  NT_EXPECT_EQ(second.LowPart, first.LowPart);
  NT_EXPECT_EQ(second.HighPart, first.HighPart);
  ULONG session = 9;
  NT_EXPECT_SUCCESS(SeQuerySessionIdToken(token, &session));
  NT_EXPECT_EQ(session, 0u);
  HANDLE handle;
  NT_EXPECT_SUCCESS(ZwOpenProcessTokenEx(process.handle(), TOKEN_QUERY, OBJ_KERNEL_HANDLE, &handle));
  PVOID object = nullptr;
  NT_EXPECT_SUCCESS(
      ObReferenceObjectByHandle(handle, TOKEN_QUERY, *SeTokenObjectType, KernelMode, &object, nullptr));
  NT_EXPECT_TRUE(object == token);
  if (object != nullptr) ObDereferenceObject(object);
  ZwClose(handle);
  NT_EXPECT_EQ(ZwOpenThreadTokenEx(ZwCurrentThread(), TOKEN_QUERY, TRUE, OBJ_KERNEL_HANDLE, &handle),
               STATUS_NO_TOKEN);
  PsDereferencePrimaryToken(token);
  PsDereferencePrimaryToken(own);
}

// ---- Notification ----

namespace {

struct Told {
  volatile LONG created, ended;
  HANDLE process, parent;
  bool wrong;
} g_first, g_second;

template <Told* told>
VOID NTAPI OnProcess(HANDLE parent, HANDLE process, BOOLEAN create) {
  if (process != told->process) return;
  InterlockedIncrement(create ? &told->created : &told->ended);
  told->parent = parent;
  PEPROCESS found = nullptr;
  // The process can be looked up from its own notification, at its end too.
  told->wrong |=
      KeGetCurrentIrql() != PASSIVE_LEVEL || !NT_SUCCESS(PsLookupProcessByProcessId(process, &found));
  if (found != nullptr) ObDereferenceObject(found);
}

volatile LONG g_thread_created, g_thread_ended;
HANDLE g_of_process;

VOID NTAPI OnThread(HANDLE process, HANDLE thread, BOOLEAN create) {
  if (process != g_of_process) return;
  InterlockedIncrement(create ? &g_thread_created : &g_thread_ended);
  PETHREAD found;
  if (!NT_SUCCESS(PsLookupThreadByThreadId(thread, &found))) return;
  if (PsGetThreadProcessId(found) != process) InterlockedIncrement(&g_thread_created);
  ObDereferenceObject(found);
}

}  // namespace

NT_TEST(PsConformance, EveryRoutineHearsOfEveryThreadOnce) {
  constexpr ULONG kThreads = 6;
  Process process;
  NT_ASSERT_TRUE(process.made());
  g_first = {0, 0, process.id(), nullptr, false};
  g_second = g_first;
  g_thread_created = g_thread_ended = 0;
  g_of_process = process.id();
  NT_ASSERT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess<&g_first>, FALSE));
  NT_ASSERT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess<&g_second>, FALSE));
  NT_ASSERT_SUCCESS(PsSetCreateThreadNotifyRoutine(OnThread));
  Start starts[kThreads] = {};
  HANDLE threads[kThreads];
  for (ULONG i = 0; i < kThreads; ++i) {
    NT_ASSERT_SUCCESS(StartThread(&starts[i], process.handle(), &threads[i]));
    NT_EXPECT_EQ(g_thread_created, static_cast<LONG>(i + 1));
    NT_EXPECT_EQ(g_first.created, 1);
  }
  for (ULONG i = 0; i < kThreads; ++i) {
    NT_EXPECT_EQ(g_first.ended, 0);
    KeSetEvent(&starts[i].go_on, 0, FALSE);
    ZwWaitForSingleObject(threads[i], FALSE, nullptr);
    NT_EXPECT_EQ(g_thread_ended, static_cast<LONG>(i + 1));
    ZwClose(threads[i]);
  }
  KeWaitForSingleObject(process.object(), Executive, KernelMode, FALSE, nullptr);
  const Told* const both[] = {&g_first, &g_second};
  for (const Told* told : both) {
    NT_EXPECT_EQ(told->created, 1);
    NT_EXPECT_EQ(told->ended, 1);
    NT_EXPECT_TRUE(told->parent == PsGetCurrentProcessId());
    NT_EXPECT_TRUE(!told->wrong);
  }
  NT_EXPECT_EQ(g_thread_created, static_cast<LONG>(kThreads));
  NT_EXPECT_SUCCESS(PsRemoveCreateThreadNotifyRoutine(OnThread));
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess<&g_second>, TRUE));
  NT_EXPECT_SUCCESS(PsSetCreateProcessNotifyRoutine(OnProcess<&g_first>, TRUE));
  NT_EXPECT_EQ(PsSetCreateProcessNotifyRoutine(OnProcess<&g_first>, TRUE), STATUS_PROCEDURE_NOT_FOUND);
}
