// `bugcheck up`: a process that owns one machine, serves the commands that talk to it, and writes the dump
// when it crashes. It ends with its machine.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "dump/dump_writer.h"
#include "run/machine.h"
#include "run/rpc.h"

namespace run {

struct SupervisorOptions {
  std::string name = "default";
  MachineOptions machine;
  dump::DumpType dump_type = dump::DumpType::kKernel;
};

class Supervisor {
 public:
  // Takes the machine's lock (an Error when it is up already), prepares its folder, boots it and opens the
  // socket.
  static base::Result<std::unique_ptr<Supervisor>> Start(const SupervisorOptions& options, int interrupt_fd);
  ~Supervisor();

  // Serves until the machine has ended; its dump and state file are then written.
  void Serve();
  // One sentence: "processors 6, memory 256 MiB, tcg (...)".
  std::string Summary() const;

 private:
  struct Client {
    base::UniqueFd socket;
    bool waits_for_end = false;
  };

  explicit Supervisor(const SupervisorOptions& options) : options_(options) {}
  base::Result<void> Listen();
  void Accept();
  // False when the client is gone.
  bool TakeRequest(Client& client);
  void Answer(const std::weak_ptr<Client>& client, RpcOutcome outcome, int32_t status,
              const std::string& payload, int fd = -1);
  void Finish();
  std::string StatusJson() const;
  std::string AttachJson() const;
  void WriteState(const std::string& end, const std::string& detail);
  std::string WriteCrash();

  SupervisorOptions options_;
  std::string folder_;
  std::string socket_path_;
  base::UniqueFd lock_;
  base::UniqueFd listener_;
  std::unique_ptr<Machine> machine_;
  std::vector<std::shared_ptr<Client>> clients_;
  std::map<uint64_t, std::weak_ptr<Client>> waiting_;  // for replies of the guest
  uint64_t next_wait_ = 1;
  bool going_down_ = false;
  Clock::time_point begin_ = Clock::now();
};

}  // namespace run
