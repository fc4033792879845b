// Memory of a machine: physical pages (of a dump or of a live machine's RAM file) and the x64 translation
// above them.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/span_reader.h"
#include "formats/kdump/dump.h"

namespace debug {

inline constexpr uint64_t kPageSize = 0x1000;

class PhysicalMemory {
 public:
  virtual ~PhysicalMemory() = default;
  // The 4096 bytes of page `pfn`, in place; nothing when there are none. The view lives as long as this
  // object. On a live machine the bytes change while they are looked at.
  virtual std::optional<base::Bytes> Page(uint64_t pfn) const = 0;
  virtual std::vector<kdump::PhysicalRun> Runs() const = 0;

  // Reads across pages; false when any byte is missing (out is then partly written).
  bool Read(uint64_t address, std::span<std::byte> out) const;
  template <typename T>
  std::optional<T> Get(uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    if (!Read(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
    return value;
  }
};

// "fffff802`31600000", the debugger's way to write an address.
std::string FormatAddress(uint64_t address);

bool IsCanonical(uint64_t address);

// One level of a page-table walk.
struct PteStep {
  uint64_t entry_physical = 0;  // where the entry is
  uint64_t entry = 0;           // its value
};

struct Translation {
  std::array<PteStep, 4> steps{};  // PML4E, PDPTE, PDE, PTE
  int levels = 0;                  // how many of them were read
  bool valid = false;
  bool from_transition = false;  // not valid for the CPU, but the page is still in memory (transition state)
  uint64_t page_size = 0;        // 4 KiB, 2 MiB, 1 GiB when valid
  uint64_t physical = 0;         // of the address asked for, when valid
};

// The NT software bits of a not-valid PTE; taken from symbols (_MMPTE_TRANSITION), zero = not known.
struct SoftwarePteBits {
  uint64_t transition = 0;
  uint64_t prototype = 0;
};

class VirtualMemory {
 public:
  // `directory_table_base`: CR3; its low 12 bits are ignored. `memory` must outlive this.
  VirtualMemory(const PhysicalMemory& memory, uint64_t directory_table_base);

  uint64_t directory_table_base() const { return directory_table_base_; }
  const PhysicalMemory& physical() const { return *memory_; }
  // Pieces of memory that are known by virtual address only (triage dumps); looked up first. Sorted by
  // address.
  void SetBlocks(std::vector<kdump::VirtualBlock> blocks) { blocks_ = std::move(blocks); }
  const std::vector<kdump::VirtualBlock>& blocks() const { return blocks_; }
  void SetSoftwarePteBits(SoftwarePteBits bits) { bits_ = bits; }
  SoftwarePteBits software_pte_bits() const { return bits_; }

  // The walk for `address`; never fails, an unmapped address gives valid == false and the steps as far as
  // they go.
  Translation Translate(uint64_t address) const;

  // All of `out` or an Error that names the first address that is not readable.
  base::Result<void> Read(uint64_t address, std::span<std::byte> out) const;
  // As much as is readable from the start; the number of bytes.
  uint64_t ReadUpTo(uint64_t address, std::span<std::byte> out) const;
  // `length` bytes with unreadable pages as zero; how many bytes were really there.
  uint64_t ReadSparse(uint64_t address, std::span<std::byte> out) const;

  template <typename T>
  base::Result<T> Get(uint64_t address) const {
    static_assert(std::is_trivially_copyable_v<T>);
    T value;
    TRY(Read(address, std::as_writable_bytes(std::span(&value, 1))));
    return value;
  }
  base::Result<std::vector<std::byte>> ReadBytes(uint64_t address, uint64_t length) const;
  // Zero-terminated; cut after `limit` characters or at unreadable memory.
  std::string ReadCString(uint64_t address, uint64_t limit = 1024) const;
  // `length` bytes of UTF-16, as UTF-8 (unpaired surrogates as U+FFFD). At most 64 KiB.
  base::Result<std::string> ReadUtf16(uint64_t address, uint64_t length) const;

 private:
  // The bytes from `address` to the end of its page (or block), at most `limit`; empty when not present.
  base::Bytes View(uint64_t address, uint64_t limit) const;
  std::optional<uint64_t> PageOf(uint64_t address) const;

  const PhysicalMemory* memory_;
  uint64_t directory_table_base_;
  SoftwarePteBits bits_;
  std::vector<kdump::VirtualBlock> blocks_;
  struct CacheLine {
    uint64_t page = UINT64_MAX;
    uint64_t pfn = 0;
  };
  mutable std::array<CacheLine, 256> cache_;  // used only when cacheable_
  bool cacheable_ = true;

 public:
  // A live machine's page tables change: no translation is remembered.
  void DisableCache() { cacheable_ = false; }
};

std::string Utf16ToUtf8(std::span<const std::byte> utf16);

}  // namespace debug
