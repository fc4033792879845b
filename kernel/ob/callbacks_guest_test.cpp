// ObRegisterCallbacks and handles to processes and threads. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

extern "C" {
__declspec(dllimport) NTSTATUS NTAPI ZwOpenProcess(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PCLIENT_ID);
__declspec(dllimport) NTSTATUS NTAPI ZwOpenThread(PHANDLE, ACCESS_MASK, POBJECT_ATTRIBUTES, PCLIENT_ID);
__declspec(dllimport) NTSTATUS NTAPI ZwDuplicateObject(HANDLE, HANDLE, HANDLE, PHANDLE, ACCESS_MASK, ULONG,
                                                       ULONG);
}

namespace {

constexpr ACCESS_MASK kTerminate = 0x0001, kVmRead = 0x0010, kQueryInformation = 0x0400;

struct Log {
  ULONG count;
  ULONG who[16];  // 1, 2: before, by filter; 11, 12: after
  ULONG operation;
  ACCESS_MASK granted;
  NTSTATUS status;
  PVOID object;
  BOOLEAN kernel_handle;
};
Log g_log;

struct Filter {
  ULONG name;
  ACCESS_MASK take, add;
};

OB_PREOP_CALLBACK_STATUS NTAPI Before(PVOID context, POB_PRE_OPERATION_INFORMATION information) {
  const auto* filter = static_cast<Filter*>(context);
  if (g_log.count < RTL_NUMBER_OF(g_log.who)) g_log.who[g_log.count++] = filter->name;
  g_log.operation = information->Operation;
  g_log.object = information->Object;
  g_log.kernel_handle = information->KernelHandle != 0;
  information->CallContext = &g_log;
  ACCESS_MASK* access = &information->Parameters->CreateHandleInformation.DesiredAccess;
  *access = (*access & ~filter->take) | filter->add;
  return OB_PREOP_SUCCESS;
}
VOID NTAPI After(PVOID context, POB_POST_OPERATION_INFORMATION information) {
  const auto* filter = static_cast<Filter*>(context);
  if (g_log.count < RTL_NUMBER_OF(g_log.who)) g_log.who[g_log.count++] = 10 + filter->name;
  NT_EXPECT_EQ(information->CallContext, static_cast<PVOID>(&g_log));
  g_log.granted = information->Parameters->CreateHandleInformation.GrantedAccess;
  g_log.status = information->ReturnStatus;
}

// A registration for as long as it lives.
class Registration {
 public:
  Registration(PCWSTR altitude, Filter* filter, POBJECT_TYPE* type, OB_OPERATION operations = 3) {
    OB_OPERATION_REGISTRATION operation = {type, operations, Before, After};
    OB_CALLBACK_REGISTRATION registration = {OB_FLT_REGISTRATION_VERSION, 1, {}, filter, &operation};
    RtlInitUnicodeString(&registration.Altitude, altitude);
    status = ObRegisterCallbacks(&registration, &handle_);
  }
  ~Registration() {
    if (NT_SUCCESS(status)) ObUnRegisterCallbacks(handle_);
  }
  NTSTATUS status;

 private:
  PVOID handle_ = nullptr;
};

NTSTATUS OpenSystemProcess(ACCESS_MASK access, HANDLE* handle) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, 0, nullptr, nullptr);
  CLIENT_ID id = {PsGetProcessId(PsInitialSystemProcess), nullptr};
  return ZwOpenProcess(handle, access, &attributes, &id);
}

// The rights that a handle has: what a caller from user mode could use it for.
bool Grants(HANDLE handle, POBJECT_TYPE type, ACCESS_MASK access) {
  PVOID object;
  const NTSTATUS status = ObReferenceObjectByHandle(handle, access, type, UserMode, &object, nullptr);
  if (NT_SUCCESS(status)) ObDereferenceObject(object);
  return NT_SUCCESS(status);
}

}  // namespace

NT_TEST(PsOpen, ProcessesAndThreadsOpenById) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  CLIENT_ID id = {PsGetCurrentProcessId(), nullptr};
  HANDLE handle;
  NT_ASSERT_SUCCESS(ZwOpenProcess(&handle, kTerminate, &attributes, &id));
  PVOID object;
  NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsProcessType, KernelMode, &object, nullptr));
  NT_EXPECT_EQ(object, static_cast<PVOID>(PsGetCurrentProcess()));
  ObDereferenceObject(object);
  ZwClose(handle);
  id = {nullptr, PsGetCurrentThreadId()};
  NT_ASSERT_SUCCESS(ZwOpenThread(&handle, kTerminate, &attributes, &id));
  NT_EXPECT_SUCCESS(ObReferenceObjectByHandle(handle, 0, *PsThreadType, KernelMode, &object, nullptr));
  NT_EXPECT_EQ(object, static_cast<PVOID>(PsGetCurrentThread()));
  ObDereferenceObject(object);
  ZwClose(handle);
}

NT_TEST(PsOpen, WrongIdsAreRefused) {
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, 0, nullptr, nullptr);
  CLIENT_ID nobody = {reinterpret_cast<HANDLE>(0x7FFFFFF0), nullptr};
  HANDLE handle;
  NT_EXPECT_EQ(ZwOpenProcess(&handle, kTerminate, &attributes, &nobody), STATUS_INVALID_CID);
  NT_EXPECT_EQ(ZwOpenProcess(&handle, kTerminate, &attributes, nullptr), STATUS_INVALID_PARAMETER_MIX);
  CLIENT_ID other = {reinterpret_cast<HANDLE>(0x7FFFFFF0), PsGetCurrentThreadId()};
  NT_EXPECT_EQ(ZwOpenThread(&handle, kTerminate, &attributes, &other), STATUS_INVALID_CID);
}

NT_TEST(ObCallbacks, RightsAreTakenAwayHighestAltitudeFirst) {
  NT_EXPECT_EQ(ObGetFilterVersion(), OB_FLT_REGISTRATION_VERSION);
  g_log = {};
  Filter low = {1, kTerminate, 0}, high = {2, kVmRead, 0x0020 /* cannot be added */};
  Registration first(L"320000", &low, PsProcessType), second(L"320000.5", &high, PsProcessType);
  NT_ASSERT_SUCCESS(first.status);
  NT_ASSERT_SUCCESS(second.status);
  HANDLE handle;
  NT_ASSERT_SUCCESS(OpenSystemProcess(kTerminate | kVmRead | kQueryInformation, &handle));
  NT_ASSERT_EQ(g_log.count, 4u);
  NT_EXPECT_EQ(g_log.who[0], 2u);
  NT_EXPECT_EQ(g_log.who[1], 1u);
  NT_EXPECT_EQ(g_log.who[2], 11u);
  NT_EXPECT_EQ(g_log.who[3], 12u);
  NT_EXPECT_EQ(g_log.granted, kQueryInformation);
  NT_EXPECT_EQ(g_log.operation, static_cast<ULONG>(OB_OPERATION_HANDLE_CREATE));
  NT_EXPECT_EQ(g_log.object, static_cast<PVOID>(PsInitialSystemProcess));
  NT_EXPECT_EQ(g_log.status, STATUS_SUCCESS);
  NT_EXPECT_TRUE(!g_log.kernel_handle);
  NT_EXPECT_TRUE(Grants(handle, *PsProcessType, kQueryInformation));
  NT_EXPECT_TRUE(!Grants(handle, *PsProcessType, kTerminate));
  NT_EXPECT_TRUE(!Grants(handle, *PsProcessType, kVmRead));
  ZwClose(handle);
}

NT_TEST(ObCallbacks, DuplicationIsAnOperationOfItsOwn) {
  g_log = {};
  Filter filter = {1, kTerminate, 0};
  HANDLE handle, duplicate;
  NT_ASSERT_SUCCESS(OpenSystemProcess(kTerminate | kQueryInformation, &handle));
  {
    Registration registration(L"1000", &filter, PsProcessType, OB_OPERATION_HANDLE_DUPLICATE);
    NT_ASSERT_SUCCESS(registration.status);
    HANDLE another;
    NT_ASSERT_SUCCESS(OpenSystemProcess(kTerminate, &another));
    NT_EXPECT_EQ(g_log.count, 0u);
    NT_EXPECT_TRUE(Grants(another, *PsProcessType, kTerminate));
    ZwClose(another);
    NT_ASSERT_SUCCESS(ZwDuplicateObject(NtCurrentProcess(), handle, NtCurrentProcess(), &duplicate, 0, 0,
                                        DUPLICATE_SAME_ACCESS));
  }
  NT_EXPECT_EQ(g_log.count, 2u);
  NT_EXPECT_EQ(g_log.operation, static_cast<ULONG>(OB_OPERATION_HANDLE_DUPLICATE));
  NT_EXPECT_TRUE(Grants(handle, *PsProcessType, kTerminate));
  NT_EXPECT_TRUE(!Grants(duplicate, *PsProcessType, kTerminate));
  ZwClose(handle);
  ZwClose(duplicate);
}

NT_TEST(ObCallbacks, ThreadsAndUnregistration) {
  g_log = {};
  Filter filter = {1, kTerminate, 0};
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  CLIENT_ID id = {nullptr, PsGetCurrentThreadId()};
  HANDLE handle;
  {
    Registration registration(L"1000", &filter, PsThreadType);
    NT_ASSERT_SUCCESS(registration.status);
    NT_ASSERT_SUCCESS(ZwOpenThread(&handle, kTerminate | SYNCHRONIZE, &attributes, &id));
    NT_EXPECT_EQ(g_log.count, 2u);
    NT_EXPECT_TRUE(g_log.kernel_handle);
    NT_EXPECT_EQ(g_log.granted, static_cast<ACCESS_MASK>(SYNCHRONIZE));
    ZwClose(handle);
  }
  NT_ASSERT_SUCCESS(ZwOpenThread(&handle, kTerminate, &attributes, &id));
  NT_EXPECT_EQ(g_log.count, 2u);
  ZwClose(handle);
}

NT_TEST(ObCallbacks, WrongRegistrationsAreRefused) {
  Filter filter = {1, 0, 0};
  Registration first(L"1000", &filter, PsProcessType), same(L"01000.0", &filter, PsProcessType);
  NT_EXPECT_SUCCESS(first.status);
  NT_EXPECT_EQ(same.status, STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
  NT_EXPECT_EQ(Registration(L"", &filter, PsProcessType).status, STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(Registration(L"high", &filter, PsProcessType).status, STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(Registration(L"1001", &filter, IoFileObjectType).status, STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(Registration(L"1001", &filter, PsProcessType, 0).status, STATUS_INVALID_PARAMETER);
  NT_EXPECT_EQ(Registration(L"1001", &filter, PsProcessType, 4).status, STATUS_INVALID_PARAMETER);
}
