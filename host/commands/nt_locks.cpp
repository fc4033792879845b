#include "commands/nt_locks.h"

#include <algorithm>

namespace nt {

namespace {

constexpr uint64_t kMaxTraceEntries = 256;  // of one processor
constexpr uint64_t kTraceHeld = 1, kTraceSpinning = 2;

}  // namespace

std::string_view LockFamilyText(LockFamily family) {
  switch (family) {
    case LockFamily::kPlain:
      return "";
    case LockFamily::kQueued:
      return "queued";
    case LockFamily::kShared:
      return "shared";
    case LockFamily::kExclusive:
      return "exclusive";
  }
  return "";
}

bool HasLockTrace(const Kernel& kernel) {
  return kernel.type("_KPRCB").HasField("LockTrace");
}

std::vector<LockTraceEntry> LockTrace(Kernel& kernel) {
  std::vector<LockTraceEntry> entries;
  const debug::Type& prcb = kernel.type("_KPRCB");
  const auto array = prcb.FindField("LockTrace");
  if (!array) return entries;
  const debug::Type array_type(&prcb.source(), array->type_id);
  const debug::Type element = array_type.target();
  if (array_type.kind() != symbols::TypeKind::kArray || element.size() == 0) return entries;
  const FieldReader lock(element, {"Lock"}), caller(element, {"CallerAddress"}), thread(element, {"Thread"}),
      start(element, {"StartTime"}), kind(element, {"Kind"}), irql(element, {"Irql"}),
      family(element, {"Family"});
  const uint64_t count = std::min(array_type.info().count, kMaxTraceEntries);
  debug::Session& session = kernel.session();
  for (uint32_t number = 0; number < session.processor_count(); ++number) {
    const auto processor = session.GetProcessor(number);
    if (!processor) continue;
    std::vector<std::byte> bytes(count * element.size());
    if (!kernel.memory().Read(processor->prcb + array->offset, bytes)) continue;
    for (uint64_t i = 0; i < count; ++i) {
      const auto record = std::span(bytes).subspan(i * element.size(), element.size());
      const uint64_t what = kind.ReadOr(record);
      if (lock.ReadOr(record) == 0 || (what != kTraceHeld && what != kTraceSpinning)) continue;
      entries.push_back({number, lock.ReadOr(record), caller.ReadOr(record), thread.ReadOr(record),
                         what == kTraceSpinning, static_cast<LockFamily>(family.ReadOr(record) & 3),
                         static_cast<uint8_t>(irql.ReadOr(record)),
                         kernel.MicrosecondsSince(start.ReadOr(record))});
    }
  }
  return entries;
}

std::vector<ThreadLock> ThreadLocks(Kernel& kernel, const Thread& thread) {
  std::vector<ThreadLock> locks;
  const debug::Type& type = kernel.type("_KLOCK_ENTRY");
  // Windows's own _KLOCK_ENTRY (AutoBoost) is another structure: ours is told by these fields.
  if (!type.HasField("CallerAddress") || !type.HasField("AcquireTime") || thread.lock_entries == 0)
    return locks;
  const FieldReader lock(type, {"LockState"}), caller(type, {"CallerAddress"}), time(type, {"AcquireTime"}),
      waiting(type, {"Waiting"}), kind(type, {"Kind"});
  const uint64_t count = std::min<uint64_t>(thread.lock_entry_count, 32);
  std::vector<std::byte> bytes(count * type.size());
  if (!kernel.memory().Read(thread.lock_entries, bytes)) return locks;
  for (uint64_t i = 0; i < count; ++i) {
    const auto record = std::span(bytes).subspan(i * type.size(), type.size());
    if (lock.ReadOr(record) == 0) continue;
    // A resource that an owner pointer gave to the thread: its address plus 1.
    const bool in_name = kind.ReadOr(record) == 5;
    locks.push_back({lock.ReadOr(record) - (in_name ? 1 : 0), caller.ReadOr(record),
                     waiting.ReadOr(record) != 0, in_name ? kResourceLock : kind.ReadOr(record),
                     kernel.MicrosecondsSince(time.ReadOr(record))});
  }
  return locks;
}

const char* LockKindName(uint64_t kind) {
  static constexpr const char* kNames[] = {"lock", "fast mutex", "guarded mutex", "push lock", "resource"};
  return kind < std::size(kNames) ? kNames[kind] : kNames[0];
}

uint64_t FirstOwnedMutant(Kernel& kernel, const Thread& thread) {
  const auto head = kernel.type("_ETHREAD").OffsetOf("Tcb.MutantListHead");
  const auto link = kernel.type("_KMUTANT").OffsetOf("MutantListEntry");
  if (!head || !link) return 0;
  const auto first = kernel.memory().Get<uint64_t>(thread.address + *head);
  if (!first || *first == 0 || *first == thread.address + *head) return 0;
  return *first - *link;
}

bool IsSpinWait(const std::string& function) {
  static constexpr const char* kLoops[] = {
      "KxWaitForSpinLockAndAcquire",        "KxWaitForLockOwnerShip",
      "KxWaitForLockOwnerShipWithIrql",     "ExpWaitForSpinLockExclusiveAndAcquire",
      "ExpWaitForSpinLockSharedAndAcquire", "KiWaitForQueuedSpinLock"};
  return std::any_of(std::begin(kLoops), std::end(kLoops),
                     [&](const char* loop) { return function == loop; });
}

bool IsSpinLockAcquire(const std::string& function) {
  return function.starts_with("KeAcquireSpinLock") ||
         function.starts_with("KeAcquireInStackQueuedSpinLock") ||
         function.starts_with("ExAcquireSpinLock") || function.starts_with("KeAcquireQueuedSpinLock");
}

bool IsSpinning(Kernel& kernel, const Thread& thread) {
  if (!thread.processor || thread.state != ThreadState::kRunning) return false;
  const auto registers = kernel.session().ProcessorRegisters(*thread.processor);
  if (!registers) return false;
  // Interrupted while it spun: the freeze's own frames lie on another stack, the saved context is the loop's.
  const auto symbol = kernel.symbols().At(registers->rip);
  return symbol && IsSpinWait(symbol->name);
}

}  // namespace nt
