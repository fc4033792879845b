#include "debug/disassembler.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <mutex>

#include <llvm/MC/MCAsmInfo.h>
#include <llvm/MC/MCContext.h>
#include <llvm/MC/MCDisassembler/MCDisassembler.h>
#include <llvm/MC/MCInst.h>
#include <llvm/MC/MCInstPrinter.h>
#include <llvm/MC/MCInstrAnalysis.h>
#include <llvm/MC/MCInstrDesc.h>
#include <llvm/MC/MCInstrInfo.h>
#include <llvm/MC/MCRegisterInfo.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>

namespace debug {

namespace {

constexpr size_t kMaxInstruction = 15;
constexpr unsigned kIntelSyntax = 1;
constexpr const char* kTriple = "x86_64-pc-windows-msvc";

std::string Hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

// The debugger's number: "28h", "0FFh" with a leading zero before a letter, plain below 10.
std::string WindowsNumber(uint64_t value) {
  if (value < 10) return Hex(value);
  std::string digits = Hex(value);
  std::ranges::transform(digits, digits.begin(),
                         [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (std::isdigit(static_cast<unsigned char>(digits[0])) == 0) digits.insert(0, "0");
  return digits + "h";
}

// LLVM prints "rax, qword ptr [rsp + 0x20]"; the debugger "rax,qword ptr [rsp+20h]".
std::string WindowsOperands(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == ' ') {
      const bool beside_sign =
          (!out.empty() &&
           (out.back() == ',' || out.back() == '+' || out.back() == '-' || out.back() == '*')) ||
          (i + 1 < text.size() && (text[i + 1] == '+' || text[i + 1] == '-' || text[i + 1] == '*'));
      if (!beside_sign) out += c;
      ++i;
      continue;
    }
    const bool starts_number =
        std::isdigit(static_cast<unsigned char>(c)) != 0 &&
        (out.empty() || (std::isalnum(static_cast<unsigned char>(out.back())) == 0 && out.back() != '_'));
    if (!starts_number) {
      out += c;
      ++i;
      continue;
    }
    int radix = 10;
    size_t begin = i;
    if (text.substr(i).starts_with("0x")) {
      radix = 16;
      begin += 2;
    }
    uint64_t value = 0;
    const auto result = std::from_chars(text.data() + begin, text.data() + text.size(), value, radix);
    if (result.ec != std::errc()) {
      out += c;
      ++i;
      continue;
    }
    out += WindowsNumber(value);
    i = static_cast<size_t>(result.ptr - text.data());
  }
  return out;
}

}  // namespace

struct Disassembler::Impl {
  explicit Impl(const Symbols& symbols);
  base::Result<Instruction> Decode(uint64_t address);
  void Print(const llvm::MCInst& inst, Instruction& out);
  void NameTargets(const llvm::MCInst& inst, Instruction& out);

  const Symbols& symbols;
  std::unique_ptr<llvm::MCRegisterInfo> registers;
  std::unique_ptr<llvm::MCAsmInfo> assembler;
  std::unique_ptr<llvm::MCInstrInfo> instructions;
  std::unique_ptr<llvm::MCInstrAnalysis> analysis;
  std::unique_ptr<llvm::MCSubtargetInfo> subtarget;
  std::unique_ptr<llvm::MCContext> context;
  std::unique_ptr<llvm::MCDisassembler> decoder;
  std::unique_ptr<llvm::MCInstPrinter> printer;
};

Disassembler::Impl::Impl(const Symbols& s) : symbols(s) {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86Disassembler();
  });
  std::string error;
  const llvm::Target* target = llvm::TargetRegistry::lookupTarget(kTriple, error);
  registers.reset(target->createMCRegInfo(kTriple));
  llvm::MCTargetOptions options;
  assembler.reset(target->createMCAsmInfo(*registers, kTriple, options));
  instructions.reset(target->createMCInstrInfo());
  analysis.reset(target->createMCInstrAnalysis(instructions.get()));
  subtarget.reset(target->createMCSubtargetInfo(kTriple, "x86-64-v4", ""));
  context = std::make_unique<llvm::MCContext>(llvm::Triple(kTriple), assembler.get(), registers.get(),
                                              subtarget.get());
  decoder.reset(target->createMCDisassembler(*subtarget, *context));
  printer.reset(target->createMCInstPrinter(llvm::Triple(kTriple), kIntelSyntax, *assembler, *instructions,
                                            *registers));
  printer->setPrintBranchImmAsAddress(true);
  printer->setPrintImmHex(true);
}

void Disassembler::Impl::Print(const llvm::MCInst& inst, Instruction& out) {
  std::string text;
  llvm::raw_string_ostream stream(text);
  printer->printInst(&inst, out.address, "", *subtarget, stream);
  std::string_view view = text;
  while (!view.empty() && (view.front() == '\t' || view.front() == ' ')) view.remove_prefix(1);
  if (const size_t comment = view.find(" #"); comment != view.npos) view = view.substr(0, comment);
  const size_t end = view.find_first_of("\t ");
  std::string mnemonic(view.substr(0, end));
  view = end == view.npos ? std::string_view() : view.substr(end + 1);
  // A prefix is printed as a word of its own.
  while (mnemonic == "lock" || mnemonic == "rep" || mnemonic == "repne" || mnemonic == "notrack") {
    while (!view.empty() && (view.front() == '\t' || view.front() == ' ')) view.remove_prefix(1);
    const size_t next = view.find_first_of("\t ");
    if (view.empty()) break;
    if (!out.mnemonic.empty()) out.mnemonic += ' ';
    out.mnemonic += mnemonic;
    mnemonic = std::string(view.substr(0, next));
    view = next == view.npos ? std::string_view() : view.substr(next + 1);
  }
  if (!out.mnemonic.empty()) out.mnemonic += ' ';
  out.mnemonic += mnemonic;
  while (!view.empty() && (view.front() == '\t' || view.front() == ' ')) view.remove_prefix(1);
  out.operands = WindowsOperands(view);
}

void Disassembler::Impl::NameTargets(const llvm::MCInst& inst, Instruction& out) {
  const llvm::MCInstrDesc& description = instructions->get(inst.getOpcode());
  out.is_call = description.isCall();
  out.is_return = description.isReturn();
  out.is_branch = description.isBranch();
  const uint64_t size = out.bytes.size();
  uint64_t target = 0;
  if ((out.is_call || out.is_branch) && analysis->evaluateBranch(inst, out.address, size, target)) {
    out.target = target;
    out.operands = symbols.ModuleAt(target) != nullptr
                       ? symbols.Describe(target) + " (" + FormatAddress(target) + ")"
                       : FormatAddress(target);
    return;
  }
  // [rip+n]: name what lies there.
  const auto memory = analysis->evaluateMemoryOperandAddress(inst, subtarget.get(), out.address, size);
  const size_t open = out.operands.find("[rip");
  const size_t close = out.operands.find(']', open == out.operands.npos ? 0 : open);
  if (!memory || open == out.operands.npos || close == out.operands.npos) return;
  const std::string name = symbols.ModuleAt(*memory) != nullptr ? symbols.Describe(*memory) + " " : "";
  out.operands.replace(open, close - open + 1, "[" + name + "(" + FormatAddress(*memory) + ")]");
}

base::Result<Instruction> Disassembler::Impl::Decode(uint64_t address) {
  std::array<uint8_t, kMaxInstruction> code;
  const uint64_t available = symbols.memory().ReadUpTo(address, std::as_writable_bytes(std::span(code)));
  if (available == 0) return base::Fail("memory at " + FormatAddress(address) + " is not readable");
  Instruction out;
  out.address = address;
  uint64_t used = 0;
  // `lock` and its like come as instructions of their own: join them with what follows.
  for (bool is_prefix = true; is_prefix && used < available;) {
    llvm::MCInst inst;
    uint64_t size = 0;
    const llvm::ArrayRef<uint8_t> rest(code.data() + used, available - used);
    const auto status = decoder->getInstruction(inst, size, rest, address + used, llvm::nulls());
    if (status == llvm::MCDisassembler::Fail || size == 0) {
      out.valid = false;
      break;
    }
    std::string text;
    Instruction part;
    part.address = address + used;
    part.bytes.assign(code.begin() + static_cast<long>(used), code.begin() + static_cast<long>(used + size));
    Print(inst, part);
    NameTargets(inst, part);
    is_prefix = part.operands.empty() && (part.mnemonic == "lock" || part.mnemonic == "rep" ||
                                          part.mnemonic == "repne" || part.mnemonic == "data16");
    out.mnemonic += (out.mnemonic.empty() ? "" : " ") + part.mnemonic;
    out.operands = part.operands;
    out.is_call = part.is_call;
    out.is_branch = part.is_branch;
    out.is_return = part.is_return;
    out.target = part.target;
    used += size;
  }
  if (!out.valid) {
    used = 1;
    out.mnemonic = "???";
    out.operands.clear();
    out.is_call = out.is_branch = out.is_return = false;
    out.target = 0;
  }
  out.bytes.assign(code.begin(), code.begin() + static_cast<long>(used));
  return out;
}

Disassembler::Disassembler(const Symbols& symbols) : impl_(std::make_unique<Impl>(symbols)) {}
Disassembler::~Disassembler() = default;

base::Result<Instruction> Disassembler::Decode(uint64_t address) const {
  return impl_->Decode(address);
}

base::Result<std::vector<Instruction>> Disassembler::Forward(uint64_t address, size_t count) const {
  std::vector<Instruction> all;
  while (all.size() < count) {
    auto instruction = impl_->Decode(address);
    if (!instruction) {
      if (all.empty()) return tl::make_unexpected(instruction.error());
      break;
    }
    address += instruction->bytes.size();
    all.push_back(std::move(*instruction));
  }
  return all;
}

base::Result<std::vector<Instruction>> Disassembler::Backward(uint64_t address, size_t count) const {
  constexpr uint64_t kMaxDistance = 0x10000;
  const auto symbol = impl_->symbols.At(address == 0 ? 0 : address - 1);
  uint64_t start =
      symbol && address - symbol->address <= kMaxDistance ? symbol->address : address - 16 * count;
  std::vector<Instruction> all;
  while (start < address) {
    auto instruction = impl_->Decode(start);
    if (!instruction) return tl::make_unexpected(instruction.error());
    start += instruction->bytes.size();
    all.push_back(std::move(*instruction));
  }
  if (all.size() > count) all.erase(all.begin(), all.end() - static_cast<long>(count));
  return all;
}

std::string Disassembler::FormatLine(const Instruction& instruction) {
  std::string line = FormatAddress(instruction.address) + " ";
  std::string bytes;
  for (const uint8_t byte : instruction.bytes) {
    char text[3];
    std::snprintf(text, sizeof text, "%02x", byte);
    bytes += text;
  }
  bytes.resize(std::max<size_t>(bytes.size() + 1, 16), ' ');
  line += bytes + instruction.mnemonic;
  if (instruction.operands.empty()) return line;
  line.append(instruction.mnemonic.size() < 8 ? 8 - instruction.mnemonic.size() : 1, ' ');
  return line + instruction.operands;
}

}  // namespace debug
