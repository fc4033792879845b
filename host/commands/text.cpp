#include "commands/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>

#include <fmt/format.h>

namespace commands {

std::string Duration(uint64_t milliseconds) {
  const uint64_t ms = milliseconds % 1000, s = milliseconds / 1000 % 60, m = milliseconds / 60'000 % 60,
                 h = milliseconds / 3'600'000 % 24, d = milliseconds / 86'400'000;
  if (milliseconds == 0) return "0";
  if (d != 0) return fmt::format("{}d.{:02}:{:02}:{:02}.{:03}", d, h, m, s, ms);
  if (h != 0) return fmt::format("{}h:{:02}:{:02}.{:03}", h, m, s, ms);
  if (m != 0) return fmt::format("{}m:{:02}.{:03}", m, s, ms);
  if (s != 0) return fmt::format("{}s.{:03}", s, ms);
  return fmt::format("{}ms", ms);
}

std::string DurationCut(uint64_t units) {
  return Duration(units / kUnitsPerMs);
}

std::string DurationRounded(uint64_t units) {
  return Duration(units / kUnitsPerMs + (units % kUnitsPerMs >= kUnitsPerMs / 2 ? 1 : 0));
}

std::string ShortTime(double microseconds) {
  if (microseconds < 1000) return fmt::format("{:.0f} us", microseconds);
  if (microseconds < 1e6) return fmt::format("{:.1f} ms", microseconds / 1e3);
  return fmt::format("{:.3f} s", microseconds / 1e6);
}

std::string Uptime(uint64_t units) {
  const uint64_t ms = (units / kUnitsPerMs) % 1000, seconds = units / kUnitsPerSecond;
  return fmt::format("{} days {}:{:02}:{:02}.{:03}", seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60,
                     seconds % 60, ms);
}

namespace {

constexpr uint64_t kUnixEpoch = 116444736000000000;  // of FILETIME

std::tm BrokenDown(uint64_t filetime) {
  const auto seconds = static_cast<time_t>(static_cast<int64_t>(filetime - kUnixEpoch) / 10'000'000);
  std::tm parts{};
  if (filetime < kUnixEpoch || gmtime_r(&seconds, &parts) == nullptr) {
    const time_t zero = 0;
    gmtime_r(&zero, &parts);
  }
  return parts;
}

constexpr std::array<const char*, 7> kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
constexpr std::array<const char*, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                 "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

}  // namespace

std::string SessionTime(uint64_t filetime, int64_t bias) {
  const uint64_t local = filetime - static_cast<uint64_t>(bias);
  const std::tm t = BrokenDown(local);
  const int64_t minutes = bias / 600'000'000;
  const int64_t magnitude = minutes < 0 ? -minutes : minutes;
  return fmt::format("{} {} {:2} {:02}:{:02}:{:02}.{:03} {} (UTC {} {}:{:02})", kDays[t.tm_wday],
                     kMonths[t.tm_mon], t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, local / kUnitsPerMs % 1000,
                     t.tm_year + 1900, minutes > 0 ? '-' : '+', magnitude / 60, magnitude % 60);
}

std::string StampText(uint32_t time_date_stamp) {
  const std::tm t = BrokenDown(kUnixEpoch + uint64_t{time_date_stamp} * kUnitsPerSecond);
  return fmt::format("{} {} {:2} {:02}:{:02}:{:02} {} ({:08X})", kDays[t.tm_wday], kMonths[t.tm_mon],
                     t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, t.tm_year + 1900, time_date_stamp);
}

std::string ClockTime(uint64_t filetime, int64_t bias) {
  const uint64_t local = filetime - static_cast<uint64_t>(bias);
  const std::tm t = BrokenDown(local);
  const int hour = t.tm_hour % 12 == 0 ? 12 : t.tm_hour % 12;
  return fmt::format("{:02}/{:02}/{} {:02}:{:02}:{:02}.{:03} {}", t.tm_mon + 1, t.tm_mday, t.tm_year + 1900,
                     hour, t.tm_min, t.tm_sec, local / kUnitsPerMs % 1000, t.tm_hour < 12 ? "AM" : "PM");
}

std::string Hex(uint64_t value) {
  return fmt::format("{:x}", value);
}
std::string UpperHex(uint64_t value) {
  return fmt::format("{:X}", value);
}
std::string Hex16(uint64_t value) {
  return fmt::format("{:016x}", value);
}

std::string Grouped(uint64_t value) {
  std::string text = std::to_string(value);
  for (auto at = static_cast<int64_t>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
  return text;
}

std::string TickAddress(uint64_t value) {
  return fmt::format("0x{:08x}`{:08x}", value >> 32, value & 0xFFFFFFFF);
}

std::string Bytes(uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) value /= 1024, ++unit;
  std::string text = fmt::format("{:.2f}", value);
  if (text.ends_with(".00")) text.resize(text.size() - 3);
  return text + " " + kUnits[unit];
}

std::string Lower(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) text.remove_suffix(1);
  return text;
}

bool EqualsNoCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(),
                    [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

bool MatchesWildcard(std::string_view text, std::string_view pattern) {
  size_t t = 0, p = 0, star = std::string_view::npos, resume = 0;
  while (t < text.size()) {
    const bool same =
        p < pattern.size() && (pattern[p] == '?' || std::tolower(static_cast<unsigned char>(pattern[p])) ==
                                                        std::tolower(static_cast<unsigned char>(text[t])));
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (same) {
      ++t, ++p;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

bool ContainsNoCase(std::string_view text, std::string_view part) {
  return Lower(text).find(Lower(part)) != std::string::npos;
}

std::vector<std::string> SplitWords(std::string_view text) {
  std::vector<std::string> words;
  while (!(text = Trim(text)).empty()) {
    size_t end = 0;
    while (end < text.size() && !std::isspace(static_cast<unsigned char>(text[end]))) ++end;
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::vector<std::string> SplitList(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const size_t at = text.find(separator);
    const std::string_view part = Trim(text.substr(0, at));
    if (!part.empty()) parts.emplace_back(part);
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

char Printable(uint8_t byte) {
  return byte >= 0x20 && byte < 0x7F ? static_cast<char>(byte) : '.';
}

}  // namespace commands
