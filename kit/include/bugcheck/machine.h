// A machine that runs drivers: booted for a test, gone with it.
//
//   auto machine = bugcheck::Machine::Boot();
//   auto driver = (*machine)->Load("build/mydriver.sys");
//   auto file = (*machine)->Open(L"\\\\.\\MyDriver");
//   bugcheck::IoResult answer = file->Ioctl(kGetVersion, {}, 4);
//
// One thread uses a machine at a time. Nothing blocks for ever: every wait has a time limit (milliseconds).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bugcheck/client.h"
#include "bugcheck/result.h"
#include "bugcheck/snapshot.h"

// Set by the CMake package's target.
#ifndef BUGCHECK_DEFAULT_GUEST_FOLDER
#define BUGCHECK_DEFAULT_GUEST_FOLDER ""
#endif

namespace bugcheck {

struct MachineOptions {
  unsigned processors = 2;    // 1 to 64
  unsigned memory_mib = 256;  // even
  std::string accelerator = "auto";
  std::string boot_options;
  uint32_t verifier_flags = 0;  // Driver Verifier for the drivers that Load loads
  uint32_t build_number = 22621;
  std::vector<std::string> devices;  // PCI devices: "edu" is QEMU's; see InstallDriver
  std::string drive_c;      // a folder that becomes C: and stays; "" = a fresh one that goes with the machine
  std::string console_log;  // "" = beside C:
  // ntoskrnl.exe, hostfs.sys, boot.elf; "" = $BUGCHECK_GUEST_DIR, else default_guest_folder.
  std::string guest_folder;
  std::string default_guest_folder = BUGCHECK_DEFAULT_GUEST_FOLDER;  // where the kit was installed
  Milliseconds boot_timeout{60'000};
};

enum class MachineState { kRunning, kStopped, kCrashed, kFailed };

// The STOP screen.
struct BugCheck {
  uint32_t code = 0;
  std::string name;  // "DRIVER_IRQL_NOT_LESS_OR_EQUAL", "" = not known
  uint64_t parameters[4] = {};
  std::string driver;  // file name of the image at fault, "" = not known
  uint32_t irql = 0;
  uint64_t instruction = 0;
  uint64_t thread = 0;
  std::string text() const;  // one line
};

// A driver that Load has started.
class Driver {
 public:
  const std::string& service() const { return service_; }
  // What the loader had to say: documented exports that are bound to a trap, ...
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  friend class Machine;
  std::string service_;
  std::vector<std::string> warnings_;
};

struct ProgramOptions {
  std::string arguments;  // after the name, on the command line
  uint64_t parent = 0;    // a process id; 0: the System process
  bool inherit = false;   // the parent's inheritable handles
  uint32_t session = 0;
  enum class Account : uint32_t { kSystem, kAdministrator, kUser } account = Account::kSystem;
};

// A program that runs in the guest, in ring 3.
struct Program {
  uint64_t id = 0;  // of the process
};

enum class DumpKind { kKernel, kFull };

// A node of plug and play's tree.
struct DeviceNode {
  std::string instance;  // "PCI\\VEN_1234&..."
  std::string service;   // "" = no driver
  bool started = false;
  uint32_t problem = 0;  // CM_PROB_*, 0 = none
};

// What an INF's AddReg section would write below Device Parameters: "KEY\\NAME" and a REG_DWORD.
struct DeviceParameter {
  std::string name;
  uint32_t value = 0;
};
inline constexpr char kMsiSupported[] =
    "Interrupt Management\\MessageSignaledInterruptProperties\\MSISupported";

class Machine {
 public:
  static Result<std::unique_ptr<Machine>> Boot(const MachineOptions& options = {});
  // Ends the machine at once, as a pulled plug would; see ShutDown.
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // ---- Files on C: ----
  // `path`: "C:\\folder\\file"; folders are made.
  Result<void> PutFile(const std::string& host_file, const std::string& path);
  Result<void> WriteFile(const std::string& path, ByteView data);
  Result<Bytes> ReadFile(const std::string& path);

  // ---- Drivers ----
  // Copies the .sys to C:, creates a service of its name and starts it. The Error has DriverEntry's or the
  // loader's status, and names imports that nothing exports.
  Result<Driver> Load(const std::string& sys_file);
  // Stops the service and deletes it: what the driver left behind, one finding a string; empty is good. The
  // Error has the status of a driver that does not unload (kInvalidDeviceRequest: it has no DriverUnload).
  Result<std::vector<std::string>> Unload(const Driver& driver, Milliseconds timeout = kDefaultTimeout);

  // ---- Devices ----
  // Makes a driver that is loaded the driver of all devices with this hardware identifier, and starts those
  // that have none.
  Result<void> InstallDriver(const std::string& hardware_id, const Driver& driver,
                             const std::vector<DeviceParameter>& parameters = {});
  Result<std::vector<DeviceNode>> Devices();  // parents first
  // By instance. Stop and start again; removal, after the drivers agreed; and removal with no question.
  Result<void> RestartDevice(const std::string& instance);
  Result<void> RemoveDevice(const std::string& instance);
  Result<void> SurpriseRemoveDevice(const std::string& instance);

  // ---- Programs ----
  // A new process with one thread. `image_name` is what PsGetProcessImageFileName tells.
  Result<Client> NewClient(const std::string& image_name = "client.exe");
  // Starts a program: an image in C:\\Windows\\System32, or an NT path. Where there is no file of the name,
  // one is made that waits until it is ended, alertably (user/program tells what else it can do).
  Result<Program> StartProgram(const std::string& name, const ProgramOptions& options = {});
  // One more thread in it, from the image's entry: its id.
  Result<uint64_t> StartThread(const Program& program);
  // Ends it, and waits until it has ended.
  Result<void> EndProgram(const Program& program, Status status = status::kSuccess);
  // Its exit status once it has ended (an unhandled exception's code), status::kPending while it lives.
  Result<Status> ExitStatus(const Program& program);
  // Waits until it has ended.
  Result<Status> WaitForExit(const Program& program, Milliseconds timeout = kDefaultTimeout);
  // Opens from a process that the machine keeps for this.
  Result<File> Open(std::wstring_view path, const OpenOptions& options = {});
  // Waits until all are done; false when the time is up or the machine has stopped.
  bool WaitAll(std::span<Request> requests, Milliseconds timeout = kDefaultTimeout);

  // ---- Debug output ----
  // DbgPrint and the kernel's own text since the last call.
  std::string TakeOutput();
  // All of it since boot.
  const std::string& output() const;
  // Called with each piece as it arrives, from within any call that waits.
  void SetOutputHandler(std::function<void(std::string_view)> handler);
  bool WaitForOutput(std::string_view text, Milliseconds timeout = kDefaultTimeout);

  // ---- State ----
  MachineState state() const;
  std::optional<BugCheck> bug_check() const;
  // Lets time pass until `done` says so (asked about every millisecond); false when the time is up or the
  // machine stops.
  bool WaitUntil(const std::function<bool()>& done, Milliseconds timeout = kDefaultTimeout);
  // Waits for a bug check.
  std::optional<BugCheck> WaitForBugCheck(Milliseconds timeout = kDefaultTimeout);
  // Nothing, when no bug check happened and every driver that was loaded is gone and left nothing behind;
  // else findings.
  std::vector<std::string> Problems();
  // Ends the machine cleanly: files written, processors halted.
  Result<void> ShutDown(Milliseconds timeout = kDefaultTimeout);

  // ---- Looking inside ----
  // Stops the processors until the snapshot is gone (or, after a bug check, looks at what it left).
  Result<std::unique_ptr<Snapshot>> Inspect();
  // What an object directory contains: L"\\Device", L"\\Driver", L"\\GLOBAL??".
  Result<std::vector<NamedObject>> Objects(const std::string& directory);
  // A dump in Microsoft's format: of the running machine (bug check 0x161), or of the one that crashed.
  Result<void> WriteDump(const std::string& path, DumpKind kind = DumpKind::kKernel);

 private:
  Machine();
  std::shared_ptr<detail::MachineCore> core_;
  Client own_client_;
};

}  // namespace bugcheck
