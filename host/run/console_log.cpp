#include "run/console_log.h"

#include <cerrno>

#include <fcntl.h>
#include <unistd.h>

namespace run {
namespace {

constexpr uint64_t kMaximumLog = 64ull << 20;
constexpr size_t kTailSize = 2048;

}  // namespace

base::Result<ConsoleLog> ConsoleLog::Open(const std::string& path) {
  ConsoleLog log;
  log.path_ = path;
  // A new file: a reader of the last run's log keeps what it has.
  unlink(path.c_str());
  log.file_.Reset(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644));
  if (!log.file_) return base::FailErrno("cannot write the console log " + path, errno);
  return log;
}

void ConsoleLog::Append(std::string_view text) {
  if (text.empty()) return;
  if (echo_) echo_(text);
  tail_.append(text);
  if (tail_.size() > kTailSize) tail_.erase(0, tail_.size() - kTailSize);
  if (written_ >= kMaximumLog) return;
  written_ += text.size();
  if (write(file_.get(), text.data(), text.size()) < 0) return;  // a full disk must not stop the machine
  if (written_ >= kMaximumLog) {
    constexpr std::string_view kNote = "\n[the log has reached its size limit; the rest is dropped]\n";
    [[maybe_unused]] const ssize_t ignored = write(file_.get(), kNote.data(), kNote.size());
  }
}

std::string ConsoleLog::Tail() const {
  const size_t line = tail_.size() < kTailSize ? 0 : tail_.find('\n') + 1;
  return tail_.substr(line);
}

}  // namespace run
