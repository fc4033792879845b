// The QEMU process and its private ends: debug console, serial port, QMP. It dies with us, whatever happens
// to us.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sys/types.h>

#include "base/result.h"
#include "base/unique_fd.h"
#include "qemu/command_line.h"

namespace qemu {

// A child with its own process group (the terminal's Ctrl-C is ours alone) and a death signal tied to us.
class Child {
 public:
  // Starts argv[0]. `inherit`: {ours, number in the child}. stdout and stderr go to a memory file, see
  // Output().
  static base::Result<Child> Start(const std::vector<std::string>& argv,
                                   const std::vector<std::pair<int, int>>& inherit);

  Child() = default;
  Child(Child&& other) noexcept;
  Child& operator=(Child&& other) noexcept;
  ~Child() { Kill(); }

  pid_t pid() const { return pid_; }
  // Readable once the process has ended.
  int pidfd() const { return pidfd_.get(); }
  // Waits up to `timeout_ms` for the end; true when it has ended.
  bool WaitForEnd(int timeout_ms);
  // Ends it at once and collects it. Harmless when it has ended.
  void Kill();
  // Has it ended? Then `status()` is what waitpid gave.
  bool ended() const { return ended_; }
  int status() const { return status_; }
  // "exit status 1" or "signal 9".
  std::string EndText() const;
  // What it printed, its last 4 KiB.
  std::string Output() const;

 private:
  pid_t pid_ = -1;
  base::UniqueFd pidfd_;
  base::UniqueFd output_;
  bool ended_ = true;
  int status_ = 0;
};

class Process {
 public:
  static base::Result<Process> Start(const MachineConfig& config, int ram_fd);

  Child& child() { return child_; }
  const Child& child() const { return child_; }
  int debug_console() const { return debug_console_.get(); }  // non-blocking
  int qmp() const { return qmp_.get(); }
  // Raises the guest's COM1 interrupt. Never blocks; a full socket already holds doorbells.
  void RingDoorbell();
  // Sends one QMP command and waits for its answer. Errors: no answer in time, or QEMU's own text.
  base::Result<std::string> Command(const std::string& json, int timeout_ms);

 private:
  base::Result<std::string> ReadQmpAnswer(int timeout_ms);

  Child child_;
  base::UniqueFd debug_console_;
  base::UniqueFd serial_;
  base::UniqueFd qmp_;
  std::string qmp_input_;
  bool qmp_ready_ = false;
};

}  // namespace qemu
