#include "commands/type_text.h"

#include <algorithm>

#include "commands/text.h"

namespace commands {

namespace {

using symbols::TypeKind;

constexpr uint64_t kMaxLines = 4000;
constexpr uint64_t kMaxElements = 16;  // of an array that are shown

std::string ScalarTypeText(const symbols::Type& info) {
  switch (info.kind) {
    case TypeKind::kVoid:
      return "Void";
    case TypeKind::kBool:
      return "Bool";
    case TypeKind::kChar:
      return info.size == 2 ? "Wchar" : info.is_signed ? "Char" : "UChar";
    case TypeKind::kFloat:
      return fmt::format("Float{}B", info.size);
    case TypeKind::kInteger:
      return fmt::format("{}{}B", info.is_signed ? "Int" : "Uint", info.size);
    default:
      return "";
  }
}

std::string IntegerText(const symbols::Type& info, uint64_t raw) {
  const unsigned bits = static_cast<unsigned>(std::min<uint64_t>(info.size, 8) * 8);
  if (info.kind == TypeKind::kBool) return raw != 0 ? "true" : "false";
  if (info.size == 1)
    return fmt::format("0x{:x} '{}'", raw,
                       raw >= 0x20 && raw < 0x7f ? std::string(1, static_cast<char>(raw)) : std::string());
  if (!info.is_signed || bits == 0) return fmt::format("0x{:x}", raw);
  const uint64_t sign = uint64_t{1} << (bits - 1);
  return fmt::format("0n{}",
                     bits == 64 ? static_cast<int64_t>(raw) : static_cast<int64_t>((raw ^ sign) - sign));
}

std::string RecordText(const debug::Object& object) {
  const std::string name(object.type().info().name);
  if (name == "_LIST_ENTRY") {
    const auto flink = object.U64("Flink"), blink = object.U64("Blink");
    if (flink && blink) return fmt::format("_LIST_ENTRY [ 0x{:016x} - 0x{:016x} ]", *flink, *blink);
  }
  if (name == "_UNICODE_STRING") {
    const auto text = object.UnicodeString();
    return "_UNICODE_STRING " + (text ? "\"" + *text + "\"" : "--- " + text.error().message);
  }
  if (name == "_LARGE_INTEGER" || name == "_ULARGE_INTEGER") {
    if (const auto value = object.U64("QuadPart")) return fmt::format("{} 0x{:x}", name, *value);
  }
  return name;
}

std::string PointerText(const debug::Object& object, uint64_t value) {
  const debug::Type target = object.type().target();
  const symbols::Type info = target.info();
  if (value == 0) return "(null)";
  std::string text = fmt::format("0x{:016x} {}", value, TypeText(target));
  if (info.kind == TypeKind::kChar) {
    const uint64_t size = info.size;
    std::string content = size == 1 ? object.memory().ReadCString(value, 64) : "";
    if (size == 1 && !content.empty()) text += " \"" + content + "\"";
  }
  return text;
}

}  // namespace

std::string TypeText(const debug::Type& type) {
  const symbols::Type info = type.info();
  switch (info.kind) {
    case TypeKind::kPointer:
      return "Ptr64 " + TypeText(type.target());
    case TypeKind::kArray:
      return fmt::format("[{}] {}", info.count, TypeText(type.target()));
    case TypeKind::kBitField:
      return fmt::format("Pos {}, {} Bit{}", info.bit_position, info.bit_count,
                         info.bit_count == 1 ? "" : "s");
    case TypeKind::kFunction:
      return "function";
    case TypeKind::kNone:
      return "???";
    default:
      break;
  }
  const std::string scalar = ScalarTypeText(info);
  return scalar.empty() ? std::string(info.name) : scalar;
}

std::string ValueText(const debug::Object& object) {
  symbols::Type info = object.type().info();
  if (object.type().IsRecord()) return RecordText(object);
  if (info.kind == TypeKind::kArray) {
    const debug::Type element = object.type().target();
    if (element.info().kind == TypeKind::kChar && element.info().size == 1) {
      return fmt::format("[{}]  \"", info.count) +
             object.memory().ReadCString(object.address(), std::min<uint64_t>(info.count, 256)) + "\"";
    }
    if (element.info().kind == TypeKind::kChar && element.info().size == 2) {
      auto text = object.memory().ReadUtf16(object.address(), std::min<uint64_t>(info.count, 1024) * 2);
      if (text) return fmt::format("[{}]  \"{}\"", info.count, text->substr(0, text->find('\0')));
    }
    return TypeText(object.type());
  }
  const auto value = object.U64();
  if (!value) return value.error().message;
  if (object.bit_count() != 0 || info.kind == TypeKind::kBitField) {
    const unsigned bits = object.bit_count() != 0 ? object.bit_count() : info.bit_count;
    return bits <= 16 ? fmt::format("0y{:0{}b}", *value, bits) : fmt::format("0y{:b}", *value);
  }
  if (info.kind == TypeKind::kPointer) return PointerText(object, *value);
  if (info.kind == TypeKind::kEnum) {
    const std::string_view name = object.type().EnumeratorName(static_cast<int64_t>(*value));
    return fmt::format("{} ( {} )", *value, name.empty() ? "no enumerator" : name);
  }
  return IntegerText(info, *value);
}

namespace {

struct Printer {
  Context& context;
  const TypePrintOptions& options;
  uint64_t lines = 0;

  void Members(const debug::Object& object, int depth, const std::string& indent, uint64_t base) {
    const debug::Type& type = object.type();
    size_t width = 16;
    for (const symbols::Member& member : type.members())
      width = std::max(width, std::min<size_t>(member.name.size(), 32));
    for (const symbols::Member& member : type.members()) {
      if (indent.empty() && !member.name.starts_with(options.field)) continue;
      if (++lines > kMaxLines) return;
      Member(object, member, depth, indent, base, width);
    }
  }

  void Member(const debug::Object& object, const symbols::Member& member, int depth,
              const std::string& indent, uint64_t base, size_t width) {
    const debug::Type type(&object.type().source(), member.type);
    debug::Object field(&object.memory(), type, object.address() + member.offset);
    std::string text;
    if (!options.with_values) {
      text = TypeText(type);
    } else if (type.kind() == TypeKind::kBitField) {
      const auto bits = object.At(member.name);
      text = bits ? ValueText(*bits) : TypeText(type);
    } else {
      text = ValueText(field);
    }
    context.out.Line("{}   +0x{:03x} {:{}} : {}", indent, base + member.offset, member.name, width, text);
    if (depth <= 0) return;
    if (type.IsRecord()) {
      Members(field, depth - 1, indent + "   ", 0);
    } else if (type.kind() == TypeKind::kArray) {
      Elements(field, depth, indent);
    }
  }

  void Elements(const debug::Object& array, int depth, const std::string& indent) {
    const uint64_t count = std::min(array.type().info().count, kMaxElements);
    if (array.type().target().info().kind == TypeKind::kChar) return;
    for (uint64_t i = 0; i < count && lines < kMaxLines; ++i) {
      const auto element = array.Index(i);
      if (!element) return;
      ++lines;
      context.out.Line("{}      [{:02x}] : {}", indent, i,
                       options.with_values ? ValueText(*element) : TypeText(element->type()));
      if (element->type().IsRecord() && depth > 1) Members(*element, depth - 2, indent + "      ", 0);
    }
  }
};

}  // namespace

void PrintMembers(Context& context, const debug::Object& object, const TypePrintOptions& options) {
  Printer printer{context, options};
  printer.Members(object, options.depth, "", 0);
  if (printer.lines > kMaxLines) context.out.Line("... cut after {} lines", kMaxLines);
}

std::string VariableText(Context& context, const debug::Frame& frame, const symbols::Variable& variable) {
  const debug::Symbols& symbols = context.session.symbols();
  debug::Type type;
  if (debug::Module* module = symbols.ModuleAt(frame.ip)) {
    if (const symbols::Source* source = symbols.Load(*module)) type = debug::Type(source, variable.type);
  }
  const std::string head = fmt::format("{} {} = ", type.name(), variable.name);
  if (variable.kind == symbols::LocationKind::kRegisterRelative && variable.reg < 16 &&
      frame.registers.IsKnown(variable.reg)) {
    const uint64_t address = frame.registers.gpr[variable.reg] + static_cast<int64_t>(variable.offset);
    return head + ValueText(symbols.ObjectAt(type, address));
  }
  if (variable.kind == symbols::LocationKind::kRegister && variable.reg < 16 &&
      frame.registers.IsKnown(variable.reg)) {
    return head + fmt::format("0x{:x}", frame.registers.gpr[variable.reg]);
  }
  return head + "<unavailable>";
}

}  // namespace commands
