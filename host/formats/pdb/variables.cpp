// Parameters and locals of the functions of one object file.
#include <algorithm>
#include <functional>
#include <iterator>

#include "formats/pdb/module_symbols.h"

namespace pdb {

using symbols::LocationKind;
using symbols::Variable;

namespace {

// CodeView's AMD64 register numbers as the processor's.
std::optional<uint8_t> RegisterNumber(uint16_t reg) {
  static constexpr uint8_t kLegacy[8] = {0, 3, 1, 2, 6, 7, 5, 4};  // rax rbx rcx rdx rsi rdi rbp rsp
  static constexpr uint8_t kEncoded[8] = {0, 1, 2, 3, 4, 5, 6, 7};
  if (reg >= 328 && reg <= 335) return kLegacy[reg - 328];
  if (reg >= 336 && reg <= 343) return static_cast<uint8_t>(reg - 336 + 8);  // r8..r15
  if (reg >= 17 && reg <= 24) return kEncoded[reg - 17];                     // eax..edi
  if (reg >= 9 && reg <= 16) return kEncoded[reg - 9];                       // ax..di
  if (reg >= 1 && reg <= 4) return kEncoded[reg - 1];                        // al cl dl bl
  if (reg >= 324 && reg <= 327) {
    static constexpr uint8_t kByte[4] = {6, 7, 5, 4};  // sil dil bpl spl
    return kByte[reg - 324];
  }
  if (reg >= 344 && reg <= 367) return static_cast<uint8_t>((reg - 344) % 8 + 8);  // r8b.. r8w.. r8d..
  if (reg >= 154 && reg <= 161) return static_cast<uint8_t>(reg - 154 + 16);       // xmm0..7
  if (reg >= 252 && reg <= 259) return static_cast<uint8_t>(reg - 252 + 24);       // xmm8..15
  return std::nullopt;
}

// The frame register that S_FRAMEPROC's flags name: 0 none, 1 rsp, 2 rbp, 3 r13.
std::optional<uint8_t> FrameRegister(uint32_t two_bits) {
  static constexpr uint8_t kRegisters[4] = {0xff, 4, 5, 13};
  const uint8_t reg = kRegisters[two_bits & 3];
  return reg == 0xff ? std::nullopt : std::optional(reg);
}

// Goes over the records of one function and collects its variables, located for one address.
class VariableScan {
 public:
  VariableScan(const Dbi& dbi, uint32_t rva) : dbi_(dbi), rva_(rva) {}
  void Take(const Record& record);
  std::vector<Variable> ParametersFirst() const;

 private:
  void FrameProcedure(Cursor c);
  void Local(Cursor c);
  void RegisterRelative(Cursor c);
  void Range(uint16_t kind, Cursor c);
  bool Covers(Cursor& range_and_gaps) const;
  void Locate(LocationKind kind, std::optional<uint8_t> reg, int32_t offset);

  const Dbi& dbi_;
  uint32_t rva_;
  std::vector<Variable> variables_;
  std::optional<uint8_t> local_base_, parameter_base_;
  uint32_t frame_size_ = 0;
  int inline_depth_ = 0;
  bool has_local_ = false;  // the ranges that follow speak of variables_.back()
};

void VariableScan::Take(const Record& record) {
  const Cursor c(record.data);
  switch (record.kind) {
    case S_INLINESITE:
    case S_INLINESITE2:
      ++inline_depth_;
      has_local_ = false;
      break;
    case S_INLINESITE_END:
      --inline_depth_;
      break;
    case S_FRAMEPROC:
      FrameProcedure(c);
      break;
    case S_LOCAL:
      Local(c);
      break;
    case S_REGREL32:
      RegisterRelative(c);
      break;
    case S_DEFRANGE_REGISTER:
    case S_DEFRANGE_FRAMEPOINTER_REL:
    case S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE:
    case S_DEFRANGE_REGISTER_REL:
      if (has_local_) Range(record.kind, c);
      break;
    default:
      break;
  }
}

void VariableScan::FrameProcedure(Cursor c) {
  frame_size_ = c.Get<uint32_t>();
  c.Skip(4 * 4 + 2);
  const uint32_t flags = c.Get<uint32_t>();
  local_base_ = FrameRegister(flags >> 14);
  parameter_base_ = FrameRegister(flags >> 16);
}

void VariableScan::Local(Cursor c) {
  has_local_ = inline_depth_ == 0;
  if (!has_local_) return;
  Variable variable;
  variable.type = c.Get<uint32_t>();
  variable.is_parameter = (c.Get<uint16_t>() & 1) != 0;
  variable.name = c.Name();
  has_local_ = c.ok();
  if (has_local_) variables_.push_back(variable);
}

void VariableScan::RegisterRelative(Cursor c) {
  has_local_ = false;
  if (inline_depth_ != 0) return;
  Variable variable;
  variable.offset = c.Get<int32_t>();
  variable.type = c.Get<uint32_t>();
  const auto reg = RegisterNumber(c.Get<uint16_t>());
  variable.name = c.Name();
  if (!c.ok() || !reg) return;
  variable.kind = LocationKind::kRegisterRelative;
  variable.reg = *reg;
  // Parameters live in the caller's home area, above the frame.
  constexpr uint8_t kStackPointer = 4;
  variable.is_parameter =
      *reg == kStackPointer && variable.offset > 0 && static_cast<uint32_t>(variable.offset) > frame_size_;
  variables_.push_back(variable);
}

void VariableScan::Range(uint16_t kind, Cursor c) {
  switch (kind) {
    case S_DEFRANGE_REGISTER: {
      const auto reg = RegisterNumber(c.Get<uint16_t>());
      c.Skip(2);
      if (Covers(c)) Locate(LocationKind::kRegister, reg, 0);
      break;
    }
    case S_DEFRANGE_REGISTER_REL: {
      const auto reg = RegisterNumber(c.Get<uint16_t>());
      const bool is_whole = (c.Get<uint16_t>() & 1) == 0;  // not a spilled piece of an aggregate
      const int32_t offset = c.Get<int32_t>();
      if (is_whole && Covers(c)) Locate(LocationKind::kRegisterRelative, reg, offset);
      break;
    }
    default: {
      const int32_t offset = c.Get<int32_t>();
      const auto reg = variables_.back().is_parameter ? parameter_base_ : local_base_;
      if (kind == S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE || Covers(c))
        Locate(LocationKind::kRegisterRelative, reg, offset);
    }
  }
}

// The rest of a S_DEFRANGE record: start, section, length, gaps {start, length}.
bool VariableScan::Covers(Cursor& c) const {
  const uint32_t offset = c.Get<uint32_t>();
  const auto start = dbi_.Rva(c.Get<uint16_t>(), offset);
  const uint16_t length = c.Get<uint16_t>();
  if (!c.ok() || !start || rva_ < *start || rva_ - *start >= length) return false;
  while (c.left() >= 4) {
    const uint16_t gap = c.Get<uint16_t>();
    const uint16_t gap_length = c.Get<uint16_t>();
    if (rva_ - *start >= gap && rva_ - *start - gap < gap_length) return false;
  }
  return true;
}

void VariableScan::Locate(LocationKind kind, std::optional<uint8_t> reg, int32_t offset) {
  Variable& variable = variables_.back();
  if (!reg || variable.kind != LocationKind::kUnavailable) return;
  variable.kind = kind;
  variable.reg = *reg;
  variable.offset = offset;
}

std::vector<Variable> VariableScan::ParametersFirst() const {
  std::vector<Variable> ordered;
  std::ranges::copy_if(variables_, std::back_inserter(ordered), &Variable::is_parameter);
  std::ranges::copy_if(variables_, std::back_inserter(ordered), std::not_fn(&Variable::is_parameter));
  return ordered;
}

}  // namespace

std::vector<Variable> ModuleSymbols::VariablesAt(uint32_t rva) const {
  const Procedure* procedure = ProcedureAt(rva);
  if (procedure == nullptr) return {};
  VariableScan scan(*dbi_, rva);
  for (uint64_t at = procedure->record; const auto record = RecordAt(symbols_, at); at = record->next) {
    if (at >= procedure->end) break;
    scan.Take(*record);
  }
  return scan.ParametersFirst();
}

}  // namespace pdb
