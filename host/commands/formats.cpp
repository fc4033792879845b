// .formats: a value in every notation.
#include <bit>
#include <ctime>

#include "commands/command.h"
#include "commands/text.h"
#include "debug/expression.h"

namespace commands {

namespace {

constexpr uint64_t kUnixEpoch = 116444736000000000;     // as FILETIME
constexpr uint64_t kLastFileTime = 0x24C85A5ED1C04000;  // year 9999

std::string Binary(uint64_t value) {
  std::string text;
  for (int byte = 7; byte >= 0; --byte)
    text += fmt::format("{:08b}{}", value >> (8 * byte) & 0xFF, byte > 0 ? " " : "");
  return text;
}

std::string Characters(uint64_t value) {
  std::string text;
  for (int byte = 7; byte >= 0; --byte) text += Printable(static_cast<uint8_t>(value >> (8 * byte)));
  return text;
}

std::string TimeText(uint64_t value) {
  if (value > UINT32_MAX)
    return value >= kUnixEpoch && value < kLastFileTime ? SessionTime(value, 0) : "(not a time)";
  return SessionTime(kUnixEpoch + value * kUnitsPerSecond, 0);
}

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: .formats EXPRESSION");
  const uint64_t value = TRY(debug::Evaluate(context.session, call.arguments));
  Output& out = context.out;
  out.Line("Evaluate expression:");
  out.Line("  Hex:     {}", debug::FormatAddress(value));
  out.Line("  Decimal: {}", static_cast<int64_t>(value));
  if (value >> 63 != 0) out.Line("  Decimal (unsigned) : {}", value);
  out.Line("  Octal:   {:022o}", value);
  out.Line("  Binary:  {}", Binary(value));
  out.Line("  Chars:   {}", Characters(value));
  out.Line("  Time:    {}", TimeText(value));
  out.Line("  Float:   low {:g} high {:g}", std::bit_cast<float>(static_cast<uint32_t>(value)),
           std::bit_cast<float>(static_cast<uint32_t>(value >> 32)));
  out.Line("  Double:  {:g}", std::bit_cast<double>(value));
  return {};
}

const Registration kRegistration({
    {".formats"},
    ".formats EXPRESSION",
    "a value in hexadecimal, decimal, octal, binary, characters, as a time and as floating point",
    "",
    {".formats 0n1000", ".formats 41424344"},
    Run,
});

}  // namespace

}  // namespace commands
