#include "formats/symbols/source.h"

namespace symbols {

namespace {

std::string IntegerName(const Type& type) {
  switch (type.size) {
    case 1:
      return type.is_signed ? "char" : "unsigned char";
    case 2:
      return type.is_signed ? "short" : "unsigned short";
    case 4:
      return type.is_signed ? "long" : "unsigned long";
    case 8:
      return type.is_signed ? "__int64" : "unsigned __int64";
    default:
      return (type.is_signed ? "__int" : "unsigned __int") + std::to_string(type.size * 8);
  }
}

std::string ScalarName(const Type& type) {
  switch (type.kind) {
    case TypeKind::kVoid:
      return "void";
    case TypeKind::kBool:
      return "bool";
    case TypeKind::kChar:
      return type.size == 2 ? "wchar_t" : type.is_signed ? "char" : "unsigned char";
    case TypeKind::kInteger:
      return IntegerName(type);
    case TypeKind::kFloat:
      return type.size == 4 ? "float" : type.size == 8 ? "double" : "long double";
    default:
      return "<unknown type>";
  }
}

std::string NameAt(const Source& source, TypeId id, int depth) {
  if (depth > 16) return "...";
  const Type type = source.GetType(id);
  switch (type.kind) {
    case TypeKind::kPointer: {
      const Type target = source.GetType(type.target);
      if (target.kind == TypeKind::kFunction) return NameAt(source, target.target, depth + 1) + " (*)()";
      return NameAt(source, type.target, depth + 1) + "*";
    }
    case TypeKind::kArray: {
      // int[2][3] is an array of 2 arrays of 3: the outer dimension is written first.
      std::string dimensions;
      TypeId element = id;
      for (Type t = type; t.kind == TypeKind::kArray && dimensions.size() < 200;
           t = source.GetType(element)) {
        dimensions += "[" + std::to_string(t.count) + "]";
        element = t.target;
      }
      return NameAt(source, element, depth + 1) + dimensions;
    }
    case TypeKind::kBitField:
      return NameAt(source, type.target, depth + 1) + ":" + std::to_string(type.bit_count);
    case TypeKind::kFunction:
      return NameAt(source, type.target, depth + 1) + " ()";
    case TypeKind::kStruct:
    case TypeKind::kUnion:
    case TypeKind::kEnum:
      return std::string(type.name);
    default:
      return ScalarName(type);
  }
}

}  // namespace

std::string Source::TypeName(TypeId id) const {
  return NameAt(*this, id, 0);
}

}  // namespace symbols
