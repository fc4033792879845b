#include "debug/expression.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

namespace debug {

namespace {

constexpr int kMaxDepth = 64;

std::string Lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

// A number in the debugger's notation; nothing when `text` is a name. An Error when it is too large.
base::Result<std::optional<uint64_t>> ParseNumber(std::string_view text) {
  unsigned radix = 16;
  std::string_view digits = text;
  if (digits.size() > 2 && digits[0] == '0') {
    switch (std::tolower(static_cast<unsigned char>(digits[1]))) {
      case 'x':
        radix = 16;
        break;
      case 'n':
        radix = 10;
        break;
      case 't':
        radix = 8;
        break;
      case 'y':
        radix = 2;
        break;
      default:
        radix = 0;
    }
    if (radix != 0) digits.remove_prefix(2);
    if (radix == 0) radix = 16;
  }
  if (radix == 16 && digits.size() > 1 && (digits.back() == 'h' || digits.back() == 'H'))
    digits.remove_suffix(1);
  uint64_t value = 0;
  bool any = false;
  for (const char c : digits) {
    if (c == '`') continue;
    const int lower = std::tolower(static_cast<unsigned char>(c));
    unsigned digit;
    if (lower >= '0' && lower <= '9')
      digit = static_cast<unsigned>(lower - '0');
    else if (lower >= 'a' && lower <= 'f')
      digit = static_cast<unsigned>(lower - 'a' + 10);
    else
      return std::optional<uint64_t>();
    if (digit >= radix) return std::optional<uint64_t>();
    if (value > (UINT64_MAX - digit) / radix)
      return base::Fail("the number " + std::string(text) + " is too large");
    value = value * radix + digit;
    any = true;
  }
  return any ? std::optional(value) : std::nullopt;
}

struct Operator {
  std::string_view text;
  int precedence;
  uint64_t (*apply)(uint64_t, uint64_t);
  bool is_division;
};

uint64_t ShiftArithmetic(uint64_t a, uint64_t b) {
  return static_cast<uint64_t>(static_cast<int64_t>(a) >> std::min<uint64_t>(b, 63));
}

// Longer spellings first.
constexpr Operator kOperators[] = {
    {">>>", 5, ShiftArithmetic, false},
    {"<<", 5, [](uint64_t a, uint64_t b) { return b < 64 ? a << b : 0; }, false},
    {">>", 5, [](uint64_t a, uint64_t b) { return b < 64 ? a >> b : 0; }, false},
    {"<=", 4, [](uint64_t a, uint64_t b) { return uint64_t{a <= b}; }, false},
    {">=", 4, [](uint64_t a, uint64_t b) { return uint64_t{a >= b}; }, false},
    {"==", 4, [](uint64_t a, uint64_t b) { return uint64_t{a == b}; }, false},
    {"!=", 4, [](uint64_t a, uint64_t b) { return uint64_t{a != b}; }, false},
    {"=", 4, [](uint64_t a, uint64_t b) { return uint64_t{a == b}; }, false},
    {"<", 4, [](uint64_t a, uint64_t b) { return uint64_t{a < b}; }, false},
    {">", 4, [](uint64_t a, uint64_t b) { return uint64_t{a > b}; }, false},
    {"*", 7, [](uint64_t a, uint64_t b) { return a * b; }, false},
    {"/", 7, [](uint64_t a, uint64_t b) { return a / b; }, true},
    {"%", 7, [](uint64_t a, uint64_t b) { return a % b; }, true},
    {"mod", 7, [](uint64_t a, uint64_t b) { return a % b; }, true},
    {"+", 6, [](uint64_t a, uint64_t b) { return a + b; }, false},
    {"-", 6, [](uint64_t a, uint64_t b) { return a - b; }, false},
    {"&", 3, [](uint64_t a, uint64_t b) { return a & b; }, false},
    {"and", 3, [](uint64_t a, uint64_t b) { return a & b; }, false},
    {"^", 2, [](uint64_t a, uint64_t b) { return a ^ b; }, false},
    {"xor", 2, [](uint64_t a, uint64_t b) { return a ^ b; }, false},
    {"|", 1, [](uint64_t a, uint64_t b) { return a | b; }, false},
    {"or", 1, [](uint64_t a, uint64_t b) { return a | b; }, false},
};

class Parser {
 public:
  Parser(const Session& session, std::string_view text) : session_(session), text_(text) {}

  base::Result<uint64_t> Run() {
    const uint64_t value = TRY(Binary(0, 0));
    Blanks();
    if (at_ != text_.size()) return base::Fail("'" + std::string(text_.substr(at_)) + "' was not expected");
    return value;
  }

 private:
  void Blanks() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }
  bool Take(std::string_view token) {
    Blanks();
    if (!text_.substr(at_).starts_with(token)) return false;
    at_ += token.size();
    return true;
  }
  static bool IsNameCharacter(char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '$' || c == '`' || c == '!';
  }
  // A run of name characters at the current position, with '::' inside.
  std::string_view PeekWord() {
    Blanks();
    size_t end = at_;
    while (end < text_.size()) {
      if (IsNameCharacter(text_[end]))
        ++end;
      else if (text_.substr(end).starts_with("::"))
        end += 2;
      else if (text_[end] == '@' && end == at_)
        ++end;
      else
        break;
    }
    // "a!=b" is a comparison, not the name "a!".
    while (end > at_ && text_[end - 1] == '!' && end < text_.size() && text_[end] == '=') --end;
    return text_.substr(at_, end - at_);
  }
  const Operator* TakeOperator(int min_precedence);

  base::Result<uint64_t> Binary(int min_precedence, int depth);
  base::Result<uint64_t> Unary(int depth);
  base::Result<uint64_t> Primary(int depth);
  base::Result<uint64_t> Name(std::string_view word);
  base::Result<uint64_t> Pseudo(std::string_view name);
  base::Result<uint64_t> Memory(uint64_t address, size_t size);

  const Session& session_;
  std::string_view text_;
  size_t at_ = 0;
};

const Operator* Parser::TakeOperator(int min_precedence) {
  Blanks();
  for (const Operator& op : kOperators) {
    const bool is_word = std::isalpha(static_cast<unsigned char>(op.text[0])) != 0;
    const bool matches = is_word ? Lower(PeekWord()) == op.text : text_.substr(at_).starts_with(op.text);
    if (!matches) continue;
    if (op.precedence < min_precedence) return nullptr;
    at_ += op.text.size();
    return &op;
  }
  return nullptr;
}

base::Result<uint64_t> Parser::Binary(int min_precedence, int depth) {
  if (depth > kMaxDepth) return base::Fail("the expression is nested too deeply");
  uint64_t left = TRY(Unary(depth));
  while (const Operator* op = TakeOperator(min_precedence)) {
    const uint64_t right = TRY(Binary(op->precedence + 1, depth + 1));
    if (op->is_division && right == 0) return base::Fail("division by zero");
    left = op->apply(left, right);
  }
  return left;
}

base::Result<uint64_t> Parser::Memory(uint64_t address, size_t size) {
  uint64_t value = 0;
  TRY(session_.memory().Read(address, std::as_writable_bytes(std::span(&value, 1)).first(size)));
  return value;
}

base::Result<uint64_t> Parser::Unary(int depth) {
  if (depth > kMaxDepth) return base::Fail("the expression is nested too deeply");
  if (Take("-")) return 0 - TRY(Unary(depth + 1));
  if (Take("+")) return Unary(depth + 1);
  if (Take("~")) return ~TRY(Unary(depth + 1));
  struct Function {
    std::string_view name;
    size_t size;
  };
  static constexpr Function kReads[] = {{"by", 1}, {"wo", 2}, {"dwo", 4}, {"qwo", 8}, {"poi", 8}};
  const std::string word = Lower(PeekWord());
  for (const Function& read : kReads) {
    if (word != read.name) continue;
    at_ += word.size();
    return Memory(TRY(Unary(depth + 1)), read.size);
  }
  if (word == "not" || word == "hi" || word == "low") {
    at_ += word.size();
    const uint64_t value = TRY(Unary(depth + 1));
    if (word == "not") return value == 0 ? 1 : 0;
    return word == "hi" ? value >> 16 & 0xffff : value & 0xffff;
  }
  return Primary(depth);
}

base::Result<uint64_t> Parser::Primary(int depth) {
  for (const auto& [open, close] : {std::pair{"(", ")"}, std::pair{"[", "]"}}) {
    if (!Take(open)) continue;
    const uint64_t value = TRY(Binary(0, depth + 1));
    if (!Take(close)) return base::Fail(std::string("'") + close + "' is missing");
    return value;
  }
  const std::string_view word = PeekWord();
  if (word.empty()) {
    if (at_ >= text_.size()) return base::Fail("the expression is incomplete");
    return base::Fail("'" + std::string(text_.substr(at_)) + "' was not expected");
  }
  at_ += word.size();
  return Name(word);
}

base::Result<uint64_t> Parser::Pseudo(std::string_view name) {
  const std::string lower = Lower(name);
  if (lower == "$thread") return session_.current_thread();
  if (lower == "$proc") {
    const Object thread = TRY(session_.symbols().ObjectAt("nt!_KTHREAD", session_.current_thread()));
    return thread.U64("ApcState.Process");
  }
  if (lower == "$prcb") return TRY(session_.GetProcessor(session_.current_processor())).prcb;
  const Registers registers = TRY(session_.CurrentRegisters());
  if (lower == "$ip") return registers.rip;
  if (lower == "$csp") return registers.rsp();
  if (lower == "$ra") {
    Unwinder unwinder(session_.symbols());
    const StackTrace trace = unwinder.Walk(registers, 1);
    if (trace.frames.empty() || trace.frames[0].return_address == 0)
      return base::Fail("there is no return address");
    return trace.frames[0].return_address;
  }
  if (const auto value = registers.ByName(name)) return *value;
  return base::Fail("register " + std::string(name) + " is not known");
}

base::Result<uint64_t> Parser::Name(std::string_view word) {
  if (word.starts_with('@')) return Pseudo(word.substr(1));
  if (const auto number = TRY(ParseNumber(word))) return *number;
  if (word.starts_with('$')) return Pseudo(word);
  std::string name(word);
  std::erase(name, '`');
  const auto symbol = session_.symbols().Find(name);
  if (symbol) return symbol->address;
  if (name.find('!') == name.npos) {
    if (const auto registers = session_.CurrentRegisters()) {
      if (const auto value = registers->ByName(name)) return *value;
    }
    if (const Module* module = session_.symbols().ModuleNamed(name)) return module->base;
  }
  return tl::make_unexpected(symbol.error());
}

}  // namespace

base::Result<uint64_t> Evaluate(const Session& session, std::string_view text) {
  return TRY_WRAP("expression '" + std::string(text) + "'", Parser(session, text).Run());
}

base::Result<uint64_t> TakeExpression(const Session& session, std::string_view& text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  int depth = 0;
  size_t end = 0;
  for (; end < text.size(); ++end) {
    const char c = text[end];
    if (c == '(' || c == '[') ++depth;
    if (c == ')' || c == ']') --depth;
    if (depth <= 0 && std::isspace(static_cast<unsigned char>(c)) != 0) break;
  }
  const uint64_t value = TRY(Evaluate(session, text.substr(0, end)));
  text.remove_prefix(end);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) text.remove_prefix(1);
  return value;
}

}  // namespace debug
