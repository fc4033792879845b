#include "debug/symbols.h"

#include <algorithm>
#include <cctype>

#include "debug/export_symbols.h"
#include "formats/pdb/pdb_file.h"

namespace debug {

namespace {

constexpr uint64_t kMaxExportImage = 64ull << 20;

char Lower(char c) {
  return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
}

bool EqualIgnoringCase(std::string_view a, std::string_view b) {
  return std::ranges::equal(a, b, {}, Lower, Lower);
}

// * and ?, ignoring case; linear in the text for each star.
bool Glob(std::string_view pattern, std::string_view text) {
  size_t p = 0, t = 0, star = pattern.npos, star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || Lower(pattern[p]) == Lower(text[t]))) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string Hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%llx", static_cast<unsigned long long>(value));
  return text;
}

// "nt!Name" -> {"nt", "Name"}; without '!' the module is empty.
std::pair<std::string_view, std::string_view> SplitModule(std::string_view name) {
  const size_t mark = name.find('!');
  if (mark == name.npos) return {{}, name};
  return {name.substr(0, mark), name.substr(mark + 1)};
}

}  // namespace

Symbols::Symbols(const VirtualMemory& memory, SymbolPath path) : memory_(&memory), path_(std::move(path)) {}

Module* Symbols::AddModule(Module module) {
  auto owned = std::make_unique<Module>(std::move(module));
  Module* result = owned.get();
  const auto at = std::ranges::upper_bound(modules_, result->base, {}, [](const auto& m) { return m->base; });
  modules_.insert(at, std::move(owned));
  return result;
}

Module* Symbols::ModuleAt(uint64_t address) const {
  auto next = std::ranges::upper_bound(modules_, address, {}, [](const auto& m) { return m->base; });
  while (next != modules_.begin()) {
    --next;
    if ((*next)->Contains(address)) return next->get();
    if (!(*next)->unloaded) break;
  }
  return nullptr;
}

const Module* Symbols::UnloadedModuleAt(uint64_t address) const {
  if (ModuleAt(address) != nullptr) return nullptr;
  for (const auto& module : modules_) {
    if (module->unloaded && address >= module->base && address - module->base < module->size)
      return module.get();
  }
  return nullptr;
}

Module* Symbols::ModuleNamed(std::string_view name) const {
  for (const auto& module : modules_) {
    if (!module->unloaded && EqualIgnoringCase(module->name, name)) return module.get();
  }
  for (const auto& module : modules_) {
    if (!module->unloaded && EqualIgnoringCase(module->image_name, name)) return module.get();
  }
  return nullptr;
}

void Symbols::ReadCodeView(Module& module) const {
  if (module.code_view) return;
  std::vector<std::byte> page(kPageSize);
  memory_->ReadSparse(module.base, page);
  const auto headers = pe::ParseHeaders(page);
  if (!headers) {
    module.symbol_message = "its PE header is not in memory (" + headers.error().message + ")";
    return;
  }
  const pe::DataDirectory& directory = headers->directory(pe::Directory::kDebug);
  for (uint32_t i = 0; i < std::min<uint32_t>(directory.size / 28, 32); ++i) {
    const uint64_t entry = module.base + directory.rva + 28ull * i;
    const auto type = memory_->Get<uint32_t>(entry + 12);
    const auto size = memory_->Get<uint32_t>(entry + 16);
    const auto rva = memory_->Get<uint32_t>(entry + 20);
    if (!type || !size || !rva || *type != 2) continue;
    std::vector<std::byte> record(std::min<uint32_t>(*size, 1024));
    memory_->ReadSparse(module.base + *rva, record);
    if (auto view = pe::ParseCodeView(record)) {
      module.code_view = std::move(*view);
      return;
    }
  }
  module.symbol_message = "no RSDS debug record in memory";
}

base::Result<std::shared_ptr<symbols::Source>> Symbols::LoadExports(const Module& module) const {
  if (module.size > kMaxExportImage) return base::Fail("the image is too large");
  std::vector<std::byte> image(module.size);
  memory_->ReadSparse(module.base, image);
  const pe::Image parsed = TRY(pe::Image::Parse(image, pe::Layout::kMapped));
  const auto exports = TRY(parsed.Exports());
  if (exports.empty()) return base::Fail("no exports");
  return MakeExportSource(exports, module.image_name);
}

const symbols::Source* Symbols::Load(Module& module) const {
  if (module.symbol_state != SymbolState::kDeferred) return module.symbols.get();
  module.symbol_state = SymbolState::kNone;
  if (module.unloaded) return nullptr;
  ReadCodeView(module);
  if (module.code_view) {
    auto found = path_.Find(module.code_view->PdbName(), module.code_view->id);
    if (found) {
      module.symbol_state = found->is_isf ? SymbolState::kIsf : SymbolState::kPdb;
      module.symbols = std::move(found->source);
      module.symbol_message =
          found->refused.empty() ? found->path : found->path + " (" + found->refused + ")";
      return module.symbols.get();
    }
    module.symbol_message = found.error().message;
  }
  if (auto exports = LoadExports(module)) {
    module.symbol_state = SymbolState::kExports;
    module.symbols = std::move(*exports);
  }
  return module.symbols.get();
}

void Symbols::Reload(Module& module) {
  module.symbol_state = SymbolState::kDeferred;
  module.symbols.reset();
  module.symbol_message.clear();
}

base::Result<ResolvedSymbol> Symbols::Find(std::string_view name) const {
  const auto resolve = [&](Module& module, std::string_view bare) -> std::optional<ResolvedSymbol> {
    const symbols::Source* source = Load(module);
    const auto symbol = source != nullptr ? source->FindSymbol(bare) : std::nullopt;
    if (!symbol) return std::nullopt;
    return ResolvedSymbol{&module,
                          std::string(symbol->name),
                          module.base + symbol->rva,
                          symbol->size,
                          symbol->kind,
                          Type(source, symbol->type),
                          0};
  };
  const auto [module_name, bare] = SplitModule(name);
  if (!module_name.empty()) {
    Module* module = ModuleNamed(module_name);
    if (module == nullptr) return base::Fail("no module named " + std::string(module_name));
    if (auto symbol = resolve(*module, bare)) return *symbol;
    return base::Fail(
        "no symbol " + std::string(name) +
        (module->symbol_state == SymbolState::kNone ? " (" + module->symbol_message + ")" : ""));
  }
  Module* kernel = ModuleNamed("nt");
  if (kernel != nullptr) {
    if (auto symbol = resolve(*kernel, bare)) return *symbol;
  }
  for (const bool loaded : {true, false}) {
    for (const auto& module : modules_) {
      if (module.get() == kernel || (module->symbol_state != SymbolState::kDeferred) != loaded) continue;
      if (auto symbol = resolve(*module, bare)) return *symbol;
    }
  }
  return base::Fail("no symbol " + std::string(name));
}

base::Result<uint64_t> Symbols::AddressOf(std::string_view name) const {
  return TRY(Find(name)).address;
}

std::optional<ResolvedSymbol> Symbols::At(uint64_t address) const {
  Module* module = ModuleAt(address);
  const symbols::Source* source = module != nullptr ? Load(*module) : nullptr;
  if (source == nullptr) return std::nullopt;
  const auto symbol = source->SymbolAt(static_cast<uint32_t>(address - module->base));
  if (!symbol) return std::nullopt;
  const uint64_t start = module->base + symbol->rva;
  return ResolvedSymbol{module,       std::string(symbol->name),  start,          symbol->size,
                        symbol->kind, Type(source, symbol->type), address - start};
}

std::string Symbols::Describe(uint64_t address) const {
  if (const auto symbol = At(address)) {
    return symbol->displacement == 0 ? symbol->FullName()
                                     : symbol->FullName() + "+" + Hex(symbol->displacement);
  }
  if (const Module* module = ModuleAt(address)) {
    return address == module->base ? module->name : module->name + "+" + Hex(address - module->base);
  }
  if (const Module* module = UnloadedModuleAt(address))
    return "<Unloaded_" + module->image_name + ">+" + Hex(address - module->base);
  return Hex(address);
}

base::Result<std::vector<ResolvedSymbol>> Symbols::Match(std::string_view pattern, size_t limit) const {
  auto [module_pattern, symbol_pattern] = SplitModule(pattern);
  std::vector<ResolvedSymbol> matches;
  bool any_module = false;
  for (const auto& module : modules_) {
    if (module->unloaded || !Glob(module_pattern.empty() ? "nt" : module_pattern, module->name)) continue;
    any_module = true;
    const symbols::Source* source = Load(*module);
    if (source == nullptr) continue;
    source->ForEachSymbol([&](const symbols::Symbol& symbol) {
      if (Glob(symbol_pattern, symbol.name)) {
        matches.push_back({module.get(), std::string(symbol.name), module->base + symbol.rva, symbol.size,
                           symbol.kind, Type(source, symbol.type), 0});
      }
      return matches.size() < limit;
    });
  }
  if (!any_module) return base::Fail("no module named " + std::string(module_pattern));
  return matches;
}

std::optional<ResolvedLine> Symbols::LineAt(uint64_t address) const {
  Module* module = ModuleAt(address);
  const symbols::Source* source = module != nullptr ? Load(*module) : nullptr;
  const auto line =
      source != nullptr ? source->LineAt(static_cast<uint32_t>(address - module->base)) : std::nullopt;
  if (!line) return std::nullopt;
  const uint64_t start = module->base + line->rva;
  return ResolvedLine{std::string(line->file), line->line, start, address - start};
}

std::vector<symbols::InlineFrame> Symbols::InlineFramesAt(uint64_t address) const {
  Module* module = ModuleAt(address);
  const symbols::Source* source = module != nullptr ? Load(*module) : nullptr;
  if (source == nullptr) return {};
  return source->InlineFramesAt(static_cast<uint32_t>(address - module->base));
}

std::vector<symbols::Variable> Symbols::VariablesAt(uint64_t address) const {
  Module* module = ModuleAt(address);
  const symbols::Source* source = module != nullptr ? Load(*module) : nullptr;
  if (source == nullptr) return {};
  return source->VariablesAt(static_cast<uint32_t>(address - module->base));
}

base::Result<Type> Symbols::FindType(std::string_view name) const {
  const auto [module_name, bare] = SplitModule(name);
  const std::string underscored = "_" + std::string(bare);
  const auto look = [&](Module& module) -> Type {
    const symbols::Source* source = Load(module);
    if (source == nullptr) return Type();
    symbols::TypeId id = source->FindType(bare);
    if (id == symbols::kNoType || source->GetType(id).is_forward) {
      if (const auto other = source->FindType(underscored); other != symbols::kNoType) id = other;
    }
    return id != symbols::kNoType ? Type(source, id) : Type();
  };
  if (!module_name.empty()) {
    Module* module = ModuleNamed(module_name);
    if (module == nullptr) return base::Fail("no module named " + std::string(module_name));
    if (const Type type = look(*module); type.valid()) return type;
    return base::Fail("no type " + std::string(name));
  }
  Module* kernel = ModuleNamed("nt");
  if (kernel != nullptr) {
    if (const Type type = look(*kernel); type.valid()) return type;
  }
  for (const auto& module : modules_) {
    if (module.get() == kernel || module->symbol_state == SymbolState::kDeferred) continue;
    if (const Type type = look(*module); type.valid()) return type;
  }
  std::string why;
  if (kernel != nullptr && kernel->symbol_state != SymbolState::kPdb &&
      kernel->symbol_state != SymbolState::kIsf) {
    why = ": nt has no type information: " + kernel->symbol_message;
  }
  return base::Fail("no type " + std::string(name) + why);
}

Type Symbols::Complete(Type type) const {
  const symbols::Type info = type.info();
  if (!info.is_forward) return type;
  const auto found = FindType(info.name);
  return found ? *found : type;
}

base::Result<Object> Symbols::ObjectAt(std::string_view type_name, uint64_t address) const {
  return Object(memory_, TRY(FindType(type_name)), address);
}

base::Result<Object> Symbols::Global(std::string_view name) const {
  const ResolvedSymbol symbol = TRY(Find(name));
  if (!symbol.type.valid()) return base::Fail(std::string(name) + " has no type in its symbols");
  return Object(memory_, symbol.type, symbol.address);
}

base::Result<uint64_t> Symbols::GlobalU64(std::string_view name, unsigned size) const {
  const ResolvedSymbol symbol = TRY(Find(name));
  const uint64_t typed = symbol.type.valid() ? symbol.type.size() : 0;
  const uint64_t bytes = typed >= 1 && typed <= 8 ? typed : std::min(size, 8u);
  uint64_t value = 0;
  TRY(memory_->Read(symbol.address, std::as_writable_bytes(std::span(&value, 1)).first(bytes)));
  return value;
}

base::Result<int64_t> Symbols::Enumerator(std::string_view type_name, std::string_view enumerator) const {
  const Type type = TRY(FindType(type_name));
  const auto& all = type.source().Enumerators(type.id());
  const auto found = std::ranges::find(all, enumerator, &symbols::Enumerator::name);
  if (found == all.end())
    return base::Fail(std::string(type_name) + " has no value " + std::string(enumerator));
  return found->value;
}

}  // namespace debug
