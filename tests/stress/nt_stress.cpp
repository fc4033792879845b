#include "nt_stress.h"

#include "settings.h"

namespace {

constexpr ULONG kTag = 'rtSN';
constexpr ULONG64 kDefaultMilliseconds = 200;

ULONG64 seed, milliseconds;  // 0: not read yet

void ReadSettings() {
  ULONG64 settings[2];
  nt_test::ReadNumbers(L"\\??\\C:\\nt_stress.txt", settings, 2);
  seed = settings[0];
  milliseconds = settings[1];
  if (seed == 0) seed = static_cast<ULONG64>(KeQueryPerformanceCounter(nullptr).QuadPart) | 1;
  if (milliseconds == 0) milliseconds = kDefaultMilliseconds;
  DbgPrint("[test] stress: seed %I64u, %I64u ms a test\n", seed, milliseconds);
}

}  // namespace

ULONG64 StressSeed() {
  if (seed == 0) ReadSettings();
  return seed;
}

bool StressGoesOn() {
  return KeQueryInterruptTime() - nt_test::case_start < milliseconds * 10'000;
}

namespace nt_stress {

struct Workers::Slot {
  Worker worker;
  Routine routine;
  PKEVENT start;
  ULONG_PTR affinity;  // 0: any processor
  PVOID thread;
};

ULONG Processors() {
  return KeQueryActiveProcessorCount(nullptr);
}

void NTAPI Workers::Enter(PVOID context) {
  auto* slot = static_cast<Slot*>(context);
  if (slot->affinity != 0) KeSetSystemAffinityThreadEx(slot->affinity);
  KeWaitForSingleObject(slot->start, Executive, KernelMode, FALSE, nullptr);
  slot->routine(slot->worker);
  if (KeGetCurrentIrql() != PASSIVE_LEVEL) {
    nt_test::Fail("worker", static_cast<int>(slot->worker.index), "IRQL at its end", KeGetCurrentIrql(),
                  PASSIVE_LEVEL);
    KeLowerIrql(PASSIVE_LEVEL);
  }
}

Workers::Workers(ULONG count, Routine routine, PVOID context, Place place) {
  const ULONG64 base = StressSeed();
  KeInitializeEvent(&start_, NotificationEvent, FALSE);
  slots_ = static_cast<Slot*>(ExAllocatePoolWithTag(NonPagedPool, sizeof(Slot) * count, kTag));
  NT_ASSERT_TRUE(slots_ != nullptr);
  const ULONG processors = Processors();
  for (ULONG i = 0; i < count; ++i) {
    Slot& slot = slots_[i];
    slot.worker = {i, context, 0, Random(base ^ (static_cast<ULONG64>(i + 1) << 32))};
    slot.routine = routine;
    slot.start = &start_;
    slot.affinity = place == Place::kPinned ? static_cast<ULONG_PTR>(1) << (i % processors) : 0;
    HANDLE handle;
    NT_ASSERT_SUCCESS(
        PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, nullptr, nullptr, nullptr, Enter, &slot));
    const NTSTATUS status = ObReferenceObjectByHandle(handle, THREAD_ALL_ACCESS, *PsThreadType, KernelMode,
                                                      &slot.thread, nullptr);
    ZwClose(handle);
    NT_ASSERT_SUCCESS(status);
    ++count_;
  }
  KeSetEvent(&start_, IO_NO_INCREMENT, FALSE);
}

void Workers::Join() {
  if (joined_) return;
  joined_ = true;
  KeSetEvent(&start_, IO_NO_INCREMENT, FALSE);  // a constructor that failed half-way has not
  for (ULONG i = 0; i < count_; ++i) {
    KeWaitForSingleObject(slots_[i].thread, Executive, KernelMode, FALSE, nullptr);
    ObDereferenceObject(slots_[i].thread);
  }
}

Workers::~Workers() {
  Join();
  if (slots_ != nullptr) ExFreePoolWithTag(slots_, kTag);
}

const Worker& Workers::operator[](ULONG index) const {
  return slots_[index].worker;
}

ULONG64 Workers::Total() const {
  ULONG64 sum = 0;
  for (ULONG i = 0; i < count_; ++i) sum += slots_[i].worker.count;
  return sum;
}

ULONG64 Workers::Smallest() const {
  ULONG64 smallest = ~0ull;
  for (ULONG i = 0; i < count_; ++i) {
    if (slots_[i].worker.count < smallest) smallest = slots_[i].worker.count;
  }
  return smallest;
}

ULONG64 Workers::Largest() const {
  ULONG64 largest = 0;
  for (ULONG i = 0; i < count_; ++i) {
    if (slots_[i].worker.count > largest) largest = slots_[i].worker.count;
  }
  return largest;
}

}  // namespace nt_stress
