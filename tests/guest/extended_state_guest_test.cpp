// Extended processor state and stack expansion, one thread at a time.
#include "nt_test.h"
#include "threads.h"
#include "vectors.h"

#undef KeSaveFloatingPointState
#undef KeRestoreFloatingPointState
extern "C" NTSTATUS NTAPI KeSaveFloatingPointState(PKFLOATING_SAVE save);
extern "C" NTSTATUS NTAPI KeRestoreFloatingPointState(PKFLOATING_SAVE save);
extern "C" NTSTATUS NTAPI KeExpandKernelStackAndCalloutEx(PEXPAND_STACK_CALLOUT callout, PVOID parameter,
                                                          SIZE_T size, BOOLEAN wait, PVOID context);

namespace {

using nt_test::Vectors;

constexpr ULONG64 kLegacy = 3;

ULONG64 Features() {
  return RtlGetEnabledExtendedFeatures(~0ull);
}

struct Other {
  ULONG64 features;
  volatile LONG stop;
  volatile LONG broken;
};

// Fills the registers with its own values all the time, on the same processor.
VOID NTAPI Disturb(PVOID context) {
  auto* other = static_cast<Other*>(context);
  KeSetSystemAffinityThreadEx(1);
  Vectors in, out;
  ULONG64 seed = 1;
  while (other->stop == 0) {
    XSTATE_SAVE save;
    if (!NT_SUCCESS(KeSaveExtendedProcessorState(other->features, &save))) break;
    nt_test::Fill(&in, ++seed);
    nt_test::HoldYmm(&in, &out, 100);
    if (!nt_test::Same(in, out, 4)) InterlockedIncrement(&other->broken);
    KeRestoreExtendedProcessorState(&save);
  }
}

}  // namespace

NT_TEST(KeExtendedState, TheEnabledFeaturesAreTold) {
  const ULONG64 features = Features();
  NT_EXPECT_EQ(RtlGetEnabledExtendedFeatures(kLegacy), features & kLegacy);
  NT_EXPECT_EQ(RtlGetEnabledExtendedFeatures(0), 0u);
  const auto published = *reinterpret_cast<const volatile ULONG64*>(0xFFFFF78000000000ull + 0x3D8);
  NT_EXPECT_EQ(published, features);
}

namespace {

// Between the save and the restore all registers get other values.
void SaveUseRestore(void* context) {
  auto* status = static_cast<NTSTATUS*>(context);
  XSTATE_SAVE save;
  Vectors other, out;
  nt_test::Fill(&other, 22);
  *status = KeSaveExtendedProcessorState(nt_test::kAvx | kLegacy, &save);
  if (!NT_SUCCESS(*status)) return;
  nt_test::HoldYmm(&other, &out, 10);
  if (!nt_test::Same(other, out, 4)) *status = STATUS_UNSUCCESSFUL;
  KeRestoreExtendedProcessorState(&save);
}

}  // namespace

NT_TEST(KeExtendedState, RestoreBringsBackWhatWasSaved) {
  Vectors in, out;
  NTSTATUS status = STATUS_PENDING;
  nt_test::Fill(&in, 11);
  if ((Features() & nt_test::kAvx) == 0) return;
  nt_test::HoldOverCall(&in, &out, SaveUseRestore, &status);
  NT_EXPECT_EQ(status, STATUS_SUCCESS);
  for (ULONG i = 6; i < 16; ++i) {  // the rest is volatile
    for (ULONG k = 0; k < 4; ++k) NT_EXPECT_EQ(out.word[i][k], in.word[i][k]);
  }
}

NT_TEST(KeExtendedState, TwoThreadsOnOneProcessorKeepTheirs) {
  Other other = {Features() & (kLegacy | nt_test::kAvx), 0, 0};
  if ((other.features & nt_test::kAvx) == 0) return;
  const KAFFINITY old = KeSetSystemAffinityThreadEx(1);
  nt_test::Thread thread(Disturb, &other);
  NT_ASSERT_TRUE(thread.started());
  XSTATE_SAVE save;
  Vectors in, out;
  for (ULONG i = 0; i < 50; ++i) {
    NT_ASSERT_SUCCESS(KeSaveExtendedProcessorState(other.features, &save));
    nt_test::Fill(&in, i);
    nt_test::HoldYmm(&in, &out, 2000);
    NT_EXPECT_TRUE(nt_test::Same(in, out, 4));
    KeRestoreExtendedProcessorState(&save);
    if (i % 8 == 0) nt_test::Sleep(1);
  }
  other.stop = 1;
  thread.Join();
  NT_EXPECT_EQ(other.broken, 0);
  KeRevertToUserAffinityThreadEx(old);
}

NT_TEST(KeExtendedState, AlsoAtDispatchLevelAndNested) {
  XSTATE_SAVE outer, inner;
  KIRQL irql;
  NT_ASSERT_SUCCESS(KeSaveExtendedProcessorState(kLegacy, &outer));
  NT_ASSERT_SUCCESS(KeSaveExtendedProcessorState(kLegacy, &inner));
  KeRestoreExtendedProcessorState(&inner);
  KeRestoreExtendedProcessorState(&outer);
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  const NTSTATUS status = KeSaveExtendedProcessorState(kLegacy, &outer);
  if (NT_SUCCESS(status)) KeRestoreExtendedProcessorState(&outer);
  KeLowerIrql(irql);
  NT_EXPECT_SUCCESS(status);
}

NT_TEST(KeExtendedState, FloatingPointStateSucceeds) {
  KFLOATING_SAVE save;
  NT_EXPECT_SUCCESS(KeSaveFloatingPointState(&save));
  NT_EXPECT_SUCCESS(KeRestoreFloatingPointState(&save));
}

// ---- KeExpandKernelStackAndCallout ----
namespace {

struct Callout {
  ULONG64 stack, outer_stack;
  ULONG calls, depth;
  NTSTATUS nested;
  ULONG frames;
  bool caught;
};

__attribute__((noinline)) ULONG64 StackHere() {
  return reinterpret_cast<ULONG64>(__builtin_frame_address(0));
}

__attribute__((noinline)) ULONG TouchStack(ULONG bytes) {
  volatile UCHAR* area = static_cast<volatile UCHAR*>(__builtin_alloca(bytes));
  for (ULONG i = bytes; i > 0x800; i -= 0x800) area[i - 1] = static_cast<UCHAR>(i);
  return area[bytes - 1];
}

VOID NTAPI UseStack(PVOID parameter) {
  auto* callout = static_cast<Callout*>(parameter);
  callout->stack = StackHere();
  ++callout->calls;
  TouchStack(0x10000);
  PVOID frames[32];
  callout->frames = RtlWalkFrameChain(frames, 32, 0);
}

VOID NTAPI Nothing(PVOID parameter) {
  auto* callout = static_cast<Callout*>(parameter);
  callout->stack = StackHere();
  ++callout->calls;
}

VOID NTAPI Deeper(PVOID parameter) {
  auto* callout = static_cast<Callout*>(parameter);
  ++callout->calls;
  callout->nested = KeExpandKernelStackAndCallout(Deeper, callout, 0x11000);
}

VOID NTAPI WaitOnSegment(PVOID parameter) {
  nt_test::Sleep(2);
  UseStack(parameter);
}

}  // namespace

NT_TEST(KeExpandStack, ASegmentWhereTheStackIsTooSmall) {
  Callout callout = {};
  callout.outer_stack = StackHere();
  PVOID frames[32];
  const ULONG here = RtlWalkFrameChain(frames, 32, 0);
  NT_ASSERT_EQ(KeExpandKernelStackAndCallout(UseStack, &callout, 0x11000), STATUS_SUCCESS);
  NT_EXPECT_EQ(callout.calls, 1u);
  NT_EXPECT_TRUE(callout.stack - callout.outer_stack + 0x6000 > 0xC000);  // elsewhere
  NT_EXPECT_TRUE(callout.frames > here);                                  // the walk comes back to this stack
}

NT_TEST(KeExpandStack, TheSameStackWhereItIsBigEnough) {
  Callout callout = {};
  NT_ASSERT_EQ(KeExpandKernelStackAndCallout(Nothing, &callout, 0x800), STATUS_SUCCESS);
  const ULONG64 distance = StackHere() - callout.stack;
  NT_EXPECT_EQ(callout.calls, 1u);
  NT_EXPECT_TRUE(distance < 0x1000 || 0 - distance < 0x1000);
}

NT_TEST(KeExpandStack, ThreadsAreSwitchedOnASegment) {
  Callout callout = {};
  NT_ASSERT_EQ(KeExpandKernelStackAndCallout(WaitOnSegment, &callout, 0x11000), STATUS_SUCCESS);
  NT_EXPECT_EQ(callout.calls, 1u);
}

NT_TEST(KeExpandStack, TheNumberOfSegmentsIsLimited) {
  Callout callout = {};
  NT_EXPECT_EQ(KeExpandKernelStackAndCallout(Deeper, &callout, 0x11000), STATUS_SUCCESS);
  NT_EXPECT_TRUE(callout.calls >= 2);
  callout.calls = 0;
  NT_EXPECT_EQ(KeExpandKernelStackAndCallout(Nothing, &callout, 0x11000), STATUS_SUCCESS);
  NT_EXPECT_EQ(callout.calls, 1u);
}

namespace {

// All of the machine's free memory, as far as a stack is concerned.
class AllMemory {
 public:
  // Until a stack cannot be had; what that attempt returned. The next may succeed: the system frees pages.
  NTSTATUS Take(Callout* callout) {
    for (;;) {
      const NTSTATUS status = KeExpandKernelStackAndCalloutEx(Nothing, callout, 0x11000, FALSE, nullptr);
      if (status != STATUS_SUCCESS || count_ == kMost) return status;
      PHYSICAL_ADDRESS low = {}, high = {}, skip = {};
      high.QuadPart = MAXLONGLONG;
      PMDL mdl = MmAllocatePagesForMdlEx(low, high, skip, 0x40000000, MmCached, MM_DONT_ZERO_ALLOCATION);
      if (mdl != nullptr) mdls_[count_++] = mdl;
    }
  }
  void GiveBack() {
    while (count_ != 0) {
      PMDL mdl = mdls_[--count_];
      MmFreePagesFromMdl(mdl);
      ExFreePool(mdl);
    }
  }

 private:
  static constexpr ULONG kMost = 256;
  PMDL mdls_[kMost];
  ULONG count_ = 0;
};

struct Awaiting {
  Callout callout;
  KEVENT go;
  volatile LONG begun;
  NTSTATUS status;
  static VOID NTAPI Run(PVOID context) {
    auto* self = static_cast<Awaiting*>(context);
    KeWaitForSingleObject(&self->go, Executive, KernelMode, FALSE, nullptr);
    self->begun = 1;
    self->status = KeExpandKernelStackAndCalloutEx(UseStack, &self->callout, 0x11000, TRUE, nullptr);
  }
};

}  // namespace

NT_TEST(KeExpandStack, WaitAwaitsMemory) {
  static AllMemory memory;
  Awaiting awaiting = {};
  KeInitializeEvent(&awaiting.go, NotificationEvent, FALSE);
  nt_test::Thread thread(Awaiting::Run, &awaiting);
  NT_ASSERT_TRUE(thread.started());
  Callout callout = {};
  const NTSTATUS without = memory.Take(&callout);
  KeSetEvent(&awaiting.go, 0, FALSE);
  while (awaiting.begun == 0) nt_test::Sleep(1);
  nt_test::Sleep(30);
  memory.GiveBack();
  thread.Join();
  NT_EXPECT_EQ(without, STATUS_NO_MEMORY);
  NT_EXPECT_EQ(awaiting.status, STATUS_SUCCESS);
  NT_EXPECT_EQ(awaiting.callout.calls, 1u);
}

NT_TEST(KeExpandStack, BadArgumentsCallNothing) {
  Callout callout = {};
  KIRQL irql;
  NT_EXPECT_EQ(KeExpandKernelStackAndCallout(Nothing, &callout, MAXIMUM_EXPANSION_SIZE + 1),
               STATUS_INVALID_PARAMETER_3);
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  const NTSTATUS waiting = KeExpandKernelStackAndCalloutEx(Nothing, &callout, 0x11000, TRUE, nullptr);
  const NTSTATUS allowed = KeExpandKernelStackAndCalloutEx(Nothing, &callout, 0x11000, FALSE, nullptr);
  KeLowerIrql(irql);
  NT_EXPECT_EQ(waiting, STATUS_INVALID_PARAMETER_4);
  NT_EXPECT_EQ(allowed, STATUS_SUCCESS);
  NT_EXPECT_EQ(callout.calls, 1u);
}
