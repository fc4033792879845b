// Structured exceptions: the table of seh_cases.c, and the exports that unwind stacks.
#include "nt_test.h"
#include "seh_cases.h"

namespace {

bool SameText(const char* a, const char* b) {
  for (; *a != 0 && *a == *b; ++a, ++b) {
  }
  return *a == *b;
}

}  // namespace

NT_TEST(Seh, EventsComeInTheOrderWrittenDown) {
  for (unsigned i = 0; i < kSehCaseCount; ++i) {
    SehLog log = {};
    kSehCases[i].run(&log);
    if (SameText(log.text, kSehCases[i].expected)) continue;
    DbgPrint("[test] %s: %s, expected %s\n", kSehCases[i].name, log.text, kSehCases[i].expected);
    NT_EXPECT_EQ(i, ~0u);
  }
}

// ---- What winnt.h declares and the DDK headers do not ----
extern "C" {
struct RuntimeFunction {
  ULONG begin, end, unwind_info;
};
struct UnwindHistory {  // UNWIND_HISTORY_TABLE
  ULONG count;
  UCHAR local_hint, global_hint, search, once;
  ULONG64 low, high;
  struct {
    ULONG64 base;
    RuntimeFunction* function;
  } entries[12];
};
RuntimeFunction* NTAPI RtlLookupFunctionEntry(ULONG64 pc, PULONG64 image_base, UnwindHistory* history);
PVOID NTAPI RtlVirtualUnwind(ULONG handler_type, ULONG64 image_base, ULONG64 pc, RuntimeFunction* function,
                             PCONTEXT context, PVOID* handler_data, PULONG64 establisher, PVOID pointers);
PVOID NTAPI RtlPcToFileHeader(PVOID pc, PVOID* base);
VOID NTAPI RtlRestoreContext(PCONTEXT context, PEXCEPTION_RECORD record);
VOID NTAPI RtlUnwind(PVOID frame, PVOID target, PEXCEPTION_RECORD record, PVOID value);
VOID NTAPI RtlRaiseException(PEXCEPTION_RECORD record);
#undef RtlGetCallersAddress
VOID NTAPI RtlGetCallersAddress(PVOID* caller, PVOID* callers_caller);
extern const char __ImageBase;
void SehLongJumpOver(struct SehLog* log);  // seh_cases.c
void SehLocalUnwind(struct SehLog* log);
int SehTouchBigFrame(unsigned bytes);
}

namespace {

#define SEH_NOINLINE __attribute__((noinline))

struct Step {
  ULONG64 base, returns_to, found, establisher, rsp;
  bool inside;
};
// Must be in one function: what it unwinds is its own, live frame.
SEH_NOINLINE void LeaveOnce(Step* step) {
  CONTEXT context;
  PVOID data = nullptr;
  RtlCaptureContext(&context);
  RuntimeFunction* function = RtlLookupFunctionEntry(context.Rip, &step->base, nullptr);
  step->returns_to = reinterpret_cast<ULONG64>(__builtin_return_address(0));
  if (function == nullptr) return;
  const ULONG64 rva = context.Rip - step->base;
  step->inside = rva >= function->begin && rva < function->end;
  RtlVirtualUnwind(0, step->base, context.Rip, function, &context, &data, &step->establisher, nullptr);
  step->found = context.Rip;
  step->rsp = context.Rsp;
}

struct Callers {
  PVOID frames[16];
  ULONG count;
  ULONG hash;
  PVOID own_return;
};

SEH_NOINLINE void TakeTrace(Callers* callers, ULONG skip) {
  callers->own_return = __builtin_return_address(0);
  callers->count = RtlCaptureStackBackTrace(skip, 16, callers->frames, &callers->hash);
}

SEH_NOINLINE void TakeTraceDeeper(Callers* callers, ULONG skip) {
  TakeTrace(callers, skip);
  __asm__ volatile("" ::: "memory");
}

bool Within(PVOID pc, void (*function)(Callers*, ULONG)) {
  const auto at = reinterpret_cast<ULONG64>(pc), begin = reinterpret_cast<ULONG64>(function);
  return at > begin && at < begin + 0x80;
}

}  // namespace

NT_TEST(RtlUnwind, OneStepLeadsToTheCaller) {
  Step step = {};
  LeaveOnce(&step);
  NT_EXPECT_EQ(step.base, reinterpret_cast<ULONG64>(&__ImageBase));
  NT_EXPECT_TRUE(step.inside);
  NT_EXPECT_EQ(step.found, step.returns_to);
  NT_EXPECT_TRUE(step.establisher < step.rsp);
}

NT_TEST(RtlUnwind, AnAddressHasAnImageOrNone) {
  PVOID base = nullptr;
  NT_EXPECT_EQ(RtlPcToFileHeader(reinterpret_cast<PVOID>(&TakeTrace), &base),
               const_cast<char*>(&__ImageBase));
  NT_EXPECT_EQ(base, const_cast<char*>(&__ImageBase));
  NT_EXPECT_EQ(RtlPcToFileHeader(&base, &base), nullptr);
  NT_EXPECT_EQ(base, nullptr);
  ULONG64 image = 1;
  NT_EXPECT_EQ(RtlLookupFunctionEntry(reinterpret_cast<ULONG64>(&image), &image, nullptr), nullptr);
}

NT_TEST(RtlUnwind, AHistoryTableIsFilledAndAnswersFirst) {
  const auto pc = reinterpret_cast<ULONG64>(&TakeTrace) + 1;
  UnwindHistory history = {};
  ULONG64 image = 0;
  RuntimeFunction* entry = RtlLookupFunctionEntry(pc, &image, &history);
  NT_ASSERT_TRUE(entry != nullptr);
  NT_EXPECT_EQ(history.count, 0u);  // not to be searched, not to be filled
  history.search = 2;               // UNWIND_HISTORY_TABLE_LOCAL
  NT_EXPECT_EQ(RtlLookupFunctionEntry(pc, &image, &history), entry);
  NT_ASSERT_EQ(history.count, 1u);
  NT_EXPECT_EQ(history.entries[0].base, image);
  NT_EXPECT_EQ(history.entries[0].function, entry);
  NT_EXPECT_EQ(history.low, image + entry->begin);
  NT_EXPECT_EQ(history.high, image + entry->end);
  NT_EXPECT_EQ(RtlLookupFunctionEntry(pc, &image, &history), entry);
  NT_EXPECT_EQ(history.count, 1u);
  // What stands in the table is believed.
  RuntimeFunction own = *entry;
  history.entries[0].function = &own;
  image = 0;
  NT_EXPECT_EQ(RtlLookupFunctionEntry(pc, &image, &history), &own);
  NT_EXPECT_EQ(image, reinterpret_cast<ULONG64>(&__ImageBase));
  NT_EXPECT_TRUE(RtlLookupFunctionEntry(reinterpret_cast<ULONG64>(&LeaveOnce) + 1, &image, &history) != &own);
  NT_EXPECT_EQ(history.count, 2u);
  history.count = 12;  // full
  for (auto& each : history.entries) each = history.entries[0];
  NT_EXPECT_TRUE(RtlLookupFunctionEntry(reinterpret_cast<ULONG64>(&TakeTraceDeeper) + 1, &image, &history) !=
                 nullptr);
  NT_EXPECT_EQ(history.count, 12u);
}

NT_TEST(RtlUnwind, TracesStartInTheCaller) {
  Callers callers = {};
  TakeTraceDeeper(&callers, 0);
  NT_ASSERT_TRUE(callers.count >= 4);
  NT_EXPECT_TRUE(Within(callers.frames[0], TakeTrace));
  NT_EXPECT_EQ(callers.frames[1], callers.own_return);
  NT_EXPECT_TRUE(Within(callers.frames[1], TakeTraceDeeper));
  ULONG hash = 0;
  for (ULONG i = 0; i < callers.count; ++i)
    hash += static_cast<ULONG>(reinterpret_cast<ULONG64>(callers.frames[i]));
  NT_EXPECT_EQ(callers.hash, hash);
  Callers shorter = {};
  TakeTraceDeeper(&shorter, 1);
  NT_EXPECT_EQ(shorter.count, callers.count - 1);
  NT_EXPECT_EQ(shorter.frames[0], callers.frames[1]);
  PVOID chain[16];
  const ULONG count = RtlWalkFrameChain(chain, 16, 0);
  NT_EXPECT_EQ(count, callers.count - 2);
  NT_EXPECT_EQ(RtlWalkFrameChain(chain, 16, 1), 0u);
  NT_EXPECT_EQ(RtlWalkFrameChain(chain, 2, 0), 2u);
}

NT_TEST(RtlUnwind, CallersAddresses) {
  PVOID caller = nullptr, callers_caller = nullptr;
  RtlGetCallersAddress(&caller, &callers_caller);
  NT_EXPECT_EQ(caller, __builtin_return_address(0));
  NT_EXPECT_TRUE(callers_caller != nullptr && callers_caller != caller);
}

NT_TEST(RtlUnwind, ARestoredContextGoesOnWhereItWasTaken) {
  static volatile LONG rounds;
  rounds = 0;
  CONTEXT context;
  RtlCaptureContext(&context);
  rounds = rounds + 1;
  if (rounds <= 3) RtlRestoreContext(&context, nullptr);
  NT_EXPECT_EQ(rounds, 4);
}

NT_TEST(RtlUnwind, LongJumpsRunTermination) {
  SehLog log = {};
  SehLongJumpOver(&log);
  NT_EXPECT_TRUE(SameText(log.text, "sj7jn9e"));
}

NT_TEST(RtlUnwind, LocalUnwindRunsTermination) {
  SehLog log = {};
  SehLocalUnwind(&log);
  NT_EXPECT_TRUE(SameText(log.text, "tnx"));
}

// ---- A consolidating unwind: state is static, for the target frame's registers are those of the call ----
namespace {

constexpr NTSTATUS kUnwindConsolidate = static_cast<NTSTATUS>(0x80000029);

struct Consolidated {
  volatile ULONG64 goes_on, calls, returned_above;
  PVOID caller_of_target;
  bool saw_target, saw_throw;
} g_consolidated;

SEH_NOINLINE void NotePlace() {
  g_consolidated.goes_on = reinterpret_cast<ULONG64>(__builtin_return_address(0));
}

// Called on the target's frame: the frames that were left are not in its trace.
PVOID OnConsolidated(PEXCEPTION_RECORD record) {
  PVOID frames[16];
  const ULONG count = RtlCaptureStackBackTrace(0, 16, frames, nullptr);
  g_consolidated.calls = g_consolidated.calls + 1;
  for (ULONG i = 0; i < count; ++i) {
    if (frames[i] == g_consolidated.caller_of_target) g_consolidated.saw_target = true;
    if (frames[i] == reinterpret_cast<PVOID>(record->ExceptionInformation[1]))
      g_consolidated.saw_throw = true;
  }
  return reinterpret_cast<PVOID>(g_consolidated.goes_on);
}

// Unwinds to its caller's caller.
SEH_NOINLINE void ThrowThere() {
  CONTEXT context;
  RtlCaptureContext(&context);
  ULONG64 base = 0, establisher = 0;
  PVOID data = nullptr;
  for (int i = 0; i < 3; ++i) {  // out of this frame, the one between, the target
    RuntimeFunction* function = RtlLookupFunctionEntry(context.Rip, &base, nullptr);
    RtlVirtualUnwind(0, base, context.Rip, function, &context, &data, &establisher, nullptr);
  }
  EXCEPTION_RECORD record = {};
  record.ExceptionCode = kUnwindConsolidate;
  record.NumberParameters = 2;
  record.ExceptionInformation[0] = reinterpret_cast<ULONG_PTR>(&OnConsolidated);
  record.ExceptionInformation[1] = reinterpret_cast<ULONG_PTR>(__builtin_return_address(0));
  RtlUnwind(reinterpret_cast<PVOID>(establisher), nullptr, &record, nullptr);
}

SEH_NOINLINE void Between() {
  ThrowThere();
  g_consolidated.returned_above = 1;
}

SEH_NOINLINE void Target() {
  g_consolidated.caller_of_target = __builtin_return_address(0);
  NotePlace();
  if (g_consolidated.calls == 0) Between();
}

}  // namespace

NT_TEST(RtlUnwind, AConsolidatingUnwindAsksOnTheTargetsFrame) {
  g_consolidated = {};
  Target();
  NT_EXPECT_EQ(g_consolidated.calls, 1u);
  NT_EXPECT_EQ(g_consolidated.returned_above, 0u);
  NT_EXPECT_TRUE(g_consolidated.saw_target);
  NT_EXPECT_TRUE(!g_consolidated.saw_throw);
}

NT_TEST(RtlUnwind, BigFramesAreTouchedPageByPage) {
  NT_EXPECT_EQ(SehTouchBigFrame(3), 3);
}
