// The guest's console text, kept in a file of bounded size.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace run {

class ConsoleLog {
 public:
  // Creates or empties `path`.
  static base::Result<ConsoleLog> Open(const std::string& path);

  void Append(std::string_view text);
  const std::string& path() const { return path_; }
  // The last lines, for a report of failure.
  std::string Tail() const;
  // Also called with all text that arrives.
  void SetEcho(std::function<void(std::string_view)> echo) { echo_ = std::move(echo); }

 private:
  base::UniqueFd file_;
  std::string path_;
  std::string tail_;
  uint64_t written_ = 0;
  std::function<void(std::string_view)> echo_;
};

}  // namespace run
