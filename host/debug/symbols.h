// Names, types and lines of all modules of a target. Symbol files are opened when a module is first asked
// about.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "debug/memory.h"
#include "debug/module.h"
#include "debug/type.h"

namespace debug {

// A symbol of one module, at an address of the target.
struct ResolvedSymbol {
  const Module* module = nullptr;
  std::string name;  // "KeBugCheckEx"
  uint64_t address = 0;
  uint64_t size = 0;  // 0 = not known
  symbols::SymbolKind kind = symbols::SymbolKind::kPublic;
  Type type;
  uint64_t displacement = 0;  // of the address asked for
  std::string FullName() const { return module->name + "!" + name; }
};

struct ResolvedLine {
  std::string file;
  uint32_t line = 0;
  uint64_t address = 0;  // where the line's code begins
  uint64_t displacement = 0;
};

class Symbols {
 public:
  Symbols(const VirtualMemory& memory, SymbolPath path);

  // ---- Modules, by ascending base; the vector's elements never move once added ----
  const std::vector<std::unique_ptr<Module>>& modules() const { return modules_; }
  Module* AddModule(Module module);
  Module* ModuleAt(uint64_t address) const;
  // The driver that lay there before it was unloaded; null where a loaded one lies.
  const Module* UnloadedModuleAt(uint64_t address) const;
  Module* ModuleNamed(std::string_view name) const;  // "nt", "TestDriver", "TestDriver.sys"; ignores case
  // Opens the module's symbols if that was not tried yet. Never fails: see symbol_state and symbol_message.
  const symbols::Source* Load(Module& module) const;
  // Forgets what was loaded and tries again (.reload /f).
  void Reload(Module& module);
  const SymbolPath& path() const { return path_; }
  void SetPath(SymbolPath path) { path_ = std::move(path); }

  // ---- Symbols ----
  // "nt!KeBugCheckEx", or "KeBugCheckEx" (the kernel first, then modules whose symbols are loaded, then the
  // others).
  base::Result<ResolvedSymbol> Find(std::string_view name) const;
  base::Result<uint64_t> AddressOf(std::string_view name) const;
  // The symbol at or before `address`, in the module that contains it.
  std::optional<ResolvedSymbol> At(uint64_t address) const;
  // "nt!KeBugCheckEx+0x1c", "TestDriver+0x1234" (no symbol), "0xffff..." (no module).
  std::string Describe(uint64_t address) const;
  // "MODULE!PATTERN" with * and ?, ignoring case. Sorted by address; at most `limit`.
  base::Result<std::vector<ResolvedSymbol>> Match(std::string_view pattern, size_t limit = 100000) const;
  std::optional<ResolvedLine> LineAt(uint64_t address) const;
  std::vector<symbols::InlineFrame> InlineFramesAt(uint64_t address) const;
  std::vector<symbols::Variable> VariablesAt(uint64_t address) const;

  // ---- Types ----
  // "nt!_KTHREAD" or "_KTHREAD" (searched as Find does); a leading underscore may be left out.
  base::Result<Type> FindType(std::string_view name) const;
  // A complete definition of the same name, elsewhere, for a type that is only declared (or cut) here.
  Type Complete(Type type) const;
  Object ObjectAt(Type type, uint64_t address) const { return Object(memory_, type, address); }
  base::Result<Object> ObjectAt(std::string_view type_name, uint64_t address) const;
  // A global variable with its type.
  base::Result<Object> Global(std::string_view name) const;
  // A global scalar's value by symbol name; where the symbols carry no type, `size` bytes are read.
  base::Result<uint64_t> GlobalU64(std::string_view name, unsigned size = 8) const;
  // "KTHREAD_STATE" enumerator -> value, e.g. Enumerator("_KTHREAD_STATE", "Running").
  base::Result<int64_t> Enumerator(std::string_view type_name, std::string_view enumerator) const;

  const VirtualMemory& memory() const { return *memory_; }

 private:
  base::Result<std::shared_ptr<symbols::Source>> LoadExports(const Module& module) const;
  void ReadCodeView(Module& module) const;

  const VirtualMemory* memory_;
  SymbolPath path_;
  std::vector<std::unique_ptr<Module>> modules_;
};

}  // namespace debug
