#include "formats/pdb/module_symbols.h"

#include <algorithm>

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

}  // namespace pdb
