#include "commands/bugcheck_info.h"
#include "commands/error_names.h"

#include <algorithm>
#include <iterator>

#include <fmt/format.h>

namespace commands {

namespace {

struct NameRecord {
  uint32_t code;
  const char* name;
  std::array<const char*, 4> parameters;
};

constexpr NameRecord kNames[] = {
#define BUGCHECK_CODE(code, name, p1, p2, p3, p4) {code, name, {p1, p2, p3, p4}},
#include "bugcheck_names.inc"
#undef BUGCHECK_CODE
};

const NameRecord* FindName(uint32_t code) {
  const auto at =
      std::lower_bound(std::begin(kNames), std::end(kNames), code,
                       [](const NameRecord& record, uint32_t value) { return record.code < value; });
  return at != std::end(kNames) && at->code == code ? at : nullptr;
}

struct TextRecord {
  uint32_t code;
  const char* text;
  const char* show;
};

constexpr TextRecord kTexts[] = {
#define BUGCHECK_TEXT(code, text, show) {code, text, show},
#include "bugcheck_texts.inc"
#undef BUGCHECK_TEXT
};

struct KindRecord {
  uint32_t code;
  int parameter;  // 1..4
  uint64_t value;
  const char* bucket;
  const char* text;
};

constexpr KindRecord kKinds[] = {
#define BUGCHECK_KIND(code, parameter, value, bucket, text) {code, parameter, value, bucket, text},
#include "bugcheck_kinds.inc"
#undef BUGCHECK_KIND
};

const TextRecord* FindText(uint32_t code) {
  const auto at =
      std::find_if(std::begin(kTexts), std::end(kTexts), [&](const TextRecord& r) { return r.code == code; });
  return at != std::end(kTexts) ? at : nullptr;
}

// Lines of at most 110 characters.
std::string Wrapped(std::string_view text) {
  constexpr size_t kWidth = 110;
  std::string out;
  size_t column = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    if (column != 0 && column + 1 + end - at > kWidth) {
      out += '\n';
      column = 0;
    } else if (column != 0) {
      out += ' ';
      ++column;
    }
    out += text.substr(at, end - at);
    column += end - at;
    at = end + 1;
  }
  return out;
}

}  // namespace

std::string_view BugcheckName(uint32_t code) {
  const NameRecord* record = FindName(code);
  return record != nullptr ? record->name : "";
}

std::string BugcheckTitle(uint32_t code) {
  const std::string_view name = BugcheckName(code);
  return name.empty() ? fmt::format("BUGCHECK_{:X} ({:x})", code, code)
                      : fmt::format("{} ({:x})", name, code);
}

std::string BugcheckExplanation(uint32_t code) {
  const TextRecord* record = FindText(code);
  return record != nullptr ? Wrapped(record->text) : "";
}

std::string_view BugcheckQuestions(uint32_t code) {
  const TextRecord* record = FindText(code);
  return record != nullptr ? record->show : "";
}

std::optional<BugcheckKind> KindOfBugcheck(uint32_t code, const std::array<uint64_t, 4>& parameters) {
  for (const KindRecord& kind : kKinds) {
    if (kind.code == code && parameters[static_cast<size_t>(kind.parameter - 1)] == kind.value)
      return BugcheckKind{kind.parameter, kind.bucket, kind.text};
  }
  return std::nullopt;
}

std::optional<int> KindParameter(uint32_t code) {
  for (const KindRecord& kind : kKinds) {
    if (kind.code == code) return kind.parameter;
  }
  return std::nullopt;
}

std::string_view BugcheckParameterText(uint32_t code, size_t index) {
  const NameRecord* record = index < 4 ? FindName(code) : nullptr;
  return record != nullptr ? record->parameters[index] : "";
}

std::string IrqlName(uint64_t irql) {
  static constexpr const char* kLevels[] = {"PASSIVE_LEVEL", "APC_LEVEL", "DISPATCH_LEVEL"};
  if (irql < 3) return kLevels[irql];
  if (irql == 13) return "CLOCK_LEVEL";
  if (irql == 14) return "IPI_LEVEL";
  if (irql == 15) return "HIGH_LEVEL";
  return fmt::format("DIRQL {}", irql);
}

std::string_view AccessName(uint64_t operation) {
  if (operation == 0) return "read";
  if (operation == 1) return "write";
  return operation == 8 || operation == 2 || operation == 0x10 ? "execute" : "access";
}

std::string_view StatusName(uint32_t status) {
  return NtStatusName(status);
}

}  // namespace commands
