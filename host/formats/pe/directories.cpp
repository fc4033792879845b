// Exports, imports and base relocations of an image.
#include <algorithm>
#include <cstring>

#include "formats/pe/image.h"

namespace pe {

namespace {

constexpr uint32_t kMaxExports = 1u << 20;
constexpr uint32_t kMaxImports = 1u << 16;
constexpr uint64_t kMaxNameCharacters = 64u << 20;
constexpr uint8_t kRelocationAbsolute = 0;
constexpr uint8_t kRelocationDir64 = 10;

template <typename T>
std::optional<T> GetAt(const Image& image, uint64_t rva) {
  if (rva > UINT32_MAX) return std::nullopt;
  const auto bytes = image.At(static_cast<uint32_t>(rva), sizeof(T));
  return bytes ? base::SpanReader(*bytes).Get<T>(0) : std::nullopt;
}

struct ExportDirectory {
  uint32_t Characteristics, TimeDateStamp;
  uint16_t MajorVersion, MinorVersion;
  uint32_t Name, Base, NumberOfFunctions, NumberOfNames, AddressOfFunctions, AddressOfNames,
      AddressOfNameOrdinals;
};
static_assert(sizeof(ExportDirectory) == 40);

base::Result<void> NameExports(const Image& image, const ExportDirectory& d, std::vector<Export>& exports) {
  std::vector<Export> extra;  // further names of one ordinal
  uint64_t characters = 0;
  for (uint64_t i = 0; i < d.NumberOfNames; ++i) {
    const auto name_rva = GetAt<uint32_t>(image, d.AddressOfNames + 4 * i);
    const auto index = GetAt<uint16_t>(image, d.AddressOfNameOrdinals + 2 * i);
    if (!name_rva || !index) return base::Fail("the export name table lies outside the image");
    const auto name = image.StringAt(*name_rva);
    if (!name || *index >= exports.size())
      return base::Fail("an export name or its ordinal lies outside the image");
    characters += name->size();
    if (characters > kMaxNameCharacters) return base::Fail("the export names are impossibly long");
    if (exports[*index].name.empty()) {
      exports[*index].name = *name;
    } else {
      extra.push_back(exports[*index]);
      extra.back().name = *name;
    }
  }
  exports.insert(exports.end(), extra.begin(), extra.end());
  return {};
}

base::Result<std::vector<ImportedSymbol>> ReadThunks(const Image& image, uint32_t names, uint32_t slots,
                                                     uint32_t& budget) {
  std::vector<ImportedSymbol> symbols;
  for (uint64_t i = 0;; ++i) {
    if (budget-- == 0) return base::Fail("more than 65536 imports");
    const auto thunk = GetAt<uint64_t>(image, names + 8 * i);
    if (!thunk) return base::Fail("an import table runs out of the image");
    if (*thunk == 0) return symbols;
    ImportedSymbol symbol;
    symbol.slot_rva = static_cast<uint32_t>(slots + 8 * i);
    if ((*thunk >> 63) != 0) {
      symbol.by_ordinal = true;
      symbol.ordinal = static_cast<uint16_t>(*thunk);
    } else {
      const uint32_t entry = static_cast<uint32_t>(*thunk & 0x7fffffff);
      const auto hint = GetAt<uint16_t>(image, entry);
      const auto name = image.StringAt(entry + 2);
      if (!hint || !name) return base::Fail("an imported name lies outside the image");
      symbol.ordinal = *hint;
      symbol.name = *name;
    }
    symbols.push_back(std::move(symbol));
  }
}

// Calls `visit(rva, type)` for every relocation; errors for blocks that are broken.
template <typename Visit>
base::Result<void> WalkRelocations(base::Bytes bytes, Visit visit) {
  const base::SpanReader r(bytes);
  for (uint64_t at = 0; at + 8 <= bytes.size();) {
    const uint32_t page = *r.Get<uint32_t>(at);
    const uint32_t size = *r.Get<uint32_t>(at + 4);
    if (size == 0 && page == 0) break;  // padding
    if (size < 8 || !r.Has(at, size))
      return base::Fail("a relocation block has the impossible size " + std::to_string(size));
    for (uint64_t entry = at + 8; entry + 2 <= at + size; entry += 2) {
      const uint16_t value = *r.Get<uint16_t>(entry);
      const uint8_t type = static_cast<uint8_t>(value >> 12);
      if (type == kRelocationAbsolute) continue;
      TRY(visit(page + (value & 0xfffu), type));
    }
    at += size;
  }
  return {};
}

}  // namespace

base::Result<std::string> Image::ExportName() const {
  const DataDirectory& directory = headers_.directory(Directory::kExport);
  if (directory.rva == 0 || directory.size == 0) return std::string();
  const auto d = GetAt<ExportDirectory>(*this, directory.rva);
  if (!d) return base::Fail("the export directory lies outside the image");
  const auto name = StringAt(d->Name);
  if (!name) return base::Fail("the name in the export directory lies outside the image");
  return std::string(*name);
}

base::Result<std::vector<Export>> Image::Exports() const {
  const DataDirectory& directory = headers_.directory(Directory::kExport);
  std::vector<Export> exports;
  if (directory.rva == 0 || directory.size == 0) return exports;
  const auto d = GetAt<ExportDirectory>(*this, directory.rva);
  if (!d) return base::Fail("the export directory lies outside the image");
  if (d->NumberOfFunctions > kMaxExports || d->NumberOfNames > kMaxExports ||
      !At(d->AddressOfFunctions, d->NumberOfFunctions * 4)) {
    return base::Fail("the export address table lies outside the image");
  }
  exports.resize(d->NumberOfFunctions);
  for (uint32_t i = 0; i < d->NumberOfFunctions; ++i) {
    exports[i].ordinal = d->Base + i;
    exports[i].rva = *GetAt<uint32_t>(*this, d->AddressOfFunctions + 4ull * i);
    if (exports[i].rva >= directory.rva && exports[i].rva - directory.rva < directory.size) {
      const auto forwarder = StringAt(exports[i].rva);
      if (!forwarder) return base::Fail("a forwarded export's target lies outside the image");
      exports[i].forwarder = *forwarder;
      exports[i].rva = 0;
    }
  }
  TRY(NameExports(*this, *d, exports));
  std::erase_if(exports, [](const Export& e) { return e.rva == 0 && e.forwarder.empty(); });
  return exports;
}

base::Result<std::vector<ImportedModule>> Image::Imports() const {
  const DataDirectory& directory = headers_.directory(Directory::kImport);
  std::vector<ImportedModule> modules;
  if (directory.rva == 0 || directory.size == 0) return modules;
  if (!headers_.is_pe32_plus) return base::Fail("imports of 32-bit images are not supported");
  struct Descriptor {
    uint32_t OriginalFirstThunk, TimeDateStamp, ForwarderChain, Name, FirstThunk;
  };
  uint32_t budget = kMaxImports;
  for (uint64_t i = 0; i < 1024; ++i) {
    const auto d = GetAt<Descriptor>(*this, directory.rva + i * sizeof(Descriptor));
    if (!d) return base::Fail("the import directory runs out of the image");
    if (d->Name == 0 && d->FirstThunk == 0) return modules;
    const auto name = StringAt(d->Name);
    if (!name) return base::Fail("the name of an imported module lies outside the image");
    ImportedModule module{std::string(*name), {}};
    const uint32_t names = d->OriginalFirstThunk != 0 ? d->OriginalFirstThunk : d->FirstThunk;
    module.symbols = TRY_WRAP("imports from " + module.name, ReadThunks(*this, names, d->FirstThunk, budget));
    modules.push_back(std::move(module));
  }
  return base::Fail("the import directory has no end");
}

base::Result<std::vector<Relocation>> Image::Relocations() const {
  const DataDirectory& directory = headers_.directory(Directory::kBaseRelocation);
  std::vector<Relocation> relocations;
  if (directory.rva == 0 || directory.size == 0) return relocations;
  const auto bytes = At(directory.rva, directory.size);
  if (!bytes) return base::Fail("the relocation directory lies outside the image");
  TRY(WalkRelocations(*bytes, [&](uint32_t rva, uint8_t type) -> base::Result<void> {
    relocations.push_back({rva, type});
    return {};
  }));
  return relocations;
}

base::Result<void> Relocate(std::span<std::byte> mapped, const Headers& headers, uint64_t new_base) {
  const uint64_t delta = new_base - headers.image_base;
  if (delta == 0) return {};
  const DataDirectory& directory = headers.directory(Directory::kBaseRelocation);
  if (directory.rva == 0 || directory.size == 0) {
    constexpr uint16_t kRelocationsStripped = 1;
    if ((headers.characteristics & kRelocationsStripped) == 0) return {};  // nothing in it is absolute
    return base::Fail("the image has no relocations and cannot be loaded elsewhere than at its own base");
  }
  const auto table = base::SpanReader(mapped).Slice(directory.rva, directory.size);
  if (!table) return base::Fail("the relocation directory lies outside the image");
  const std::vector<std::byte> copy(table->begin(),
                                    table->end());  // a relocation may point into the table itself
  return WalkRelocations(copy, [&](uint32_t rva, uint8_t type) -> base::Result<void> {
    if (type != kRelocationDir64)
      return base::Fail("relocation type " + std::to_string(type) + " is not supported on x64");
    const auto old_value = base::SpanReader(mapped).Get<uint64_t>(rva);
    if (!old_value) return base::Fail("a relocation points outside the image");
    const uint64_t value = *old_value + delta;
    std::memcpy(mapped.data() + rva, &value, sizeof value);
    return {};
  });
}

}  // namespace pe
