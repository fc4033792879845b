// da, du: zero-terminated strings.
#include "commands/command.h"
#include "commands/text.h"
#include "debug/expression.h"

namespace commands {

namespace {

constexpr uint64_t kMaxCharacters = 4096;

base::Result<void> Run(Context& context, const Call& call) {
  std::string_view text = call.arguments;
  if (text.empty()) return base::Fail("usage: da|du ADDRESS");
  const uint64_t address = TRY(debug::TakeExpression(context.session, text));
  const debug::VirtualMemory& memory = context.session.memory();
  if (!memory.Get<uint8_t>(address)) return base::Fail(MemoryReadError(address));
  std::string content;
  if (call.name[1] == 'u') {
    uint64_t length = 0;
    for (; length < kMaxCharacters * 2; length += 2) {
      const auto unit = memory.Get<uint16_t>(address + length);
      if (!unit || *unit == 0) break;
    }
    content = TRY(memory.ReadUtf16(address, length));
  } else {
    content = memory.ReadCString(address, kMaxCharacters);
    for (char& c : content) {
      if (static_cast<unsigned char>(c) < 0x20) c = '.';
    }
  }
  context.out.Line("{}  \"{}\"", debug::FormatAddress(address), content);
  return {};
}

const Registration kRegistration({
    {"da", "du"},
    "da|du ADDRESS",
    "a zero-terminated string of bytes (da) or UTF-16 (du)",
    "At most 4096 characters.",
    {"da nt", "du nt"},
    Run,
});

}  // namespace

}  // namespace commands
