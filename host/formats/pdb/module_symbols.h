// The symbols of one object file in a PDB: functions, lines, inlined calls, variables. All lazily, all in
// RVAs.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "formats/pdb/dbi.h"
#include "formats/pdb/records.h"
#include "formats/pdb/type_table.h"
#include "formats/symbols/source.h"

namespace pdb {

struct Procedure {
  uint32_t rva = 0;
  uint32_t size = 0;
  symbols::TypeId type = symbols::kNoType;
  std::string_view name;
  uint64_t record = 0;  // offset of its record in the module's stream
  uint64_t end = 0;     // offset of its end record
};

class ModuleSymbols {
 public:
  // `names`: the /names stream; `ids`: the IPI stream's records. All must outlive this.
  ModuleSymbols(const Dbi& dbi, const ModuleInfo& info, base::Bytes stream, base::Bytes names,
                const IndexedRecords& ids);

  // Sorted by address.
  const std::vector<Procedure>& procedures() const { return procedures_; }
  const Procedure* ProcedureAt(uint32_t rva) const;
  const Procedure* ProcedureOfRecord(uint64_t offset) const;
  std::optional<symbols::SourceLine> LineAt(uint32_t rva) const;
  std::vector<symbols::InlineFrame> InlineFramesAt(uint32_t rva) const;
  std::vector<symbols::Variable> VariablesAt(uint32_t rva) const;

 private:
  struct Line {
    uint32_t rva;
    uint32_t end;
    uint32_t line;
    uint32_t file;  // offset in the checksums
  };
  struct Inlinee {
    uint32_t file;
    uint32_t line;
  };
  void ScanProcedures();
  void ReadSubsections() const;
  void ReadLines(base::Bytes bytes) const;
  void ReadInlinees(base::Bytes bytes) const;
  std::string_view FileName(uint32_t checksum_offset) const;
  std::string_view InlineeName(uint32_t id) const;
  std::optional<symbols::InlineFrame> EvaluateSite(const Record& record, uint32_t function_rva,
                                                   uint32_t rva) const;

  const Dbi* dbi_;
  ModuleInfo info_;
  base::Bytes stream_;
  base::Bytes symbols_;
  base::Bytes names_;
  const IndexedRecords* ids_;
  std::vector<Procedure> procedures_;
  mutable bool subsections_read_ = false;
  mutable base::Bytes checksums_;
  mutable std::vector<Line> lines_;
  mutable std::map<uint32_t, Inlinee> inlinees_;
};

}  // namespace pdb
