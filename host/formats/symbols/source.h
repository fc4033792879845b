// Where names and types of one image come from: a PDB or an ISF table. One interface for both.
// All methods are const and cheap to call again: indexes are built on first use and kept. Not thread safe.
// Views and references stay valid as long as the source lives. Hostile input gives empty answers, never a
// crash.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/guid.h"

namespace symbols {

// Names one type inside one source; kNoType = none or unknown.
using TypeId = uint32_t;
inline constexpr TypeId kNoType = 0;

enum class TypeKind : uint8_t {
  kNone,  // unknown or broken
  kVoid,
  kBool,     // size
  kChar,     // size 1 or 2 (wchar_t), is_signed
  kInteger,  // size, is_signed
  kFloat,    // size
  kPointer,  // target, size
  kArray,    // target = element, count
  kStruct,   // also class
  kUnion,
  kEnum,      // target = underlying integer
  kBitField,  // target = base integer, bit_position, bit_count
  kFunction,  // target = return type
};

struct Type {
  TypeKind kind = TypeKind::kNone;
  bool is_signed = false;
  bool is_forward = false;  // only declared: size 0, no members
  uint8_t bit_position = 0;
  uint8_t bit_count = 0;
  uint64_t size = 0;   // bytes
  uint64_t count = 0;  // elements of an array
  TypeId target = kNoType;
  std::string_view name;  // struct, union, enum: as declared ("_KTHREAD"); "" for others
};

struct Member {
  std::string_view
      name;  // "" never; anonymous members appear with the name that the compiler made up ("<unnamed-...>")
  uint64_t offset = 0;    // bytes
  TypeId type = kNoType;  // may be a kBitField
  bool is_base = false;   // a C++ base class; name is the class's
};

struct Enumerator {
  std::string_view name;
  int64_t value = 0;
};

enum class SymbolKind : uint8_t { kPublic, kFunction, kData, kLabel };

struct Symbol {
  std::string_view name;  // without decoration where the source knows it: "KeBugCheckEx", "ke::Event::Set"
  uint32_t rva = 0;
  uint32_t size = 0;  // bytes; 0 = not known
  SymbolKind kind = SymbolKind::kPublic;
  TypeId type = kNoType;
};

struct SourceLine {
  std::string_view file;
  uint32_t line = 0;
  uint32_t rva = 0;   // first byte of the code of this line
  uint32_t size = 0;  // bytes of code
};

enum class LocationKind : uint8_t {
  kUnavailable,       // optimised away at this address
  kRegister,          // the value is in `reg`
  kRegisterRelative,  // the value is in memory at reg + offset
};

// `reg`: 0..15 = rax rcx rdx rbx rsp rbp rsi rdi r8..r15, 16..31 = xmm0..15.
struct Variable {
  std::string_view name;
  TypeId type = kNoType;
  bool is_parameter = false;
  LocationKind kind = LocationKind::kUnavailable;
  uint8_t reg = 0;
  int32_t offset = 0;
};

// A call that the compiler inlined. `file`/`line`: where the *inlined* code is at the address asked for.
struct InlineFrame {
  std::string_view function;
  std::string_view file;
  uint32_t line = 0;
};

class Source {
 public:
  virtual ~Source() = default;

  virtual formats::DebugId id() const = 0;
  virtual std::string_view file_name() const = 0;  // where it was read from, for messages

  // ---- Types ----
  // By exact name; complete definitions win over forward declarations. "_KTHREAD"; also "unsigned char",
  // "void" etc.
  virtual TypeId FindType(std::string_view name) const = 0;
  virtual Type GetType(TypeId id) const = 0;
  virtual const std::vector<Member>& Members(TypeId id) const = 0;  // struct, union; in declaration order
  virtual const std::vector<Enumerator>& Enumerators(TypeId id) const = 0;  // enum
  // Every named struct, union and enum that is complete, until `visit` returns false.
  virtual void ForEachType(const std::function<bool(TypeId, const Type&)>& visit) const = 0;
  // As C writes it: "_KTHREAD*", "Uint4B"-free plain C ("unsigned long"), "wchar_t[16]".
  std::string TypeName(TypeId id) const;

  // ---- Symbols ----
  virtual std::optional<Symbol> FindSymbol(std::string_view name) const = 0;
  // The symbol with the greatest address at or below `rva` in the same section; functions win over publics.
  virtual std::optional<Symbol> SymbolAt(uint32_t rva) const = 0;
  // All symbols by ascending address, until `visit` returns false.
  virtual void ForEachSymbol(const std::function<bool(const Symbol&)>& visit) const = 0;

  // ---- Code ----
  virtual std::optional<SourceLine> LineAt(uint32_t rva) const { return (void)rva, std::nullopt; }
  // Innermost first; empty when nothing is inlined at `rva`.
  virtual std::vector<InlineFrame> InlineFramesAt(uint32_t rva) const {
    return (void)rva, std::vector<InlineFrame>();
  }
  // Parameters first, then locals, of the function that contains `rva`, where they are when rip = `rva`.
  virtual std::vector<Variable> VariablesAt(uint32_t rva) const { return (void)rva, std::vector<Variable>(); }
};

}  // namespace symbols
