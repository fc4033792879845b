#include "run/client_channel.h"

#include <atomic>

namespace run {

base::Result<ClientChannel> ClientChannel::Attach(const boot::GuestRam& ram, uint64_t area_physical) {
  ClientChannel channel;
  channel.area_ = ram.Object<boot::ClientArea>(area_physical);
  if (channel.area_ == nullptr || channel.area_->magic != boot::kClientMagic)
    return base::Fail("the machine broke the client protocol: its area is not where it says");
  channel.requests_ = TRY(HostRing::Attach(ram, &channel.area_->requests));
  channel.replies_ = TRY(HostRing::Attach(ram, &channel.area_->replies));
  return channel;
}

base::Result<bool> ClientChannel::Send(boot::ClientRequest kind, uint32_t id,
                                       std::span<const std::byte> header, std::span<const std::byte> first,
                                       std::span<const std::byte> second) {
  return SendMessage(requests_, static_cast<uint32_t>(kind), id, {header, first, second});
}

base::Result<std::optional<IncomingMessage>> ClientChannel::Read() {
  return ReceiveMessage(replies_);
}

bool ClientChannel::GuestSleeps() const {
  // The guest: clears guest_awake, then reads the head that was just written.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return area_->guest_awake == 0;
}

void ClientChannel::SetAwake(bool awake) {
  area_->host_awake = awake ? 1 : 0;
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

}  // namespace run
