#include "commands/nt_pool.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "commands/nt_regions.h"

namespace nt {

namespace {

// POOL_HEADER.PoolType: in use; and (this project's kernel) freed but kept in a processor's cache.
constexpr uint64_t kInUse = 2, kCached = 0x40;
constexpr uint64_t kCodeBase = 0xFFFFF800'00000000;  // what a shortened code address is completed with
constexpr uint64_t kMaxEntries = 1 << 20;

// A code address that may have been stored without its upper bits.
uint64_t CodeAddress(const debug::Object& record, const char* field) {
  const auto member = record.At(field);
  const uint64_t value = record.U64(field).value_or(0);
  return member && member->bit_count() != 0 && value != 0 ? value | kCodeBase : value;
}

PoolBlock BlockOf(Kernel& kernel, const debug::Object& header, uint64_t unit) {
  PoolBlock block;
  block.header = header.address();
  block.address = header.address() + header.type().size();
  block.size = header.U64("BlockSize").value_or(0) * unit;
  block.previous_size = header.U64("PreviousSize").value_or(0) * unit;
  block.tag = static_cast<uint32_t>(header.U64("PoolTag").value_or(0));
  const uint64_t type = header.U64("PoolType").value_or(0);
  const bool has_caches = kernel.symbols().AddressOf("nt!ExpPoolCaches").has_value();
  if ((type & kInUse) != 0)
    block.state = has_caches && (type & kCached) != 0 ? BlockState::kCached : BlockState::kAllocated;
  if (block.state == BlockState::kFree) return block;
  block.allocated_by = CodeAddress(header, "CallerAddress");
  if (const auto unused = header.U64("UnusedBytes"); unused && block.size >= unit + *unused)
    block.requested = block.size - unit - *unused;
  return block;
}

}  // namespace

std::string TagText(uint32_t tag) {
  std::string text;
  for (int i = 0; i < 4; ++i) {
    const char c = static_cast<char>(tag >> (8 * i) & 0x7F);
    text += c >= ' ' && c <= '~' ? c : '.';
  }
  return text;
}

base::Result<PoolPage> ReadPoolPage(Kernel& kernel, uint64_t address) {
  const debug::Type& type = kernel.type("_POOL_HEADER");
  if (!type.valid()) return base::Fail("the kernel's symbols have no _POOL_HEADER");
  const uint64_t unit = type.size(), page = address & ~(debug::kPageSize - 1);
  TRY(kernel.memory().ReadBytes(page, unit));
  PoolPage result;
  uint64_t previous = 0;
  for (uint64_t at = page; at < page + debug::kPageSize;) {
    const debug::Object header = kernel.symbols().ObjectAt(type, at);
    PoolBlock block = BlockOf(kernel, header, unit);
    // A page that is one free block has no room for its size in eight bits.
    if (block.size == 0 && at == page && block.state == BlockState::kFree) block.size = debug::kPageSize;
    if (block.size == 0 || block.size > page + debug::kPageSize - at) {
      result.damage = fmt::format("the block's size, {:#x}, cannot be", block.size);
    } else if (block.previous_size != previous) {
      result.damage = fmt::format("the previous block is {:#x} bytes long, this header says {:#x}", previous,
                                  block.previous_size);
    }
    if (!result.damage.empty()) {
      result.damaged_at = at;
      break;
    }
    previous = block.size;
    at += block.size;
    result.blocks.push_back(block);
  }
  return result;
}

std::optional<PoolCheck> PoolCheckAtCrash(Kernel& kernel) {
  constexpr uint64_t kDone = 2, kMost = 16;
  const auto check_at = kernel.symbols().AddressOf("nt!ExpPoolCheck"),
             damage_at = kernel.symbols().AddressOf("nt!ExpPoolDamage");
  const debug::Type &check_type = kernel.type("_EXP_POOL_CHECK"), &type = kernel.type("_EXP_POOL_DAMAGE");
  if (!check_at || !damage_at || !check_type.valid() || !type.valid()) return std::nullopt;
  const debug::Object check = kernel.symbols().ObjectAt(check_type, *check_at);
  const uint64_t state = check.U64("State").value_or(0);
  if (state == 0) return std::nullopt;
  PoolCheck result;
  result.complete = state == kDone;
  result.pages = check.U64("Pages").value_or(0);
  result.left_out = check.U64("LeftOut").value_or(0);
  const uint64_t found = std::min(check.U64("Found").value_or(0), kMost);
  for (uint64_t i = 0; i < found; ++i) {
    const debug::Object record = kernel.symbols().ObjectAt(type, *damage_at + i * type.size());
    const auto field = [&](const char* name) { return record.U64(name).value_or(0); };
    result.damage.push_back({static_cast<uint32_t>(field("Kind")), static_cast<uint32_t>(field("Tag")),
                             field("Where"), field("Block"), field("Bytes"), field("Caller"),
                             field("Value")});
  }
  return result;
}

const char* DamageText(uint32_t kind) {
  switch (kind) {
    case 1:
      return "the header behind the block is damaged";
    case 2:
      return "the bytes behind the block were overwritten";
    case 3:
      return "the links of the free block are damaged";
    case 4:
      return "the block was written to after its free";
  }
  return "damaged";
}

std::optional<PoolBlock> FindBigAllocation(Kernel& kernel, uint64_t address) {
  const auto table = kernel.GlobalU64("nt!PoolBigPageTable"),
             size = kernel.GlobalU64("nt!PoolBigPageTableSize");
  const debug::Type& type = kernel.type("_POOL_TRACKER_BIG_PAGES");
  if (!table || !size || !type.valid()) return std::nullopt;
  const FieldReader va(type, {"Va"}), bytes(type, {"NumberOfBytes"});
  const auto records = kernel.memory().ReadBytes(*table, std::min(*size, kMaxEntries) * type.size());
  if (!records) return std::nullopt;
  for (uint64_t i = 0; i + type.size() <= records->size(); i += type.size()) {
    const std::span<const std::byte> record(records->data() + i, type.size());
    const uint64_t start = va.ReadOr(record), length = bytes.ReadOr(record);
    if ((start & 1) != 0 || start == 0 || address < start || address - start >= std::max<uint64_t>(length, 1))
      continue;
    const debug::Object entry = kernel.symbols().ObjectAt(type, *table + i);
    PoolBlock block;
    block.address = start;
    block.size = block.requested = length;
    block.state = BlockState::kAllocated;
    block.tag = static_cast<uint32_t>(entry.U64("Key").value_or(0));
    block.allocated_by = entry.U64("CallerAddress").value_or(0);
    return block;
  }
  return std::nullopt;
}

std::optional<PoolBlock> FindSpecialBlock(Kernel& kernel, uint64_t address) {
  const auto start = kernel.GlobalU64("nt!MmSpecialPoolStart"), end = kernel.GlobalU64("nt!MmSpecialPoolEnd");
  const auto slots = kernel.GlobalU64("nt!MiSpecialPoolSlots");
  const debug::Type& type = kernel.type("_MI_SPECIAL_POOL_SLOT");
  if (!start || !end || !slots || !type.valid() || address < *start || address >= *end) return std::nullopt;
  constexpr uint64_t kSlotBytes = 2 * debug::kPageSize;  // the page and its guard
  const uint64_t index = (address - *start) / kSlotBytes;
  const debug::Object slot = kernel.symbols().ObjectAt(type, *slots + index * type.size());
  const uint64_t state = slot.U64("State").value_or(0);
  if (state == 0) return std::nullopt;
  PoolBlock block;
  block.address = *start + index * kSlotBytes + slot.U64("Offset").value_or(0);
  block.size = block.requested = slot.U64("NumberOfBytes").value_or(0);
  block.tag = static_cast<uint32_t>(slot.U64("Tag").value_or(0));
  block.state = state == 1 ? BlockState::kAllocated : BlockState::kFree;
  block.allocated_by = slot.U64("AllocatorCaller").value_or(0);
  if (block.state == BlockState::kFree) block.freed_by = slot.U64("FreeCaller").value_or(0);
  return block;
}

std::optional<PoolBlock> FindPoolBlock(Kernel& kernel, uint64_t address) {
  const Usage usage = UseOf(kernel, address).usage;
  if (usage == Usage::kSpecialPool) return FindSpecialBlock(kernel, address);
  if (usage != Usage::kNonPagedPool && usage != Usage::kPagedPool) return std::nullopt;
  if (auto special = FindSpecialBlock(kernel, address)) return special;
  if (auto big = FindBigAllocation(kernel, address)) return big;
  const auto page = ReadPoolPage(kernel, address);
  if (!page) return std::nullopt;
  for (const PoolBlock& block : page->blocks) {
    if (address >= block.header && address < block.header + block.size) return block;
  }
  return std::nullopt;
}

std::vector<TagUse> PoolTags(Kernel& kernel) {
  const debug::Type& type = kernel.type("_POOL_TRACKER_TABLE");
  const auto size = kernel.GlobalU64("nt!PoolTrackTableSize");
  if (!type.valid() || !size) return {};
  std::vector<uint64_t> tables;
  if (const auto array = kernel.symbols().AddressOf("nt!ExPoolTagTables")) {
    for (uint64_t i = 0; i < kernel.session().processor_count(); ++i) {
      if (const auto table = kernel.memory().Get<uint64_t>(*array + 8 * i); table && *table != 0)
        tables.push_back(*table);
    }
  }
  if (const auto table = kernel.GlobalU64("nt!PoolTrackTable"); tables.empty() && table)
    tables.push_back(*table);
  const FieldReader key(type, {"Key"}), np_allocs(type, {"NonPagedAllocs"}),
      np_frees(type, {"NonPagedFrees"}), np_bytes(type, {"NonPagedBytes", "NonPagedBytesAllocated"}),
      p_allocs(type, {"PagedAllocs"}), p_frees(type, {"PagedFrees"}),
      p_bytes(type, {"PagedBytes", "PagedBytesAllocated"});
  std::map<uint32_t, TagUse> by_tag;
  for (const uint64_t table : tables) {
    const auto records = kernel.memory().ReadBytes(table, std::min(*size, kMaxEntries) * type.size());
    if (!records) continue;
    for (uint64_t i = 0; i + type.size() <= records->size(); i += type.size()) {
      const std::span<const std::byte> record(records->data() + i, type.size());
      const auto tag = static_cast<uint32_t>(key.ReadOr(record));
      if (tag == 0) continue;
      TagUse& use = by_tag[tag];
      use.tag = tag;
      use.nonpaged_allocs += np_allocs.SignedOr(record), use.nonpaged_frees += np_frees.SignedOr(record);
      use.nonpaged_bytes += np_bytes.SignedOr(record), use.paged_allocs += p_allocs.SignedOr(record);
      use.paged_frees += p_frees.SignedOr(record), use.paged_bytes += p_bytes.SignedOr(record);
    }
  }
  std::vector<TagUse> tags;
  for (const auto& [tag, use] : by_tag) tags.push_back(use);
  return tags;
}

}  // namespace nt
