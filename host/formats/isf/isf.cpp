#include "formats/isf/isf.h"

#include <algorithm>
#include <deque>
#include <unordered_map>

#include <lzma.h>

#include "base/mapped_file.h"
#include "formats/isf/json_reader.h"

namespace isf {

using symbols::Enumerator;
using symbols::kNoType;
using symbols::Member;
using symbols::Symbol;
using symbols::Type;
using symbols::TypeId;
using symbols::TypeKind;

namespace {

constexpr uint64_t kMaxJson = 512ull << 20;
constexpr int kMaxDepth = 32;

base::Result<std::string> Unpack(base::Bytes xz) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, 256ull << 20, 0) != LZMA_OK) return base::Fail("xz: out of memory");
  std::string out;
  out.resize(std::min<uint64_t>(kMaxJson, xz.size() * 12 + 4096));
  stream.next_in = reinterpret_cast<const uint8_t*>(xz.data());
  stream.avail_in = xz.size();
  lzma_ret status = LZMA_OK;
  while (status == LZMA_OK) {
    if (stream.total_out == out.size()) {
      if (out.size() >= kMaxJson) break;
      out.resize(std::min<uint64_t>(kMaxJson, out.size() * 2));
    }
    stream.next_out = reinterpret_cast<uint8_t*>(out.data()) + stream.total_out;
    stream.avail_out = out.size() - stream.total_out;
    status = lzma_code(&stream, LZMA_FINISH);
  }
  out.resize(stream.total_out);
  lzma_end(&stream);
  if (status != LZMA_STREAM_END) return base::Fail("the xz data is damaged, cut off or too large");
  return out;
}

class IsfSource final : public symbols::Source {
 public:
  IsfSource(std::string json, std::string name)
      : json_(std::move(json)), name_(std::move(name)), reader_(json_) {
    types_.emplace_back();  // kNoType
  }
  base::Result<void> Parse();

  formats::DebugId id() const override { return id_; }
  std::string_view file_name() const override { return name_; }
  TypeId FindType(std::string_view name) const override;
  Type GetType(TypeId id) const override { return id < types_.size() ? types_[id].type : Type{}; }
  const std::vector<Member>& Members(TypeId id) const override {
    return types_[id < types_.size() ? id : 0].members;
  }
  const std::vector<Enumerator>& Enumerators(TypeId id) const override {
    return types_[id < types_.size() ? id : 0].enumerators;
  }
  void ForEachType(const std::function<bool(TypeId, const Type&)>& visit) const override;
  std::optional<Symbol> FindSymbol(std::string_view name) const override;
  std::optional<Symbol> SymbolAt(uint32_t rva) const override;
  void ForEachSymbol(const std::function<bool(const Symbol&)>& visit) const override {
    for (const Symbol& symbol : symbols_) {
      if (!visit(symbol)) return;
    }
  }

 private:
  struct Entry {
    Type type;
    std::vector<Member> members;
    std::vector<Enumerator> enumerators;
  };
  using Names = std::unordered_map<std::string_view, TypeId>;
  TypeId Named(Names& names, std::string_view name);
  TypeId Add(Type type);
  TypeId ParseTypeReference(int depth);
  void ParseBaseTypes();
  void ParseEnums();
  void ParseUserTypes();
  void ParseSymbols();
  void ParseMetadata();
  void FinishSizes();
  uint64_t SizeOf(TypeId id, int depth);

  std::string json_;
  std::string name_;
  JsonReader reader_;
  formats::DebugId id_;
  std::deque<Entry> types_;
  Names base_, user_, enums_;
  TypeId pointer_ = kNoType;
  std::vector<Symbol> symbols_;  // sorted by address
  std::unordered_map<std::string_view, uint32_t> by_name_;
};

TypeId IsfSource::Add(Type type) {
  types_.push_back({type, {}, {}});
  return static_cast<TypeId>(types_.size() - 1);
}

// The entry of a named type, made on its first mention.
TypeId IsfSource::Named(Names& names, std::string_view name) {
  const auto [slot, is_new] = names.try_emplace(name, kNoType);
  if (is_new) {
    Type type;
    type.name = name;
    type.is_forward = true;
    type.kind = &names == &enums_ ? TypeKind::kEnum : &names == &user_ ? TypeKind::kStruct : TypeKind::kNone;
    slot->second = Add(type);
  }
  return slot->second;
}

TypeId IsfSource::ParseTypeReference(int depth) {
  std::string_view kind, name;
  TypeId inner = kNoType;
  Type type;
  if (depth > kMaxDepth) {
    reader_.Skip();
    return kNoType;
  }
  reader_.Object([&](std::string_view key) {
    if (key == "kind")
      kind = reader_.String();
    else if (key == "name")
      name = reader_.String();
    else if (key == "subtype" || key == "type")
      inner = ParseTypeReference(depth + 1);
    else if (key == "count")
      type.count = static_cast<uint64_t>(reader_.Integer());
    else if (key == "bit_length")
      type.bit_count = static_cast<uint8_t>(reader_.Integer());
    else if (key == "bit_position")
      type.bit_position = static_cast<uint8_t>(reader_.Integer());
    else
      reader_.Skip();
  });
  if (kind == "base") return Named(base_, name);
  if (kind == "struct" || kind == "union" || kind == "class") return Named(user_, name);
  if (kind == "enum") return Named(enums_, name);
  type.target = inner;
  if (kind == "pointer")
    type.kind = TypeKind::kPointer;
  else if (kind == "array")
    type.kind = TypeKind::kArray;
  else if (kind == "function")
    type.kind = TypeKind::kFunction;
  else if (kind == "bitfield")
    type.kind = TypeKind::kBitField;
  if (type.kind == TypeKind::kBitField && (type.bit_count == 0 || type.bit_count + type.bit_position > 64))
    return kNoType;
  return Add(type);
}

void IsfSource::ParseBaseTypes() {
  reader_.Object([&](std::string_view name) {
    const TypeId id = Named(base_, name);
    Type type;
    std::string_view kind;
    reader_.Object([&](std::string_view key) {
      if (key == "kind")
        kind = reader_.String();
      else if (key == "signed")
        type.is_signed = reader_.Boolean();
      else if (key == "size")
        type.size = static_cast<uint64_t>(reader_.Integer());
      else
        reader_.Skip();
    });
    if (name == "pointer") pointer_ = id;
    if (kind == "void")
      type.kind = TypeKind::kVoid;
    else if (kind == "char" || name == "wchar")
      type.kind = TypeKind::kChar;
    else if (kind == "float")
      type.kind = TypeKind::kFloat;
    else if (kind == "bool")
      type.kind = TypeKind::kBool;
    else
      type.kind = TypeKind::kInteger;
    if (name == "wchar") type.is_signed = false;
    types_[id].type = type;
  });
}

void IsfSource::ParseEnums() {
  reader_.Object([&](std::string_view name) {
    const TypeId id = Named(enums_, name);
    Type type;
    type.kind = TypeKind::kEnum;
    type.name = name;
    std::vector<Enumerator> enumerators;
    reader_.Object([&](std::string_view key) {
      if (key == "base")
        type.target = Named(base_, reader_.String());
      else if (key == "size")
        type.size = static_cast<uint64_t>(reader_.Integer());
      else if (key == "constants") {
        reader_.Object(
            [&](std::string_view constant) { enumerators.push_back({constant, reader_.Integer()}); });
      } else
        reader_.Skip();
    });
    std::ranges::sort(enumerators, {}, &Enumerator::value);
    types_[id].type = type;
    types_[id].enumerators = std::move(enumerators);
  });
}

void IsfSource::ParseUserTypes() {
  reader_.Object([&](std::string_view name) {
    const TypeId id = Named(user_, name);
    Type type;
    type.kind = TypeKind::kStruct;
    type.name = name;
    std::vector<Member> members;
    reader_.Object([&](std::string_view key) {
      if (key == "kind") {
        if (reader_.String() == "union") type.kind = TypeKind::kUnion;
      } else if (key == "size") {
        type.size = static_cast<uint64_t>(reader_.Integer());
      } else if (key == "fields") {
        reader_.Object([&](std::string_view field) {
          Member member;
          member.name = field;
          reader_.Object([&](std::string_view part) {
            if (part == "offset")
              member.offset = static_cast<uint64_t>(reader_.Integer());
            else if (part == "type")
              member.type = ParseTypeReference(0);
            else
              reader_.Skip();
          });
          members.push_back(member);
        });
      } else {
        reader_.Skip();
      }
    });
    // The table is sorted by name; declaration order is by offset and bit.
    std::ranges::sort(members, [&](const Member& a, const Member& b) {
      return std::pair(a.offset, types_[a.type].type.bit_position) <
             std::pair(b.offset, types_[b.type].type.bit_position);
    });
    types_[id].type = type;
    types_[id].members = std::move(members);
  });
}

void IsfSource::ParseSymbols() {
  reader_.Object([&](std::string_view name) {
    Symbol symbol;
    symbol.name = name;
    reader_.Object([&](std::string_view key) {
      if (key == "address")
        symbol.rva = static_cast<uint32_t>(reader_.Integer());
      else if (key == "type")
        symbol.type = ParseTypeReference(0);
      else
        reader_.Skip();
    });
    symbols_.push_back(symbol);
  });
  std::ranges::sort(symbols_, [](const Symbol& a, const Symbol& b) {
    return std::pair(a.rva, a.name) < std::pair(b.rva, b.name);
  });
  by_name_.reserve(symbols_.size());
  for (uint32_t i = 0; i < symbols_.size(); ++i) by_name_.try_emplace(symbols_[i].name, i);
}

void IsfSource::ParseMetadata() {
  reader_.Object([&](std::string_view os) {
    if (os != "windows") return reader_.Skip();
    reader_.Object([&](std::string_view part) {
      if (part != "pdb") return reader_.Skip();
      reader_.Object([&](std::string_view key) {
        if (key == "GUID")
          id_.guid = formats::Guid::Parse(reader_.String()).value_or(formats::Guid{});
        else if (key == "age")
          id_.age = static_cast<uint32_t>(reader_.Integer());
        else
          reader_.Skip();
      });
    });
  });
}

uint64_t IsfSource::SizeOf(TypeId id, int depth) {
  if (depth > kMaxDepth || id >= types_.size()) return 0;
  Type& type = types_[id].type;
  if (type.size != 0) return type.size;
  if (type.kind == TypeKind::kPointer) type.size = pointer_ != kNoType ? types_[pointer_].type.size : 8;
  if (type.kind == TypeKind::kArray) {
    const uint64_t element = SizeOf(type.target, depth + 1);
    if (element != 0 && type.count < UINT32_MAX && element < UINT32_MAX) type.size = type.count * element;
  }
  if (type.kind == TypeKind::kBitField) {
    type.size = SizeOf(type.target, depth + 1);
    type.is_signed = types_[type.target].type.is_signed;
  }
  if (type.kind == TypeKind::kEnum && type.target != kNoType)
    type.is_signed = types_[type.target].type.is_signed;
  return type.size;
}

void IsfSource::FinishSizes() {
  for (TypeId id = 1; id < types_.size(); ++id) {
    SizeOf(id, 0);
    Type& type = types_[id].type;
    if (type.kind == TypeKind::kEnum) type.is_signed = types_[type.target].type.is_signed;
  }
}

base::Result<void> IsfSource::Parse() {
  bool has_metadata = false;
  reader_.Object([&](std::string_view key) {
    if (key == "base_types")
      ParseBaseTypes();
    else if (key == "enums")
      ParseEnums();
    else if (key == "user_types")
      ParseUserTypes();
    else if (key == "symbols")
      ParseSymbols();
    else if (key == "metadata") {
      has_metadata = true;
      ParseMetadata();
    } else
      reader_.Skip();
  });
  if (!reader_.ok()) return base::Fail(name_ + ": not valid JSON near byte " + std::to_string(reader_.at()));
  if (!has_metadata || user_.empty()) return base::Fail(name_ + ": not an ISF symbol table");
  FinishSizes();
  return {};
}

TypeId IsfSource::FindType(std::string_view name) const {
  for (const Names* names : {&user_, &enums_, &base_}) {
    const auto found = names->find(name);
    if (found != names->end() && !types_[found->second].type.is_forward) return found->second;
  }
  return kNoType;
}

void IsfSource::ForEachType(const std::function<bool(TypeId, const Type&)>& visit) const {
  for (TypeId id = 1; id < types_.size(); ++id) {
    const Type& type = types_[id].type;
    if (type.name.empty() || type.is_forward) continue;
    if (!visit(id, type)) return;
  }
}

std::optional<Symbol> IsfSource::FindSymbol(std::string_view name) const {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) return std::nullopt;
  return symbols_[found->second];
}

std::optional<Symbol> IsfSource::SymbolAt(uint32_t rva) const {
  const auto next = std::ranges::upper_bound(symbols_, rva, {}, &Symbol::rva);
  if (next == symbols_.begin()) return std::nullopt;
  return *std::ranges::lower_bound(symbols_, std::prev(next)->rva, {}, &Symbol::rva);
}

}  // namespace

base::Result<std::unique_ptr<symbols::Source>> OpenBytes(base::Bytes bytes, std::string name) {
  std::string json;
  if (base::SpanReader(bytes).Get<uint32_t>(0) == 0x587a37fd) {  // fd '7zX'
    json = TRY_WRAP(name, Unpack(bytes));
  } else {
    if (bytes.size() > kMaxJson) return base::Fail(name + ": larger than 512 MiB");
    json.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  auto source = std::make_unique<IsfSource>(std::move(json), std::move(name));
  TRY(source->Parse());
  return std::unique_ptr<symbols::Source>(std::move(source));
}

base::Result<std::unique_ptr<symbols::Source>> Open(const std::string& path) {
  const base::MappedFile file = TRY(base::MappedFile::Open(path));
  return OpenBytes(file.bytes(), path);
}

}  // namespace isf
