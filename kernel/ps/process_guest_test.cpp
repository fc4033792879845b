// Processes without a program. Oracle: behaviour told by the WDK for processes; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

extern "C" NTSTATUS NTAPI PsGetProcessExitStatus(PEPROCESS Process);

namespace {

struct Process {
  HANDLE handle = nullptr;
  PEPROCESS object = nullptr;
  NTSTATUS Create() {
    NTSTATUS status = PsCreateSystemProcess(&handle, PROCESS_ALL_ACCESS, nullptr);
    if (!NT_SUCCESS(status)) return status;
    PVOID body = nullptr;
    status = ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &body, nullptr);
    object = static_cast<PEPROCESS>(body);
    return status;
  }
  void End() {
    ZwTerminateProcess(handle, STATUS_SUCCESS);
    ObDereferenceObject(object);
    ZwClose(handle);
  }
};

struct Shared {
  volatile int* address;
  int seen;
};

VOID NTAPI ReadThere(PVOID context) {
  auto* shared = static_cast<Shared*>(context);
  shared->seen = *shared->address;
  PsTerminateSystemThread(STATUS_SUCCESS);
}

}  // namespace

NT_TEST(PsProcess, EachHasItsOwnMemoryAtTheSameAddress) {
  Process first, second;
  NT_ASSERT_SUCCESS(first.Create());
  NT_ASSERT_SUCCESS(second.Create());
  auto* address = reinterpret_cast<volatile int*>(ULONG_PTR{0x20000000});
  Process* const both[] = {&first, &second};
  int value = 100;
  for (Process* process : both) {
    PVOID base = const_cast<int*>(address);
    SIZE_T bytes = 0x10000;
    NT_EXPECT_SUCCESS(
        ZwAllocateVirtualMemory(process->handle, &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE));
    KAPC_STATE state;
    KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process->object), &state);
    NT_EXPECT_TRUE(IoGetCurrentProcess() == process->object);
    NT_EXPECT_EQ(*address, 0);
    *address = ++value;
    KeUnstackDetachProcess(&state);
  }
  value = 100;
  for (Process* process : both) {
    KAPC_STATE state;
    KeStackAttachProcess(reinterpret_cast<PKPROCESS>(process->object), &state);
    NT_EXPECT_EQ(*address, ++value);
    KeUnstackDetachProcess(&state);
  }
  first.End();
  second.End();
}

NT_TEST(PsProcess, AThreadOfItSeesItsMemory) {
  Process process;
  NT_ASSERT_SUCCESS(process.Create());
  PVOID base = nullptr;
  SIZE_T bytes = PAGE_SIZE;
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(process.handle, &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  int value = 4711;
  SIZE_T copied = 0;
  NT_EXPECT_SUCCESS(MmCopyVirtualMemory(IoGetCurrentProcess(), &value, process.object, base, sizeof(value),
                                        KernelMode, &copied));
  NT_EXPECT_EQ(copied, sizeof(value));
  Shared shared = {static_cast<volatile int*>(base), 0};
  HANDLE thread;
  NT_ASSERT_SUCCESS(
      PsCreateSystemThread(&thread, THREAD_ALL_ACCESS, nullptr, process.handle, nullptr, ReadThere, &shared));
  NT_EXPECT_SUCCESS(ZwWaitForSingleObject(thread, FALSE, nullptr));
  ZwClose(thread);
  NT_EXPECT_EQ(shared.seen, 4711);
  process.End();
}

NT_TEST(PsProcess, EndingItTakesItsMemory) {
  Process process;
  NT_ASSERT_SUCCESS(process.Create());
  PVOID base = nullptr;
  SIZE_T bytes = PAGE_SIZE;
  NT_EXPECT_SUCCESS(ZwAllocateVirtualMemory(process.handle, &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  NT_EXPECT_EQ(PsGetProcessExitStatus(process.object), STATUS_PENDING);
  NT_EXPECT_SUCCESS(ZwTerminateProcess(process.handle, 5));
  NT_EXPECT_EQ(PsGetProcessExitStatus(process.object), 5);
  NT_EXPECT_EQ(ZwTerminateProcess(process.handle, 5), STATUS_PROCESS_IS_TERMINATING);
  base = nullptr;
  NT_EXPECT_EQ(ZwAllocateVirtualMemory(process.handle, &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE),
               STATUS_PROCESS_IS_TERMINATING);
  ObDereferenceObject(process.object);
  ZwClose(process.handle);
}

NT_TEST(MmUser, CopyBetweenProcessesStopsAtAHole) {
  Process process;
  NT_ASSERT_SUCCESS(process.Create());
  PVOID base = nullptr;
  SIZE_T bytes = 2 * PAGE_SIZE;
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(process.handle, &base, 0, &bytes, MEM_RESERVE, PAGE_READWRITE));
  bytes = PAGE_SIZE;
  NT_ASSERT_SUCCESS(ZwAllocateVirtualMemory(process.handle, &base, 0, &bytes, MEM_COMMIT, PAGE_READWRITE));
  auto* buffer = static_cast<UCHAR*>(ExAllocatePoolWithTag(PagedPool, 2 * PAGE_SIZE, 'tseT'));
  NT_ASSERT_TRUE(buffer != nullptr);
  for (ULONG i = 0; i < 2 * PAGE_SIZE; ++i) buffer[i] = static_cast<UCHAR>(i * 7);
  SIZE_T copied = 0;
  NT_EXPECT_EQ(MmCopyVirtualMemory(IoGetCurrentProcess(), buffer, process.object, base, 2 * PAGE_SIZE,
                                   KernelMode, &copied),
               STATUS_PARTIAL_COPY);
  NT_EXPECT_EQ(copied, static_cast<SIZE_T>(PAGE_SIZE));
  RtlZeroMemory(buffer, 2 * PAGE_SIZE);
  NT_EXPECT_SUCCESS(MmCopyVirtualMemory(process.object, base, IoGetCurrentProcess(), buffer, PAGE_SIZE,
                                        KernelMode, &copied));
  ULONG wrong = 0;
  for (ULONG i = 0; i < PAGE_SIZE; ++i) wrong += buffer[i] != static_cast<UCHAR>(i * 7);
  NT_EXPECT_EQ(wrong, 0u);
  NT_EXPECT_EQ(
      MmCopyVirtualMemory(process.object, nullptr, IoGetCurrentProcess(), buffer, 8, KernelMode, &copied),
      STATUS_ACCESS_VIOLATION);
  ExFreePoolWithTag(buffer, 'tseT');
  process.End();
}
