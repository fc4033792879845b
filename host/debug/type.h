// Typed access to the target's memory. A Type is a handle into one module's symbol source; an Object is a
// type at an address. No layout is ever written in code: fields are asked for by name, and a field that the
// symbols lack is an Error.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "debug/memory.h"
#include "formats/symbols/source.h"

namespace debug {

class Type;

struct Field {
  std::string name;     // the last component
  uint64_t offset = 0;  // bytes from the start of the outermost type asked
  symbols::TypeId type_id = symbols::kNoType;
  uint8_t bit_position = 0;
  uint8_t bit_count = 0;  // 0 = not a bit-field
};

class Type {
 public:
  Type() = default;
  Type(const symbols::Source* source, symbols::TypeId id) : source_(source), id_(id) {}

  bool valid() const { return source_ != nullptr && id_ != symbols::kNoType; }
  const symbols::Source& source() const { return *source_; }
  symbols::TypeId id() const { return id_; }

  symbols::Type info() const { return valid() ? source_->GetType(id_) : symbols::Type{}; }
  symbols::TypeKind kind() const { return info().kind; }
  uint64_t size() const { return info().size; }
  std::string name() const { return valid() ? source_->TypeName(id_) : "?"; }
  Type target() const { return Type(source_, info().target); }  // element, pointee, underlying type
  bool IsRecord() const;                                        // struct or union

  // Members of a struct or union; anonymous and base-class members are listed, not flattened.
  const std::vector<symbols::Member>& members() const;
  // "Tcb.WaitBlock[1].Object": through nested records and arrays (not pointers); looks into anonymous members
  // and base classes, as C does. Case sensitive.
  base::Result<Field> FindField(std::string_view path) const;
  bool HasField(std::string_view path) const { return FindField(path).has_value(); }
  base::Result<uint64_t> OffsetOf(std::string_view path) const;
  // The enumerator's name for a value of an enum type, without a scan per call; "" when there is none.
  std::string_view EnumeratorName(int64_t value) const;

 private:
  const symbols::Source* source_ = nullptr;
  symbols::TypeId id_ = symbols::kNoType;
};

class Object {
 public:
  Object() = default;
  Object(const VirtualMemory* memory, Type type, uint64_t address)
      : memory_(memory), type_(type), address_(address) {}

  uint64_t address() const { return address_; }
  const Type& type() const { return type_; }
  const VirtualMemory& memory() const { return *memory_; }
  bool valid() const { return memory_ != nullptr && type_.valid(); }

  // A member by dotted path; no memory is read.
  base::Result<Object> At(std::string_view path) const;
  // An array's or pointer's element.
  base::Result<Object> Index(uint64_t index) const;
  // What a pointer points to; an Error for null or unreadable pointers, and for types other than pointers.
  base::Result<Object> Deref() const;
  // The same address as another type of the same source.
  Object As(Type type) const { return Object(memory_, type, address_); }

  // Scalars: integers, enums, bools, chars, pointers, bit-fields up to 8 bytes; U64 zero-extends, I64 follows
  // the type's sign.
  base::Result<uint64_t> U64() const;
  base::Result<int64_t> I64() const;
  // At(path) and U64 in one step, the usual call: `thread.U64("Tcb.State")`.
  base::Result<uint64_t> U64(std::string_view path) const;
  base::Result<int64_t> I64(std::string_view path) const;
  // The bytes of the object (at most 1 MiB).
  base::Result<std::vector<std::byte>> Bytes() const;

  // A UNICODE_STRING (fields Length, Buffer) as UTF-8; "" for an empty one.
  base::Result<std::string> UnicodeString() const;
  base::Result<std::string> UnicodeString(std::string_view path) const;
  // A char array, up to its zero.
  base::Result<std::string> CharArray(std::string_view path) const;

  uint8_t bit_position() const { return bit_position_; }
  uint8_t bit_count() const { return bit_count_; }

 private:
  const VirtualMemory* memory_ = nullptr;
  Type type_;
  uint64_t address_ = 0;
  uint8_t bit_position_ = 0;
  uint8_t bit_count_ = 0;
};

// A doubly linked list (LIST_ENTRY): walked with loop detection, a bound, and a check that Blink leads back.
struct ListWalk {
  std::vector<uint64_t> entries;  // addresses of the LIST_ENTRYs, without the head
  std::string damage;             // "" = walked to its end; else why it stopped; the entries so far are good
};
ListWalk WalkList(const VirtualMemory& memory, uint64_t head, uint64_t limit = 65536);

// A singly linked list (SINGLE_LIST_ENTRY, SLIST by its first entry), up to null.
ListWalk WalkSingleList(const VirtualMemory& memory, uint64_t first, uint64_t limit = 65536);

}  // namespace debug
