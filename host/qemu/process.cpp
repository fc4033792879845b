#include "qemu/process.h"

#include <cerrno>
#include <csignal>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace qemu {
namespace {

constexpr int kFirstInheritedFd = 40;
constexpr int kParkingFd = 200;  // above every number that the child is given
constexpr size_t kMaxQmpInput = 1 << 20;

int PidfdOpen(pid_t pid) {
  return static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
}

// Runs in the child between fork and exec: only async-signal-safe calls. Returns only on failure.
void ExecInChild(char* const* argv, const std::vector<std::pair<int, int>>& inherit, int output,
                 pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(126);  // we became an orphan before the death signal was armed
  setpgid(0, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  dup2(null, STDIN_FILENO);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  int parked[16];
  size_t count = 0;
  for (const auto& [ours, theirs] : inherit) parked[count++] = fcntl(ours, F_DUPFD_CLOEXEC, kParkingFd);
  count = 0;
  for (const auto& [ours, theirs] : inherit) {
    if (dup2(parked[count++], theirs) < 0) _exit(126);
  }
  execv(argv[0], argv);
}

base::Result<std::pair<base::UniqueFd, base::UniqueFd>> SocketPair() {
  int fds[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) {
    return base::FailErrno("cannot make a socket pair", errno);
  }
  return std::pair(base::UniqueFd(fds[0]), base::UniqueFd(fds[1]));
}

void SetNonBlocking(int fd) {
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

}  // namespace

base::Result<Child> Child::Start(const std::vector<std::string>& argv,
                                 const std::vector<std::pair<int, int>>& inherit) {
  if (inherit.size() > 16) return base::Fail("too many descriptors to inherit");
  std::vector<char*> pointers;
  for (const std::string& argument : argv) pointers.push_back(const_cast<char*>(argument.c_str()));
  pointers.push_back(nullptr);
  Child child;
  child.output_.Reset(memfd_create("bugcheck-output", MFD_CLOEXEC));
  if (!child.output_) return base::FailErrno("cannot make a memory file", errno);
  fcntl(child.output_.get(), F_SETFL, O_APPEND);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return base::FailErrno("cannot start " + argv[0], errno);
  if (pid == 0) {
    ExecInChild(pointers.data(), inherit, child.output_.get(), parent);
    dprintf(STDERR_FILENO, "cannot start %s: %s\n", argv[0].c_str(), strerror(errno));
    _exit(127);
  }
  child.pid_ = pid;
  child.ended_ = false;
  child.pidfd_.Reset(PidfdOpen(pid));
  if (!child.pidfd_) return base::FailErrno("cannot watch " + argv[0], errno);
  return child;
}

Child::Child(Child&& other) noexcept {
  *this = std::move(other);
}

Child& Child::operator=(Child&& other) noexcept {
  if (this != &other) {
    Kill();
    pid_ = std::exchange(other.pid_, -1);
    pidfd_ = std::move(other.pidfd_);
    output_ = std::move(other.output_);
    ended_ = std::exchange(other.ended_, true);
    status_ = other.status_;
  }
  return *this;
}

bool Child::WaitForEnd(int timeout_ms) {
  if (ended_) return true;
  pollfd entry{pidfd_.get(), POLLIN, 0};
  while (poll(&entry, 1, timeout_ms) < 0 && errno == EINTR) {
  }
  if ((entry.revents & POLLIN) == 0) return false;
  if (waitpid(pid_, &status_, 0) == pid_) ended_ = true;
  return ended_;
}

void Child::Kill() {
  if (ended_ || pid_ <= 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
  }
  ended_ = true;
}

std::string Child::EndText() const {
  if (WIFSIGNALED(status_)) return fmt::format("signal {}", WTERMSIG(status_));
  return fmt::format("exit status {}", WEXITSTATUS(status_));
}

std::string Child::Output() const {
  if (!output_) return "";
  char buffer[4096];
  const off_t end = lseek(output_.get(), 0, SEEK_END);
  const off_t start = end > static_cast<off_t>(sizeof(buffer)) ? end - static_cast<off_t>(sizeof(buffer)) : 0;
  const ssize_t got = pread(output_.get(), buffer, sizeof(buffer), start);
  std::string text(buffer, got > 0 ? got : 0);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

base::Result<Process> Process::Start(const MachineConfig& config, int ram_fd) {
  auto debug_console = TRY(SocketPair());
  auto serial = TRY(SocketPair());
  auto qmp = TRY(SocketPair());
  const InheritedFds numbers{kFirstInheritedFd, kFirstInheritedFd + 1, kFirstInheritedFd + 2,
                             kFirstInheritedFd + 3};
  Process process;
  process.child_ =
      TRY(Child::Start(CommandLine(config, numbers), {{ram_fd, numbers.ram},
                                                      {debug_console.second.get(), numbers.debug_console},
                                                      {serial.second.get(), numbers.serial},
                                                      {qmp.second.get(), numbers.qmp}}));
  process.debug_console_ = std::move(debug_console.first);
  process.serial_ = std::move(serial.first);
  process.qmp_ = std::move(qmp.first);
  SetNonBlocking(process.debug_console_.get());
  SetNonBlocking(process.serial_.get());
  SetNonBlocking(process.qmp_.get());
  return process;
}

void Process::RingDoorbell() {
  // A machine that has died is noticed through its pidfd, a full socket already holds doorbells: nothing to
  // report.
  [[maybe_unused]] const ssize_t sent = send(serial_.get(), "!", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
}

base::Result<std::string> Process::ReadQmpAnswer(int timeout_ms) {
  for (;;) {
    const size_t end = qmp_input_.find('\n');
    if (end != std::string::npos) {
      std::string line = qmp_input_.substr(0, end);
      qmp_input_.erase(0, end + 1);
      return line;
    }
    pollfd entry{qmp_.get(), POLLIN, 0};
    const int ready = poll(&entry, 1, timeout_ms);
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return base::Fail("QEMU's monitor does not answer");
    char buffer[4096];
    const ssize_t got = read(qmp_.get(), buffer, sizeof(buffer));
    if (got <= 0 || qmp_input_.size() > kMaxQmpInput) return base::Fail("QEMU's monitor is gone");
    qmp_input_.append(buffer, got);
  }
}

base::Result<std::string> Process::Command(const std::string& json, int timeout_ms) {
  if (!qmp_ready_) {
    TRY(ReadQmpAnswer(timeout_ms));  // the greeting
    qmp_ready_ = true;
    TRY(Command(R"({"execute":"qmp_capabilities"})", timeout_ms));
  }
  const std::string line = json + "\n";
  if (send(qmp_.get(), line.data(), line.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(line.size())) {
    return base::Fail("QEMU's monitor is gone");
  }
  for (;;) {  // events may come between
    const std::string answer = TRY(ReadQmpAnswer(timeout_ms));
    const auto parsed = nlohmann::json::parse(answer, nullptr, false);
    if (!parsed.is_object()) return base::Fail("QEMU's monitor sent something that is not JSON");
    if (parsed.contains("return")) return answer;
    if (parsed.contains("error"))
      return base::Fail("QEMU: " + parsed["error"].value("desc", "unknown error"));
  }
}

}  // namespace qemu
