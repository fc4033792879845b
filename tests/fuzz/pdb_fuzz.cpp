// The PDB reader on hostile bytes: types, members, symbols, lines, inlined calls and variables of whatever it
// opens.
#include <cstddef>
#include <cstdint>

#include "formats/pdb/pdb_file.h"

namespace {

constexpr int kMost = 200;  // of each kind; a damaged file can claim millions

void UseTypes(const symbols::Source& source) {
  int left = kMost;
  source.ForEachType([&](symbols::TypeId id, const symbols::Type&) {
    for (const symbols::Member& member : source.Members(id)) (void)source.TypeName(member.type);
    (void)source.Enumerators(id);
    return --left > 0;
  });
  (void)source.FindType("_KTHREAD");
}

void UseSymbols(const symbols::Source& source) {
  int left = kMost;
  source.ForEachSymbol([&](const symbols::Symbol& symbol) {
    (void)source.FindSymbol(symbol.name);
    for (const uint32_t rva : {symbol.rva, symbol.rva + 1, symbol.rva + symbol.size}) {
      (void)source.SymbolAt(rva);
      (void)source.LineAt(rva);
      (void)source.InlineFramesAt(rva);
      (void)source.VariablesAt(rva);
    }
    return --left > 0;
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  (void)pdb::ReadId(bytes);
  const auto source = pdb::OpenBytes(bytes, "fuzz.pdb");
  if (!source) return 0;
  UseTypes(**source);
  UseSymbols(**source);
  return 0;
}
