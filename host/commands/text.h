// How the debugger writes numbers, times and identifiers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace commands {

inline constexpr uint64_t kUnitsPerMs = 10'000;  // of 100 ns
inline constexpr uint64_t kUnitsPerSecond = 10'000'000;

// "0", "15ms", "21s.890", "5m:49.515", "1h:02:03.004", "2d.01:02:03.004". Milliseconds.
std::string Duration(uint64_t milliseconds);
// From 100 ns units, cut off (a thread's Time) or rounded (User and Kernel times), as MEX does.
std::string DurationCut(uint64_t units);
std::string DurationRounded(uint64_t units);
// "12 us", "3.4 ms", "2.500 s".
std::string ShortTime(double microseconds);
// "0 days 0:05:49.516" from 100 ns units.
std::string Uptime(uint64_t units);
// "Tue Dec 26 07:57:39.921 2023 (UTC - 8:00)": `filetime` is UTC, `bias` = UTC minus local time, both in
// 100 ns.
std::string SessionTime(uint64_t filetime, int64_t bias);
// "Tue Dec 26 07:57:39 2023 (658A4123)" of a PE time stamp.
std::string StampText(uint32_t time_date_stamp);
// "12/23/2023 07:16:41.656 AM".
std::string ClockTime(uint64_t filetime, int64_t bias);

std::string Hex(uint64_t value);       // "f30"
std::string UpperHex(uint64_t value);  // "F30"
std::string Hex16(uint64_t value);     // "ffffab027465f040"
std::string Grouped(uint64_t value);   // "1,836"
// "0xfffff802`31600000" etc.: with 0x, sign-extended, with a backtick.
std::string TickAddress(uint64_t value);
std::string Bytes(uint64_t bytes);  // "76.04 MB"

std::string Lower(std::string_view text);
std::string_view Trim(std::string_view text);
bool EqualsNoCase(std::string_view a, std::string_view b);
// `*` and `?`, ignoring case.
bool MatchesWildcard(std::string_view text, std::string_view pattern);
bool ContainsNoCase(std::string_view text, std::string_view part);
std::vector<std::string> SplitWords(std::string_view text);
std::vector<std::string> SplitList(std::string_view text, char separator);
// Printable ASCII, '.' for the rest.
char Printable(uint8_t byte);

}  // namespace commands
