#include "run/control_channel.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstring>

namespace run {
namespace {

template <typename T>
T LoadAcquire(const volatile T& value) {
  return std::atomic_ref<T>(const_cast<T&>(value)).load(std::memory_order_acquire);
}

template <typename T>
void StoreRelease(volatile T& target, T value) {
  std::atomic_ref<T>(const_cast<T&>(target)).store(value, std::memory_order_release);
}

constexpr uint32_t kMaxRing = 16 << 20;

uint32_t RoundToEight(uint32_t size) {
  return (size + 7) & ~7u;
}

}  // namespace

base::Result<HostRing> HostRing::Attach(const boot::GuestRam& ram, boot::Ring* ring) {
  HostRing attached;
  attached.ring_ = ring;
  attached.size_ = ring->size;
  if (!std::has_single_bit(attached.size_) || attached.size_ > kMaxRing) {
    return base::Fail("a control ring has an impossible size");
  }
  const auto bytes = ram.At(ring->physical, attached.size_);
  if (!bytes) return base::Fail("a control ring lies outside the machine's memory");
  attached.bytes_ = bytes->data();
  return attached;
}

base::Result<uint32_t> HostRing::Readable() const {
  const uint64_t waiting = LoadAcquire(ring_->head) - position_;
  if (waiting > size_) return base::Fail("the machine broke the control protocol: impossible write index");
  return static_cast<uint32_t>(waiting);
}

void HostRing::Peek(uint32_t offset, void* destination, uint32_t size) const {
  const uint64_t begin = (position_ + offset) & (size_ - 1);
  const uint32_t first = static_cast<uint32_t>(std::min<uint64_t>(size, size_ - begin));
  std::memcpy(destination, bytes_ + begin, first);
  std::memcpy(static_cast<std::byte*>(destination) + first, bytes_, size - first);
}

void HostRing::Consume(uint32_t size) {
  position_ += size;
  StoreRelease(ring_->tail, position_);
}

base::Result<uint32_t> HostRing::Writable() const {
  const uint64_t used = position_ - LoadAcquire(ring_->tail);
  if (used > size_) return base::Fail("the machine broke the control protocol: impossible read index");
  return size_ - static_cast<uint32_t>(used);
}

void HostRing::Write(const void* source, uint32_t size) {
  const uint64_t begin = position_ & (size_ - 1);
  const uint32_t first = static_cast<uint32_t>(std::min<uint64_t>(size, size_ - begin));
  std::memcpy(bytes_ + begin, source, first);
  std::memcpy(bytes_, static_cast<const std::byte*>(source) + first, size - first);
  position_ += size;
}

void HostRing::Publish() {
  StoreRelease(ring_->head, position_);
}

base::Result<std::string> HostRing::ReadText() {
  const uint32_t waiting = TRY(Readable());
  std::string text(waiting, '\0');
  Peek(0, text.data(), waiting);
  if (waiting != 0) Consume(waiting);
  return text;
}

base::Result<ControlChannel> ControlChannel::Attach(const boot::GuestRam& ram, uint64_t control_physical) {
  ControlChannel channel;
  channel.area_ = ram.Object<boot::ControlArea>(control_physical);
  if (channel.area_ == nullptr || channel.area_->magic != boot::kControlMagic ||
      channel.area_->version != boot::kControlVersion) {
    return base::Fail("the control area is not where it should be");
  }
  channel.console_ = TRY(HostRing::Attach(ram, &channel.area_->console));
  channel.trace_ = TRY(HostRing::Attach(ram, &channel.area_->trace));
  channel.requests_ = TRY(HostRing::Attach(ram, &channel.area_->requests));
  channel.replies_ = TRY(HostRing::Attach(ram, &channel.area_->replies));
  return channel;
}

boot::MachineState ControlChannel::state() const {
  return static_cast<boot::MachineState>(
      LoadAcquire(reinterpret_cast<const volatile uint32_t&>(area_->state)));
}
uint64_t ControlChannel::boot_step() const {
  return LoadAcquire(area_->boot_step);
}
uint32_t ControlChannel::processors_running() const {
  return LoadAcquire(area_->processors_running);
}
uint64_t ControlChannel::driver_entry_tsc() const {
  return LoadAcquire(area_->driver_entry_tsc);
}

boot::DumpDescription ControlChannel::dump_description() const {
  boot::DumpDescription copy;
  std::memcpy(&copy, const_cast<const boot::DumpDescription*>(&area_->dump), sizeof(copy));
  return copy;
}

void ControlChannel::SetNmiReason(boot::NmiReason reason) {
  area_->nmi_reason = reason;
}

bool ControlChannel::IsLiveDumpReady() const {
  return area_->live_dump == boot::LiveDump::kReady;
}

void ControlChannel::FinishLiveDump() {
  area_->live_dump = boot::LiveDump::kTaken;
}

bool ControlChannel::CrashCallbacksWait() const {
  return area_->crash_callbacks == boot::CrashCallbacks::kWaiting;
}

void ControlChannel::StartCrashCallbacks() {
  area_->crash_callbacks = boot::CrashCallbacks::kGoOn;
}

bool ControlChannel::CrashCallbacksDone() const {
  return area_->crash_callbacks == boot::CrashCallbacks::kDone;
}

boot::StopFacts ControlChannel::stop_facts() const {
  boot::StopFacts copy;
  std::memcpy(&copy, const_cast<const boot::StopFacts*>(&area_->stop), sizeof(copy));
  copy.driver[sizeof(copy.driver) - 1] = '\0';
  return copy;
}

base::Result<std::string> ControlChannel::ReadConsole() {
  return console_.ReadText();
}

base::Result<std::string> ControlChannel::ReadTrace() {
  return trace_.ReadText();
}

base::Result<std::optional<IncomingMessage>> ControlChannel::ReadMessage() {
  return ReceiveMessage(replies_);
}

base::Result<bool> ControlChannel::Send(boot::Request kind, uint32_t id, const std::string& payload) {
  return SendMessage(requests_, static_cast<uint32_t>(kind), id, {std::as_bytes(std::span(payload))});
}

base::Result<bool> SendMessage(HostRing& ring, uint32_t kind, uint32_t id,
                               std::initializer_list<std::span<const std::byte>> parts) {
  size_t size = 0;
  for (const auto& part : parts) size += part.size();
  if (size > boot::kMaxPayload) return base::Fail("the request is too long");
  const boot::Message header{static_cast<uint32_t>(size), kind, id, 0};
  const uint32_t total = RoundToEight(sizeof(header) + header.size);
  if (TRY(ring.Writable()) < total) return false;
  const char padding[8] = {};
  ring.Write(&header, sizeof(header));
  for (const auto& part : parts) ring.Write(part.data(), static_cast<uint32_t>(part.size()));
  ring.Write(padding, total - static_cast<uint32_t>(sizeof(header)) - header.size);
  ring.Publish();
  return true;
}

base::Result<std::optional<IncomingMessage>> ReceiveMessage(HostRing& ring) {
  const uint32_t waiting = TRY(ring.Readable());
  if (waiting < sizeof(boot::Message)) return std::optional<IncomingMessage>();
  boot::Message header;
  ring.Peek(0, &header, sizeof(header));
  if (header.size > boot::kMaxPayload)
    return base::Fail("the machine broke the control protocol: message too long");
  const uint32_t total = RoundToEight(sizeof(header) + header.size);
  if (waiting < total) return std::optional<IncomingMessage>();
  IncomingMessage message{header.kind, header.id, header.status, std::string(header.size, '\0')};
  ring.Peek(sizeof(header), message.payload.data(), header.size);
  ring.Consume(total);
  return std::optional(std::move(message));
}

}  // namespace run
