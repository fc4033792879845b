// !locks: the resources of the system and who owns or awaits them; with -a the other locks of threads too.
#include <fmt/format.h>

#include "commands/command.h"
#include "commands/nt_locks.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr uint64_t kMostResources = 20'000;
constexpr uint64_t kMostOwners = 4096;
constexpr uint64_t kOwnedExclusive = 0x80;
constexpr uint64_t kOwnerPointer = 3;  // the low bits of an owner that is not a thread

struct Owner {
  uint64_t thread = 0;
  uint64_t count = 0;
};

struct Resource {
  uint64_t address = 0;
  uint64_t flag = 0, contention = 0, shared_waiters = 0, exclusive_waiters = 0;
  std::vector<Owner> owners;
};

class ResourceReader {
 public:
  explicit ResourceReader(nt::Kernel& kernel)
      : kernel_(kernel),
        type_(kernel.type("_ERESOURCE")),
        owner_type_(kernel.type("_OWNER_ENTRY")),
        flag_(type_, {"Flag"}),
        contention_(type_, {"ContentionCount"}),
        shared_(type_, {"NumberOfSharedWaiters"}),
        exclusive_(type_, {"NumberOfExclusiveWaiters"}),
        owner_(type_, {"OwnerEntry.OwnerThread"}),
        table_(type_, {"OwnerTable"}),
        thread_(owner_type_, {"OwnerThread"}),
        count_(owner_type_, {"OwnerCount"}),
        size_(owner_type_, {"TableSize"}) {}

  bool valid() const {
    return flag_.valid() && owner_.valid() && table_.valid() && thread_.valid() && size_.valid();
  }

  std::optional<Resource> Read(uint64_t address) const {
    std::vector<std::byte> bytes(type_.size());
    if (!kernel_.memory().Read(address, bytes)) return std::nullopt;
    Resource resource{address,
                      flag_.ReadOr(bytes),
                      contention_.ReadOr(bytes),
                      shared_.ReadOr(bytes),
                      exclusive_.ReadOr(bytes),
                      {}};
    AddOwner(std::span(bytes).subspan(owner_.offset()), resource);
    ReadTable(table_.ReadOr(bytes), resource);
    return resource;
  }

 private:
  // The first entry of the table is its size.
  void ReadTable(uint64_t table, Resource& resource) const {
    std::vector<std::byte> entry(owner_type_.size());
    if (table == 0 || !kernel_.memory().Read(table, entry)) return;
    const uint64_t size = std::min(size_.ReadOr(entry), kMostOwners);
    for (uint64_t i = 1; i < size; ++i) {
      if (!kernel_.memory().Read(table + i * entry.size(), entry)) return;
      AddOwner(entry, resource);
    }
  }
  void AddOwner(std::span<const std::byte> entry, Resource& resource) const {
    const uint64_t thread = thread_.ReadOr(entry);
    if (thread != 0) resource.owners.push_back({thread, count_.ReadOr(entry)});
  }

  nt::Kernel& kernel_;
  const debug::Type& type_;
  const debug::Type& owner_type_;
  nt::FieldReader flag_, contention_, shared_, exclusive_, owner_, table_, thread_, count_, size_;
};

void PrintWaiters(Context& context, const Resource& resource) {
  std::string line;
  for (const nt::Process& process : context.kernel.Processes()) {
    for (const nt::Thread& thread : process.threads) {
      for (const nt::ThreadLock& lock : nt::ThreadLocks(context.kernel, thread)) {
        if (lock.lock == resource.address && lock.waiting) line += " " + Hex16(thread.address);
      }
    }
  }
  if (!line.empty()) context.out.Line("     Threads waiting:{}", line);
}

void Print(Context& context, const Resource& resource) {
  const bool exclusive = (resource.flag & kOwnedExclusive) != 0;
  const std::string name = context.session.symbols().Describe(resource.address);
  std::string state = "Available";
  if (exclusive) {
    state = "Exclusively owned";
  } else if (!resource.owners.empty()) {
    state = fmt::format("Shared {} owning threads", resource.owners.size());
  }
  context.out.Line("Resource @ {} ({})    {}", name, Hex16(resource.address), state);
  if (resource.contention != 0) context.out.Line("    Contention Count = {}", resource.contention);
  if (resource.shared_waiters != 0)
    context.out.Line("    NumberOfSharedWaiters = {}", resource.shared_waiters);
  if (resource.exclusive_waiters != 0)
    context.out.Line("    NumberOfExclusiveWaiters = {}", resource.exclusive_waiters);
  for (const Owner& owner : resource.owners) {
    const bool pointer = (owner.thread & kOwnerPointer) == kOwnerPointer;
    context.out.Line("     {}: {}-{:02}<*>", pointer ? "Owner pointer" : "Thread", Hex16(owner.thread),
                     owner.count);
  }
  if (resource.shared_waiters + resource.exclusive_waiters != 0) PrintWaiters(context, resource);
}

base::Result<void> PrintResources(Context& context, bool all) {
  const auto head = context.kernel.symbols().AddressOf("ExpSystemResourcesList");
  const ResourceReader reader(context.kernel);
  const auto link = context.kernel.type("_ERESOURCE").OffsetOf("SystemResourcesList");
  if (!head || !link || !reader.valid()) {
    context.out.Line("The symbols of this kernel name no list of resources.");
    return {};
  }
  uint64_t total = 0, held = 0;
  auto next = context.kernel.memory().Get<uint64_t>(*head);
  while (next && *next != *head && *next != 0 && total < kMostResources) {
    const auto resource = reader.Read(*next - *link);
    if (!resource) {
      context.out.Line("{}", MemoryReadError(*next - *link));
      break;
    }
    ++total;
    if (!resource->owners.empty()) ++held;
    if (all || !resource->owners.empty()) Print(context, *resource);
    next = context.kernel.memory().Get<uint64_t>(*next);
  }
  context.out.Line("{} total locks, {} locks currently held", total, held);
  return {};
}

void PrintOthers(Context& context) {
  context.out.Blank();
  context.out.Line("Fast mutexes, guarded mutexes and push locks:");
  uint64_t count = 0;
  for (const nt::Process& process : context.kernel.Processes()) {
    for (const nt::Thread& thread : process.threads) {
      for (const nt::ThreadLock& lock : nt::ThreadLocks(context.kernel, thread)) {
        if (lock.kind == nt::kResourceLock) continue;
        ++count;
        context.out.Line("    {} {} {} {}{}, {} {}", Hex16(thread.address),
                         lock.waiting ? "waits for" : "holds", nt::LockKindName(lock.kind), Hex16(lock.lock),
                         lock.microseconds ? " for " + ShortTime(*lock.microseconds) : "",
                         lock.waiting ? "wanted by" : "taken by",
                         context.session.symbols().Describe(lock.caller));
      }
    }
  }
  if (count == 0) context.out.Line("    none");
}

base::Result<void> Run(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  const bool all = arguments.Flag("-v");
  const bool others = arguments.Flag("-a");
  TRY(arguments.Finish());
  TRY(PrintResources(context, all));
  if (others) PrintOthers(context);
  return {};
}

const Registration kRegistration({
    {"!locks"},
    "!locks [-v] [-a]",
    "ERESOURCEs that are owned: by whom, how often, and who waits",
    "Walks the system's list of resources (nt!ExpSystemResourcesList). A thread is followed by how often it "
    "owns the\n"
    "resource; an owner pointer is what ExSetResourceOwnerPointer left. -v shows resources that nobody owns "
    "too;\n"
    "-a adds the fast mutexes, guarded mutexes and push locks that threads hold or wait for, where the "
    "kernel "
    "records them.",
    {"!locks", "!locks -v -a"},
    Run,
});

}  // namespace

}  // namespace commands
