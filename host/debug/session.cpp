#include "debug/session.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>

#include "debug/kernel_search.h"

namespace debug {

std::optional<uint64_t> KernelFacts::KdbgU64(uint32_t offset) const {
  return base::SpanReader(kdbg).Get<uint64_t>(offset);
}

std::optional<uint16_t> KernelFacts::KdbgU16(uint32_t offset) const {
  return base::SpanReader(kdbg).Get<uint16_t>(offset);
}

Session::Session(std::unique_ptr<Target> target, SymbolPath path)
    : target_(std::move(target)), memory_(target_->memory(), target_->header().DirectoryTableBase) {
  memory_.SetBlocks(target_->virtual_blocks());
  if (target_->is_live()) memory_.DisableCache();
  symbols_ = std::make_unique<Symbols>(memory_, std::move(path));
  unwinder_ = std::make_unique<Unwinder>(*symbols_);
}

base::Result<std::unique_ptr<Session>> Session::Open(std::unique_ptr<Target> target,
                                                     const SessionOptions& options) {
  SymbolPath path = TRY(SymbolPath::Parse(options.symbol_path));
  path.AddFolder(options.image_folder);
  if (const char* environment = std::getenv("_NT_SYMBOL_PATH");
      options.use_environment && environment != nullptr) {
    path.Append(TRY_WRAP("_NT_SYMBOL_PATH", SymbolPath::Parse(environment)));
  }
  std::unique_ptr<Session> session(new Session(std::move(target), std::move(path)));
  if (const std::string warning = session->target_->warning(); !warning.empty())
    session->warnings_.push_back(warning);
  TRY(session->FindKernel());
  session->LoadModuleList();
  session->LoadUnloadedModules();
  session->LearnFromSymbols();
  return session;
}

base::Result<void> Session::FindKernel() {
  const kdump::Header64& h = header();
  facts_.loaded_module_list = h.PsLoadedModuleList;
  facts_.active_process_head = h.PsActiveProcessHead;
  FindDebuggerData();
  if (!facts_.kdbg.empty()) facts_.base = facts_.KdbgU64(kdump::KdDebuggerData::kKernBase).value_or(0);
  if (facts_.base == 0) {
    for (const kdump::TriageDriver& driver : target_->triage_drivers()) {
      if (driver.name == "ntoskrnl.exe") facts_.base = driver.base;
    }
  }
  if (facts_.base == 0 || !memory_.Get<uint16_t>(facts_.base)) {
    if (!target_->is_triage()) {
      if (!memory_.Translate(facts_.loaded_module_list).valid) {
        return base::Fail("the kernel's address space is not in the dump: page tables at " +
                          FormatAddress(memory_.directory_table_base()) + " do not map PsLoadedModuleList");
      }
      facts_.base = TRY(FindImageBelow(memory_, facts_.loaded_module_list));
    } else if (facts_.base == 0) {
      return base::Fail("the kernel is not in the dump's list of drivers");
    }
  }
  Module kernel;
  kernel.name = "nt";
  kernel.image_name = "ntoskrnl.exe";
  kernel.base = facts_.base;
  kernel.size = ImageSize(memory_, facts_.base).value_or(0x1800000);
  Module* module = symbols_->AddModule(std::move(kernel));
  if (symbols_->Load(*module);
      module->symbol_state != SymbolState::kPdb && module->symbol_state != SymbolState::kIsf) {
    warnings_.push_back("no symbols for nt: " + module->symbol_message);
  } else if (module->symbol_message.find("MISMATCH") != std::string::npos) {
    warnings_.push_back("symbols for nt: " + module->symbol_message);
  }
  if (facts_.kdbg.empty() && !DecodeDebuggerData()) warnings_.push_back("KDDEBUGGER_DATA64 was not found");
  return {};
}

void Session::FindDebuggerData() {
  const uint64_t address = header().KdDebuggerDataBlock;
  if (auto bytes = ReadDebuggerData(memory_, address)) {
    facts_.debugger_data = address;
    facts_.kdbg = std::move(*bytes);
  }
}

bool Session::DecodeDebuggerData() {
  const auto address = symbols_->AddressOf("nt!KdDebuggerDataBlock");
  if (!address) return false;
  auto plain = ReadDebuggerData(memory_, *address);
  if (!plain) {
    const auto never = symbols_->GlobalU64("nt!KiWaitNever");
    const auto always = symbols_->GlobalU64("nt!KiWaitAlways");
    const auto encoded = symbols_->AddressOf("nt!KdpDataBlockEncoded");
    if (!never || !always || !encoded) return false;
    plain = DecodeDebuggerDataBlock(memory_, *address, {*never, *always, *encoded});
    if (!plain) return false;
    facts_.kdbg_was_encoded = true;
  }
  facts_.debugger_data = *address;
  facts_.kdbg = std::move(*plain);
  return true;
}

void Session::LoadModuleList() {
  for (const kdump::TriageDriver& driver : target_->triage_drivers()) {
    if (driver.base == facts_.base) continue;
    Module module;
    module.image_name = driver.name;
    module.name = ModuleNameOf(driver.name);
    module.base = driver.base;
    module.size = driver.size;
    module.time_date_stamp = driver.time_date_stamp;
    module.checksum = driver.checksum;
    symbols_->AddModule(std::move(module));
  }
  if (target_->is_triage()) return;
  const auto type = symbols_->FindType("nt!_KLDR_DATA_TABLE_ENTRY");
  const auto links = type ? type->OffsetOf("InLoadOrderLinks") : tl::make_unexpected(type.error());
  if (!links) {
    warnings_.push_back("no list of modules: " + links.error().message);
    return;
  }
  const ListWalk walk = WalkList(memory_, facts_.loaded_module_list, 4096);
  if (!walk.damage.empty()) warnings_.push_back("the list of modules is damaged: " + walk.damage);
  for (const uint64_t entry : walk.entries) {
    const Object object(&memory_, *type, entry - *links);
    const auto base = object.U64("DllBase");
    const auto size = object.U64("SizeOfImage");
    if (!base || !size || *base == 0) continue;
    Module module;
    module.base = *base;
    module.size = *size;
    module.loader_entry = object.address();
    module.image_name = object.UnicodeString("BaseDllName").value_or("");
    module.path = object.UnicodeString("FullDllName").value_or("");
    module.name = ModuleNameOf(module.image_name);
    module.entry_point = object.U64("EntryPoint").value_or(0);
    module.time_date_stamp = static_cast<uint32_t>(object.U64("TimeDateStamp").value_or(0));
    module.checksum = static_cast<uint32_t>(object.U64("CheckSum").value_or(0));
    if (*base == facts_.base) {
      Module* kernel = symbols_->ModuleAt(facts_.base);
      module.name = "nt";
      module.code_view = kernel->code_view;
      module.symbol_state = kernel->symbol_state;
      module.symbols = kernel->symbols;
      module.symbol_message = kernel->symbol_message;
      *kernel = std::move(module);
    } else {
      symbols_->AddModule(std::move(module));
    }
  }
}

// Drivers that are gone, newest last; ranges that a loaded image has taken since are left out.
void Session::LoadUnloadedModules() {
  constexpr uint64_t kRemembered = 50;
  const auto table = symbols_->Global("nt!MmUnloadedDrivers");
  const auto first = table ? table->Deref() : tl::make_unexpected(table.error());
  if (!first) return;
  for (uint64_t i = 0; i < kRemembered; ++i) {
    const Object entry = symbols_->ObjectAt(first->type(), first->address() + i * first->type().size());
    const auto start = entry.U64("StartAddress"), end = entry.U64("EndAddress");
    if (!start || !end || *start == 0 || *end <= *start || symbols_->ModuleAt(*start) != nullptr) continue;
    Module module;
    module.base = *start;
    module.size = *end - *start;
    module.image_name = entry.UnicodeString("Name").value_or("");
    module.name = ModuleNameOf(module.image_name);
    module.unloaded = true;
    symbols_->AddModule(std::move(module));
  }
}

void Session::LearnFromSymbols() {
  if (const auto type = symbols_->FindType("nt!_MMPTE_TRANSITION")) {
    const auto transition = type->FindField("Transition");
    const auto prototype = type->FindField("Prototype");
    if (transition && prototype && transition->bit_count == 1 && prototype->bit_count == 1) {
      memory_.SetSoftwarePteBits({1ull << transition->bit_position, 1ull << prototype->bit_position});
    }
  }
  if (!target_->is_live()) crash_processor_ = FindCrashProcessor();
  current_processor_ = crash_processor_;
}

base::Result<VirtualMemory> Session::ProcessMemory(uint64_t process) const {
  const Object object = TRY(symbols_->ObjectAt("nt!_KPROCESS", process));
  VirtualMemory memory(target_->memory(), TRY(object.U64("DirectoryTableBase")));
  memory.SetSoftwarePteBits(memory_.software_pte_bits());
  if (target_->is_live()) memory.DisableCache();
  return memory;
}

base::Result<void> Session::SelectProcessor(uint32_t number) {
  if (number >= processor_count()) {
    return base::Fail("there is no processor " + std::to_string(number) + "; the machine has " +
                      std::to_string(processor_count()));
  }
  current_processor_ = number;
  explicit_thread_.reset();
  explicit_registers_.reset();
  return {};
}

uint64_t Session::current_thread() const {
  if (explicit_thread_) return *explicit_thread_;
  const auto processor = GetProcessor(current_processor_);
  return processor ? processor->current_thread : 0;
}

base::Result<void> Session::SelectThread(uint64_t thread) {
  TRY_WRAP("thread " + FormatAddress(thread), memory_.Get<uint64_t>(thread));
  explicit_thread_ = thread;
  explicit_registers_.reset();
  return {};
}

void Session::ResetSelection() {
  current_processor_ = crash_processor_;
  explicit_thread_.reset();
  explicit_registers_.reset();
}

base::Result<Registers> Session::CurrentRegisters() const {
  if (explicit_registers_) return *explicit_registers_;
  if (explicit_thread_) return ThreadRegisters(*explicit_thread_);
  return ProcessorRegisters(current_processor_);
}

}  // namespace debug
