// DDI compliance: IRQL rules out of a table. A verified driver's import of a routine with a rule leads to a
// few instructions that compare CR8 and go on at the routine, which sees the driver's own return address.
#include "call_checks.h"
#include "verifier.h"

namespace vf {
namespace {

constexpr DdiRule kRules[] = {
#define VF_DDI_RULE(Routine, Code, Rule, Lowest, Highest) {Routine, Code, Rule, Lowest, Highest},
#include "ddi_rules.inc"
#undef VF_DDI_RULE
};

constexpr ULONG kMostThunks = 384;

int Compare(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return static_cast<UCHAR>(*a) - static_cast<UCHAR>(*b);
}

}  // namespace

extern "C" [[noreturn]] VOID VerifierDdiRuleViolated(const DdiRule* rule) {
  const KIRQL irql = KeGetCurrentIrql();
  DbgPrint("Driver Verifier: rule %s: %s called at IRQL %u, allowed: %u to %u\n", rule->rule, rule->routine,
           irql, rule->lowest, rule->highest);
  VerifierBugCheckIfAppropriate(kViolation, rule->code, Bits(rule->rule), irql, Bits(rule->routine));
}

[[noreturn]] __attribute__((noinline)) void RuleViolation(const LockRule& rule, ULONG_PTR state) {
  VerifierBugCheckIfAppropriate(kViolation, rule.code, Bits(rule.text), state, 0);
}

const DdiRule* FindRule(const char* routine) {
  ULONG low = 0, high = ARRAYSIZE(kRules);
  while (low < high) {
    const ULONG middle = (low + high) / 2;
    const int order = Compare(routine, kRules[middle].routine);
    if (order == 0) return &kRules[middle];
    (order < 0 ? high : low) = order < 0 ? middle : middle + 1;
  }
  return nullptr;
}

PUCHAR AllocateThunk(PVF_SUSPECT_DRIVER_ENTRY driver) {
  if (driver->Thunks == nullptr) {
    driver->Thunks = ExAllocatePoolWithTag(NonPagedPool, kMostThunks * kThunkBytes, kTag);
    driver->ThunkCount = 0;
  }
  if (driver->Thunks == nullptr || driver->ThunkCount == kMostThunks) return nullptr;
  return static_cast<PUCHAR>(driver->Thunks) + driver->ThunkCount++ * kThunkBytes;
}

PVOID MakeRuleThunk(PVF_SUSPECT_DRIVER_ENTRY driver, const DdiRule* rule, PVOID target) {
  UCHAR* code = AllocateThunk(driver);
  if (code == nullptr) return target;
  constexpr ULONG kTargetAt = 14, kRuleAt = 28, kHandlerAt = 38;
  const UCHAR bytes[] = {0x44, 0x0F,
                         0x20, 0xC0,                                              // mov rax, cr8
                         0x2C, rule->lowest,                                      // sub al, lowest
                         0x3C, static_cast<UCHAR>(rule->highest - rule->lowest),  // cmp al, highest - lowest
                         0x77, 0x10,  // ja 26 (unsigned: below lowest wraps)
                         0x90, 0x90,  // nop, nop
                         0x49, 0xBB,
                         0,    0,
                         0,    0,
                         0,    0,
                         0,    0,  // mov r11, target
                         0x41, 0xFF,
                         0xE3,  // jmp r11
                         0x90,  // nop
                         0x48, 0xB9,
                         0,    0,
                         0,    0,
                         0,    0,
                         0,    0,  // mov rcx, rule
                         0x48, 0xB8,
                         0,    0,
                         0,    0,
                         0,    0,
                         0,    0,      // mov rax, handler
                         0xFF, 0xE0};  // jmp rax
  const ULONG64 words[] = {Bits(target), Bits(rule), reinterpret_cast<ULONG64>(&VerifierDdiRuleViolated)};
  RtlCopyMemory(code, bytes, sizeof(bytes));
  RtlCopyMemory(code + kTargetAt, &words[0], sizeof(words[0]));
  RtlCopyMemory(code + kRuleAt, &words[1], sizeof(words[1]));
  RtlCopyMemory(code + kHandlerAt, &words[2], sizeof(words[2]));
  return code;
}

void FreeRuleThunks(PVF_SUSPECT_DRIVER_ENTRY driver) {
  if (driver->Thunks != nullptr) ExFreePoolWithTag(driver->Thunks, kTag);
  driver->Thunks = nullptr;
  driver->ThunkCount = 0;
}

}  // namespace vf
