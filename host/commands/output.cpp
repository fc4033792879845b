#include "commands/output.h"

#include <cstdint>

namespace commands {

void Output::Write(std::string_view text) {
  if (sink_) {
    sink_(text);
  } else {
    text_.append(text);
  }
}

void Output::WriteLine(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  Write(text);
  Write("\n");
}

void Output::Clear() {
  text_.clear();
  facts_.clear();
  tables_.clear();
}

namespace {

// Length of the well-formed UTF-8 sequence at the front of `text`, 0 for none.
size_t Utf8Length(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  const size_t length = lead < 0x80                    ? 1
                        : lead >= 0xC2 && lead <= 0xDF ? 2
                        : lead >= 0xE0 && lead <= 0xEF ? 3
                        : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<uint8_t>(text[i]) & 0xC0) != 0x80) return 0;
  }
  return length;
}

void AppendEscaped(std::string& out, char c) {
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  if (static_cast<uint8_t>(c) < 0x20) {
    out += fmt::format("\\u{:04x}", static_cast<uint8_t>(c));
  } else {
    out += c;
  }
}

}  // namespace

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const size_t length = Utf8Length(text);
    if (length == 0) {
      out += "\\ufffd";
      text.remove_prefix(1);
    } else if (length == 1) {
      AppendEscaped(out, text[0]);
      text.remove_prefix(1);
    } else {
      out += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return out + "\"";
}

}  // namespace commands
