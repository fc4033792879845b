// !vm, !memusage, !pfn: physical memory and the pools as a whole.
#include <array>

#include "commands/command.h"
#include "commands/nt_regions.h"
#include "commands/table.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr uint64_t kMaxPages = 1ull << 28;

// _MMPFN.u3.e1.PageLocation
constexpr const char* kLocations[] = {"Zeroed",          "Free", "Standby", "Modified",
                                      "ModifiedNoWrite", "Bad",  "Active",  "Transition"};

std::string Pages(uint64_t pages) {
  return fmt::format("{} ({})", Grouped(pages), Bytes(pages * debug::kPageSize));
}

void PrintPools(Context& context) {
  const debug::Type& type = context.kernel.type("_POOL_DESCRIPTOR");
  const auto array = context.session.symbols().AddressOf("nt!ExpPoolDescriptors");
  if (!type.valid() || !array) return;
  constexpr const char* kNames[] = {"NonPagedPoolNx", "NonPagedPool (executable)", "PagedPool"};
  for (size_t i = 0; i < std::size(kNames); ++i) {
    const debug::Object pool = context.session.symbols().ObjectAt(type, *array + i * type.size());
    const uint64_t blocks = pool.U64("TotalPages").value_or(0), big = pool.U64("TotalBigPages").value_or(0);
    context.out.Line("{:<28}{} pages of blocks, {} in allocations of their own, limit {}",
                     std::string(kNames[i]) + ":", Grouped(blocks), Grouped(big),
                     Pages(pool.U64("Limit").value_or(0)));
  }
}

base::Result<void> RunVm(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  const auto line = [&](const char* name, const char* symbol) {
    const auto value = context.kernel.GlobalU64(symbol);
    if (!value) context.out.Line("{:<28}not in the kernel's symbols", std::string(name) + ":");
    if (value) context.out.Line("{:<28}{}", std::string(name) + ":", Pages(*value));
  };
  line("Physical Memory", "nt!MmNumberOfPhysicalPages");
  line("Available Pages", "nt!MmAvailablePages");
  PrintPools(context);
  for (const nt::SystemRegion& region : nt::SystemRegions(context.kernel)) {
    if (region.usage == nt::Usage::kSystemPtes)
      context.out.Line("{:<28}{}", "System PTEs:", Pages((region.end - region.start) / debug::kPageSize));
  }
  return {};
}

struct PfnDatabase {
  uint64_t base = 0, count = 0;
  const debug::Type* type = nullptr;
};

base::Result<PfnDatabase> OpenPfns(Context& context) {
  PfnDatabase database;
  database.type = &context.kernel.type("_MMPFN");
  const auto base = context.kernel.GlobalU64("nt!MmPfnDatabase"),
             last = context.kernel.GlobalU64("nt!MmHighestPhysicalPage");
  if (!database.type->valid() || !base || !last)
    return base::Fail("the kernel's symbols have no page frame database");
  database.base = *base, database.count = std::min(*last + 1, kMaxPages);
  return database;
}

base::Result<void> RunMemusage(Context& context, const Call& call) {
  Arguments arguments(call.arguments);
  TRY(arguments.Finish());
  const PfnDatabase database = TRY(OpenPfns(context));
  const nt::FieldReader location(*database.type, {"u3.e1.PageLocation"});
  if (!location.valid()) return base::Fail("the kernel's symbols do not tell where a page frame is");
  std::array<uint64_t, 8> counts{};
  uint64_t unreadable = 0;
  std::vector<std::byte> record(database.type->size());
  for (uint64_t pfn = 0; pfn < database.count; ++pfn) {
    if (!context.session.memory().Read(database.base + pfn * record.size(), record)) {
      ++unreadable;
      continue;
    }
    ++counts[location.ReadOr(record) & 7];
  }
  Table table({{"List"}, {"Pages", Align::kRight}, {"Size", Align::kRight}});
  for (size_t i = 0; i < counts.size(); ++i)
    table.Row({kLocations[i], Grouped(counts[i]), Bytes(counts[i] * debug::kPageSize)});
  table.Print(context.out);
  if (unreadable != 0)
    context.out.Line("{} page frames have no record: no memory is there.", Grouped(unreadable));
  return {};
}

base::Result<void> RunPfn(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: !pfn NUMBER");
  const uint64_t pfn = TRY(AddressOr(context, call.arguments, 0));
  const PfnDatabase database = TRY(OpenPfns(context));
  if (pfn >= database.count)
    return base::Fail(fmt::format("{:x}: the highest page frame is {:x}", pfn, database.count - 1));
  const uint64_t address = database.base + pfn * database.type->size();
  const debug::Object record = context.session.symbols().ObjectAt(*database.type, address);
  const auto field = [&](const char* name) { return record.U64(name).value_or(0); };
  const uint64_t location = TRY(record.U64("u3.e1.PageLocation"));
  context.out.Line("    PFN {:08x} at address {}", pfn, Hex16(address));
  context.out.Line("    share count {}  reference count {}  pteaddress {}", field("u2.ShareCount"),
                   field("u3.ReferenceCount"), Hex16(field("PteAddress")));
  context.out.Line("    restore pte {}  {}{}", Hex16(field("OriginalPte")), kLocations[location & 7],
                   field("u3.e1.Modified") != 0 ? ", modified" : "");
  return {};
}

const Registration kVm({
    {"!vm"},
    "!vm",
    "memory in large: physical pages, what is available, the pools",
    "",
    {"!vm"},
    RunVm,
});

const Registration kMemusage({
    {"!memusage"},
    "!memusage",
    "physical pages by the list they are on",
    "Counts the records of the page frame database: active, free, zeroed, modified (in transition), ...",
    {"!memusage"},
    [](Context& context, const Call& call) { return SayWhyNot(context, RunMemusage(context, call)); },
});

const Registration kPfn({
    {"!pfn"},
    "!pfn NUMBER",
    "the record of a physical page",
    "Its counts, the page table entry that maps it, and the list it is on.",
    {"!pfn 0"},
    [](Context& context, const Call& call) { return SayWhyNot(context, RunPfn(context, call)); },
});

}  // namespace

}  // namespace commands
