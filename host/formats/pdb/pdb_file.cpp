#include "formats/pdb/pdb_file.h"

#include <algorithm>
#include <deque>
#include <map>
#include <unordered_map>

#include "formats/pdb/dbi.h"
#include "formats/pdb/module_symbols.h"
#include "formats/pdb/msf.h"
#include "formats/pdb/records.h"
#include "formats/pdb/type_table.h"
#include "formats/pdb/undecorate.h"

namespace pdb {

using symbols::Symbol;
using symbols::SymbolKind;
using symbols::Type;
using symbols::TypeId;

namespace {

constexpr uint32_t kInfoStream = 1, kTypeStream = 2, kIdStream = 4;
constexpr uint32_t kPublicIsCode = 1, kPublicIsFunction = 2;

base::Result<formats::DebugId> IdOf(const Msf& msf, const Dbi& dbi) {
  const base::SpanReader info(msf.Stream(kInfoStream));
  formats::DebugId id;
  id.age = TRY(info.Read<uint32_t>(8, "the PDB's info stream"));
  id.guid = TRY(info.Read<formats::Guid>(12, "the PDB's info stream"));
  if (dbi.age() != 0) id.age = dbi.age();  // the one that images repeat
  return id;
}

// The stream with this name, from the hash table behind the info stream's header.
std::optional<uint32_t> NamedStream(base::Bytes info, std::string_view wanted) {
  Cursor c(info, 28);
  const uint32_t text_size = c.Get<uint32_t>();
  const uint64_t text = c.at();
  c.Skip(text_size);
  const uint32_t size = c.Get<uint32_t>();
  c.Skip(4);                         // capacity
  c.Skip(4ull * c.Get<uint32_t>());  // present bits
  c.Skip(4ull * c.Get<uint32_t>());  // deleted bits
  for (uint32_t i = 0; i < size && c.ok(); ++i) {
    const uint32_t name = c.Get<uint32_t>();
    const uint32_t stream = c.Get<uint32_t>();
    if (c.ok() && base::SpanReader(info).CString(text + name) == wanted) return stream;
  }
  return std::nullopt;
}

class PdbSource final : public symbols::Source {
 public:
  PdbSource(Msf msf, Dbi dbi, formats::DebugId id, std::string name)
      : msf_(std::move(msf)),
        dbi_(std::move(dbi)),
        id_(id),
        name_(std::move(name)),
        types_(msf_.Stream(kTypeStream)) {}
  void Own(base::MappedFile file) { file_ = std::move(file); }

  formats::DebugId id() const override { return id_; }
  std::string_view file_name() const override { return name_; }

  TypeId FindType(std::string_view name) const override {
    const TypeId id = types_.Find(name);
    if (id != symbols::kNoType) return id;
    BuildSymbols();
    const auto alias = typedefs_.find(name);
    return alias == typedefs_.end() ? symbols::kNoType : alias->second;
  }
  Type GetType(TypeId id) const override { return types_.Get(id); }
  const std::vector<symbols::Member>& Members(TypeId id) const override { return types_.Members(id); }
  const std::vector<symbols::Enumerator>& Enumerators(TypeId id) const override {
    return types_.Enumerators(id);
  }
  void ForEachType(const std::function<bool(TypeId, const Type&)>& visit) const override {
    types_.ForEach(visit);
  }

  std::optional<Symbol> FindSymbol(std::string_view name) const override;
  std::optional<Symbol> SymbolAt(uint32_t rva) const override;
  void ForEachSymbol(const std::function<bool(const Symbol&)>& visit) const override;

  std::optional<symbols::SourceLine> LineAt(uint32_t rva) const override {
    const ModuleSymbols* module = ModuleAt(rva);
    return module != nullptr ? module->LineAt(rva) : std::nullopt;
  }
  std::vector<symbols::InlineFrame> InlineFramesAt(uint32_t rva) const override {
    const ModuleSymbols* module = ModuleAt(rva);
    return module != nullptr ? module->InlineFramesAt(rva) : std::vector<symbols::InlineFrame>();
  }
  std::vector<symbols::Variable> VariablesAt(uint32_t rva) const override {
    const ModuleSymbols* module = ModuleAt(rva);
    return module != nullptr ? module->VariablesAt(rva) : std::vector<symbols::Variable>();
  }

 private:
  struct ProcedureReference {
    uint32_t module;
    uint32_t record;
  };
  void BuildSymbols() const;
  void AddPublic(Cursor& c) const;
  void AddData(Cursor& c) const;
  const ModuleSymbols* Module(uint32_t index) const;
  const ModuleSymbols* ModuleAt(uint32_t rva) const;
  static Symbol FromProcedure(const Procedure& p) {
    return {p.name, p.rva, p.size, SymbolKind::kFunction, p.type};
  }

  base::MappedFile file_;
  Msf msf_;
  Dbi dbi_;
  formats::DebugId id_;
  std::string name_;
  TypeTable types_;

  mutable bool built_ = false;
  mutable std::vector<Symbol>
      symbols_;  // publics and data, sorted by address; data before publics at one address
  mutable std::unordered_map<std::string_view, ProcedureReference> procedures_;
  mutable std::unordered_map<std::string_view, uint32_t> by_name_;  // into symbols_
  mutable std::unordered_map<std::string_view, TypeId> typedefs_;
  mutable std::deque<std::string> undecorated_;
  mutable std::unique_ptr<IndexedRecords> ids_;
  mutable base::Bytes string_table_;
  mutable std::map<uint32_t, ModuleSymbols> modules_;
  mutable std::vector<Symbol> all_;
};

void PdbSource::AddPublic(Cursor& c) const {
  const uint32_t flags = c.Get<uint32_t>();
  const uint32_t offset = c.Get<uint32_t>();
  const auto rva = dbi_.Rva(c.Get<uint16_t>(), offset);
  std::string_view name = c.Name();
  if (!c.ok() || !rva || name.empty()) return;
  if (name[0] == '?') name = undecorated_.emplace_back(Undecorate(name));
  const bool is_code = (flags & (kPublicIsCode | kPublicIsFunction)) != 0;
  symbols_.push_back(
      {name, *rva, 0, is_code ? SymbolKind::kFunction : SymbolKind::kPublic, symbols::kNoType});
}

void PdbSource::AddData(Cursor& c) const {
  const TypeId type = c.Get<uint32_t>();
  const uint32_t offset = c.Get<uint32_t>();
  const auto rva = dbi_.Rva(c.Get<uint16_t>(), offset);
  const std::string_view name = c.Name();
  if (!c.ok() || !rva || name.empty()) return;
  symbols_.push_back({name, *rva, static_cast<uint32_t>(types_.Get(type).size), SymbolKind::kData, type});
}

void PdbSource::BuildSymbols() const {
  if (built_) return;
  built_ = true;
  const base::Bytes records = msf_.Stream(dbi_.symbol_records_stream());
  for (uint64_t at = 0; const auto record = RecordAt(records, at); at = record->next) {
    Cursor c(record->data);
    switch (record->kind) {
      case S_PUB32:
        AddPublic(c);
        break;
      case S_GDATA32:
      case S_LDATA32:
        AddData(c);
        break;
      case S_PROCREF:
      case S_LPROCREF: {
        c.Skip(4);
        const uint32_t offset = c.Get<uint32_t>();
        const uint16_t module = c.Get<uint16_t>();
        const std::string_view name = c.Name();
        if (c.ok() && module != 0) procedures_.try_emplace(name, ProcedureReference{module - 1u, offset});
        break;
      }
      case S_UDT: {
        const TypeId type = c.Get<uint32_t>();
        const std::string_view name = c.Name();
        if (c.ok()) typedefs_.try_emplace(name, type);
        break;
      }
      default:
        break;
    }
  }
  // Typed data first, then code, then other publics; names last, so that equal input gives an equal order.
  const auto rank = [](const Symbol& s) {
    return s.kind == SymbolKind::kData ? 0 : s.kind == SymbolKind::kFunction ? 1 : 2;
  };
  std::ranges::sort(symbols_, [&](const Symbol& a, const Symbol& b) {
    return std::tuple(a.rva, rank(a), a.name) < std::tuple(b.rva, rank(b), b.name);
  });
  by_name_.reserve(symbols_.size());
  for (uint32_t i = 0; i < symbols_.size(); ++i) {
    const auto [slot, is_new] = by_name_.try_emplace(symbols_[i].name, i);
    if (!is_new && symbols_[i].kind == SymbolKind::kData) slot->second = i;
  }
}

const ModuleSymbols* PdbSource::Module(uint32_t index) const {
  if (index >= dbi_.modules().size()) return nullptr;
  if (const auto found = modules_.find(index); found != modules_.end()) return &found->second;
  if (!ids_) {
    ids_ = std::make_unique<IndexedRecords>(msf_.Stream(kIdStream));
    if (const auto names = NamedStream(msf_.Stream(kInfoStream), "/names"))
      string_table_ = msf_.Stream(*names);
  }
  const ModuleInfo& info = dbi_.modules()[index];
  const base::Bytes stream = info.stream != 0xffff ? msf_.Stream(info.stream) : base::Bytes{};
  return &modules_.try_emplace(index, dbi_, info, stream, string_table_, *ids_).first->second;
}

const ModuleSymbols* PdbSource::ModuleAt(uint32_t rva) const {
  const auto index = dbi_.ModuleAt(rva);
  return index ? Module(*index) : nullptr;
}

std::optional<Symbol> PdbSource::FindSymbol(std::string_view name) const {
  BuildSymbols();
  if (const auto found = procedures_.find(name); found != procedures_.end()) {
    const ModuleSymbols* module = Module(found->second.module);
    const Procedure* procedure =
        module != nullptr ? module->ProcedureOfRecord(found->second.record) : nullptr;
    if (procedure != nullptr) return FromProcedure(*procedure);
  }
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return symbols_[found->second];
}

std::optional<Symbol> PdbSource::SymbolAt(uint32_t rva) const {
  if (const ModuleSymbols* module = ModuleAt(rva)) {
    if (const Procedure* procedure = module->ProcedureAt(rva)) return FromProcedure(*procedure);
  }
  BuildSymbols();
  const auto next = std::ranges::upper_bound(symbols_, rva, {}, &Symbol::rva);
  if (next == symbols_.begin()) return std::nullopt;
  const uint32_t address = std::prev(next)->rva;
  if (dbi_.SectionAt(address) != dbi_.SectionAt(rva)) return std::nullopt;
  return *std::ranges::lower_bound(symbols_, address, {}, &Symbol::rva);
}

void PdbSource::ForEachSymbol(const std::function<bool(const Symbol&)>& visit) const {
  BuildSymbols();
  if (all_.empty()) {
    all_ = symbols_;
    for (uint32_t i = 0; i < dbi_.modules().size(); ++i) {
      for (const Procedure& procedure : Module(i)->procedures()) all_.push_back(FromProcedure(procedure));
    }
    // A function's own record (with a size) and its public say the same: keep the first.
    std::ranges::sort(all_, [](const Symbol& a, const Symbol& b) {
      return std::tuple(a.rva, a.name, a.size == 0) < std::tuple(b.rva, b.name, b.size == 0);
    });
    const auto same = [](const Symbol& a, const Symbol& b) { return a.rva == b.rva && a.name == b.name; };
    const auto rest = std::ranges::unique(all_, same);
    all_.erase(rest.begin(), rest.end());
  }
  for (const Symbol& symbol : all_) {
    if (!visit(symbol)) return;
  }
}

base::Result<std::unique_ptr<PdbSource>> Make(base::Bytes file, std::string name) {
  Msf msf = TRY_WRAP(name, Msf::Parse(file));
  Dbi dbi = TRY_WRAP(name, Dbi::Parse(msf));
  const formats::DebugId id = TRY_WRAP(name, IdOf(msf, dbi));
  return std::make_unique<PdbSource>(std::move(msf), std::move(dbi), id, std::move(name));
}

}  // namespace

base::Result<formats::DebugId> ReadId(base::Bytes file) {
  const Msf msf = TRY(Msf::Parse(file));
  const Dbi dbi = TRY(Dbi::Parse(msf));
  return IdOf(msf, dbi);
}

base::Result<std::unique_ptr<symbols::Source>> Open(const std::string& path) {
  base::MappedFile file = TRY(base::MappedFile::Open(path));
  auto source = TRY(Make(file.bytes(), path));
  source->Own(std::move(file));
  return std::unique_ptr<symbols::Source>(std::move(source));
}

base::Result<std::unique_ptr<symbols::Source>> OpenBytes(base::Bytes file, std::string name) {
  return std::unique_ptr<symbols::Source>(TRY(Make(file, std::move(name))));
}

}  // namespace pdb
