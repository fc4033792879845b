#include "run/client.h"

#include <cerrno>
#include <cstring>
#include <fstream>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "run/paths.h"

namespace run {

LastMachine LastEnd(const std::string& machine) {
  std::ifstream file(MachineFolder(machine) + "/state.json");
  const auto json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object()) return {};
  LastMachine last{json.value("end", ""), json.value("detail", ""), json.value("crashed", false)};
  if (json.value("supervisor", 0) != 0) last.end = "its supervisor was killed";
  return last;
}

base::Result<MachineClient> MachineClient::Connect(const std::string& machine) {
  const std::string path = MachineSocket(machine);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path))
    return base::Fail("the path of the machine's socket is too long: " + path);
  std::memcpy(address.sun_path, path.c_str(), path.size());
  MachineClient client;
  client.socket_.Reset(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!client.socket_) return base::FailErrno("cannot make a socket", errno);
  if (connect(client.socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
    const std::string end = LastEnd(machine).end;
    return base::Fail(fmt::format(
        "the {} machine is not up: {}", machine,
        end.empty() ? "start it with 'bugcheck up'" : end + "; start it again with 'bugcheck up'"));
  }
  return client;
}

base::Result<RpcMessage> MachineClient::Exchange(uint32_t kind, const std::string& payload) {
  TRY(SendRpc(socket_.get(), kind, 0, payload));
  return ReceiveRpc(socket_.get());
}

base::Result<LiveMachine> MachineClient::Attach() {
  RpcMessage reply = TRY(Call(Rpc::kAttach));
  const auto json = nlohmann::json::parse(reply.payload, nullptr, false);
  if (static_cast<RpcOutcome>(reply.kind) != RpcOutcome::kAnswered || !reply.fd || !json.is_object()) {
    return base::Fail("cannot attach to the machine: " + reply.payload);
  }
  LiveMachine live;
  live.ram = std::move(reply.fd);
  live.header_physical = json.value("header_physical", uint64_t{0});
  live.control_physical = json.value("control_physical", uint64_t{0});
  live.processors = json.value("processors", 0u);
  return live;
}

void MachineClient::WaitForEnd() {
  char byte;
  while (recv(socket_.get(), &byte, 1, 0) > 0) {
  }
}

}  // namespace run
