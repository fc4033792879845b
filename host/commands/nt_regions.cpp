#include "commands/nt_regions.h"

#include <algorithm>

#include "commands/nt_process.h"
#include "commands/nt_pte.h"
#include "formats/pe/image.h"

namespace nt {

namespace {

constexpr uint64_t kPageTableBytes = 512ull << 30;
constexpr uint64_t kFirstSystemAddress = 0xFFFF8000'00000000;

// Our kernel's name for a range, and the two variables that tell where it lies on Windows.
struct RegionSymbols {
  Usage usage;
  const char* region;
  const char* start;
  const char* end;
};

constexpr RegionSymbols kRegions[] = {
    {Usage::kNonPagedPool, "nt!mm::g_nonpaged_pool_region", "nt!MmNonPagedPoolStart", "nt!MmNonPagedPoolEnd"},
    {Usage::kPagedPool, "nt!mm::g_paged_pool_region", "nt!MmPagedPoolStart", "nt!MmPagedPoolEnd"},
    {Usage::kSpecialPool, "nt!mm::g_special_pool_region", "nt!MmSpecialPoolStart", "nt!MmSpecialPoolEnd"},
    {Usage::kSystemPtes, "nt!mm::g_system_pte_region", "nt!MmSystemPteBase", "nt!MmSystemPteEnd"},
};

std::optional<SystemRegion> ReadRegion(Kernel& kernel, const RegionSymbols& names) {
  if (const auto region = kernel.symbols().Global(names.region)) {
    const auto base = region->U64("base_"), pages = region->U64("pages_");
    if (base && pages && *pages != 0)
      return SystemRegion{names.usage, *base, *base + *pages * debug::kPageSize};
  }
  const auto start = kernel.GlobalU64(names.start), end = kernel.GlobalU64(names.end);
  if (start && end && *start < *end) return SystemRegion{names.usage, *start, *end};
  return std::nullopt;
}

void DescribeImage(Kernel& kernel, AddressUse& use, uint64_t address) {
  std::vector<std::byte> page(debug::kPageSize);
  if (!kernel.memory().Read(use.module->base, page)) return;
  const auto headers = pe::ParseHeaders(page);
  if (!headers) return;
  const pe::Section* section = headers->SectionAt(static_cast<uint32_t>(address - use.module->base));
  if (section == nullptr) return;
  use.section = section->name;
  use.executable = (section->characteristics & pe::kSectionExecute) != 0;
  use.pageable = section->name.starts_with("PAGE") && (section->characteristics & pe::kSectionNotPaged) == 0;
}

bool FindImage(Kernel& kernel, AddressUse& use, uint64_t address) {
  for (const auto& module : kernel.symbols().modules()) {
    if (address < module->base || address - module->base >= module->size) continue;
    if (module->unloaded && use.module != nullptr) continue;
    use.module = module.get();
    use.usage = module->unloaded ? Usage::kUnloadedImage : Usage::kImage;
    use.start = module->base, use.end = module->end();
    if (!module->unloaded) break;
  }
  if (use.usage == Usage::kImage) DescribeImage(kernel, use, address);
  return use.module != nullptr;
}

bool FindStack(Kernel& kernel, AddressUse& use, uint64_t address) {
  for (const Process& process : kernel.Processes()) {
    for (const Thread& thread : process.threads) {
      if (address < thread.stack_limit || address >= thread.stack_base) continue;
      use.usage = Usage::kStack;
      use.start = thread.stack_limit, use.end = thread.stack_base;
      use.thread = thread.address;
      return true;
    }
  }
  return false;
}

bool FindProcessor(Kernel& kernel, AddressUse& use, uint64_t address) {
  const debug::Type& prcb_type = kernel.type("_KPRCB");
  const uint64_t before = kernel.type("_KPCR").OffsetOf("Prcb").value_or(0);
  constexpr uint64_t kDpcStackBytes = 0x6000;
  for (uint32_t number = 0; number < kernel.session().processor_count(); ++number) {
    const auto processor = kernel.session().GetProcessor(number);
    if (!processor) continue;
    const uint64_t start = processor->prcb - before, end = processor->prcb + prcb_type.size();
    const auto object = kernel.symbols().ObjectAt("_KPRCB", processor->prcb);
    const uint64_t stack = object ? object->U64("DpcStack").value_or(0) : 0;
    if (address >= start && address < end) {
      use.usage = Usage::kProcessor, use.start = start, use.end = end;
    } else if (stack != 0 && address < stack && address >= stack - kDpcStackBytes) {
      use.usage = Usage::kProcessorStack, use.start = stack - kDpcStackBytes, use.end = stack;
    } else {
      continue;
    }
    use.processor = number;
    return true;
  }
  return false;
}

}  // namespace

const char* UsageText(Usage usage) {
  switch (usage) {
    case Usage::kImage:
      return "Image";
    case Usage::kUnloadedImage:
      return "UnloadedImage";
    case Usage::kStack:
      return "Stack";
    case Usage::kProcessorStack:
      return "DpcStack";
    case Usage::kProcessor:
      return "Pcr";
    case Usage::kNonPagedPool:
      return "NonPagedPool";
    case Usage::kPagedPool:
      return "PagedPool";
    case Usage::kSpecialPool:
      return "SpecialPool";
    case Usage::kPfnDatabase:
      return "PfnDatabase";
    case Usage::kPageTables:
      return "PageTables";
    case Usage::kSystemPtes:
      return "SystemPtes";
    case Usage::kSharedUserData:
      return "SharedUserData";
    case Usage::kUser:
      return "User";
    case Usage::kNotCanonical:
      return "NotCanonical";
    case Usage::kUnknown:
      break;
  }
  return "System";
}

std::vector<SystemRegion> SystemRegions(Kernel& kernel) {
  std::vector<SystemRegion> regions;
  for (const RegionSymbols& names : kRegions) {
    if (const auto region = ReadRegion(kernel, names)) regions.push_back(*region);
  }
  const auto pfns = kernel.GlobalU64("nt!MmPfnDatabase"), last = kernel.GlobalU64("nt!MmHighestPhysicalPage");
  if (pfns && last && *pfns != 0) {
    regions.push_back({Usage::kPfnDatabase, *pfns, *pfns + (*last + 1) * kernel.type("_MMPFN").size()});
  }
  const uint64_t tables = PteBase(kernel);
  regions.push_back({Usage::kPageTables, tables, tables + kPageTableBytes});
  regions.push_back({Usage::kSharedUserData, kSharedUserData, kSharedUserData + debug::kPageSize});
  std::sort(regions.begin(), regions.end(), [](const auto& a, const auto& b) { return a.start < b.start; });
  return regions;
}

AddressUse UseOf(Kernel& kernel, uint64_t address) {
  AddressUse use;
  if (!debug::IsCanonical(address)) {
    use.usage = Usage::kNotCanonical;
    return use;
  }
  if (address < kFirstSystemAddress) {
    use.usage = Usage::kUser, use.start = 0, use.end = kFirstSystemAddress & 0x0000FFFFFFFFFFFF;
    return use;
  }
  if (FindImage(kernel, use, address) && use.usage == Usage::kImage) return use;
  if (FindStack(kernel, use, address) || FindProcessor(kernel, use, address)) return use;
  if (use.usage == Usage::kUnloadedImage) return use;
  for (const SystemRegion& region : SystemRegions(kernel)) {
    if (address < region.start || address >= region.end) continue;
    use.usage = region.usage, use.start = region.start, use.end = region.end;
    break;
  }
  return use;
}

}  // namespace nt
