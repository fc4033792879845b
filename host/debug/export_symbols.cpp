#include "debug/export_symbols.h"

#include <algorithm>

namespace debug {

namespace {

class ExportSource final : public symbols::Source {
 public:
  ExportSource(std::vector<pe::Export> exports, std::string name)
      : exports_(std::move(exports)), name_(std::move(name)) {
    for (const pe::Export& e : exports_) {
      if (e.rva != 0 && !e.name.empty())
        symbols_.push_back({e.name, e.rva, 0, symbols::SymbolKind::kPublic, symbols::kNoType});
    }
    std::ranges::sort(symbols_, [](const auto& a, const auto& b) {
      return std::pair(a.rva, a.name) < std::pair(b.rva, b.name);
    });
  }

  formats::DebugId id() const override { return {}; }
  std::string_view file_name() const override { return name_; }
  symbols::TypeId FindType(std::string_view) const override { return symbols::kNoType; }
  symbols::Type GetType(symbols::TypeId) const override { return {}; }
  const std::vector<symbols::Member>& Members(symbols::TypeId) const override { return no_members_; }
  const std::vector<symbols::Enumerator>& Enumerators(symbols::TypeId) const override {
    return no_enumerators_;
  }
  void ForEachType(const std::function<bool(symbols::TypeId, const symbols::Type&)>&) const override {}

  std::optional<symbols::Symbol> FindSymbol(std::string_view name) const override {
    const auto found = std::ranges::find(symbols_, name, &symbols::Symbol::name);
    return found == symbols_.end() ? std::nullopt : std::optional(*found);
  }
  std::optional<symbols::Symbol> SymbolAt(uint32_t rva) const override {
    const auto next = std::ranges::upper_bound(symbols_, rva, {}, &symbols::Symbol::rva);
    if (next == symbols_.begin()) return std::nullopt;
    return *std::prev(next);
  }
  void ForEachSymbol(const std::function<bool(const symbols::Symbol&)>& visit) const override {
    for (const symbols::Symbol& symbol : symbols_) {
      if (!visit(symbol)) return;
    }
  }

 private:
  std::vector<pe::Export> exports_;
  std::string name_;
  std::vector<symbols::Symbol> symbols_;
  std::vector<symbols::Member> no_members_;
  std::vector<symbols::Enumerator> no_enumerators_;
};

}  // namespace

std::shared_ptr<symbols::Source> MakeExportSource(std::vector<pe::Export> exports, std::string name) {
  return std::make_shared<ExportSource>(std::move(exports), std::move(name));
}

}  // namespace debug
