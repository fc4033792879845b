// A running machine: guest RAM, QEMU, control channel and console log, with everything that can happen to it
// turned into a Condition. Single threaded: time passes only in Pump and in the calls built on it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <poll.h>

#include "base/result.h"
#include "boot/guest_ram.h"
#include "boot/loader.h"
#include "qemu/process.h"
#include "run/console_log.h"
#include "run/control_channel.h"

namespace run {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;

enum class Condition {
  kRunning,
  kStopped,  // shut down: files written out, processors halted
  kCrashed,  // bug check: the dump description is valid
  kDied,     // QEMU ended by itself
  kBroken,   // it cannot start, or it broke the protocol
};

struct MachineOptions {
  uint32_t processors = 6;
  uint64_t memory = 256ull << 20;
  std::string accelerator = "auto";
  std::string guest_folder;  // with boot.elf, probe.elf, ntoskrnl.exe, hostfs.sys
  std::string kernel;        // "" = ntoskrnl.exe of guest_folder
  std::string drive_c;
  std::string log_path;
  std::string trace_path;  // where the trace goes, if there is any; "" drops it
  std::string cache_folder;
  std::string boot_options;
  uint32_t verifier_flags = 0;
  uint32_t build_number = 22621;
  std::vector<std::string> devices;  // PCI devices by the names of qemu::FindDevice; others are an error
};

struct Reply {
  int32_t status;
  std::string payload;
};

class Machine {
 public:
  using ReplyHandler = std::function<void(const Reply&)>;
  using EventHandler = std::function<void(const IncomingMessage&)>;

  // Loads and launches; the machine is not ready yet when this returns.
  static base::Result<std::unique_ptr<Machine>> Start(const MachineOptions& options);
  ~Machine();

  // Handles what has happened, waiting up to `timeout_ms` for something to. `extra` are polled as well.
  void Pump(int timeout_ms, std::vector<pollfd>* extra = nullptr);
  // Pumps until `done()` or the condition changes or the deadline passes or the user interrupts; returns
  // done().
  bool PumpUntil(Deadline deadline, const std::function<bool()>& done);

  Condition condition() const { return condition_; }
  // Why it died or broke.
  const std::string& failure() const { return failure_; }
  bool interrupted() const { return interrupted_; }
  boot::MachineState state() const { return channel_.state(); }
  const ControlChannel& channel() const { return channel_; }
  ControlChannel& channel() { return channel_; }
  const boot::GuestRam& ram() const { return ram_; }
  const boot::LoadedMachine& loaded() const { return loaded_; }
  const std::string& accelerator_text() const { return accelerator_text_; }
  ConsoleLog& log() { return log_; }
  qemu::Process& process() { return process_; }
  const qemu::Process& process() const { return process_; }

  void set_event_handler(EventHandler handler) { event_handler_ = std::move(handler); }
  // A signalfd; when it becomes readable, interrupted() is set and waiting ends.
  void set_interrupt_fd(int fd) { interrupt_fd_ = fd; }

  // Sends a request; `handler` gets its reply from within Pump, or never when the machine stops first.
  base::Result<void> Post(boot::Request kind, const std::string& payload, ReplyHandler handler);
  // Sends and waits. The error says why no reply came; look at condition() for what to do about it.
  base::Result<Reply> Call(boot::Request kind, const std::string& payload, Deadline deadline);
  bool WaitReady(Deadline deadline);

  // The watchdog's bite: an NMI that makes the kernel bugcheck. False when there is no crash by the deadline.
  bool InjectNmi(Deadline deadline, boot::NmiReason reason = boot::NmiReason::kNoAnswer);
  // Asks for a clean shutdown and waits for it.
  base::Result<void> ShutDown(Deadline deadline);
  // Ends QEMU at once. RAM stays readable.
  void Kill();
  // Ends a crashed machine; `write_dump` is called when its memory changes no more. What drivers have
  // registered for the time after the dump runs then, for two seconds at most.
  void EndCrashed(const std::function<void()>& write_dump);
  // One sentence on how far the machine got: for reports of failure.
  std::string Whereabouts() const;

 private:
  Machine() = default;
  void ReadDebugConsole();
  void ReadRings();
  void AppendTrace(const std::string& text);
  void NoteEnd();
  void Break(const std::string& why);

  boot::GuestRam ram_;
  boot::LoadedMachine loaded_;
  ControlChannel channel_;
  qemu::Process process_;
  ConsoleLog log_;
  std::optional<ConsoleLog> trace_;
  std::string trace_path_;
  std::string accelerator_text_;
  Condition condition_ = Condition::kRunning;
  std::string failure_;
  std::string early_line_;  // text on the debug console before the console ring is up
  bool interrupted_ = false;
  int interrupt_fd_ = -1;
  uint32_t next_id_ = 1;
  std::map<uint32_t, ReplyHandler> pending_;
  EventHandler event_handler_;
};

// "ready", "bringing up its processors", ...
const char* StateText(boot::MachineState state);

}  // namespace run
