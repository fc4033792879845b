// The types of a PDB (TPI stream). A TypeId is CodeView's type index.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/span_reader.h"
#include "formats/pdb/records.h"
#include "formats/symbols/source.h"

namespace pdb {

// An index -> record table of a TPI or IPI stream.
class IndexedRecords {
 public:
  IndexedRecords() = default;
  explicit IndexedRecords(base::Bytes stream);
  std::optional<Record> At(uint32_t index) const;
  uint32_t first() const { return first_; }
  uint32_t end() const { return first_ + static_cast<uint32_t>(offsets_.size()); }

 private:
  base::Bytes records_;
  uint32_t first_ = 0x1000;
  std::vector<uint32_t> offsets_;
};

class TypeTable {
 public:
  explicit TypeTable(base::Bytes stream) : stream_(stream) {}

  symbols::TypeId Find(std::string_view name) const;
  symbols::Type Get(symbols::TypeId id) const { return GetAtDepth(id, 0); }
  const std::vector<symbols::Member>& Members(symbols::TypeId id) const;
  const std::vector<symbols::Enumerator>& Enumerators(symbols::TypeId id) const;
  void ForEach(const std::function<bool(symbols::TypeId, const symbols::Type&)>& visit) const;

 private:
  struct Udt {
    uint16_t kind = 0;
    uint16_t properties = 0;
    uint32_t fields = 0;
    uint32_t underlying = 0;
    uint64_t size = 0;
    std::string_view name;
    std::string_view unique_name;
  };
  const IndexedRecords& records() const;
  static std::optional<Udt> ParseUdt(const Record& record);
  void BuildNames() const;
  // Without const/volatile, and the complete definition of a forward declaration.
  symbols::TypeId Resolve(symbols::TypeId id) const;
  symbols::Type GetAtDepth(symbols::TypeId id, int depth) const;
  symbols::Type FromRecord(const Record& record, int depth) const;
  template <typename Visit>
  void WalkFields(symbols::TypeId list, Visit visit) const;

  base::Bytes stream_;
  mutable std::unique_ptr<IndexedRecords> records_;
  mutable bool names_built_ = false;
  mutable std::unordered_map<std::string_view, symbols::TypeId> by_name_;
  mutable std::unordered_map<std::string_view, symbols::TypeId> by_unique_name_;
  mutable std::unordered_map<symbols::TypeId, std::vector<symbols::Member>> members_;
  mutable std::unordered_map<symbols::TypeId, std::vector<symbols::Enumerator>> enumerators_;
};

}  // namespace pdb
