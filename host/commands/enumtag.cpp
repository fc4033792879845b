// .enumtag: what drivers' bug check callbacks added to the dump.
#include <algorithm>

#include "commands/command.h"
#include "commands/table.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr size_t kBytesPerLine = 16;

void PrintBytes(Output& out, base::Bytes bytes) {
  for (size_t at = 0; at < bytes.size(); at += kBytesPerLine) {
    const base::Bytes line = bytes.subspan(at, std::min(kBytesPerLine, bytes.size() - at));
    std::string numbers, characters;
    for (const std::byte byte : line) {
      numbers += fmt::format("{:02X} ", static_cast<uint8_t>(byte));
      characters += Printable(static_cast<uint8_t>(byte));
    }
    out.Line("  {:<48}  {}", numbers, characters);
  }
}

base::Result<void> Run(Context& context, const Call&) {
  const std::vector<kdump::TaggedBlock> blocks = context.session.target().tagged_data();
  if (blocks.empty()) context.out.Line("No tagged data: no driver has added any");
  for (const kdump::TaggedBlock& block : blocks) {
    context.out.Line("{} - 0x{:x} bytes", kdump::TagText(block.tag), block.bytes.size());
    PrintBytes(context.out, block.bytes);
    context.out.Fact(kdump::TagText(block.tag), fmt::format("0x{:x}", block.bytes.size()));
  }
  return {};
}

const Registration kRegistration({
    {".enumtag"},
    ".enumtag",
    "data that drivers added to the dump, by tag",
    "What bug check callbacks of KeRegisterBugCheckReasonCallback (KbCallbackSecondaryDumpData and\n"
    "KbCallbackSecondaryMultiPartDumpData) gave: each block's tag, a GUID, its size and its bytes.",
    {".enumtag"},
    Run,
});

}  // namespace

}  // namespace commands
