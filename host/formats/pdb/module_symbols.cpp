#include "formats/pdb/module_symbols.h"

#include <algorithm>
#include <functional>
#include <iterator>

namespace pdb {

using symbols::InlineFrame;
using symbols::SourceLine;

namespace {

constexpr uint32_t kDebugLines = 0xf2, kDebugFileChecksums = 0xf4, kDebugInlineeLines = 0xf6;
constexpr uint32_t kNeverStepInto = 0xf00000;  // line numbers from here on are marks, not lines

bool IsProcedure(uint16_t kind) {
  return kind == S_GPROC32 || kind == S_LPROC32 || kind == S_GPROC32_ID || kind == S_LPROC32_ID;
}

// Compressed integers of binary annotations.
uint32_t CompressedUnsigned(Cursor& c) {
  const uint8_t first = c.Get<uint8_t>();
  if ((first & 0x80) == 0) return first;
  const uint8_t second = c.Get<uint8_t>();
  if ((first & 0xc0) == 0x80) return (first & 0x3fu) << 8 | second;
  const uint8_t third = c.Get<uint8_t>();
  const uint8_t fourth = c.Get<uint8_t>();
  return (first & 0x1fu) << 24 | uint32_t{second} << 16 | uint32_t{third} << 8 | fourth;
}
int32_t DecodeSigned(uint32_t value) {
  const int32_t magnitude = static_cast<int32_t>(value >> 1);
  return (value & 1) != 0 ? -magnitude : magnitude;
}

// The state machine of an inline site: code ranges with file and line.
struct InlineWalker {
  uint32_t code_base = 0;
  uint32_t offset = 0;
  uint32_t file = 0;
  int64_t line = 0;
  // The range that began last and has no end yet.
  bool open = false;
  uint32_t open_at = 0;
  int64_t open_line = 0;
  uint32_t open_file = 0;

  uint32_t wanted;
  bool found = false;
  int64_t found_line = 0;
  uint32_t found_file = 0;

  void Close(uint32_t end) {
    if (open && wanted >= open_at && wanted < end) {
      found = true;
      found_line = open_line;
      found_file = open_file;
    }
    open = false;
  }
  void Begin() {
    Close(code_base + offset);
    open = true;
    open_at = code_base + offset;
    open_line = line;
    open_file = file;
  }
  void Step(uint32_t opcode, Cursor& c);
};

void InlineWalker::Step(uint32_t opcode, Cursor& c) {
  enum {
    kCodeOffset = 1,
    kCodeOffsetBase,
    kChangeCodeOffset,
    kCodeLength,
    kFile,
    kLineOffset,
    kLineEnd,
    kRangeKind,
    kColumnStart,
    kColumnEndDelta,
    kCodeAndLine,
    kLengthAndCode,
    kColumnEnd
  };
  switch (opcode) {
    case kCodeOffset:
      offset = CompressedUnsigned(c);
      break;
    case kCodeOffsetBase:
      code_base = CompressedUnsigned(c);
      break;
    case kChangeCodeOffset:
      offset += CompressedUnsigned(c);
      Begin();
      break;
    case kCodeLength:
      Close(open_at + CompressedUnsigned(c));
      break;
    case kFile:
      file = CompressedUnsigned(c);
      break;
    case kLineOffset:
      line += DecodeSigned(CompressedUnsigned(c));
      break;
    case kCodeAndLine: {
      const uint32_t value = CompressedUnsigned(c);
      line += DecodeSigned(value >> 4);
      offset += value & 0xf;
      Begin();
      break;
    }
    case kLengthAndCode: {
      const uint32_t length = CompressedUnsigned(c);
      offset += CompressedUnsigned(c);
      Begin();
      Close(open_at + length);
      break;
    }
    case kLineEnd:
    case kRangeKind:
    case kColumnStart:
    case kColumnEndDelta:
    case kColumnEnd:
      CompressedUnsigned(c);
      break;
    default:
      c.Skip(UINT64_MAX);
      break;  // unknown: stop
  }
}

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

}  // namespace

ModuleSymbols::ModuleSymbols(const Dbi& dbi, const ModuleInfo& info, base::Bytes stream, base::Bytes names,
                             const IndexedRecords& ids)
    : dbi_(&dbi), info_(info), stream_(stream), names_(names), ids_(&ids) {
  symbols_ = stream.first(std::min<uint64_t>(info.symbols_size, stream.size()));
  ScanProcedures();
}

void ModuleSymbols::ScanProcedures() {
  for (uint64_t at = 4; const auto record = RecordAt(symbols_, at); at = record->next) {
    if (!IsProcedure(record->kind)) continue;
    Cursor c(record->data);
    Procedure procedure;
    c.Skip(4);
    procedure.end = c.Get<uint32_t>();
    c.Skip(4);
    procedure.size = c.Get<uint32_t>();
    c.Skip(8);
    procedure.type = c.Get<uint32_t>();
    const uint32_t offset = c.Get<uint32_t>();
    const auto rva = dbi_->Rva(c.Get<uint16_t>(), offset);
    c.Skip(1);
    procedure.name = c.Name();
    procedure.record = at;
    if (!c.ok() || !rva) continue;
    procedure.rva = *rva;
    procedures_.push_back(procedure);
  }
  std::ranges::sort(procedures_, {}, &Procedure::rva);
}

const Procedure* ModuleSymbols::ProcedureAt(uint32_t rva) const {
  auto next = std::ranges::upper_bound(procedures_, rva, {}, &Procedure::rva);
  if (next == procedures_.begin()) return nullptr;
  --next;
  return rva - next->rva < next->size ? &*next : nullptr;
}

const Procedure* ModuleSymbols::ProcedureOfRecord(uint64_t offset) const {
  const auto found = std::ranges::find(procedures_, offset, &Procedure::record);
  return found == procedures_.end() ? nullptr : &*found;
}

void ModuleSymbols::ReadSubsections() const {
  if (subsections_read_) return;
  subsections_read_ = true;
  const auto bytes =
      base::SpanReader(stream_).Slice(uint64_t{info_.symbols_size} + info_.c11_size, info_.c13_size);
  if (!bytes) return;
  Cursor c(*bytes);
  while (c.ok() && c.left() >= 8) {
    const uint32_t kind = c.Get<uint32_t>();
    const uint32_t size = c.Get<uint32_t>();
    const auto body = base::SpanReader(*bytes).Slice(c.at(), size);
    if (!body) break;
    if (kind == kDebugLines) ReadLines(*body);
    if (kind == kDebugFileChecksums) checksums_ = *body;
    if (kind == kDebugInlineeLines) ReadInlinees(*body);
    c.Skip(std::min<uint64_t>((uint64_t{size} + 3) & ~3ull, c.left()));
  }
  std::ranges::sort(lines_, {}, &Line::rva);
}

void ModuleSymbols::ReadLines(base::Bytes bytes) const {
  Cursor c(bytes);
  const uint32_t offset = c.Get<uint32_t>();
  const auto start = dbi_->Rva(c.Get<uint16_t>(), offset);
  const bool has_columns = (c.Get<uint16_t>() & 1) != 0;
  const uint32_t code_size = c.Get<uint32_t>();
  if (!c.ok() || !start) return;
  const size_t first = lines_.size();
  while (c.ok() && c.left() >= 12) {
    const uint32_t file = c.Get<uint32_t>();
    const uint32_t count = c.Get<uint32_t>();
    c.Skip(4);  // size of the block
    if (uint64_t{count} * 8 > c.left()) return;
    for (uint32_t i = 0; i < count; ++i) {
      const uint32_t at = c.Get<uint32_t>();
      const uint32_t line = c.Get<uint32_t>() & 0xffffff;
      lines_.push_back({*start + at, *start + code_size, line, file});
    }
    if (has_columns) c.Skip(std::min<uint64_t>(uint64_t{count} * 4, c.left()));
  }
  std::sort(lines_.begin() + first, lines_.end(), [](const Line& a, const Line& b) { return a.rva < b.rva; });
  for (size_t i = first; i + 1 < lines_.size(); ++i) lines_[i].end = lines_[i + 1].rva;
}

void ModuleSymbols::ReadInlinees(base::Bytes bytes) const {
  Cursor c(bytes);
  const bool extended = c.Get<uint32_t>() == 1;
  while (c.ok() && c.left() >= 12) {
    const uint32_t id = c.Get<uint32_t>();
    const uint32_t file = c.Get<uint32_t>();
    const uint32_t line = c.Get<uint32_t>();
    if (extended) c.Skip(std::min<uint64_t>(4ull * c.Get<uint32_t>(), c.left()));
    inlinees_[id] = {file, line};
  }
}

std::string_view ModuleSymbols::FileName(uint32_t checksum_offset) const {
  constexpr uint64_t kNamesHeader = 12;
  const auto offset = base::SpanReader(checksums_).Get<uint32_t>(checksum_offset);
  if (!offset) return {};
  return base::SpanReader(names_).CString(kNamesHeader + *offset).value_or(std::string_view());
}

std::string_view ModuleSymbols::InlineeName(uint32_t id) const {
  const auto record = ids_->At(id);
  if (!record || (record->kind != LF_FUNC_ID && record->kind != LF_MFUNC_ID)) return {};
  Cursor c(record->data);
  c.Skip(8);
  return c.Name();
}

std::optional<SourceLine> ModuleSymbols::LineAt(uint32_t rva) const {
  ReadSubsections();
  auto next = std::ranges::upper_bound(lines_, rva, {}, &Line::rva);
  if (next == lines_.begin()) return std::nullopt;
  --next;
  if (rva >= next->end || next->line == 0 || next->line >= kNeverStepInto) return std::nullopt;
  const std::string_view file = FileName(next->file);
  if (file.empty()) return std::nullopt;
  return SourceLine{file, next->line, next->rva, next->end - next->rva};
}

std::optional<InlineFrame> ModuleSymbols::EvaluateSite(const Record& record, uint32_t function_rva,
                                                       uint32_t rva) const {
  Cursor c(record.data);
  c.Skip(8);  // parent, end
  const uint32_t id = c.Get<uint32_t>();
  if (record.kind == S_INLINESITE2) c.Skip(4);
  const auto inlinee = inlinees_.find(id);
  if (!c.ok() || inlinee == inlinees_.end()) return std::nullopt;
  InlineWalker walker{};
  walker.wanted = rva - function_rva;
  walker.file = inlinee->second.file;
  walker.line = inlinee->second.line;
  while (c.ok() && c.left() != 0) {
    const uint32_t opcode = CompressedUnsigned(c);
    if (opcode == 0) break;
    walker.Step(opcode, c);
  }
  walker.Close(UINT32_MAX);
  if (!walker.found) return std::nullopt;
  return InlineFrame{InlineeName(id), FileName(walker.found_file), static_cast<uint32_t>(walker.found_line)};
}

std::vector<InlineFrame> ModuleSymbols::InlineFramesAt(uint32_t rva) const {
  std::vector<InlineFrame> frames;
  const Procedure* procedure = ProcedureAt(rva);
  if (procedure == nullptr) return frames;
  ReadSubsections();
  for (uint64_t at = procedure->record; const auto record = RecordAt(symbols_, at); at = record->next) {
    if (at >= procedure->end) break;
    if (record->kind != S_INLINESITE && record->kind != S_INLINESITE2) continue;
    // Sites come outermost first.
    if (const auto frame = EvaluateSite(*record, procedure->rva, rva)) frames.push_back(*frame);
  }
  std::ranges::reverse(frames);
  return frames;
}

// The rest of a S_DEFRANGE record: start, section, length, gaps {start, length}.
bool ModuleSymbols::Covers(Cursor& c, uint32_t rva) const {
  const uint32_t offset = c.Get<uint32_t>();
  const auto start = dbi_->Rva(c.Get<uint16_t>(), offset);
  const uint16_t length = c.Get<uint16_t>();
  if (!c.ok() || !start || rva < *start || rva - *start >= length) return false;
  while (c.left() >= 4) {
    const uint16_t gap = c.Get<uint16_t>();
    const uint16_t gap_length = c.Get<uint16_t>();
    if (rva - *start >= gap && rva - *start - gap < gap_length) return false;
  }
  return true;
}

std::vector<symbols::Variable> ModuleSymbols::VariablesAt(uint32_t rva) const {
  std::vector<symbols::Variable> variables;
  const Procedure* procedure = ProcedureAt(rva);
  if (procedure == nullptr) return variables;
  std::optional<uint8_t> local_base, parameter_base;
  int inline_depth = 0;
  bool has_local = false;
  const auto locate = [&](symbols::LocationKind kind, uint8_t reg, int32_t offset) {
    if (!has_local || variables.back().kind != symbols::LocationKind::kUnavailable) return;
    variables.back().kind = kind;
    variables.back().reg = reg;
    variables.back().offset = offset;
  };
  for (uint64_t at = procedure->record; const auto record = RecordAt(symbols_, at); at = record->next) {
    if (at >= procedure->end) break;
    Cursor c(record->data);
    switch (record->kind) {
      case S_INLINESITE:
      case S_INLINESITE2:
        ++inline_depth;
        has_local = false;
        break;
      case S_INLINESITE_END:
        --inline_depth;
        break;
      case S_FRAMEPROC: {
        c.Skip(4 * 5 + 2);
        const uint32_t flags = c.Get<uint32_t>();
        local_base = FrameRegister(flags >> 14);
        parameter_base = FrameRegister(flags >> 16);
        break;
      }
      case S_LOCAL: {
        has_local = inline_depth == 0;
        if (!has_local) break;
        symbols::Variable variable;
        variable.type = c.Get<uint32_t>();
        variable.is_parameter = (c.Get<uint16_t>() & 1) != 0;
        variable.name = c.Name();
        has_local = c.ok();
        if (has_local) variables.push_back(variable);
        break;
      }
      case S_REGREL32: {
        if (inline_depth != 0) break;
        symbols::Variable variable;
        variable.offset = c.Get<int32_t>();
        variable.type = c.Get<uint32_t>();
        const auto reg = RegisterNumber(c.Get<uint16_t>());
        variable.name = c.Name();
        if (!c.ok() || !reg) break;
        variable.kind = symbols::LocationKind::kRegisterRelative;
        variable.reg = *reg;
        variable.is_parameter = variable.offset > 0 && variables.empty();
        variables.push_back(variable);
        has_local = false;
        break;
      }
      case S_DEFRANGE_REGISTER: {
        const auto reg = RegisterNumber(c.Get<uint16_t>());
        c.Skip(2);
        if (reg && Covers(c, rva)) locate(symbols::LocationKind::kRegister, *reg, 0);
        break;
      }
      case S_DEFRANGE_FRAMEPOINTER_REL:
      case S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE: {
        const int32_t offset = c.Get<int32_t>();
        const bool covers = record->kind == S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE || Covers(c, rva);
        const auto reg = has_local && variables.back().is_parameter ? parameter_base : local_base;
        if (covers && reg) locate(symbols::LocationKind::kRegisterRelative, *reg, offset);
        break;
      }
      case S_DEFRANGE_REGISTER_REL: {
        const auto reg = RegisterNumber(c.Get<uint16_t>());
        const uint16_t flags = c.Get<uint16_t>();
        const int32_t offset = c.Get<int32_t>();
        const bool whole = (flags & 1) == 0;  // not a spilled piece of an aggregate
        if (reg && whole && Covers(c, rva)) locate(symbols::LocationKind::kRegisterRelative, *reg, offset);
        break;
      }
      default:
        break;
    }
  }
  std::vector<symbols::Variable> ordered;
  std::ranges::copy_if(variables, std::back_inserter(ordered), &symbols::Variable::is_parameter);
  std::ranges::copy_if(variables, std::back_inserter(ordered), std::not_fn(&symbols::Variable::is_parameter));
  return ordered;
}

}  // namespace pdb
