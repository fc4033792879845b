// Security checks and what else can be told from the arguments alone.
#include "call_checks.h"

#include "ex/pool.h"
#include "mm/image_internal.h"
#include "verifier.h"

namespace vf {
namespace {

struct CallShape {
  const char* routine;
  const char* shape;
};
constexpr CallShape kCalls[] = {
#define VF_CALL(Routine, Shape) {Routine, Shape},
#include "call_checks.inc"
#undef VF_CALL
};

constexpr ULONG kUserAddress = 0xE0, kBadSyncObject = 0xE1, kZwUserAddress = 0xE3, kZwBadString = 0xE4,
                kZwIrql = 0xE6;

const CallShape* FindCall(const char* routine) {
  for (const CallShape& call : kCalls) {
    if (SameText(call.routine, routine)) return &call;
  }
  return nullptr;
}

bool IsZw(const char* routine) {
  return routine[0] == 'Z' && routine[1] == 'w';
}

bool IsUserAddress(ULONG_PTR address) {
  return address != 0 && address <= MmUserProbeAddress;
}

SIZE_T SizeOf(char shape) {
  return shape == 'a'   ? sizeof(OBJECT_ATTRIBUTES)
         : shape == 's' ? sizeof(UNICODE_STRING)
         : shape == 't' ? sizeof(UNICODE_STRING)
                        : sizeof(PVOID);
}

struct CallSite {
  PVOID caller;
  bool zw;
};

void CheckAddress(const CallSite& site, ULONG_PTR address, char shape) {
  if (!IsUserAddress(address)) return;
  if (site.zw) VerifierBugCheckIfAppropriate(kViolation, kZwUserAddress, Bits(site.caller), address, 0);
  VerifierBugCheckIfAppropriate(kViolation, kUserAddress, address, SizeOf(shape), 0);
}

void CheckString(const CallSite& site, const UNICODE_STRING* string) {
  CheckAddress(site, Bits(string->Buffer), 'p');
  const bool bad = string->Length % sizeof(WCHAR) != 0 || string->Length > string->MaximumLength ||
                   (string->Length != 0 && string->Buffer == nullptr);
  if (bad && site.zw)
    VerifierBugCheckIfAppropriate(kViolation, kZwBadString, Bits(site.caller), Bits(string), 0);
}

void CheckAttributes(const CallSite& site, const OBJECT_ATTRIBUTES* attributes) {
  CheckAddress(site, Bits(attributes->ObjectName), 's');
  CheckAddress(site, Bits(attributes->SecurityDescriptor), 'p');
  CheckAddress(site, Bits(attributes->SecurityQualityOfService), 'p');
  if (attributes->ObjectName != nullptr) CheckString(site, attributes->ObjectName);
}

void CheckSyncObject(ULONG_PTR address) {
  const auto object = reinterpret_cast<PVOID>(address);
  const KIRQL irql = KeGetCurrentIrql();
  if (IsUserAddress(address) || IsPageable(object) || (irql <= DISPATCH_LEVEL && !MmIsAddressValid(object)))
    VerifierBugCheckIfAppropriate(kViolation, kBadSyncObject, address, 0, 0);
}

void CheckArgument(const CallSite& site, char shape, ULONG_PTR argument) {
  if (shape == 'o') {
    CheckSyncObject(argument);
    return;
  }
  if (shape == '.' || argument == 0 || !IsOn(kSecurity)) return;
  CheckAddress(site, argument, shape);
  if (shape == 's') CheckString(site, reinterpret_cast<const UNICODE_STRING*>(argument));
  if (shape == 'a') CheckAttributes(site, reinterpret_cast<const OBJECT_ATTRIBUTES*>(argument));
}

// A checked string or structure is read: what is pageable may be touched below DISPATCH_LEVEL only, where the
// routine itself would fault.
bool MayRead() {
  return KeGetCurrentIrql() < DISPATCH_LEVEL;
}

// What of a shape the options in force look at; 0: nothing.
bool HasWork(const CallShape& call) {
  if (IsZw(call.routine)) return true;
  const bool sync = IsOn(kSecurity | DRIVER_VERIFIER_FORCE_IRQL_CHECKING);
  for (const char* shape = call.shape; *shape != 0; ++shape) {
    if (*shape == 'o' ? sync : *shape != '.' && IsOn(kSecurity)) return true;
  }
  return false;
}

}  // namespace

extern "C" {

VOID VerifierCheckedCall();  // call_thunk.S

VOID VfCheckCall(const VF_CHECKED_CALL* Call, const ULONG_PTR* Arguments, PVOID Caller) {
  const CallSite site = {Caller, IsZw(Call->Routine)};
  const KIRQL irql = KeGetCurrentIrql();
  const SHORT special = KeGetCurrentThread()->SpecialApcDisable;
  if (site.zw && (irql != PASSIVE_LEVEL || special != 0)) {
    VerifierBugCheckIfAppropriate(kViolation, kZwIrql, Bits(Caller), irql,
                                  static_cast<ULONG_PTR>(static_cast<LONG_PTR>(special)));
  }
  for (ULONG i = 0; Call->Shape[i] != 0; ++i) {
    if (Call->Shape[i] == 'o' || MayRead()) CheckArgument(site, Call->Shape[i], Arguments[i]);
  }
}

}  // extern "C"

bool IsPageable(PVOID address) {
  if (ex::ClassifyPoolAddress(address) == ex::PoolAddress::kPaged) return true;
  PKLDR_DATA_TABLE_ENTRY entry = MiLookupDataTableEntry(address);
  if (entry == nullptr || entry->DllBase == mm::KernelImage()->entry.DllBase) return false;
  const mm::ImageSection* section = mm::FindSection(mm::ImageOf(entry), Bits(address));
  return section != nullptr && section->pageable && section->locks == 0;
}

PVOID MakeCallThunk(PVF_SUSPECT_DRIVER_ENTRY driver, const char* routine, PVOID target) {
  const CallShape* call = FindCall(routine);
  if (call == nullptr || !HasWork(*call)) return target;
  UCHAR* code = AllocateThunk(driver);
  if (code == nullptr) return target;
  constexpr ULONG kCallAt = 2, kHandlerAt = 12, kDataAt = 32;
  const UCHAR bytes[] = {0x49, 0xBB, 0, 0, 0, 0, 0, 0, 0, 0,  // mov r11, call
                         0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0,  // mov rax, handler
                         0xFF, 0xE0};                         // jmp rax
  static_assert(kDataAt + sizeof(VF_CHECKED_CALL) <= kThunkBytes);
  const VF_CHECKED_CALL data = {target, call->routine, call->shape};
  const ULONG64 words[] = {Bits(code) + kDataAt, reinterpret_cast<ULONG64>(&VerifierCheckedCall)};
  RtlCopyMemory(code, bytes, sizeof(bytes));
  RtlCopyMemory(code + kDataAt, &data, sizeof(data));
  RtlCopyMemory(code + kCallAt, &words[0], sizeof(words[0]));
  RtlCopyMemory(code + kHandlerAt, &words[1], sizeof(words[1]));
  return code;
}

}  // namespace vf
