#include <map>
#include <set>

#include "formats/isf/isf.h"

namespace isf {

using symbols::Source;
using symbols::Type;
using symbols::TypeId;
using symbols::TypeKind;

namespace {

std::string Quote(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20 || byte >= 0x7f) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", byte);
      out += escape;
    } else {
      out += c;
    }
  }
  return out + "\"";
}

bool IsUnnamed(std::string_view name) {
  return name.empty() || name.find("<unnamed") != name.npos || name.find("<anonymous") != name.npos ||
         name.find("__unnamed") != name.npos;
}

class Writer {
 public:
  explicit Writer(const Source& source) : source_(source) {}
  std::string Write(const std::string& database);

 private:
  std::string BaseName(const Type& type);
  std::string NameOf(TypeId id, const Type& type);
  std::string Reference(TypeId id, int depth);
  void AddUserType(const std::string& name, TypeId id, const Type& type);
  void AddEnum(const std::string& name, TypeId id, const Type& type);
  void AddPending();
  void AddStandardBaseTypes();
  void AddTypesReadersName();
  std::string Symbols() const;

  const Source& source_;
  std::map<std::string, std::string> base_types_, user_types_, enums_;  // name -> JSON
  std::map<std::string, TypeId> pending_;                               // referred to, not written yet
};

std::string Join(const std::map<std::string, std::string>& members) {
  std::string out = "{";
  for (const auto& [name, json] : members) {
    if (out.size() > 1) out += ',';
    out += Quote(name) + ":" + json;
  }
  return out + "}";
}

std::string Writer::BaseName(const Type& type) {
  std::string name;
  std::string kind = "int";
  bool is_signed = type.is_signed;
  switch (type.kind) {
    case TypeKind::kVoid:
      name = kind = "void";
      is_signed = true;
      break;
    case TypeKind::kBool:
      name = type.size == 1 ? "bool" : "bool" + std::to_string(type.size * 8);
      kind = "bool";
      break;
    case TypeKind::kFloat:
      name = type.size == 4 ? "float" : type.size == 8 ? "double" : "f" + std::to_string(type.size * 8);
      kind = "float";
      break;
    case TypeKind::kChar:
    case TypeKind::kInteger: {
      if (type.kind == TypeKind::kChar && type.size == 2) {
        name = "wchar";
        is_signed = true;
        break;
      }
      const std::string sign = type.is_signed ? "" : "unsigned ";
      if (type.size == 1) {
        name = sign + "char";
        kind = "char";
      } else if (type.size == 2) {
        name = sign + "short";
      } else if (type.size == 4) {
        name = sign + "long";
      } else if (type.size == 8) {
        name = sign + "long long";
      } else {
        name = sign + "int" + std::to_string(type.size * 8);
      }
      break;
    }
    default:
      name = kind = "void";
      break;
  }
  base_types_.try_emplace(name, "{\"endian\":\"little\",\"kind\":\"" + kind +
                                    "\",\"signed\":" + (is_signed ? "true" : "false") +
                                    ",\"size\":" + std::to_string(type.size) + "}");
  return name;
}

std::string Writer::NameOf(TypeId id, const Type& type) {
  if (!IsUnnamed(type.name)) return std::string(type.name);
  char name[24];
  std::snprintf(name, sizeof name, "__unnamed_%x", id);
  return name;
}

std::string Writer::Reference(TypeId id, int depth) {
  const Type type = depth > 32 ? Type{} : source_.GetType(id);
  switch (type.kind) {
    case TypeKind::kPointer:
      return "{\"kind\":\"pointer\",\"subtype\":" + Reference(type.target, depth + 1) + "}";
    case TypeKind::kArray:
      return "{\"count\":" + std::to_string(type.count) +
             ",\"kind\":\"array\",\"subtype\":" + Reference(type.target, depth + 1) + "}";
    case TypeKind::kFunction:
      return "{\"kind\":\"function\"}";
    case TypeKind::kBitField:
      return "{\"bit_length\":" + std::to_string(type.bit_count) +
             ",\"bit_position\":" + std::to_string(type.bit_position) +
             ",\"kind\":\"bitfield\",\"type\":" + Reference(type.target, depth + 1) + "}";
    case TypeKind::kStruct:
    case TypeKind::kUnion:
    case TypeKind::kEnum: {
      const std::string name = NameOf(id, type);
      pending_.try_emplace(name, id);
      const char* kind = type.kind == TypeKind::kEnum    ? "enum"
                         : type.kind == TypeKind::kUnion ? "union"
                                                         : "struct";
      return std::string("{\"kind\":\"") + kind + "\",\"name\":" + Quote(name) + "}";
    }
    default:
      return "{\"kind\":\"base\",\"name\":" + Quote(BaseName(type)) + "}";
  }
}

void Writer::AddUserType(const std::string& name, TypeId id, const Type& type) {
  if (user_types_.contains(name)) return;
  user_types_[name];  // reserved: a type may refer to itself
  std::map<std::string, std::string> fields;
  for (const symbols::Member& member : source_.Members(id)) {
    std::string field(member.name);
    if (field.empty() || IsUnnamed(field)) field = "__unnamed_field_" + std::to_string(member.offset);
    fields.try_emplace(field, "{\"offset\":" + std::to_string(member.offset) +
                                  ",\"type\":" + Reference(member.type, 0) + "}");
  }
  user_types_[name] = "{\"fields\":" + Join(fields) + ",\"kind\":\"" +
                      (type.kind == TypeKind::kUnion ? "union" : "struct") +
                      "\",\"size\":" + std::to_string(type.size) + "}";
}

void Writer::AddEnum(const std::string& name, TypeId id, const Type& type) {
  if (enums_.contains(name)) return;
  std::map<std::string, std::string> constants;
  for (const symbols::Enumerator& e : source_.Enumerators(id))
    constants.try_emplace(std::string(e.name), std::to_string(e.value));
  Type underlying = source_.GetType(type.target);
  if (underlying.size == 0) {
    underlying.kind = TypeKind::kInteger;
    underlying.is_signed = true;
    underlying.size = 4;
  }
  enums_[name] = "{\"base\":" + Quote(BaseName(underlying)) + ",\"constants\":" + Join(constants) +
                 ",\"size\":" + std::to_string(underlying.size) + "}";
}

void Writer::AddPending() {
  while (!pending_.empty()) {
    const auto [name, id] = *pending_.begin();
    pending_.erase(pending_.begin());
    const Type type = source_.GetType(id);
    if (type.kind == TypeKind::kEnum) {
      AddEnum(name, id, type);
    } else if (!user_types_.contains(name)) {
      AddUserType(name, id, type);
    }
  }
}

// Readers make objects of these by name ("unsigned int" for KeNumberProcessors), used here or not.
void Writer::AddStandardBaseTypes() {
  const auto add = [&](const char* name, const char* kind, bool is_signed, int size) {
    base_types_.try_emplace(name, std::string("{\"endian\":\"little\",\"kind\":\"") + kind +
                                      "\",\"signed\":" + (is_signed ? "true" : "false") +
                                      ",\"size\":" + std::to_string(size) + "}");
  };
  add("pointer", "int", false, 8);
  add("void", "void", true, 0);
  add("char", "char", true, 1);
  add("unsigned char", "char", false, 1);
  add("wchar", "int", true, 2);
  add("double", "float", true, 8);
  struct Integer {
    const char* name;
    int size;
  };
  for (const Integer& type : {Integer{"short", 2}, {"int", 4}, {"long", 4}, {"long long", 8}}) {
    add(type.name, "int", true, type.size);
    add((std::string("unsigned ") + type.name).c_str(), "int", false, type.size);
  }
}

// volatility3 gives these types of every Windows kernel behaviour of its own, by name, and refuses symbols
// that lack one of them. Those that this kernel does not have are stated as empty.
void Writer::AddTypesReadersName() {
  static constexpr const char* kNames[] = {"_CMHIVE",
                                           "_CM_KEY_BODY",
                                           "_CM_KEY_NODE",
                                           "_CM_KEY_VALUE",
                                           "_CONTROL_AREA",
                                           "_DEVICE_OBJECT",
                                           "_DRIVER_OBJECT",
                                           "_EX_FAST_REF",
                                           "_FILE_OBJECT",
                                           "_HMAP_ENTRY",
                                           "_IMAGE_DOS_HEADER",
                                           "_KMUTANT",
                                           "_KSYSTEM_TIME",
                                           "_KTIMER",
                                           "_MMVAD",
                                           "_MMVAD_SHORT",
                                           "_OBJECT_HEADER",
                                           "_OBJECT_SYMBOLIC_LINK",
                                           "_POOL_TRACKER_BIG_PAGES",
                                           "_SHARED_CACHE_MAP",
                                           "_TOKEN",
                                           "_VACB"};
  if (!user_types_.contains("_EPROCESS")) return;
  for (const char* name : kNames) user_types_.try_emplace(name, R"({"fields":{},"kind":"struct","size":0})");
}

std::string Writer::Symbols() const {
  std::string out = "{";
  std::set<std::string_view> seen;
  source_.ForEachSymbol([&](const symbols::Symbol& symbol) {
    if (symbol.name.starts_with('`') || !seen.insert(symbol.name).second) return true;
    if (out.size() > 1) out += ',';
    out += Quote(symbol.name) + ":{\"address\":" + std::to_string(symbol.rva) + "}";
    return true;
  });
  return out + "}";
}

std::string Writer::Write(const std::string& database) {
  AddStandardBaseTypes();
  source_.ForEachType([&](TypeId id, const Type& type) {
    if (!IsUnnamed(type.name)) pending_.try_emplace(std::string(type.name), id);
    return true;
  });
  // Types reached only through others join the list while it is worked off. References may bring back a name
  // that was written; AddPending drops it.
  AddPending();
  AddTypesReadersName();
  const formats::DebugId id = source_.id();
  std::string out =
      "{\"base_types\":" + Join(base_types_) + ",\"enums\":" + Join(enums_) +
      R"(,"metadata":{"format":"6.1.0","producer":{"datetime":"2020-01-01T00:00:00","name":"bugcheck",)" +
      R"("version":"0.1.0"},"windows":{"pdb":{"GUID":)" + Quote(id.guid.ToString()) +
      ",\"age\":" + std::to_string(id.age) + ",\"database\":" + Quote(database) +
      ",\"machine_type\":34404}}}";
  out += ",\"symbols\":" + Symbols() + ",\"user_types\":" + Join(user_types_) + "}\n";
  return out;
}

}  // namespace

base::Result<std::string> Write(const Source& source, const std::string& database) {
  if (source.id().age == 0) return base::Fail("the symbol source has no GUID and age");
  return Writer(source).Write(database);
}

}  // namespace isf
