// A loaded image of the target, and where its symbols come from.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "formats/pe/image.h"
#include "formats/symbols/source.h"

namespace debug {

enum class SymbolState : uint8_t {
  kDeferred,  // not looked for yet
  kPdb,
  kIsf,
  kExports,  // no symbols: names come from the export directory
  kNone,
};

struct Module {
  std::string name;        // "nt", "TestDriver": as written in front of '!'
  std::string image_name;  // "ntoskrnl.exe"
  std::string path;        // as the target knows it: "\SystemRoot\system32\ntoskrnl.exe"
  uint64_t base = 0;
  uint64_t size = 0;
  uint64_t entry_point = 0;
  uint32_t time_date_stamp = 0;
  uint32_t checksum = 0;
  uint64_t loader_entry = 0;  // address of its KLDR_DATA_TABLE_ENTRY, 0 = not from the list
  bool unloaded = false;      // only the range is known

  // Read on first use through Symbols.
  std::optional<pe::CodeView> code_view;
  SymbolState symbol_state = SymbolState::kDeferred;
  std::shared_ptr<symbols::Source> symbols;  // set for kPdb, kIsf, kExports
  std::string symbol_message;                // why not better: "no PDB found", "MISMATCH: ..."

  bool Contains(uint64_t address) const { return !unloaded && address >= base && address - base < size; }
  uint64_t end() const { return base + size; }
};

// Symbol search path, in the syntax of _NT_SYMBOL_PATH: folders, `srv*CACHE*URL`, `srv*URL`, `cache*DIR`,
// separated by ';'. Folders are tried flat (DIR/NAME.pdb) and as symbol stores (DIR/NAME.pdb/KEY/NAME.pdb);
// ISF tables as NAME.pdb/GUID-AGE.json[.xz].
class SymbolPath {
 public:
  struct Element {
    enum class Kind : uint8_t { kFolder, kServer } kind = Kind::kFolder;
    std::string folder;  // also the server's local cache; "" = no cache
    std::string url;
  };
  struct Found {
    std::string path;
    bool is_isf = false;
    std::shared_ptr<symbols::Source> source;
    std::string refused;  // files of that name with another GUID or age that were met first, "" = none
  };

  SymbolPath() = default;
  // Wrong elements give an Error that names them.
  static base::Result<SymbolPath> Parse(std::string_view text);
  void AddFolder(std::string folder);
  void Append(const SymbolPath& other);
  const std::vector<Element>& elements() const { return elements_; }

  // Looks for the PDB `name` with exactly this id. On failure the Error tells what was tried; a file with
  // another GUID or age is refused and named. Servers are asked over HTTP (time limit 30 s), the file is kept
  // in the cache.
  base::Result<Found> Find(std::string_view name, const formats::DebugId& id) const;

 private:
  base::Result<Found> FindInFolder(const std::string& folder, std::string_view name,
                                   const formats::DebugId& id, std::string& refused) const;
  base::Result<std::string> Download(const Element& server, std::string_view name,
                                     const formats::DebugId& id) const;

  std::vector<Element> elements_;
};

}  // namespace debug
