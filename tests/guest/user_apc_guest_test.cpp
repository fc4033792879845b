// User APCs in programs' threads. Needs programs that somebody else has started
// (tests/kit/programs_test.cpp): target.exe, which waits alertably, spinner.exe, which never waits, and
// victim.exe. Oracle: what drivers that inject code rely on; not yet run on a real NT.
#include "nt_test.h"

extern "C" {
typedef VOID(NTAPI* PKNORMAL_ROUTINE)(PVOID, PVOID, PVOID);
typedef VOID(NTAPI* PKKERNEL_ROUTINE)(PKAPC, PKNORMAL_ROUTINE*, PVOID*, PVOID*, PVOID*);
typedef VOID(NTAPI* PKRUNDOWN_ROUTINE)(PKAPC);
VOID NTAPI KeInitializeApc(PKAPC Apc, PKTHREAD Thread, ULONG Environment, PKKERNEL_ROUTINE KernelRoutine,
                           PKRUNDOWN_ROUTINE RundownRoutine, PKNORMAL_ROUTINE NormalRoutine,
                           KPROCESSOR_MODE ApcMode, PVOID NormalContext);
BOOLEAN NTAPI KeInsertQueueApc(PKAPC Apc, PVOID SystemArgument1, PVOID SystemArgument2, KPRIORITY Increment);
NTSTATUS NTAPI RtlCreateUserThread(HANDLE Process, PSECURITY_DESCRIPTOR Descriptor, BOOLEAN CreateSuspended,
                                   ULONG ZeroBits, SIZE_T StackReserve, SIZE_T StackCommit,
                                   PVOID StartAddress, PVOID Parameter, PHANDLE Thread, PCLIENT_ID ClientId);
NTSTATUS NTAPI PsGetThreadExitStatus(PETHREAD Thread);
UCHAR* NTAPI PsGetProcessImageFileName(PEPROCESS Process);
NTSTATUS NTAPI PsGetProcessExitStatus(PEPROCESS Process);
}

namespace {

// What the routines write; at the third argument.
struct Effects {
  ULONG64 context, argument;
  ULONG64 cs;
  ULONG64 teb;
  volatile LONG calls;
  volatile LONG go;
};
static_assert(FIELD_OFFSET(Effects, calls) == 0x20 && FIELD_OFFSET(Effects, go) == 0x24);

// mov [r8],rcx; mov [r8+8],rdx; mov eax,cs; mov [r8+16],rax; mov rax,gs:[0x30]; mov [r8+24],rax;
// lock inc dword [r8+32]; ret
const UCHAR kRecord[] = {0x49, 0x89, 0x08, 0x49, 0x89, 0x50, 0x08, 0x8C, 0xC8, 0x49, 0x89,
                         0x40, 0x10, 0x65, 0x48, 0x8B, 0x04, 0x25, 0x30, 0x00, 0x00, 0x00,
                         0x49, 0x89, 0x40, 0x18, 0xF0, 0x41, 0xFF, 0x40, 0x20, 0xC3};
// lock inc dword [r8+32]; again: pause; cmp dword [r8+36],0; je again; ret
const UCHAR kHold[] = {0xF0, 0x41, 0xFF, 0x40, 0x20, 0xF3, 0x90, 0x41,
                       0x83, 0x78, 0x24, 0x00, 0x74, 0xF7, 0xC3};

PEPROCESS FindProcess(const char* name) {
  for (ULONG_PTR id = 8; id < 4096; id += 4) {
    PEPROCESS process;
    if (!NT_SUCCESS(PsLookupProcessByProcessId(reinterpret_cast<HANDLE>(id), &process))) continue;
    const char* found = reinterpret_cast<const char*>(PsGetProcessImageFileName(process));
    if (strcmp(found, name) == 0 && PsGetProcessExitStatus(process) == STATUS_PENDING) return process;
    ObDereferenceObject(process);
  }
  return nullptr;
}

PETHREAD FirstThread(PEPROCESS process) {
  for (ULONG_PTR id = 8; id < 4096; id += 4) {
    PETHREAD thread;
    if (!NT_SUCCESS(PsLookupThreadByThreadId(reinterpret_cast<HANDLE>(id), &thread))) continue;
    if (IoThreadToProcess(thread) == process) return thread;
    ObDereferenceObject(thread);
  }
  return nullptr;
}

// A program with a page of ours: effects in its first half, a routine in its second.
class Target {
 public:
  explicit Target(const char* name) : process_(FindProcess(name)) {
    NT_EXPECT_TRUE(process_ != nullptr);
    if (process_ == nullptr) return;
    thread_ = FirstThread(process_);
    NT_EXPECT_TRUE(thread_ != nullptr);
    NT_EXPECT_SUCCESS(ObOpenObjectByPointer(process_, OBJ_KERNEL_HANDLE, nullptr, PROCESS_ALL_ACCESS,
                                            *PsProcessType, KernelMode, &handle_));
    SIZE_T bytes = PAGE_SIZE;
    NT_EXPECT_SUCCESS(ZwAllocateVirtualMemory(handle_, &page_, 0, &bytes, MEM_RESERVE | MEM_COMMIT,
                                              PAGE_EXECUTE_READWRITE));
  }
  ~Target() {
    if (handle_ != nullptr) ZwClose(handle_);
    if (thread_ != nullptr) ObDereferenceObject(thread_);
    if (process_ != nullptr) ObDereferenceObject(process_);
  }
  Target(const Target&) = delete;
  Target& operator=(const Target&) = delete;

  bool valid() const { return thread_ != nullptr && page_ != nullptr; }
  PEPROCESS process() const { return process_; }
  PKTHREAD thread() const { return reinterpret_cast<PKTHREAD>(thread_); }
  HANDLE handle() const { return handle_; }
  PVOID effects() const { return page_; }
  PKNORMAL_ROUTINE routine() const {
    return reinterpret_cast<PKNORMAL_ROUTINE>(static_cast<UCHAR*>(page_) + PAGE_SIZE / 2);
  }
  void PutRoutine(const UCHAR* code, SIZE_T bytes) {
    KAPC_STATE state;
    KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process_), &state);
    RtlCopyMemory(static_cast<UCHAR*>(page_) + PAGE_SIZE / 2, code, bytes);
    RtlZeroMemory(page_, sizeof(Effects));
    KeUnstackDetachProcess(&state);
  }
  Effects Read() {
    KAPC_STATE state;
    KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process_), &state);
    const Effects effects = *static_cast<Effects*>(page_);
    KeUnstackDetachProcess(&state);
    return effects;
  }
  void LetGo() {
    KAPC_STATE state;
    KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process_), &state);
    static_cast<Effects*>(page_)->go = 1;
    KeUnstackDetachProcess(&state);
  }

 private:
  PEPROCESS process_;
  PETHREAD thread_ = nullptr;
  HANDLE handle_ = nullptr;
  PVOID page_ = nullptr;
};

// An APC that tells of its kernel routine, or of its rundown.
struct Apc {
  KAPC apc;
  KEVENT delivered, ran_down;
  PEPROCESS process;
  KIRQL irql;
  LONG order;
  bool drop;  // its kernel routine takes the normal routine away

  static volatile LONG next_order;

  static VOID NTAPI Kernel(PKAPC apc, PKNORMAL_ROUTINE* normal, PVOID*, PVOID*, PVOID*) {
    auto* self = CONTAINING_RECORD(apc, Apc, apc);
    self->process = PsGetCurrentProcess();
    self->irql = KeGetCurrentIrql();
    self->order = InterlockedIncrement(&next_order);
    if (self->drop) *normal = nullptr;
    KeSetEvent(&self->delivered, 0, FALSE);
  }
  static VOID NTAPI Rundown(PKAPC apc) { KeSetEvent(&CONTAINING_RECORD(apc, Apc, apc)->ran_down, 0, FALSE); }
  void Prepare(PKTHREAD thread, PKNORMAL_ROUTINE normal, KPROCESSOR_MODE mode, PVOID context) {
    KeInitializeEvent(&delivered, NotificationEvent, FALSE);
    KeInitializeEvent(&ran_down, NotificationEvent, FALSE);
    KeInitializeApc(&apc, thread, 0, Kernel, Rundown, normal, mode, context);
  }
  void WaitUntilDelivered() { KeWaitForSingleObject(&delivered, Executive, KernelMode, FALSE, nullptr); }
};
volatile LONG Apc::next_order;

Apc* NewApc() {
  auto* apc = static_cast<Apc*>(ExAllocatePool2(POOL_FLAG_NON_PAGED, sizeof(Apc), 'cpAT'));
  return apc;
}
void FreeApc(Apc* apc) {
  ExFreePoolWithTag(apc, 'cpAT');
}
PVOID Word(ULONG64 value) {
  return reinterpret_cast<PVOID>(value);
}

}  // namespace

NT_TEST(UserApc, TheRoutineRunsInRing3WithItsArguments) {
  Target target("target.exe");
  NT_ASSERT_TRUE(target.valid());
  target.PutRoutine(kRecord, sizeof(kRecord));
  Apc* first = NewApc();
  Apc* second = NewApc();
  first->Prepare(target.thread(), target.routine(), UserMode, Word(0x1122334455667788));
  second->Prepare(target.thread(), target.routine(), UserMode, Word(2));
  NT_EXPECT_TRUE(KeInsertQueueApc(&first->apc, Word(0x99AABBCC), target.effects(), 0));
  first->WaitUntilDelivered();
  NT_EXPECT_TRUE(first->process == target.process());
  NT_EXPECT_EQ(first->irql, APC_LEVEL);
  // When the second is delivered the first has come back: the thread waits again.
  second->drop = true;
  NT_EXPECT_TRUE(KeInsertQueueApc(&second->apc, nullptr, target.effects(), 0));
  second->WaitUntilDelivered();
  const Effects effects = target.Read();
  NT_EXPECT_EQ(effects.calls, 1);
  NT_EXPECT_EQ(effects.context, 0x1122334455667788ull);
  NT_EXPECT_EQ(effects.argument, 0x99AABBCCull);
  NT_EXPECT_EQ(effects.cs, 0x33u);
  NT_EXPECT_TRUE(effects.teb != 0 && effects.teb < 0x7FFFFFFF0000ull);
  FreeApc(first);
  FreeApc(second);
}

NT_TEST(UserApc, ManyRunInOrder) {
  constexpr ULONG kCount = 16;
  Target target("target.exe");
  NT_ASSERT_TRUE(target.valid());
  target.PutRoutine(kRecord, sizeof(kRecord));
  Apc* apcs[kCount + 1];
  for (Apc*& apc : apcs) {
    apc = NewApc();
    apc->Prepare(target.thread(), target.routine(), UserMode, Word(1));
  }
  apcs[kCount]->drop = true;
  for (Apc* apc : apcs) NT_EXPECT_TRUE(KeInsertQueueApc(&apc->apc, nullptr, target.effects(), 0));
  apcs[kCount]->WaitUntilDelivered();
  NT_EXPECT_EQ(target.Read().calls, static_cast<LONG>(kCount));
  for (ULONG i = 1; i <= kCount; ++i) NT_EXPECT_EQ(apcs[i]->order, apcs[i - 1]->order + 1);
  for (Apc* apc : apcs) FreeApc(apc);
}

NT_TEST(UserApc, WaitsUntilTheThreadTestsForAlerts) {
  Target target("target.exe");
  NT_ASSERT_TRUE(target.valid());
  target.PutRoutine(kHold, sizeof(kHold));
  Apc* holding = NewApc();
  Apc* waiting = NewApc();
  Apc* passing = NewApc();
  holding->Prepare(target.thread(), target.routine(), UserMode, nullptr);
  NT_EXPECT_TRUE(KeInsertQueueApc(&holding->apc, nullptr, target.effects(), 0));
  holding->WaitUntilDelivered();
  waiting->Prepare(target.thread(), target.routine(), UserMode, nullptr);
  waiting->drop = true;
  NT_EXPECT_TRUE(KeInsertQueueApc(&waiting->apc, nullptr, target.effects(), 0));
  NT_EXPECT_TRUE(!KeInsertQueueApc(&waiting->apc, nullptr, target.effects(), 0));
  // A kernel APC interrupts the routine in ring 3; the user APC is not delivered on the way back.
  passing->Prepare(target.thread(), nullptr, KernelMode, nullptr);
  NT_EXPECT_TRUE(KeInsertQueueApc(&passing->apc, nullptr, nullptr, 0));
  passing->WaitUntilDelivered();
  NT_EXPECT_EQ(KeReadStateEvent(&waiting->delivered), 0);
  NT_EXPECT_TRUE(waiting->apc.Inserted);
  target.LetGo();
  waiting->WaitUntilDelivered();
  NT_EXPECT_EQ(target.Read().calls, 1);
  FreeApc(holding);
  FreeApc(waiting);
  FreeApc(passing);
}

// mov rax,rcx; lock inc dword [rcx+32]; mov eax,77; ret
const UCHAR kThread[] = {0x48, 0x89, 0xC8, 0xF0, 0xFF, 0x41, 0x20, 0xB8, 77, 0, 0, 0, 0xC3};

NT_TEST(UserThread, RunsARoutineInRing3) {
  constexpr ULONG kThreads = 20;
  Target target("target.exe");
  NT_ASSERT_TRUE(target.valid());
  target.PutRoutine(kThread, sizeof(kThread));
  for (ULONG i = 0; i < kThreads; ++i) {
    HANDLE handle = nullptr;
    CLIENT_ID cid = {};
    NT_ASSERT_SUCCESS(RtlCreateUserThread(target.handle(), nullptr, FALSE, 0, 0, 0,
                                          reinterpret_cast<PVOID>(target.routine()), target.effects(),
                                          &handle, &cid));
    NT_EXPECT_SUCCESS(ZwWaitForSingleObject(handle, FALSE, nullptr));
    NT_EXPECT_TRUE(cid.UniqueThread != nullptr && cid.UniqueProcess == PsGetProcessId(target.process()));
    PVOID thread = nullptr;
    NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsThreadType, KernelMode, &thread, nullptr));
    NT_EXPECT_EQ(PsGetThreadExitStatus(static_cast<PETHREAD>(thread)), 77);
    ObDereferenceObject(thread);
    ZwClose(handle);
  }
  NT_EXPECT_EQ(target.Read().calls, static_cast<LONG>(kThreads));
  NT_EXPECT_EQ(
      RtlCreateUserThread(target.handle(), nullptr, TRUE, 0, 0, 0, nullptr, nullptr, nullptr, nullptr),
      STATUS_NOT_SUPPORTED);
}

NT_TEST(UserApc, IsRunDownWhenTheThreadEnds) {
  Target spinner("spinner.exe");
  NT_ASSERT_TRUE(spinner.valid());
  spinner.PutRoutine(kRecord, sizeof(kRecord));
  Apc* never = NewApc();
  Apc* passing = NewApc();
  never->Prepare(spinner.thread(), spinner.routine(), UserMode, nullptr);
  NT_EXPECT_TRUE(KeInsertQueueApc(&never->apc, nullptr, spinner.effects(), 0));
  passing->Prepare(spinner.thread(), nullptr, KernelMode, nullptr);
  NT_EXPECT_TRUE(KeInsertQueueApc(&passing->apc, nullptr, nullptr, 0));
  passing->WaitUntilDelivered();
  NT_EXPECT_EQ(KeReadStateEvent(&never->delivered), 0);
  NT_EXPECT_EQ(spinner.Read().calls, 0);
  NT_EXPECT_SUCCESS(ZwTerminateProcess(spinner.handle(), 9));
  KeWaitForSingleObject(&never->ran_down, Executive, KernelMode, FALSE, nullptr);
  KeWaitForSingleObject(spinner.process(), Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(KeReadStateEvent(&never->delivered), 0);
  NT_EXPECT_EQ(PsGetProcessExitStatus(spinner.process()), 9);
  Apc* late = NewApc();
  KeWaitForSingleObject(spinner.thread(), Executive, KernelMode, FALSE, nullptr);
  late->Prepare(spinner.thread(), spinner.routine(), UserMode, nullptr);
  NT_EXPECT_TRUE(!KeInsertQueueApc(&late->apc, nullptr, nullptr, 0));
  FreeApc(never);
  FreeApc(passing);
  FreeApc(late);
}

NT_TEST(UserApc, ARoutineThatFaultsEndsTheProcess) {
  Target victim("victim.exe");
  NT_ASSERT_TRUE(victim.valid());
  Apc* apc = NewApc();
  apc->Prepare(victim.thread(), reinterpret_cast<PKNORMAL_ROUTINE>(Word(0x4000)), UserMode, nullptr);
  NT_EXPECT_TRUE(KeInsertQueueApc(&apc->apc, nullptr, nullptr, 0));
  KeWaitForSingleObject(victim.process(), Executive, KernelMode, FALSE, nullptr);
  NT_EXPECT_EQ(PsGetProcessExitStatus(victim.process()), STATUS_ACCESS_VIOLATION);
  FreeApc(apc);
}
