// The DBI stream of a PDB: sections, object files ("modules") and which of them owns which bytes of the
// image.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "base/result.h"
#include "formats/pdb/msf.h"

namespace pdb {

struct SectionRange {
  uint32_t rva = 0;
  uint32_t size = 0;
};

struct ModuleInfo {
  uint32_t stream = 0xffff;  // 0xffff = none
  uint32_t symbols_size = 0;
  uint32_t c11_size = 0;
  uint32_t c13_size = 0;
};

class Dbi {
 public:
  // A PDB without a DBI stream (types only) gives an empty one.
  static base::Result<Dbi> Parse(const Msf& msf);

  uint32_t age() const { return age_; }
  uint16_t machine() const { return machine_; }
  uint32_t symbol_records_stream() const { return symbol_records_stream_; }
  const std::vector<SectionRange>& sections() const { return sections_; }
  const std::vector<ModuleInfo>& modules() const { return modules_; }

  // The RVA of section:offset (sections count from 1); nothing when there is no such section.
  std::optional<uint32_t> Rva(uint16_t section, uint32_t offset) const;
  std::optional<size_t> SectionAt(uint32_t rva) const;
  // The module that contributed the byte at `rva`.
  std::optional<uint32_t> ModuleAt(uint32_t rva) const;

 private:
  struct Contribution {
    uint32_t rva;
    uint32_t size;
    uint32_t module;
  };
  void ParseModules(base::Bytes bytes);
  void ParseSections(const Msf& msf, base::Bytes debug_header);
  void BuildContributions() const;

  bool present_ = false;
  uint32_t age_ = 0;
  uint16_t machine_ = 0;
  uint32_t symbol_records_stream_ = 0xffff;
  std::vector<SectionRange> sections_;
  std::vector<ModuleInfo> modules_;
  std::vector<std::pair<uint32_t, uint32_t>>
      omap_;  // (old rva, new rva), for images that were rearranged after linking
  base::Bytes contributions_bytes_;
  mutable bool contributions_built_ = false;
  mutable std::vector<Contribution> contributions_;
};

}  // namespace pdb
