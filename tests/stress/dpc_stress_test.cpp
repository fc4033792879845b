// DPCs under pressure: none lost, none doubled, in order, flushed when KeFlushQueuedDpcs says so; calls on
// all processors with their barriers.
#include "nt_stress.h"

namespace {

constexpr ULONG kDpcs = 8;
constexpr KDPC_IMPORTANCE kImportances[] = {LowImportance, MediumImportance, MediumHighImportance,
                                            HighImportance};

// One worker's DPCs.
struct DpcSet {
  KDPC dpcs[kDpcs];
  volatile LONG64 ran[kDpcs];
  LONG64 inserted[kDpcs], removed[kDpcs];
};

DpcSet* AllocateSets(ULONG count) {
  auto* batches = static_cast<DpcSet*>(ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(DpcSet), 'rtSD'));
  if (batches != nullptr) RtlZeroMemory(batches, count * sizeof(DpcSet));
  return batches;
}

void CountRun(PKDPC, PVOID context, PVOID, PVOID) {
  InterlockedIncrement64(static_cast<volatile LONG64*>(context));
}

void InsertAndRemove(nt_stress::Worker& worker) {
  DpcSet& batch = static_cast<DpcSet*>(worker.context)[worker.index];
  for (ULONG i = 0; i < kDpcs; ++i) {
    PVOID counter = const_cast<LONG64*>(&batch.ran[i]);
    if (i % 2) {
      KeInitializeThreadedDpc(&batch.dpcs[i], CountRun, counter);
    } else {
      KeInitializeDpc(&batch.dpcs[i], CountRun, counter);
    }
  }
  do {
    const ULONG i = worker.random.Below(kDpcs);
    if (worker.random.OneIn(8))
      KeSetTargetProcessorDpc(&batch.dpcs[i],
                              static_cast<CCHAR>(worker.random.Below(nt_stress::Processors())));
    if (worker.random.OneIn(8)) KeSetImportanceDpc(&batch.dpcs[i], kImportances[worker.random.Below(4)]);
    KIRQL old = PASSIVE_LEVEL;
    const bool raised = worker.random.OneIn(4);
    if (raised) KeRaiseIrql(worker.random.OneIn(2) ? DISPATCH_LEVEL : HIGH_LEVEL, &old);
    if (KeInsertQueueDpc(&batch.dpcs[i], nullptr, nullptr)) ++batch.inserted[i];
    if (worker.random.OneIn(3) && KeRemoveQueueDpc(&batch.dpcs[i])) ++batch.removed[i];
    if (raised) KeLowerIrql(old);
    ++worker.count;
  } while (StressGoesOn());
}

// Numbered DPCs of one inserter for one processor.
constexpr ULONG kRing = 32;
struct Sequence {
  struct Entry {
    KDPC dpc;
    volatile LONG64 number;
    volatile LONG busy;
    Sequence* owner;
  } entries[kRing];
  volatile LONG64 last;  // number of the DPC that ran last
  volatile LONG64 disorder, ran;
};
void CheckOrder(PKDPC, PVOID context, PVOID, PVOID) {
  auto* entry = static_cast<Sequence::Entry*>(context);
  Sequence* owner = entry->owner;
  if (entry->number != owner->last + 1) InterlockedIncrement64(&owner->disorder);
  owner->last = entry->number;
  owner->ran = owner->ran + 1;
  InterlockedExchange(&entry->busy, 0);
}
void InsertInOrder(nt_stress::Worker& worker) {
  Sequence& sequence = static_cast<Sequence*>(worker.context)[worker.index];
  const ULONG target = worker.random.Below(nt_stress::Processors());
  for (Sequence::Entry& entry : sequence.entries) {
    entry.owner = &sequence;
    KeInitializeDpc(&entry.dpc, CheckOrder, &entry);
    KeSetTargetProcessorDpc(&entry.dpc, static_cast<CCHAR>(target));
  }
  LONG64 number = 0;
  do {
    Sequence::Entry& entry = sequence.entries[number % kRing];
    if (entry.busy != 0) {  // all of the ring waits
      YieldProcessor();
      continue;
    }
    entry.busy = 1;
    entry.number = ++number;
    KeSetImportanceDpc(&entry.dpc, kImportances[worker.random.Below(3)]);  // not to the head
    KeInsertQueueDpc(&entry.dpc, nullptr, nullptr);
    worker.count = static_cast<ULONG64>(number);
  } while (StressGoesOn());
}

struct Flushes {
  volatile LONG64 missed;
};
void FlushOwn(nt_stress::Worker& worker) {
  auto* flushes = static_cast<Flushes*>(worker.context);
  volatile LONG64 ran = 0;
  KDPC ordinary, threaded;
  KeInitializeDpc(&ordinary, CountRun, const_cast<LONG64*>(&ran));
  KeInitializeThreadedDpc(&threaded, CountRun, const_cast<LONG64*>(&ran));
  do {
    ran = 0;
    KeSetImportanceDpc(&ordinary, kImportances[worker.random.Below(4)]);
    KeSetTargetProcessorDpc(&ordinary, static_cast<CCHAR>(worker.random.Below(nt_stress::Processors())));
    KeSetTargetProcessorDpc(&threaded, static_cast<CCHAR>(worker.random.Below(nt_stress::Processors())));
    KeInsertQueueDpc(&ordinary, nullptr, nullptr);
    KeInsertQueueDpc(&threaded, nullptr, nullptr);
    KeFlushQueuedDpcs();
    if (ran != 2) InterlockedIncrement64(&flushes->missed);
    ++worker.count;
  } while (StressGoesOn());
  KeFlushQueuedDpcs();
}

struct Everywhere {
  LONG processors;
  volatile LONG64 early, wrong_last, wrong_count, wrong_mask;
};
struct GenericState {
  LONG processors;
  volatile LONG arrived, last, early;
};
void AllMeet(PKDPC, PVOID context, PVOID argument1, PVOID argument2) {
  auto* state = static_cast<GenericState*>(context);
  InterlockedIncrement(&state->arrived);
  if (KeSignalCallDpcSynchronize(argument2)) InterlockedIncrement(&state->last);
  if (state->arrived != state->processors) InterlockedIncrement(&state->early);
  KeSignalCallDpcDone(argument1);
}
ULONG_PTR MarkProcessor(ULONG_PTR context) {
  InterlockedOr64(reinterpret_cast<volatile LONG64*>(context), 1ll << KeGetCurrentProcessorNumberEx(nullptr));
  return context;
}
void CallEverywhere(nt_stress::Worker& worker) {
  auto* everywhere = static_cast<Everywhere*>(worker.context);
  do {
    if (worker.random.OneIn(2)) {
      GenericState state = {everywhere->processors, 0, 0, 0};
      KeGenericCallDpc(AllMeet, &state);
      if (state.early != 0) InterlockedIncrement64(&everywhere->early);
      if (state.last != 1) InterlockedIncrement64(&everywhere->wrong_last);
      if (state.arrived != everywhere->processors) InterlockedIncrement64(&everywhere->wrong_count);
    } else {
      volatile LONG64 mask = 0;
      const auto address = reinterpret_cast<ULONG_PTR>(&mask);
      if (KeIpiGenericCall(MarkProcessor, address) != address ||
          static_cast<KAFFINITY>(mask) != KeQueryActiveProcessors()) {
        InterlockedIncrement64(&everywhere->wrong_mask);
      }
    }
    ++worker.count;
  } while (StressGoesOn());
}

}  // namespace

NT_TEST(StressDpc, EachInsertionRunsOnceOrIsRemoved) {
  const ULONG count = nt_stress::Processors() * 2;
  DpcSet* batches = AllocateSets(count);
  NT_ASSERT_TRUE(batches != nullptr);
  nt_stress::Workers workers(count, InsertAndRemove, batches);
  workers.Join();
  KeFlushQueuedDpcs();
  ULONG64 wrong = 0;
  for (ULONG w = 0; w < count; ++w) {
    for (ULONG i = 0; i < kDpcs; ++i) {
      wrong += batches[w].inserted[i] != batches[w].ran[i] + batches[w].removed[i];
    }
  }
  NT_EXPECT_EQ(wrong, 0u);
  NT_EXPECT_TRUE(workers.Total() != 0);
  ExFreePoolWithTag(batches, 'rtSD');
}

NT_TEST(StressDpc, OneInsertersDpcsRunInTheirOrder) {
  const ULONG count = nt_stress::Processors();
  auto* sequences =
      static_cast<Sequence*>(ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(Sequence), 'rtSD'));
  NT_ASSERT_TRUE(sequences != nullptr);
  RtlZeroMemory(sequences, count * sizeof(Sequence));
  nt_stress::Workers workers(count, InsertInOrder, sequences);
  workers.Join();
  KeFlushQueuedDpcs();
  for (ULONG i = 0; i < count; ++i) {
    NT_EXPECT_EQ(sequences[i].disorder, 0);
    NT_EXPECT_EQ(static_cast<ULONG64>(sequences[i].ran), workers[i].count);
  }
  ExFreePoolWithTag(sequences, 'rtSD');
}

NT_TEST(StressDpc, FlushLeavesNothingQueued) {
  Flushes flushes = {};
  nt_stress::Workers workers(nt_stress::Processors(), FlushOwn, &flushes);
  workers.Join();
  NT_EXPECT_EQ(flushes.missed, 0);
  NT_EXPECT_TRUE(workers.Total() != 0);
}

NT_TEST(StressDpc, CallsOnAllProcessorsMeet) {
  Everywhere everywhere = {};
  everywhere.processors = static_cast<LONG>(nt_stress::Processors());
  nt_stress::Workers workers(nt_stress::Processors(), CallEverywhere, &everywhere);
  workers.Join();
  NT_EXPECT_EQ(everywhere.early, 0);
  NT_EXPECT_EQ(everywhere.wrong_last, 0);
  NT_EXPECT_EQ(everywhere.wrong_count, 0);
  NT_EXPECT_EQ(everywhere.wrong_mask, 0);
  NT_EXPECT_TRUE(workers.Total() != 0);
}
