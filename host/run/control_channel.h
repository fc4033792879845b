// The host's half of boot/control.h: rings of bytes in guest RAM. The guest is not trusted: where the rings
// lie is what the loader wrote (kept here, never read again), indices and sizes are checked, and the first
// violation is an error that ends the conversation.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "boot/control.h"
#include "boot/guest_ram.h"

namespace run {

struct IncomingMessage {
  uint32_t kind;
  uint32_t id;
  int32_t status;
  std::string payload;
};

// One direction of a ring. Exactly one of Read and Write is used on it.
class HostRing {
 public:
  HostRing() = default;
  // `ring` lies in guest RAM; its place and size are read once, here.
  static base::Result<HostRing> Attach(const boot::GuestRam& ram, boot::Ring* ring);

  // Bytes that wait to be read. Fails when the guest's head is impossible.
  base::Result<uint32_t> Readable() const;
  // Copies without consuming; `offset` + `size` <= Readable().
  void Peek(uint32_t offset, void* destination, uint32_t size) const;
  void Consume(uint32_t size);
  // Room for the writer. Fails when the guest's tail is impossible.
  base::Result<uint32_t> Writable() const;
  void Write(const void* source, uint32_t size);  // size <= Writable()
  void Publish();                                 // makes what was written visible
  base::Result<std::string> ReadText();           // all that waits

 private:
  boot::Ring* ring_ = nullptr;
  std::byte* bytes_ = nullptr;
  uint32_t size_ = 0;
  uint64_t position_ = 0;  // our own index: bytes ever read or written
};

// A message in a ring of messages; its payload is the parts one behind the other. False when there is no room
// now.
base::Result<bool> SendMessage(HostRing& ring, uint32_t kind, uint32_t id,
                               std::initializer_list<std::span<const std::byte>> parts);
// The next message, if it is there completely.
base::Result<std::optional<IncomingMessage>> ReceiveMessage(HostRing& ring);

class ControlChannel {
 public:
  ControlChannel() = default;
  // To be called before the machine runs, while the area is still as the loader wrote it.
  static base::Result<ControlChannel> Attach(const boot::GuestRam& ram, uint64_t control_physical);

  boot::MachineState state() const;
  uint64_t boot_step() const;
  uint32_t processors_running() const;
  uint64_t driver_entry_tsc() const;
  boot::DumpDescription dump_description() const;
  boot::StopFacts stop_facts() const;
  void SetNmiReason(boot::NmiReason reason);
  // The guest waits with a live dump's description until FinishLiveDump.
  bool IsLiveDumpReady() const;
  void FinishLiveDump();
  // The crashed guest waits with drivers' callbacks until StartCrashCallbacks.
  bool CrashCallbacksWait() const;
  void StartCrashCallbacks();
  bool CrashCallbacksDone() const;

  // Console text that has arrived (at most one ring full).
  base::Result<std::string> ReadConsole();
  // The same of the trace.
  base::Result<std::string> ReadTrace();
  // The next reply or event, if one is there completely.
  base::Result<std::optional<IncomingMessage>> ReadMessage();
  // False when the ring has no room now. The doorbell is the caller's business.
  base::Result<bool> Send(boot::Request kind, uint32_t id, const std::string& payload);

 private:
  boot::ControlArea* area_ = nullptr;
  HostRing console_;
  HostRing trace_;
  HostRing requests_;
  HostRing replies_;
};

}  // namespace run
