// The host's half of boot/client.h: the rings of one client. Where they lie is what the guest told when it
// made the client; that is checked to be RAM here, once, and never read again.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "base/result.h"
#include "boot/client.h"
#include "boot/guest_ram.h"
#include "run/control_channel.h"

namespace run {

class ClientChannel {
 public:
  ClientChannel() = default;
  static base::Result<ClientChannel> Attach(const boot::GuestRam& ram, uint64_t area_physical);

  // False when the ring has no room now. The payload is `header` followed by `first` and `second`.
  base::Result<bool> Send(boot::ClientRequest kind, uint32_t id, std::span<const std::byte> header,
                          std::span<const std::byte> first = {}, std::span<const std::byte> second = {});
  // The next reply, if one is there completely.
  base::Result<std::optional<IncomingMessage>> Read();

  // Whether the guest needs a doorbell for what was sent.
  bool GuestSleeps() const;
  // Tells the guest whether it need not ring for its replies. After SetAwake(false) Read once more.
  void SetAwake(bool awake);

 private:
  boot::ClientArea* area_ = nullptr;
  HostRing requests_;
  HostRing replies_;
};

}  // namespace run
