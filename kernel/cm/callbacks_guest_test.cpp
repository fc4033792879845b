// CmRegisterCallback(Ex) as a driver sees it. Oracle: the WDK pages; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

constexpr WCHAR kKey[] = L"\\Registry\\Machine\\System\\CurrentControlSet\\Services\\CmCallbackTest";

UNICODE_STRING Name(PCWSTR text) {
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, text);
  return name;
}

NTSTATUS Create(HANDLE* key) {
  UNICODE_STRING name = Name(kKey);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  return ZwCreateKey(key, KEY_ALL_ACCESS, &attributes, 0, nullptr, REG_OPTION_VOLATILE, nullptr);
}

NTSTATUS Set(HANDLE key, PCWSTR name, ULONG number) {
  UNICODE_STRING value = Name(name);
  return ZwSetValueKey(key, &value, 0, REG_DWORD, &number, sizeof number);
}

NTSTATUS Read(HANDLE key, PCWSTR name, ULONG* number) {
  UNICODE_STRING value = Name(name);
  UCHAR buffer[32];
  ULONG length;
  auto* partial = reinterpret_cast<PKEY_VALUE_PARTIAL_INFORMATION>(buffer);
  const NTSTATUS status =
      ZwQueryValueKey(key, &value, KeyValuePartialInformation, partial, sizeof buffer, &length);
  if (NT_SUCCESS(status)) *number = *reinterpret_cast<ULONG*>(partial->Data);
  return status;
}

// A callback that writes down what it sees, and answers one class in its own way.
struct Watcher {
  LARGE_INTEGER cookie;
  REG_NOTIFY_CLASS answered;
  NTSTATUS answer;
  NTSTATUS return_status;  // after: ReturnStatus with STATUS_CALLBACK_BYPASS
  ULONG count;
  REG_NOTIFY_CLASS seen[32];
  ULONG order[32];  // of all watchers
  NTSTATUS post_status;
  PVOID post_context, object_context, cleaned;
  PVOID object;
};
LONG g_order;
ULONG g_mark;  // something to point to

NTSTATUS NTAPI Watch(PVOID context, PVOID argument1, PVOID argument2) {
  auto* watcher = static_cast<Watcher*>(context);
  const auto notice = static_cast<REG_NOTIFY_CLASS>(reinterpret_cast<ULONG_PTR>(argument1));
  if (watcher->count < RTL_NUMBER_OF(watcher->seen)) {
    watcher->order[watcher->count] = static_cast<ULONG>(InterlockedIncrement(&g_order));
    watcher->seen[watcher->count++] = notice;
  }
  if (notice == RegNtPreSetValueKey) {
    auto* information = static_cast<PREG_SET_VALUE_KEY_INFORMATION>(argument2);
    information->CallContext = watcher;
    watcher->object = information->Object;
    watcher->object_context = information->ObjectContext;
  } else if (notice == RegNtPostSetValueKey) {
    auto* information = static_cast<PREG_POST_OPERATION_INFORMATION>(argument2);
    watcher->post_status = information->Status;
    watcher->post_context = information->CallContext;
    information->ReturnStatus = watcher->return_status;
  } else if (notice == RegNtCallbackObjectContextCleanup) {
    watcher->cleaned = static_cast<PREG_CALLBACK_CONTEXT_CLEANUP_INFORMATION>(argument2)->ObjectContext;
  }
  return notice == watcher->answered ? watcher->answer : STATUS_SUCCESS;
}

constexpr REG_NOTIFY_CLASS kNothing = MaxRegNtNotifyClass;

// A registered watcher for as long as it lives.
class Registered {
 public:
  Registered(Watcher* watcher, PCWSTR altitude, REG_NOTIFY_CLASS answered = kNothing,
             NTSTATUS answer = STATUS_SUCCESS)
      : watcher_(watcher) {
    RtlZeroMemory(watcher, sizeof *watcher);
    watcher->answered = answered;
    watcher->answer = answer;
    UNICODE_STRING name = Name(altitude);
    status = CmRegisterCallbackEx(Watch, &name, watcher, watcher, &watcher->cookie, nullptr);
  }
  ~Registered() {
    if (NT_SUCCESS(status)) NT_EXPECT_SUCCESS(CmUnRegisterCallback(watcher_->cookie));
  }
  NTSTATUS status;

 private:
  Watcher* watcher_;
};

void Remove(HANDLE key) {
  ZwDeleteKey(key);
  ZwClose(key);
}

}  // namespace

NT_TEST(CmCallbacks, BeforeFromAboveAfterFromBelow) {
  Watcher low, high;
  Registered first(&low, L"1000"), second(&high, L"2000.5");
  NT_ASSERT_SUCCESS(first.status);
  NT_ASSERT_SUCCESS(second.status);
  HANDLE key;
  NT_ASSERT_SUCCESS(Create(&key));
  NT_EXPECT_EQ(low.seen[0], RegNtPreCreateKeyEx);
  NT_EXPECT_EQ(low.seen[1], RegNtPostCreateKeyEx);
  low.count = high.count = 0;
  NT_EXPECT_SUCCESS(Set(key, L"A", 1));
  NT_ASSERT_EQ(low.count, 2u);
  NT_ASSERT_EQ(high.count, 2u);
  NT_EXPECT_EQ(high.seen[0], RegNtPreSetValueKey);
  NT_EXPECT_EQ(high.seen[1], RegNtPostSetValueKey);
  NT_EXPECT_TRUE(high.order[0] < low.order[0]);
  NT_EXPECT_TRUE(low.order[0] < low.order[1]);
  NT_EXPECT_TRUE(low.order[1] < high.order[1]);
  NT_EXPECT_EQ(low.post_context, static_cast<PVOID>(&low));
  NT_EXPECT_EQ(high.post_context, static_cast<PVOID>(&high));
  NT_EXPECT_EQ(high.post_status, STATUS_SUCCESS);
  low.count = 0;
  Remove(key);
  NT_ASSERT_EQ(low.count, 4u);
  NT_EXPECT_EQ(low.seen[0], RegNtPreDeleteKey);
  NT_EXPECT_EQ(low.seen[1], RegNtPostDeleteKey);
  NT_EXPECT_EQ(low.seen[2], RegNtPreKeyHandleClose);
  NT_EXPECT_EQ(low.seen[3], RegNtPostKeyHandleClose);
}

NT_TEST(CmCallbacks, ACallbackForbids) {
  Watcher low, guard, high;
  HANDLE key;
  NT_ASSERT_SUCCESS(Create(&key));
  {
    Registered a(&low, L"1000"), b(&guard, L"2000", RegNtPreSetValueKey, STATUS_ACCESS_DENIED),
        c(&high, L"3000");
    high.count = 0;
    NT_EXPECT_EQ(Set(key, L"A", 1), STATUS_ACCESS_DENIED);
    NT_EXPECT_EQ(low.count, 0u);
    NT_EXPECT_EQ(guard.count, 1u);
    NT_EXPECT_EQ(high.count, 2u);
    NT_EXPECT_EQ(high.post_status, STATUS_ACCESS_DENIED);
  }
  ULONG number;
  NT_EXPECT_EQ(Read(key, L"A", &number), STATUS_OBJECT_NAME_NOT_FOUND);
  Remove(key);
}

NT_TEST(CmCallbacks, ACallbackTakesOver) {
  Watcher watcher;
  HANDLE key;
  NT_ASSERT_SUCCESS(Create(&key));
  {
    Registered registered(&watcher, L"1000", RegNtPreSetValueKey, STATUS_CALLBACK_BYPASS);
    NT_EXPECT_EQ(Set(key, L"A", 1), STATUS_SUCCESS);
    NT_EXPECT_EQ(watcher.count, 1u);
  }
  ULONG number;
  NT_EXPECT_EQ(Read(key, L"A", &number), STATUS_OBJECT_NAME_NOT_FOUND);
  {
    Registered registered(&watcher, L"1000", RegNtPostSetValueKey, STATUS_CALLBACK_BYPASS);
    watcher.return_status = STATUS_DISK_FULL;
    NT_EXPECT_EQ(Set(key, L"A", 7), STATUS_DISK_FULL);
  }
  NT_EXPECT_SUCCESS(Read(key, L"A", &number));
  NT_EXPECT_EQ(number, 7u);
  Remove(key);
}

NT_TEST(CmCallbacks, ContextsStayWithTheKeyObject) {
  Watcher watcher;
  HANDLE key;
  PVOID old = &watcher;
  {
    Registered registered(&watcher, L"1000");
    NT_ASSERT_SUCCESS(Create(&key));
    NT_EXPECT_SUCCESS(Set(key, L"A", 1));
    NT_EXPECT_TRUE(watcher.object_context == nullptr);
    NT_EXPECT_SUCCESS(CmSetCallbackObjectContext(watcher.object, &watcher.cookie, &g_mark, &old));
    NT_EXPECT_TRUE(old == nullptr);
    NT_EXPECT_SUCCESS(Set(key, L"A", 2));
    NT_EXPECT_EQ(watcher.object_context, static_cast<PVOID>(&g_mark));
    Remove(key);
    NT_EXPECT_EQ(watcher.cleaned, static_cast<PVOID>(&g_mark));
    NT_ASSERT_SUCCESS(Create(&key));
    NT_EXPECT_SUCCESS(Set(key, L"A", 1));
    NT_EXPECT_SUCCESS(CmSetCallbackObjectContext(watcher.object, &watcher.cookie, &watcher, nullptr));
  }
  NT_EXPECT_EQ(watcher.cleaned, static_cast<PVOID>(&watcher));  // at unregistration
  NT_EXPECT_EQ(CmSetCallbackObjectContext(watcher.object, &watcher.cookie, &watcher, nullptr),
               STATUS_INVALID_PARAMETER);
  Remove(key);
}

NT_TEST(CmCallbacks, NamesOfKeyObjects) {
  Watcher watcher;
  HANDLE key;
  Registered registered(&watcher, L"1000");
  NT_ASSERT_SUCCESS(Create(&key));
  NT_EXPECT_SUCCESS(Set(key, L"A", 1));
  ULONG_PTR id = 0;
  PCUNICODE_STRING name = nullptr;
  NT_ASSERT_SUCCESS(CmCallbackGetKeyObjectIDEx(&watcher.cookie, watcher.object, &id, &name, 0));
  UNICODE_STRING expected = Name(kKey);
  NT_EXPECT_TRUE(RtlEqualUnicodeString(name, &expected, TRUE));
  NT_EXPECT_TRUE(id != 0);
  CmCallbackReleaseKeyObjectIDEx(name);
  Remove(key);
}

NT_TEST(CmCallbacks, WrongRegistrationsAreRefused) {
  Watcher one, two;
  Registered first(&one, L"1000"), same(&two, L"01000");
  NT_EXPECT_SUCCESS(first.status);
  NT_EXPECT_EQ(same.status, STATUS_FLT_INSTANCE_ALTITUDE_COLLISION);
  Watcher none;
  NT_EXPECT_EQ(Registered(&none, L"x").status, STATUS_INVALID_PARAMETER);
  LARGE_INTEGER nobody;
  nobody.QuadPart = -1;
  NT_EXPECT_EQ(CmUnRegisterCallback(nobody), STATUS_INVALID_PARAMETER);
  LARGE_INTEGER legacy;
  NT_EXPECT_SUCCESS(CmRegisterCallback(Watch, &two, &legacy));
  HANDLE key;
  NT_ASSERT_SUCCESS(Create(&key));
  NT_EXPECT_TRUE(one.count >= 2 && two.count >= 2 && one.order[0] < two.order[0]);
  NT_EXPECT_SUCCESS(CmUnRegisterCallback(legacy));
  Remove(key);
}

namespace {

struct Race {
  volatile LONG inside, late, stop;
  LARGE_INTEGER cookie;
};
NTSTATUS NTAPI Enter(PVOID context, PVOID, PVOID) {
  auto* race = static_cast<Race*>(context);
  InterlockedIncrement(&race->inside);
  if (race->late) InterlockedIncrement(&race->late);
  YieldProcessor();
  InterlockedDecrement(&race->inside);
  return STATUS_SUCCESS;
}
VOID NTAPI SetValues(PVOID context) {
  auto* race = static_cast<Race*>(context);
  HANDLE key;
  if (NT_SUCCESS(Create(&key))) {
    while (!race->stop) Set(key, L"A", 1);
    ZwClose(key);
  }
  PsTerminateSystemThread(STATUS_SUCCESS);
}

}  // namespace

NT_TEST(CmCallbacks, UnregistrationWaitsForCallbacksInFlight) {
  static Race race;
  RtlZeroMemory(&race, sizeof race);
  {
    nt_test::Thread first(SetValues, &race), second(SetValues, &race);
    struct Stop {
      ~Stop() { race.stop = 1; }
    } stop;  // before the threads are waited for, however this ends
    NT_EXPECT_TRUE(first.started() && second.started());
    for (int i = 0; i < 200; ++i) {
      UNICODE_STRING altitude = Name(L"1000");
      race.late = 0;
      NT_ASSERT_SUCCESS(CmRegisterCallbackEx(Enter, &altitude, &race, &race, &race.cookie, nullptr));
      if (i % 8 == 0) nt_test::Sleep(1);
      NT_ASSERT_SUCCESS(CmUnRegisterCallback(race.cookie));
      race.late = 1;
      NT_EXPECT_EQ(race.inside, 0);
    }
  }
  NT_EXPECT_EQ(race.late, 1);
  HANDLE key;
  if (NT_SUCCESS(Create(&key))) Remove(key);
}
