#include "debug/type.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <unordered_set>

namespace debug {

using symbols::TypeKind;

namespace {

const std::vector<symbols::Member> kNoMembers;

bool LooksAnonymous(std::string_view name) {
  return name.empty() || name.find("<unnamed") != name.npos || name.find("<anonymous") != name.npos ||
         name.starts_with("__unnamed_field");
}

struct Found {
  uint64_t offset;
  symbols::TypeId type;
};

// A member by name, also inside anonymous members and base classes.
std::optional<Found> FindMember(const symbols::Source& source, symbols::TypeId record, std::string_view name,
                                int depth) {
  const auto& members = source.Members(record);
  for (const symbols::Member& member : members) {
    if (member.name == name && !member.is_base) return Found{member.offset, member.type};
  }
  if (depth > 8) return std::nullopt;
  for (const symbols::Member& member : members) {
    if (!member.is_base && !LooksAnonymous(member.name)) continue;
    if (const auto inner = FindMember(source, member.type, name, depth + 1)) {
      return Found{member.offset + inner->offset, inner->type};
    }
  }
  return std::nullopt;
}

// Splits "Name[3][1].rest" after the first component: name, indexes, rest.
struct Component {
  std::string_view name;
  std::vector<uint64_t> indexes;
  std::string_view rest;
  bool valid = true;
};

Component TakeComponent(std::string_view path) {
  Component c;
  const size_t end = path.find_first_of(".[");
  c.name = path.substr(0, end);
  path = end == path.npos ? std::string_view() : path.substr(end);
  while (path.starts_with('[')) {
    const size_t close = path.find(']');
    uint64_t index = 0;
    if (close == path.npos) {
      c.valid = false;
      return c;
    }
    const auto result = std::from_chars(path.data() + 1, path.data() + close, index, 10);
    if (result.ec != std::errc() || result.ptr != path.data() + close) c.valid = false;
    c.indexes.push_back(index);
    path.remove_prefix(close + 1);
  }
  if (path.starts_with('.')) {
    path.remove_prefix(1);
    if (path.empty()) c.valid = false;
  } else if (!path.empty()) {
    c.valid = false;
  }
  c.rest = path;
  return c;
}

}  // namespace

bool Type::IsRecord() const {
  const TypeKind k = kind();
  return k == TypeKind::kStruct || k == TypeKind::kUnion;
}

const std::vector<symbols::Member>& Type::members() const {
  return valid() ? source_->Members(id_) : kNoMembers;
}

base::Result<Field> Type::FindField(std::string_view path) const {
  if (!valid()) return base::Fail("no type to look for " + std::string(path) + " in");
  Field field;
  symbols::TypeId current = id_;
  for (std::string_view rest = path; !rest.empty();) {
    const Component c = TakeComponent(rest);
    if (!c.valid) return base::Fail("'" + std::string(path) + "' is not a field path");
    if (!c.name.empty()) {
      const auto member = FindMember(*source_, current, c.name, 0);
      if (!member) return base::Fail(source_->TypeName(current) + " has no field " + std::string(c.name));
      field.name = c.name;
      field.offset += member->offset;
      current = member->type;
    }
    for (const uint64_t index : c.indexes) {
      const symbols::Type array = source_->GetType(current);
      if (array.kind != TypeKind::kArray)
        return base::Fail(std::string(path) + ": " + field.name + " is not an array");
      if (index >= array.count && array.count != 0) {
        return base::Fail(std::string(path) + ": index beyond the array's " + std::to_string(array.count) +
                          " elements");
      }
      field.offset += index * source_->GetType(array.target).size;
      current = array.target;
    }
    rest = c.rest;
  }
  field.type_id = current;
  const symbols::Type info = source_->GetType(current);
  if (info.kind == TypeKind::kBitField) {
    field.bit_position = info.bit_position;
    field.bit_count = info.bit_count;
  }
  return field;
}

base::Result<uint64_t> Type::OffsetOf(std::string_view path) const {
  return TRY(FindField(path)).offset;
}

std::string_view Type::EnumeratorName(int64_t value) const {
  if (!valid()) return {};
  const auto& all = source_->Enumerators(id_);
  const auto found = std::ranges::find(all, value, &symbols::Enumerator::value);
  return found == all.end() ? std::string_view() : found->name;
}

base::Result<Object> Object::At(std::string_view path) const {
  if (!valid()) return base::Fail("no object to take " + std::string(path) + " of");
  const Field field = TRY(type_.FindField(path));
  Object object(memory_, Type(&type_.source(), field.type_id), address_ + field.offset);
  object.bit_position_ = field.bit_position;
  object.bit_count_ = field.bit_count;
  return object;
}

base::Result<Object> Object::Index(uint64_t index) const {
  const symbols::Type info = type_.info();
  if (info.kind == TypeKind::kPointer) {
    const Object first = TRY(Deref());
    return Object(memory_, first.type(), first.address() + index * first.type().size());
  }
  if (info.kind != TypeKind::kArray) return base::Fail(type_.name() + " is neither array nor pointer");
  const Type element = type_.target();
  return Object(memory_, element, address_ + index * element.size());
}

base::Result<Object> Object::Deref() const {
  if (type_.kind() != TypeKind::kPointer) return base::Fail(type_.name() + " is not a pointer");
  const uint64_t target = TRY(U64());
  if (target == 0) return base::Fail("null pointer");
  return Object(memory_, type_.target(), target);
}

base::Result<uint64_t> Object::U64() const {
  if (!valid()) return base::Fail("no object to read");
  const symbols::Type info = type_.info();
  if (info.kind == TypeKind::kStruct || info.kind == TypeKind::kUnion || info.kind == TypeKind::kArray) {
    // Small records (handles, flag words) may be read whole.
    if (info.size == 0 || info.size > 8) return base::Fail(type_.name() + " is not a scalar");
  }
  if (info.size == 0 || info.size > 8) return base::Fail(type_.name() + " has no readable size");
  uint64_t value = 0;
  TRY(memory_->Read(address_, std::as_writable_bytes(std::span(&value, 1)).first(info.size)));
  if (info.kind == TypeKind::kBitField) {
    value >>= info.bit_position;
    if (info.bit_count < 64) value &= (1ull << info.bit_count) - 1;
  }
  return value;
}

base::Result<int64_t> Object::I64() const {
  const uint64_t value = TRY(U64());
  const symbols::Type info = type_.info();
  const unsigned bits =
      info.kind == TypeKind::kBitField ? info.bit_count : static_cast<unsigned>(info.size) * 8;
  if (!info.is_signed || bits == 0 || bits >= 64) return static_cast<int64_t>(value);
  return static_cast<int64_t>(value << (64 - bits)) >> (64 - bits);
}

base::Result<uint64_t> Object::U64(std::string_view path) const {
  return TRY(At(path)).U64();
}

base::Result<int64_t> Object::I64(std::string_view path) const {
  return TRY(At(path)).I64();
}

base::Result<std::vector<std::byte>> Object::Bytes() const {
  if (!valid()) return base::Fail("no object to read");
  const uint64_t size = type_.size();
  if (size > 1u << 20) return base::Fail(type_.name() + " is larger than 1 MiB");
  return memory_->ReadBytes(address_, size);
}

base::Result<std::string> Object::UnicodeString() const {
  const uint64_t length = TRY(U64("Length"));
  if (length == 0) return std::string();
  return memory_->ReadUtf16(TRY(U64("Buffer")), length & ~1ull);
}

base::Result<std::string> Object::UnicodeString(std::string_view path) const {
  return TRY(At(path)).UnicodeString();
}

base::Result<std::string> Object::CharArray(std::string_view path) const {
  const Object array = TRY(At(path));
  const uint64_t size = array.type().size();
  if (array.type().kind() != TypeKind::kArray || size > 4096)
    return base::Fail(std::string(path) + " is not a char array");
  return memory_->ReadCString(array.address(), size);
}

ListWalk WalkList(const VirtualMemory& memory, uint64_t head, uint64_t limit) {
  ListWalk walk;
  std::unordered_set<uint64_t> seen;
  uint64_t previous = head;
  auto flink = memory.Get<uint64_t>(head);
  if (!flink) {
    walk.damage = "the list head at " + FormatAddress(head) + " is not readable";
    return walk;
  }
  for (uint64_t entry = *flink; entry != head;) {
    struct Links {
      uint64_t flink, blink;
    };
    const auto links = memory.Get<Links>(entry);
    if (!links) {
      walk.damage = "the list entry at " + FormatAddress(entry) + " is not readable";
      return walk;
    }
    if (links->blink != previous) {
      walk.damage = "the list entry at " + FormatAddress(entry) + " points back to " +
                    FormatAddress(links->blink) + " instead of " + FormatAddress(previous);
      return walk;
    }
    if (!seen.insert(entry).second) {
      walk.damage = "the list runs in a circle at " + FormatAddress(entry);
      return walk;
    }
    if (walk.entries.size() >= limit) {
      walk.damage = "the list has more than " + std::to_string(limit) + " entries";
      return walk;
    }
    walk.entries.push_back(entry);
    previous = entry;
    entry = links->flink;
  }
  return walk;
}

ListWalk WalkSingleList(const VirtualMemory& memory, uint64_t first, uint64_t limit) {
  ListWalk walk;
  std::unordered_set<uint64_t> seen;
  for (uint64_t entry = first; entry != 0;) {
    const auto next = memory.Get<uint64_t>(entry);
    if (!next)
      walk.damage = "the list entry at " + FormatAddress(entry) + " is not readable";
    else if (!seen.insert(entry).second)
      walk.damage = "the list runs in a circle at " + FormatAddress(entry);
    else if (walk.entries.size() >= limit)
      walk.damage = "the list has more than " + std::to_string(limit) + " entries";
    if (!walk.damage.empty()) return walk;
    walk.entries.push_back(entry);
    entry = *next;
  }
  return walk;
}

}  // namespace debug
