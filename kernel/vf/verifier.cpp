// Driver Verifier: which drivers are verified, how their imports are replaced, and the requests of the host.
#include "call_checks.h"
#include "ex/pool.h"
#include "kd/control.h"
#include "ke/ke.h"
#include "mm/image.h"
#include "mm/mm.h"
#include "verifier.h"
#include "vf/vf.h"

extern "C" {
extern PUNICODE_STRING KiBugCheckDriver;
MM_DRIVER_VERIFIER_DATA MmVerifierData;
LIST_ENTRY VfSuspectDriversList = {&VfSuspectDriversList, &VfSuspectDriversList};
ULONG64 VfRandomSeed;
ULONG VfFailureProbability = 600;  // of 10,000 calls, as on Windows
}

namespace vf {
namespace {

constexpr ULONG kLeakedPool = 0x62;
bool g_checked_spin_locks;
// From the host: take what there is of these options and leave out the rest.
constexpr ULONG kWhatThereIs = 0x80000000;

struct OptionName {
  ULONG bit;
  const char* name;
};
constexpr OptionName kOptions[] = {
#define VERIFIER_OPTION(bit, name, title, standard, there) {bit, title},
#include "verifier_options.inc"
#undef VERIFIER_OPTION
};

void Append(char* text, ULONG room, ULONG* length, const char* part) {
  while (*part != 0 && *length + 1 < room) text[(*length)++] = *part++;
  text[*length] = 0;
}

// Names the options of `flags` that this kernel has not; false if it has all.
bool NameMissing(ULONG flags, char* text, ULONG room) {
  ULONG length = 0;
  text[0] = 0;
  ULONG left = flags & ~(kSupported | kWhatThereIs);
  for (const OptionName& option : kOptions) {
    if ((left & option.bit) == 0) continue;
    left &= ~option.bit;
    Append(text, room, &length, length == 0 ? "" : ", ");
    Append(text, room, &length, option.name);
  }
  if (left != 0) Append(text, room, &length, length == 0 ? "unknown options" : ", unknown options");
  return length != 0;
}

bool SameName(PCUNICODE_STRING a, PCUNICODE_STRING b) {
  return RtlEqualUnicodeString(a, b, TRUE);
}

PVF_SUSPECT_DRIVER_ENTRY FindByName(PCUNICODE_STRING name) {
  for (PLIST_ENTRY at = VfSuspectDriversList.Flink; at != &VfSuspectDriversList; at = at->Flink) {
    auto* driver = CONTAINING_RECORD(at, VF_SUSPECT_DRIVER_ENTRY, Links);
    if (SameName(&driver->BaseName, name)) return driver;
  }
  return nullptr;
}

NTSTATUS AddDriver(ktl::Text text) {
  const auto bytes = static_cast<USHORT>(text.length * sizeof(WCHAR));
  auto* driver = static_cast<PVF_SUSPECT_DRIVER_ENTRY>(
      ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(VF_SUSPECT_DRIVER_ENTRY) + bytes, kTag));
  if (driver == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  RtlZeroMemory(driver, sizeof(*driver));
  driver->BaseName = {bytes, bytes, reinterpret_cast<PWCH>(driver + 1)};
  for (size_t i = 0; i < text.length; ++i) driver->BaseName.Buffer[i] = static_cast<UCHAR>(text.data[i]);
  if (FindByName(&driver->BaseName) != nullptr) {
    ExFreePoolWithTag(driver, kTag);
    return STATUS_SUCCESS;
  }
  driver->VerifierData.Level = MmVerifierData.Level;
  InsertTailList(&VfSuspectDriversList, &driver->Links);
  return STATUS_SUCCESS;
}

PVOID FindIn(const ThunkTable& table, const char* name) {
  for (ULONG i = 0; i < table.count; ++i) {
    const Thunk& thunk = table.thunks[i];
    if (!SameText(thunk.name, name)) continue;
    return thunk.options == 0 || IsOn(thunk.options) ? thunk.replacement : nullptr;
  }
  return nullptr;
}

// u32 flags, names... -> u32 flags in force, string: options that are left out.
NTSTATUS HandleVerifier(kd::RequestReader& request, kd::ReplyWriter& reply) {
  const ULONG flags = request.U32();
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  char missing[512];
  const bool incomplete = NameMissing(flags, missing, sizeof(missing));
  if (incomplete && (flags & kWhatThereIs) == 0) {
    reply.U32(MmVerifierData.Level);
    reply.String(missing);
    return STATUS_NOT_SUPPORTED;
  }
  MmVerifierData.Level = flags & kSupported;
  NTSTATUS status = STATUS_SUCCESS;
  while (NT_SUCCESS(status) && request.Remaining() != 0) {
    const ktl::Text name = request.String();
    if (request.Failed() || name.length == 0 || name.length > 64) return STATUS_INVALID_PARAMETER;
    status = AddDriver(name);
  }
  if ((MmVerifierData.Level & (DRIVER_VERIFIER_IO_CHECKING | DRIVER_VERIFIER_DDI_COMPLIANCE | kDdiAdditional |
                               kIrpLogging | kInvariantMdl | kInvariantMdlStack)) != 0)
    HookIoCalls();
  reply.U32(MmVerifierData.Level);
  reply.String(missing);
  return status;
}

// ---- What mm calls while it loads and unloads images ----

PVOID BindImport(PKLDR_DATA_TABLE_ENTRY image, const char* name, PVOID original) {
  if (g_checked_spin_locks) {
    if (PVOID checked = FindIn(kCheckedThunks, name)) original = checked;
  }
  if (MmVerifierData.Level == 0) return original;
  PVF_SUSPECT_DRIVER_ENTRY driver = FindByName(&image->BaseDllName);
  if (driver == nullptr) return original;
  PVOID target = FindReplacement(name);
  if (target == nullptr) target = original;
  target = MakeCallThunk(driver, name, target);
  const DdiRule* rule = IsOn(DRIVER_VERIFIER_DDI_COMPLIANCE) ? FindRule(name) : nullptr;
  if (rule != nullptr) target = MakeRuleThunk(driver, rule, target);
  if (target != original) ++driver->RedirectedImports;
  return target;
}

void ImageLoaded(PKLDR_DATA_TABLE_ENTRY image) {
  PVF_SUSPECT_DRIVER_ENTRY driver = MmVerifierData.Level == 0 ? nullptr : FindByName(&image->BaseDllName);
  if (driver == nullptr) return;
  driver->Image = image;
  driver->StartAddress = image->DllBase;
  driver->EndAddress = static_cast<PUCHAR>(image->DllBase) + image->SizeOfImage;
  driver->VerifierData.Level = MmVerifierData.Level;
  ++driver->Loads;
  ++MmVerifierData.Loads;
  CheckImageIntegrity(driver);
}

void ImageUnloading(PKLDR_DATA_TABLE_ENTRY image) {
  PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(image->DllBase);
  if (driver == nullptr) return;
  if (IsOn(DRIVER_VERIFIER_TRACK_POOL_ALLOCATIONS)) {
    const ULONG64 left = MmQueryPoolOfImage(image, nullptr, nullptr);
    if (left != 0) KiBugCheckDriver = &driver->BaseName;  // none of its code is on the stack
    if (left != 0)
      VerifierBugCheckIfAppropriate(kViolation, kLeakedPool, Bits(&driver->BaseName), Bits(image->DllBase),
                                    left);
  }
  if (IsOn(DRIVER_VERIFIER_DEADLOCK_DETECTION)) DeadlockForget(image->DllBase, image->SizeOfImage);
  KiBugCheckDriver = &driver->BaseName;
  CheckUnloadedImage(image->DllBase, image->SizeOfImage);
  KeCheckForTimer(image->DllBase, image->SizeOfImage, TRUE);
  KiBugCheckDriver = nullptr;
  ForgetDmaAdapters(driver);
  ++driver->Unloads;
  ++MmVerifierData.Unloads;
  driver->Image = nullptr;
  driver->StartAddress = driver->EndAddress = nullptr;
}

// The image's code is gone; so may be what it called through.
void ImageUnloaded(PCUNICODE_STRING name) {
  if (PVF_SUSPECT_DRIVER_ENTRY driver = FindByName(name)) FreeRuleThunks(driver);
}

constexpr MiVerifierHooks kHooks = {BindImport, ImageLoaded, ImageUnloading, ImageUnloaded};

}  // namespace

bool SameText(const char* a, const char* b) {
  while (*a != 0 && *a == *b) ++a, ++b;
  return *a == *b;
}

PVF_SUSPECT_DRIVER_ENTRY DriverOf(PVOID address) {
  for (PLIST_ENTRY at = VfSuspectDriversList.Flink; at != &VfSuspectDriversList; at = at->Flink) {
    auto* driver = CONTAINING_RECORD(at, VF_SUSPECT_DRIVER_ENTRY, Links);
    if (address >= driver->StartAddress && address < driver->EndAddress) return driver;
  }
  return nullptr;
}

PVOID FindReplacement(const char* name) {
  const ThunkTable tables[] = {kPoolThunks,      kLockThunks,   kWaitThunks,   kIoThunks,
                               kMdlThunks,       kMemoryThunks, kMiscThunks,   kObjectThunks,
                               kIntegrityThunks, kIrpThunks,    kDeviceThunks, kDmaThunks};
  for (const ThunkTable& table : tables) {
    if (PVOID replacement = FindIn(table, name)) return replacement;
  }
  return nullptr;
}

bool FailThisCall(PVOID caller) {
  if (!IsOn(DRIVER_VERIFIER_INJECT_ALLOCATION_FAILURES)) return false;
  const ULONG64 step = __atomic_add_fetch(&VfRandomSeed, 0x9E3779B97F4A7C15, __ATOMIC_RELAXED);
  ULONG64 value = (step ^ step >> 30) * 0xBF58476D1CE4E5B9;
  value = (value ^ value >> 27) * 0x94D049BB133111EB;
  if ((value ^ value >> 31) % 10000 >= VfFailureProbability) return false;
  __atomic_fetch_add(&MmVerifierData.AllocationsFailedDeliberately, 1, __ATOMIC_RELAXED);
  if (PVF_SUSPECT_DRIVER_ENTRY driver = DriverOf(caller))
    __atomic_fetch_add(&driver->VerifierData.AllocationsFailedDeliberately, 1, __ATOMIC_RELAXED);
  return true;
}

}  // namespace vf

extern "C" [[noreturn]] VOID VerifierBugCheckIfAppropriate(ULONG Code, ULONG_PTR P1, ULONG_PTR P2,
                                                           ULONG_PTR P3, ULONG_PTR P4) {
  KeBugCheckEx(Code, P1, P2, P3, P4);
}

VOID VfSetCheckedSpinLocks(BOOLEAN Checked) {
  vf::g_checked_spin_locks = Checked != FALSE;
}

NTSTATUS VfInitSystem() {
  VfRandomSeed = KeLoaderBlock->random_seed[3];
  MiVerifier = &vf::kHooks;
  kd::RegisterRequestHandler(boot::Request::kVerifier, vf::HandleVerifier);
  return STATUS_SUCCESS;
}
