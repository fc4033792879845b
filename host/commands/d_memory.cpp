// db dw dd dq dp: memory as numbers.
#include <cctype>
#include <cstring>

#include "commands/command.h"
#include "commands/memory_range.h"
#include "commands/text.h"

namespace commands {

namespace {

struct Form {
  unsigned size;
  unsigned per_line;
  uint64_t default_count;
};

Form FormOf(char letter) {
  switch (letter) {
    case 'b':
      return {1, 16, 0x80};
    case 'w':
      return {2, 8, 0x40};
    case 'd':
      return {4, 4, 0x20};
    default:
      return {8, 2, 0x10};
  }
}

// Where each form goes on when it gets no address.
uint64_t g_next = 0;

std::string NumberText(base::Bytes memory, const std::vector<bool>& present, size_t at, unsigned size) {
  for (unsigned i = 0; i < size; ++i) {
    if (!present[at + i]) return size == 8 ? "????????`????????" : std::string(size * 2, '?');
  }
  uint64_t value = 0;
  std::memcpy(&value, memory.data() + at, size);
  return size == 8 ? debug::FormatAddress(value) : fmt::format("{:0{}x}", value, size * 2);
}

void PrintLine(Output& out, uint64_t address, base::Bytes memory, const std::vector<bool>& present,
               const Form& form) {
  std::string line = debug::FormatAddress(address) + " ";
  for (size_t at = 0; at + form.size <= memory.size(); at += form.size) {
    line += form.size == 1 && at == 8 ? "-" : " ";
    line += NumberText(memory, present, at, form.size);
  }
  if (form.size == 1) {
    line += std::string((16 - memory.size()) * 3 + 2, ' ');
    for (size_t at = 0; at < memory.size(); ++at)
      line += present[at] ? Printable(static_cast<uint8_t>(memory[at])) : '?';
  }
  out.WriteLine(line);
}

base::Result<void> Run(Context& context, const Call& call) {
  const char letter = static_cast<char>(std::tolower(static_cast<unsigned char>(call.name[1])));
  const Form form = FormOf(letter);
  if (g_next == 0)
    g_next = context.session.CurrentRegisters().map([](const auto& r) { return r.rsp(); }).value_or(0);
  const MemoryRange range = TRY(ParseRange(context, call.arguments, g_next, form.default_count, form.size));
  const uint64_t per_line = form.per_line * form.size;
  const uint64_t total = range.count * form.size;
  for (uint64_t done = 0; done < total; done += per_line) {
    const uint64_t address = range.address + done, length = std::min(per_line, total - done);
    std::vector<std::byte> bytes(length);
    std::vector<bool> present(length, true);
    const uint64_t readable = context.session.memory().ReadUpTo(address, bytes);
    for (uint64_t i = readable; i < length; ++i) {
      const auto byte = context.session.memory().Get<uint8_t>(address + i);
      present[i] = byte.has_value();
      if (byte) bytes[i] = std::byte{*byte};
    }
    PrintLine(context.out, address, bytes, present, form);
  }
  g_next = range.address + total;
  return {};
}

const Registration kRegistration({
    {"db", "dw", "dd", "dq", "dp"},
    "db|dw|dd|dq|dp [ADDRESS [END|LCOUNT]]",
    "memory as bytes, words, double words, quad words, pointers",
    "COUNT is in objects and hexadecimal (0n for decimal). Without ADDRESS it goes on behind the last one. "
    "What the dump\n"
    "does not hold is shown as ??.",
    {"db @rsp L20", "dw @rsp", "dd @rsp L8", "dq @rsp", "dp @rsp L4"},
    Run,
});

}  // namespace

}  // namespace commands
