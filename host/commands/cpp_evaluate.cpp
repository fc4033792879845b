// ??: C++ expressions: globals, casts, members, elements.
#include <cctype>

#include "commands/command.h"
#include "commands/text.h"
#include "commands/type_text.h"
#include "debug/expression.h"

namespace commands {

namespace {

// A typed place in memory, or a plain number.
struct Value {
  std::optional<debug::Object> object;
  uint64_t number = 0;
};

class Parser {
 public:
  Parser(Context& context, std::string_view text) : context_(context), rest_(Trim(text)) {}

  base::Result<Value> Parse() {
    Value value = TRY(Unary());
    if (!Trim(rest_).empty()) return base::Fail("not understood: " + std::string(rest_));
    return value;
  }

 private:
  bool Take(std::string_view token) {
    rest_ = Trim(rest_);
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }

  // Letters, digits, _, $, and what joins a module or a namespace to a name.
  std::string TakeName() {
    rest_ = Trim(rest_);
    size_t end = 0;
    while (end < rest_.size() &&
           (std::isalnum(static_cast<unsigned char>(rest_[end])) != 0 || rest_[end] == '_' ||
            rest_[end] == '$' || rest_[end] == '@' || rest_[end] == '!' ||
            rest_.substr(end).starts_with("::") || (end > 0 && rest_.substr(end - 1).starts_with("::"))))
      ++end;
    std::string name(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return name;
  }

  base::Result<debug::Type> TypeNamed(std::string name) {
    for (const char* word : {"struct ", "class ", "union "}) {
      if (name.starts_with(word)) name = name.substr(std::string_view(word).size());
    }
    return context_.session.symbols().FindType(std::string(Trim(name)));
  }

  base::Result<Value> SizeOf() {
    const size_t close = rest_.find(')');
    if (close == rest_.npos) return base::Fail("sizeof: ) is missing");
    const debug::Type type = TRY(TypeNamed(std::string(rest_.substr(0, close))));
    rest_.remove_prefix(close + 1);
    return Value{std::nullopt, type.size()};
  }

  base::Result<Value> Unary() {
    if (Take("*")) {
      const Value value = TRY(Unary());
      if (!value.object) return base::Fail("* needs a pointer");
      return Value{TRY(value.object->Deref()), 0};
    }
    if (Take("&")) {
      const Value value = TRY(Unary());
      if (!value.object) return base::Fail("& needs a place in memory");
      return Value{std::nullopt, value.object->address()};
    }
    if (Take("sizeof(")) return SizeOf();
    return Postfix(TRY(Primary()));
  }

  // "(TYPE*)EXPR", "(EXPR)", a number, a register, a global.
  base::Result<Value> Primary() {
    if (Take("(")) {
      const size_t star = rest_.find('*'), close = rest_.find(')');
      if (star != rest_.npos && close != rest_.npos && star < close && rest_.find('(') > close &&
          Trim(rest_.substr(star + 1, close - star - 1)).empty()) {
        const debug::Type type = TRY(TypeNamed(std::string(rest_.substr(0, star))));
        rest_.remove_prefix(close + 1);
        const Value address = TRY(Unary());
        return Value{context_.session.symbols().ObjectAt(type, TRY(Number(address))), 0};
      }
      Value value = TRY(Unary());
      if (!Take(")")) return base::Fail(") is missing");
      return value;
    }
    const std::string name = TakeName();
    if (name.empty()) return base::Fail("an expression is missing at: " + std::string(rest_));
    if (std::isdigit(static_cast<unsigned char>(name[0])) != 0)
      return Value{std::nullopt, TRY(Literal(name))};
    if (name[0] == '@') return Value{std::nullopt, TRY(debug::Evaluate(context_.session, name))};
    return Value{TRY(context_.session.symbols().Global(name)), 0};
  }

  // As in C++: decimal unless 0x is in front.
  static base::Result<uint64_t> Literal(const std::string& text) {
    size_t used = 0;
    uint64_t value = 0;
    try {
      value = std::stoull(text, &used, 0);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != text.size()) return base::Fail(text + ": not a number");
    return value;
  }

  base::Result<uint64_t> Number(const Value& value) {
    return value.object ? value.object->U64() : base::Result<uint64_t>(value.number);
  }

  base::Result<Value> Postfix(Value value) {
    for (;;) {
      if (Take("->")) {
        debug::Object object = TRY(Place(value));
        if (!object.type().IsRecord()) object = TRY(object.Deref());
        value.object = TRY(object.At(TakeName()));
      } else if (Take(".")) {
        value.object = TRY(TRY(Place(value)).At(TakeName()));
      } else if (Take("[")) {
        const size_t close = rest_.find(']');
        if (close == rest_.npos) return base::Fail("] is missing");
        const uint64_t index = TRY(Literal(std::string(Trim(rest_.substr(0, close)))));
        rest_.remove_prefix(close + 1);
        value.object = TRY(TRY(Place(value)).Index(index));
      } else {
        return value;
      }
    }
  }

  base::Result<debug::Object> Place(const Value& value) {
    if (!value.object) return base::Fail("a number has no members");
    return *value.object;
  }

  Context& context_;
  std::string_view rest_;
};

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: ?? EXPRESSION");
  const Value value = TRY(Parser(context, call.arguments).Parse());
  if (!value.object) {
    context.out.Line("unsigned int64 {:#x}", value.number);
    context.out.Fact("value", Hex(value.number));
    return {};
  }
  if (value.object->type().IsRecord()) {
    context.out.Line("{} at {}", TypeText(value.object->type()), Hex16(value.object->address()));
    TypePrintOptions options;
    options.with_values = true;
    PrintMembers(context, *value.object, options);
    return {};
  }
  const std::string text = ValueText(*value.object);
  context.out.Line("{} {}", TypeText(value.object->type()), text);
  context.out.Fact("value", text);
  return {};
}

const Registration kRegistration({
    {"??"},
    "?? EXPRESSION",
    "evaluate a C++ expression: globals, casts, members, elements, sizeof",
    "Names are globals with their types (nt!PsActiveProcessHead); (TYPE*)ADDRESS is a record there; then "
    "->member, "
    ".member,\n"
    "[index]; * and & as in C++. Numbers are decimal unless 0x is in front. @rip, @$thread as in ?.",
    {"?? sizeof(_KTHREAD)", "?? ((_KTHREAD*)@$thread)->State"},
    Run,
});

}  // namespace

}  // namespace commands
