// Vector registers survive what happens to a thread: preemption, DPCs that use them too, waits, other
// processors.
#include "nt_stress.h"
#include "vectors.h"

namespace {

using nt_test::Vectors;

struct Shared {
  ULONG64 features;
  volatile LONG lost_xmm, lost_ymm, lost_in_dpc, failed_saves;
  volatile LONG dpcs;
  KDPC dpcs_of_processor[64];
};

// As a DPC must: saves, uses, restores. The interrupted thread's own are checked by the thread.
VOID NTAPI UseVectors(PKDPC dpc, PVOID context, PVOID, PVOID) {
  auto* shared = static_cast<Shared*>(context);
  XSTATE_SAVE save;
  Vectors in, out;
  if (!NT_SUCCESS(KeSaveExtendedProcessorState(shared->features, &save))) {
    InterlockedIncrement(&shared->failed_saves);
    return;
  }
  nt_test::Fill(&in, reinterpret_cast<ULONG64>(dpc) ^ 0x5555);
  const bool wide = (shared->features & nt_test::kAvx) != 0;
  if (wide) {
    nt_test::HoldYmm(&in, &out, 20);
  } else {
    nt_test::HoldXmm(&in, &out, 20);
  }
  if (!nt_test::Same(in, out, wide ? 4 : 2)) InterlockedIncrement(&shared->lost_in_dpc);
  KeRestoreExtendedProcessorState(&save);
  InterlockedIncrement(&shared->dpcs);
}

void HoldNarrow(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  Vectors in, out;
  while (StressGoesOn()) {
    nt_test::Fill(&in, worker.random.Next());
    nt_test::HoldXmm(&in, &out, 1 + worker.random.Below(3000));
    if (!nt_test::Same(in, out, 2)) InterlockedIncrement(&shared->lost_xmm);
    KeInsertQueueDpc(&shared->dpcs_of_processor[worker.random.Below(nt_stress::Processors())], nullptr,
                     nullptr);
    ++worker.count;
  }
}

void WaitShortly(void*) {
  LARGE_INTEGER soon;
  soon.QuadPart = -1;
  KeDelayExecutionThread(KernelMode, FALSE, &soon);
}

// One round inside a save: values held over preemption, and over a wait.
void HoldWideOnce(nt_stress::Worker& worker, Shared* shared) {
  Vectors in, out;
  nt_test::Fill(&in, worker.random.Next());
  nt_test::HoldYmm(&in, &out, 1 + worker.random.Below(3000));
  if (!nt_test::Same(in, out, 4)) InterlockedIncrement(&shared->lost_ymm);
  if (!worker.random.OneIn(8)) return;
  nt_test::Fill(&in, worker.random.Next());
  nt_test::HoldOverCall(&in, &out, WaitShortly, nullptr);
  // The ABI keeps the lower halves of 6..15 over a call.
  for (ULONG i = 6; i < 16; ++i) {
    if (in.word[i][0] != out.word[i][0] || in.word[i][1] != out.word[i][1])
      InterlockedIncrement(&shared->lost_ymm);
  }
}

void HoldWide(nt_stress::Worker& worker) {
  auto* shared = static_cast<Shared*>(worker.context);
  while (StressGoesOn()) {
    XSTATE_SAVE outer, inner;
    if (!NT_SUCCESS(KeSaveExtendedProcessorState(shared->features, &outer))) {
      InterlockedIncrement(&shared->failed_saves);
      continue;
    }
    HoldWideOnce(worker, shared);
    if (worker.random.OneIn(4) && NT_SUCCESS(KeSaveExtendedProcessorState(shared->features, &inner))) {
      HoldWideOnce(worker, shared);
      KeRestoreExtendedProcessorState(&inner);
    }
    KeInsertQueueDpc(&shared->dpcs_of_processor[worker.random.Below(nt_stress::Processors())], nullptr,
                     nullptr);
    KeRestoreExtendedProcessorState(&outer);
    ++worker.count;
  }
}

void Run(nt_stress::Workers::Routine routine, ULONG64 features) {
  static Shared shared;
  RtlZeroMemory(&shared, sizeof shared);
  shared.features = features;
  for (ULONG i = 0; i < nt_stress::Processors(); ++i) {
    KeInitializeDpc(&shared.dpcs_of_processor[i], UseVectors, &shared);
    KeSetTargetProcessorDpc(&shared.dpcs_of_processor[i], static_cast<CCHAR>(i));
  }
  nt_stress::Workers workers(2 * nt_stress::Processors(), routine, &shared, nt_stress::Place::kAnywhere);
  workers.Join();
  KeFlushQueuedDpcs();
  NT_EXPECT_EQ(shared.lost_xmm, 0);
  NT_EXPECT_EQ(shared.lost_ymm, 0);
  NT_EXPECT_EQ(shared.lost_in_dpc, 0);
  NT_EXPECT_EQ(shared.failed_saves, 0);
  NT_EXPECT_TRUE(shared.dpcs != 0);
  NT_EXPECT_TRUE(workers.Total() != 0);
}

}  // namespace

NT_TEST(StressExtendedState, XmmSurvivesPreemptionAndDpcs) {
  Run(HoldNarrow, RtlGetEnabledExtendedFeatures(3 | nt_test::kAvx));
}

NT_TEST(StressExtendedState, YmmSurvivesBetweenSaveAndRestore) {
  const ULONG64 features = RtlGetEnabledExtendedFeatures(3 | nt_test::kAvx);
  if ((features & nt_test::kAvx) == 0) {
    DbgPrint("[test] this processor has no AVX\n");
    return;
  }
  Run(HoldWide, features);
}
