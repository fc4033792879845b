#include "run/rpc.h"

#include <cerrno>
#include <cstring>

#include <sys/socket.h>
#include <sys/uio.h>

namespace run {

base::Result<void> SendRpc(int socket, uint32_t kind, int32_t status, const std::string& payload, int fd) {
  if (payload.size() > kMaxRpcPayload) return base::Fail("the message is too long");
  RpcHeader header{kind, status};
  iovec parts[2] = {{&header, sizeof(header)}, {const_cast<char*>(payload.data()), payload.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof(control);
    cmsghdr* entry = CMSG_FIRSTHDR(&message);
    entry->cmsg_level = SOL_SOCKET;
    entry->cmsg_type = SCM_RIGHTS;
    entry->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(entry), &fd, sizeof(fd));
  }
  while (sendmsg(socket, &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return base::FailErrno("the connection to the machine is gone", errno);
  }
  return {};
}

base::Result<RpcMessage> ReceiveRpc(int socket) {
  RpcHeader header{};
  std::string payload(kMaxRpcPayload, '\0');
  iovec parts[2] = {{&header, sizeof(header)}, {payload.data(), payload.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = 2;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  message.msg_control = control;
  message.msg_controllen = sizeof(control);
  ssize_t got = 0;
  while ((got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC)) < 0) {
    if (errno != EINTR) return base::FailErrno("the connection to the machine is gone", errno);
  }
  RpcMessage received;
  for (cmsghdr* entry = CMSG_FIRSTHDR(&message); entry != nullptr; entry = CMSG_NXTHDR(&message, entry)) {
    if (entry->cmsg_level != SOL_SOCKET || entry->cmsg_type != SCM_RIGHTS) continue;
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(entry), sizeof(fd));
    received.fd.Reset(fd);
  }
  if (static_cast<size_t>(got) < sizeof(header) || (message.msg_flags & MSG_TRUNC) != 0) {
    return base::Fail("the connection to the machine is gone");
  }
  payload.resize(got - sizeof(header));
  received.kind = header.kind;
  received.status = header.status;
  received.payload = std::move(payload);
  return received;
}

}  // namespace run
