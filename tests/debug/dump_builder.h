// Writes a crash dump whose contents are stated, not captured: pages, page tables, images, structures laid
// out by the type information of a PDB. What a test needs to put the machine into any state.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "debug/type.h"
#include "formats/kdump/layout.h"
#include "formats/pe/image.h"
#include "formats/symbols/source.h"

namespace fabricated {

class DumpBuilder;

// A structure in the dump: fields are set by name. An unknown field or a value that does not fit ends the
// test.
class Structure {
 public:
  Structure(DumpBuilder& builder, debug::Type type, uint64_t address)
      : builder_(&builder), type_(type), address_(address) {}
  uint64_t address() const { return address_; }
  uint64_t size() const { return type_.size(); }
  uint64_t AddressOf(std::string_view path) const;
  Structure& Set(std::string_view path, uint64_t value);
  Structure& SetText(std::string_view path, std::string_view text);  // a char array, zero-padded, may fill it
  Structure& EmptyList(std::string_view path);                       // LIST_ENTRY that points at itself

 private:
  DumpBuilder* builder_;
  debug::Type type_;
  uint64_t address_;
};

class DumpBuilder {
 public:
  // Maps `kernel_image` at its preferred base; its types and symbols come from `kernel_pdb`.
  DumpBuilder(const std::string& kernel_image, const std::string& kernel_pdb);

  // ---- Memory ----
  void Map(uint64_t address, uint64_t size);  // zero-filled, where not mapped yet
  void Write(uint64_t address, std::span<const std::byte> bytes);
  template <typename T>
  void Put(uint64_t address, T value) {
    Write(address, std::as_bytes(std::span(&value, 1)));
  }
  uint64_t Read64(uint64_t address) const;
  // Fresh zeroed memory, 16-byte aligned.
  uint64_t Allocate(uint64_t size);
  // A page's PTE is made not valid while its content stays: a pageable page that is not resident.
  void MakeNotResident(uint64_t address, uint64_t size);
  uint64_t PhysicalOf(uint64_t address) const;

  // ---- Images, types, symbols ----
  // Maps a PE file at its preferred base and lists it in PsLoadedModuleList under `name`.
  uint64_t LoadImage(const std::string& file, const std::string& name);
  Structure At(std::string_view type, uint64_t address);
  Structure New(std::string_view type);  // allocated
  uint64_t Symbol(std::string_view name) const;
  debug::Type TypeNamed(std::string_view name) const;
  // UNICODE_STRING with its characters.
  void PutUnicode(uint64_t address, std::string_view text);

  // ---- Lists ----
  void InitList(uint64_t head);
  void InsertTail(uint64_t head, uint64_t entry);

  kdump::Header64& header() { return *header_; }
  base::Result<void> Save(const std::string& path);

 private:
  using Page = std::vector<std::byte>;
  uint64_t NewPage();
  uint64_t* Entry(uint64_t address, bool create);
  Page* PageOf(uint64_t address);

  std::vector<Page> pages_;  // by PFN
  uint64_t root_ = 0;        // PFN of the PML4
  uint64_t next_ = 0xFFFFAB02'80000000;
  std::unique_ptr<symbols::Source> source_;
  uint64_t kernel_base_ = 0;
  uint64_t module_list_ = 0;
  std::unique_ptr<kdump::Header64> header_;
};

// The bytes of a file, or the test ends.
std::vector<std::byte> ReadFile(const std::string& path);
std::string ReadText(const std::string& path);

}  // namespace fabricated
