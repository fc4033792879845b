// What a kit's Machine, its clients and their requests share. Single threaded, as run::Machine.
#pragma once

#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "bugcheck/machine.h"
#include "run/client_channel.h"
#include "run/machine.h"
#include "run/paths.h"

namespace bugcheck::detail {

inline Error AsError(const base::Error& error, Status status = status::kUnsuccessful) {
  return {error.message, status};
}

struct RequestCore {
  std::weak_ptr<ClientCore> client;
  uint32_t id = 0;
  uint64_t handle = 0;
  boot::ClientRequest kind{};
  bool done = false;
  IoResult result;
};

class MachineCore {
 public:
  // Lets time pass until `done`, or the machine stops, or the time is up; returns done().
  bool Wait(Milliseconds timeout, const std::function<bool()>& done);
  Result<run::Reply> Call(boot::Request kind, const std::string& payload, Milliseconds timeout,
                          const std::string& what);
  bool running() const { return machine->condition() == run::Condition::kRunning; }
  // Why nothing answers: the bug check, the end, or that the time was up.
  std::string Whereabouts() const;
  // Takes what the clients' rings hold; true when something came.
  bool ReadClients();

  std::unique_ptr<run::Machine> machine;
  run::TemporaryFolder temporary;
  std::string drive_c;
  std::string guest_folder;
  uint32_t verifier_flags = 0;
  std::string output;
  size_t output_taken = 0;
  std::function<void(std::string_view)> output_handler;
  std::vector<std::string> drivers;         // services that are loaded
  std::vector<std::string> driver_folders;  // where their symbols are
  std::vector<std::string> findings;        // what unloaded drivers left behind
  std::vector<std::weak_ptr<ClientCore>> clients;

 private:
  void Sleep(int milliseconds);
};

class ClientCore : public std::enable_shared_from_this<ClientCore> {
 public:
  static Result<std::shared_ptr<ClientCore>> Create(const std::shared_ptr<MachineCore>& machine,
                                                    uint32_t brother, const std::string& name);
  ~ClientCore();

  Request Start(boot::ClientRequest kind, uint64_t handle, ByteView header, ByteView first = {},
                ByteView second = {});
  IoResult Perform(boot::ClientRequest kind, uint64_t handle, ByteView header, ByteView first = {},
                   ByteView second = {}) {
    return Start(kind, handle, header, first, second).Wait();
  }
  Request StartTransfer(boot::ClientRequest kind, const boot::ClientTransfer& transfer, ByteView input,
                        ByteView output = {});
  Status Cancel(uint64_t handle, uint32_t id);
  Result<void> End(Milliseconds timeout);
  // Replies that have come; true when there were any.
  bool Read();
  void SetAwake(bool awake) { channel_.SetAwake(awake); }

  const std::shared_ptr<MachineCore>& machine() const { return machine_; }
  uint32_t id() const { return id_; }
  uint64_t process_id() const { return process_id_; }

 private:
  bool Send(RequestCore& request, ByteView header, ByteView first, ByteView second);

  std::shared_ptr<MachineCore> machine_;
  run::ClientChannel channel_;
  uint32_t id_ = 0;  // 0: ended
  uint64_t process_id_ = 0;
  uint32_t next_request_ = 1;
  std::unordered_map<uint32_t, std::shared_ptr<RequestCore>> pending_;
};

}  // namespace bugcheck::detail
