#include "formats/pdb/type_table.h"

#include <algorithm>

namespace pdb {

using symbols::Enumerator;
using symbols::kNoType;
using symbols::Member;
using symbols::Type;
using symbols::TypeId;
using symbols::TypeKind;

namespace {

constexpr int kMaxDepth = 32;
constexpr size_t kMaxFields = 1u << 18;
constexpr uint16_t kForwardReference = 0x80;
constexpr uint16_t kHasUniqueName = 0x200;

struct SimpleType {
  uint8_t code;
  TypeKind kind;
  uint8_t size;
  bool is_signed;
  const char* name;  // what FindType takes; nullptr = none of its own
};
constexpr SimpleType kSimpleTypes[] = {
    {0x03, TypeKind::kVoid, 0, false, "void"},
    {0x08, TypeKind::kInteger, 4, true, "HRESULT"},
    {0x10, TypeKind::kChar, 1, true, "signed char"},
    {0x20, TypeKind::kChar, 1, false, "unsigned char"},
    {0x70, TypeKind::kChar, 1, true, "char"},
    {0x7c, TypeKind::kChar, 1, false, "char8_t"},
    {0x68, TypeKind::kInteger, 1, true, nullptr},
    {0x69, TypeKind::kInteger, 1, false, nullptr},
    {0x71, TypeKind::kChar, 2, false, "wchar_t"},
    {0x7a, TypeKind::kChar, 2, false, "char16_t"},
    {0x7b, TypeKind::kInteger, 4, false, "char32_t"},
    {0x11, TypeKind::kInteger, 2, true, "short"},
    {0x21, TypeKind::kInteger, 2, false, "unsigned short"},
    {0x72, TypeKind::kInteger, 2, true, nullptr},
    {0x73, TypeKind::kInteger, 2, false, nullptr},
    {0x12, TypeKind::kInteger, 4, true, "long"},
    {0x22, TypeKind::kInteger, 4, false, "unsigned long"},
    {0x74, TypeKind::kInteger, 4, true, "int"},
    {0x75, TypeKind::kInteger, 4, false, "unsigned int"},
    {0x13, TypeKind::kInteger, 8, true, "__int64"},
    {0x23, TypeKind::kInteger, 8, false, "unsigned __int64"},
    {0x76, TypeKind::kInteger, 8, true, "long long"},
    {0x77, TypeKind::kInteger, 8, false, "unsigned long long"},
    {0x14, TypeKind::kInteger, 16, true, nullptr},
    {0x24, TypeKind::kInteger, 16, false, nullptr},
    {0x78, TypeKind::kInteger, 16, true, nullptr},
    {0x79, TypeKind::kInteger, 16, false, nullptr},
    {0x30, TypeKind::kBool, 1, false, "bool"},
    {0x31, TypeKind::kBool, 2, false, nullptr},
    {0x32, TypeKind::kBool, 4, false, nullptr},
    {0x33, TypeKind::kBool, 8, false, nullptr},
    {0x40, TypeKind::kFloat, 4, true, "float"},
    {0x41, TypeKind::kFloat, 8, true, "double"},
    {0x42, TypeKind::kFloat, 10, true, nullptr},
    {0x43, TypeKind::kFloat, 16, true, nullptr},
};
constexpr uint8_t kPointerSizeByMode[8] = {0, 2, 4, 4, 4, 6, 8, 16};

Type GetSimple(TypeId id) {
  Type type;
  if (const uint8_t size = kPointerSizeByMode[id >> 8 & 7]; size != 0) {
    type.kind = TypeKind::kPointer;
    type.size = size;
    type.target = id & 0xff;
    return type;
  }
  for (const SimpleType& simple : kSimpleTypes) {
    if (simple.code != (id & 0xff)) continue;
    type.kind = simple.kind;
    type.size = simple.size;
    type.is_signed = simple.is_signed;
    break;
  }
  return type;
}

// Names that many unrelated types share.
bool IsUnnamed(std::string_view name) {
  return name.empty() || name.find("<unnamed") != name.npos || name.find("<anonymous") != name.npos ||
         name.find("__unnamed") != name.npos;
}

bool IsUdt(uint16_t kind) {
  return kind == LF_STRUCTURE || kind == LF_CLASS || kind == LF_INTERFACE || kind == LF_UNION ||
         kind == LF_ENUM;
}

}  // namespace

IndexedRecords::IndexedRecords(base::Bytes stream) {
  const base::SpanReader r(stream);
  const auto header_size = r.Get<uint32_t>(4);
  const auto first = r.Get<uint32_t>(8);
  const auto size = r.Get<uint32_t>(16);
  if (!header_size || !first || !size || *first < 0x1000) return;
  const auto bytes = r.Slice(*header_size, *size);
  if (!bytes) return;
  records_ = *bytes;
  first_ = *first;
  for (uint64_t at = 0; const auto record = RecordAt(records_, at); at = record->next) {
    offsets_.push_back(static_cast<uint32_t>(at));
  }
}

std::optional<Record> IndexedRecords::At(uint32_t index) const {
  if (index < first_ || index - first_ >= offsets_.size()) return std::nullopt;
  return RecordAt(records_, offsets_[index - first_]);
}

const IndexedRecords& TypeTable::records() const {
  if (!records_) records_ = std::make_unique<IndexedRecords>(stream_);
  return *records_;
}

std::optional<TypeTable::Udt> TypeTable::ParseUdt(const Record& record) {
  if (!IsUdt(record.kind)) return std::nullopt;
  Cursor c(record.data);
  Udt udt;
  udt.kind = record.kind;
  c.Get<uint16_t>();  // number of members
  udt.properties = c.Get<uint16_t>();
  if (record.kind == LF_ENUM) {
    udt.underlying = c.Get<uint32_t>();
    udt.fields = c.Get<uint32_t>();
  } else {
    udt.fields = c.Get<uint32_t>();
    if (record.kind != LF_UNION) c.Skip(8);  // derivation list, vtable shape
    udt.size = static_cast<uint64_t>(c.Number());
  }
  udt.name = c.Name();
  if (!c.ok()) return std::nullopt;
  if ((udt.properties & kHasUniqueName) != 0) udt.unique_name = c.Name();
  return udt;
}

void TypeTable::BuildNames() const {
  if (names_built_) return;
  names_built_ = true;
  for (TypeId id = records().first(); id < records().end(); ++id) {
    const auto record = records().At(id);
    if (!record || !IsUdt(record->kind)) continue;
    const auto udt = ParseUdt(*record);
    if (!udt || (udt->properties & kForwardReference) != 0) continue;
    if (!IsUnnamed(udt->name)) by_name_.try_emplace(udt->name, id);
    if (!udt->unique_name.empty()) by_unique_name_.try_emplace(udt->unique_name, id);
  }
}

TypeId TypeTable::Find(std::string_view name) const {
  for (const SimpleType& simple : kSimpleTypes) {
    if (simple.name != nullptr && name == simple.name) return simple.code;
  }
  BuildNames();
  const auto found = by_name_.find(name);
  return found == by_name_.end() ? kNoType : found->second;
}

TypeId TypeTable::Resolve(TypeId id) const {
  for (int depth = 0; depth < kMaxDepth && id >= records().first(); ++depth) {
    const auto record = records().At(id);
    if (!record) return kNoType;
    if (record->kind == LF_MODIFIER) {
      id = Cursor(record->data).Get<uint32_t>();
      continue;
    }
    const auto udt = ParseUdt(*record);
    if (!udt || (udt->properties & kForwardReference) == 0) return id;
    BuildNames();
    if (const auto found = by_unique_name_.find(udt->unique_name); found != by_unique_name_.end())
      return found->second;
    if (IsUnnamed(udt->name)) return id;
    const auto found = by_name_.find(udt->name);
    return found == by_name_.end() ? id : found->second;
  }
  return id;
}

Type TypeTable::FromRecord(const Record& record, int depth) const {
  Type type;
  Cursor c(record.data);
  if (const auto udt = ParseUdt(record)) {
    type.kind = udt->kind == LF_ENUM    ? TypeKind::kEnum
                : udt->kind == LF_UNION ? TypeKind::kUnion
                                        : TypeKind::kStruct;
    type.name = udt->name;
    type.is_forward = (udt->properties & kForwardReference) != 0;
    type.size = udt->size;
    if (type.kind == TypeKind::kEnum) {
      const Type underlying = GetAtDepth(udt->underlying, depth + 1);
      type.target = udt->underlying;
      type.size = underlying.size;
      type.is_signed = underlying.is_signed;
    }
    return type;
  }
  switch (record.kind) {
    case LF_POINTER: {
      type.target = c.Get<uint32_t>();
      const uint32_t attributes = c.Get<uint32_t>();
      type.kind = TypeKind::kPointer;
      type.size = attributes >> 13 & 0x3f;
      if (type.size == 0) type.size = (attributes & 0x1f) == 0xc ? 8 : 4;
      break;
    }
    case LF_ARRAY: {
      type.target = c.Get<uint32_t>();
      c.Skip(4);  // index type
      type.size = static_cast<uint64_t>(c.Number());
      const uint64_t element = GetAtDepth(type.target, depth + 1).size;
      type.count = element != 0 ? type.size / element : 0;
      type.kind = TypeKind::kArray;
      break;
    }
    case LF_BITFIELD: {
      type.target = c.Get<uint32_t>();
      type.bit_count = c.Get<uint8_t>();
      type.bit_position = c.Get<uint8_t>();
      const Type base = GetAtDepth(type.target, depth + 1);
      type.kind = TypeKind::kBitField;
      type.size = base.size;
      type.is_signed = base.is_signed;
      if (type.bit_count == 0 || type.bit_count + type.bit_position > 64) return Type{};
      break;
    }
    case LF_PROCEDURE:
    case LF_MFUNCTION:
      type.kind = TypeKind::kFunction;
      type.target = c.Get<uint32_t>();
      break;
    default:
      return Type{};
  }
  return c.ok() ? type : Type{};
}

Type TypeTable::GetAtDepth(TypeId id, int depth) const {
  if (id == kNoType || depth > kMaxDepth) return Type{};
  id = Resolve(id);
  if (id < records().first()) return GetSimple(id);
  const auto record = records().At(id);
  return record ? FromRecord(*record, depth) : Type{};
}

// Calls visit(kind, cursor behind the kind) for each field; it must consume the field. Follows LF_INDEX.
template <typename Visit>
void TypeTable::WalkFields(TypeId list, Visit visit) const {
  size_t fields = 0;
  for (int part = 0; part < 4096; ++part) {
    const auto record = records().At(list);
    if (!record || record->kind != LF_FIELDLIST) return;
    TypeId continued = kNoType;
    Cursor c(record->data);
    while (c.ok() && c.left() >= 2 && continued == kNoType) {
      if (++fields > kMaxFields) return;
      const uint16_t kind = c.Get<uint16_t>();
      if (kind == LF_INDEX) {
        c.Skip(2);
        continued = c.Get<uint32_t>();
        break;
      }
      if (!visit(kind, c) || !c.ok()) return;
      // Fields are padded to 4 bytes with 0xF1..0xF3: the low nibble tells how many bytes to skip.
      if (c.left() != 0) {
        const uint8_t pad = static_cast<uint8_t>(record->data[c.at()]);
        if (pad > 0xf0) c.Skip(std::min<uint64_t>(pad & 0xf, c.left()));
      }
    }
    if (continued == kNoType) return;
    list = continued;
  }
}

namespace {

// Consumes a field that this project has no use for; false for an unknown kind.
bool SkipField(uint16_t kind, Cursor& c) {
  switch (kind) {
    case LF_VBCLASS:
    case LF_IVBCLASS:
      c.Skip(10);
      c.Number();
      c.Number();
      return true;
    case LF_VFUNCTAB:
      c.Skip(6);
      return true;
    case LF_VFUNCOFF:
      c.Skip(10);
      return true;
    case LF_STMEMBER:
    case LF_METHOD:
    case LF_NESTTYPE:
      c.Skip(6);
      c.Name();
      return true;
    case LF_ONEMETHOD: {
      const uint16_t attributes = c.Get<uint16_t>();
      c.Skip(4);
      const int property = attributes >> 2 & 7;
      if (property == 4 || property == 6) c.Skip(4);  // introduces a virtual: offset in the vtable
      c.Name();
      return true;
    }
    default:
      return false;
  }
}

}  // namespace

const std::vector<Member>& TypeTable::Members(TypeId id) const {
  id = Resolve(id);
  const auto [slot, is_new] = members_.try_emplace(id);
  if (!is_new) return slot->second;
  std::vector<Member>& members = slot->second;
  const auto record = records().At(id);
  const auto udt = record ? ParseUdt(*record) : std::nullopt;
  if (!udt || udt->kind == LF_ENUM) return members;
  WalkFields(udt->fields, [&](uint16_t kind, Cursor& c) {
    if (kind != LF_MEMBER && kind != LF_BCLASS) return SkipField(kind, c);
    Member member;
    c.Skip(2);
    member.type = c.Get<uint32_t>();
    member.offset = static_cast<uint64_t>(c.Number());
    member.is_base = kind == LF_BCLASS;
    member.name = member.is_base ? GetAtDepth(member.type, 1).name : c.Name();
    if (c.ok()) members.push_back(member);
    return true;
  });
  return members;
}

const std::vector<Enumerator>& TypeTable::Enumerators(TypeId id) const {
  id = Resolve(id);
  const auto [slot, is_new] = enumerators_.try_emplace(id);
  if (!is_new) return slot->second;
  std::vector<Enumerator>& enumerators = slot->second;
  const auto record = records().At(id);
  const auto udt = record ? ParseUdt(*record) : std::nullopt;
  if (!udt || udt->kind != LF_ENUM) return enumerators;
  // Compilers write negative values as unsigned ones of the underlying size.
  const Type underlying = GetAtDepth(udt->underlying, 1);
  const bool narrow = underlying.is_signed && underlying.size < 8 && underlying.size != 0;
  const unsigned shift = narrow ? 64 - static_cast<unsigned>(underlying.size) * 8 : 0;
  WalkFields(udt->fields, [&](uint16_t kind, Cursor& c) {
    if (kind != LF_ENUMERATE) return SkipField(kind, c);
    Enumerator enumerator;
    c.Skip(2);
    enumerator.value = static_cast<int64_t>(static_cast<uint64_t>(c.Number()) << shift) >> shift;
    enumerator.name = c.Name();
    if (c.ok()) enumerators.push_back(enumerator);
    return true;
  });
  return enumerators;
}

void TypeTable::ForEach(const std::function<bool(TypeId, const Type&)>& visit) const {
  for (TypeId id = records().first(); id < records().end(); ++id) {
    const auto record = records().At(id);
    if (!record || !IsUdt(record->kind)) continue;
    const Type type = FromRecord(*record, 0);
    if (type.kind == TypeKind::kNone || type.is_forward || type.name.empty()) continue;
    if (!visit(id, type)) return;
  }
}

}  // namespace pdb
