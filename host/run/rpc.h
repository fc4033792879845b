// What a client and the supervisor of a machine say to each other: one packet each way on a SOCK_SEQPACKET
// socket.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace run {

// Numbers below 0x1000 are boot::Request and go to the guest as they are.
enum class Rpc : uint32_t {
  kStatus = 0x1000,  // -> JSON
  kDown = 0x1001,    // -> after the machine has shut down
  kAttach = 0x1002,  // -> JSON, with the RAM file's descriptor
  kPause = 0x1003,   // stops the processors
  kResume = 0x1004,
  kNmi = 0x1005,  // crashes a hung machine: as kCrashed follows
};

enum class RpcOutcome : uint32_t {
  kAnswered = 0,  // `status` and `payload` are the answer
  kCrashed = 1,   // the machine stopped with a bug check; payload: text for the user
  kFailed = 2,    // payload: one sentence
};

struct RpcHeader {
  uint32_t kind;   // request: boot::Request or Rpc; reply: RpcOutcome
  int32_t status;  // reply: NTSTATUS
};

struct RpcMessage {
  uint32_t kind = 0;
  int32_t status = 0;
  std::string payload;
  base::UniqueFd fd;  // received with it
};

inline constexpr uint32_t kMaxRpcPayload = 96 * 1024;

// `fd` < 0: none goes along.
base::Result<void> SendRpc(int socket, uint32_t kind, int32_t status, const std::string& payload,
                           int fd = -1);
// Waits for one packet. An Error also when the other side has closed.
base::Result<RpcMessage> ReceiveRpc(int socket);

}  // namespace run
