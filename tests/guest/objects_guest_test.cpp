// Objects, handles, processes and threads as a driver sees them. Oracle: the WDK pages of the routines; not
// yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

// In the WDK's ntifs.h, not in mingw-w64's.
extern "C" __declspec(dllimport) NTSTATUS NTAPI PsGetThreadExitStatus(PETHREAD Thread);

namespace {

UNICODE_STRING Name(PCWSTR text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return name;
}

OBJECT_ATTRIBUTES Attributes(UNICODE_STRING* name) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return attributes;
}

void EndWithStatus(PVOID status) {
  PsTerminateSystemThread(static_cast<NTSTATUS>(reinterpret_cast<LONG_PTR>(status)));
}

void EndByReturn(PVOID context) {
  *static_cast<HANDLE*>(context) = PsGetCurrentThreadId();
}

}  // namespace

NT_TEST(KernelPs, SystemThreadLivesInTheSystemProcess) {
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(PsGetProcessId(PsInitialSystemProcess)), 4);
  NT_EXPECT_EQ(reinterpret_cast<ULONG_PTR>(PsGetCurrentProcessId()), 4);
  NT_EXPECT_TRUE(IoGetCurrentProcess() == PsInitialSystemProcess);
  NT_EXPECT_TRUE(PsIsSystemThread(PsGetCurrentThread()));
}

NT_TEST(KernelPs, ThreadHandleIsSignalledAtTheEnd) {
  nt_test::Thread thread(EndWithStatus, reinterpret_cast<PVOID>(static_cast<LONG_PTR>(STATUS_CANCELLED)));
  NT_ASSERT_TRUE(thread.started());
  PETHREAD object = thread.object();
  ObReferenceObject(object);
  thread.Join();
  NT_EXPECT_TRUE(PsIsThreadTerminating(object));
  NT_EXPECT_EQ(PsGetThreadExitStatus(object), STATUS_CANCELLED);
  ObDereferenceObject(object);
}

NT_TEST(KernelPs, ThreadsHaveDifferentIds) {
  HANDLE first = nullptr, second = nullptr;
  {
    nt_test::Thread a(EndByReturn, &first), b(EndByReturn, &second);
    NT_EXPECT_TRUE(a.started() && b.started());
  }
  NT_EXPECT_TRUE(first != nullptr && second != nullptr);
  NT_EXPECT_TRUE(first != second && first != PsGetCurrentThreadId());
}

NT_TEST(KernelPs, AThreadIsFoundByItsId) {
  PETHREAD thread = nullptr;
  NT_ASSERT_SUCCESS(PsLookupThreadByThreadId(PsGetCurrentThreadId(), &thread));
  NT_EXPECT_TRUE(thread == PsGetCurrentThread());
  ObDereferenceObject(thread);
  PEPROCESS process = nullptr;
  NT_ASSERT_SUCCESS(PsLookupProcessByProcessId(reinterpret_cast<HANDLE>(4), &process));
  NT_EXPECT_TRUE(process == PsInitialSystemProcess);
  ObDereferenceObject(process);
  NT_EXPECT_EQ(PsLookupProcessByProcessId(reinterpret_cast<HANDLE>(0x7FFC), &process), STATUS_INVALID_CID);
}

NT_TEST(KernelOb, AClosedHandleIsInvalid) {
  HANDLE handle = nullptr;
  NT_ASSERT_SUCCESS(ObOpenObjectByPointer(PsInitialSystemProcess, OBJ_KERNEL_HANDLE, nullptr,
                                          PROCESS_ALL_ACCESS, *PsProcessType, KernelMode, &handle));
  PVOID object = nullptr;
  NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &object, nullptr));
  NT_EXPECT_TRUE(object == PsInitialSystemProcess);
  ObDereferenceObject(object);
  NT_EXPECT_EQ(ObReferenceObjectByHandle(handle, 0, *PsThreadType, KernelMode, &object, nullptr),
               STATUS_OBJECT_TYPE_MISMATCH);
  NT_EXPECT_SUCCESS(ZwClose(handle));
  NT_EXPECT_EQ(ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &object, nullptr),
               STATUS_INVALID_HANDLE);
}

NT_TEST(KernelOb, ASymbolicLinkTellsItsTarget) {
  UNICODE_STRING link = Name(L"\\DosDevices\\BugcheckTestLink"),
                 target = Name(L"\\Device\\BugcheckTestTarget");
  NT_ASSERT_SUCCESS(IoCreateSymbolicLink(&link, &target));
  NT_EXPECT_EQ(IoCreateSymbolicLink(&link, &target), STATUS_OBJECT_NAME_COLLISION);
  // \DosDevices is itself a link to \??.
  UNICODE_STRING other = Name(L"\\??\\bugchecktestlink");
  OBJECT_ATTRIBUTES attributes = Attributes(&other);
  HANDLE handle = nullptr;
  NT_EXPECT_SUCCESS(ZwOpenSymbolicLinkObject(&handle, GENERIC_READ, &attributes));
  WCHAR buffer[64];
  UNICODE_STRING found = {0, sizeof(buffer), buffer};
  NT_EXPECT_SUCCESS(ZwQuerySymbolicLinkObject(handle, &found, nullptr));
  NT_EXPECT_TRUE(RtlEqualUnicodeString(&found, &target, FALSE));
  ZwClose(handle);
  NT_EXPECT_SUCCESS(IoDeleteSymbolicLink(&link));
  NT_EXPECT_EQ(IoDeleteSymbolicLink(&link), STATUS_OBJECT_NAME_NOT_FOUND);
}

NT_TEST(KernelOb, ADirectoryHoldsNames) {
  UNICODE_STRING name = Name(L"\\BugcheckTestDirectory");
  OBJECT_ATTRIBUTES attributes = Attributes(&name);
  HANDLE directory = nullptr, again = nullptr;
  NT_ASSERT_SUCCESS(ZwCreateDirectoryObject(&directory, DIRECTORY_ALL_ACCESS, &attributes));
  NT_EXPECT_EQ(ZwCreateDirectoryObject(&again, DIRECTORY_ALL_ACCESS, &attributes),
               STATUS_OBJECT_NAME_COLLISION);
  NT_EXPECT_SUCCESS(ZwClose(directory));
  // The name goes with the last handle.
  NT_EXPECT_EQ(ZwOpenDirectoryObject(&again, DIRECTORY_ALL_ACCESS, &attributes),
               STATUS_OBJECT_NAME_NOT_FOUND);
}
