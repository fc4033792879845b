// A command's connection to the supervisor of a running machine.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "boot/control.h"
#include "run/rpc.h"

namespace run {

// The RAM of the running machine, for the debugger.
struct LiveMachine {
  base::UniqueFd ram;
  uint64_t header_physical = 0;  // the guest's DUMP_HEADER64
  uint64_t control_physical = 0;
  uint32_t processors = 0;
};

class MachineClient {
 public:
  // The Error says that the machine is not up, or how it ended.
  static base::Result<MachineClient> Connect(const std::string& machine);

  base::Result<RpcMessage> Call(boot::Request kind, const std::string& payload) {
    return Exchange(static_cast<uint32_t>(kind), payload);
  }
  base::Result<RpcMessage> Call(Rpc kind) { return Exchange(static_cast<uint32_t>(kind), ""); }
  base::Result<LiveMachine> Attach();
  // Waits until the supervisor is gone.
  void WaitForEnd();

 private:
  base::Result<RpcMessage> Exchange(uint32_t kind, const std::string& payload);
  base::UniqueFd socket_;
};

// How the last machine of this name ended, from its state file.
struct LastMachine {
  std::string
      end;  // "" when it was shut down or is not known, else one clause: "it stopped with bug check ..."
  std::string detail;  // lines for the user
  bool crashed = false;
};
LastMachine LastEnd(const std::string& machine);

}  // namespace run
