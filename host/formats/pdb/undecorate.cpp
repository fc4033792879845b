#include "formats/pdb/undecorate.h"

#include <vector>

namespace pdb {

std::string Undecorate(std::string_view mangled) {
  if (mangled.starts_with("??_C@")) return "`string'";
  if (mangled.size() < 2 || mangled[0] != '?') return std::string(mangled);
  std::string_view rest = mangled.substr(1);
  bool is_constructor = false;
  bool is_destructor = false;
  if (rest.starts_with("?0") || rest.starts_with("?1")) {
    is_constructor = rest[1] == '0';
    is_destructor = rest[1] == '1';
    rest.remove_prefix(2);
  }
  std::vector<std::string> parts;  // innermost first
  while (!rest.empty() && rest[0] != '@') {
    if (rest.starts_with("?A0x")) {  // ?A0x1234abcd@: an anonymous namespace
      const size_t end = rest.find('@');
      if (end == rest.npos) return std::string(mangled);
      parts.emplace_back("`anonymous namespace'");
      rest.remove_prefix(end + 1);
      continue;
    }
    if (rest[0] >= '0' && rest[0] <= '9') {  // a name seen before
      const size_t index = static_cast<size_t>(rest[0] - '0');
      if (index >= parts.size()) return std::string(mangled);
      parts.push_back(std::string(parts[index]));
      rest.remove_prefix(1);
      continue;
    }
    const size_t end = rest.find('@');
    if (rest[0] == '?' || end == rest.npos || parts.size() > 32) return std::string(mangled);
    parts.emplace_back(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  if (parts.empty() || rest.empty()) return std::string(mangled);
  std::string name;
  for (size_t i = parts.size(); i-- > 0;) {
    name += parts[i];
    if (i != 0) name += "::";
  }
  if (is_constructor) name += "::" + parts[0];
  if (is_destructor) name += "::~" + parts[0];
  return name;
}

}  // namespace pdb
