#include <fmt/format.h>

#include "machine_core.h"
#include "run/fields.h"

namespace bugcheck::detail {
namespace {

constexpr Milliseconds kControlTimeout{60'000};
constexpr uint32_t kIoTimeoutCode = 0xC00000B5;

bool IsTransfer(boot::ClientRequest kind) {
  return kind == boot::ClientRequest::kRead || kind == boot::ClientRequest::kWrite ||
         kind == boot::ClientRequest::kControl;
}

Bytes AsVector(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return Bytes(bytes.begin(), bytes.end());
}

IoResult Parse(boot::ClientRequest kind, const run::IncomingMessage& message) {
  IoResult result;
  result.status = Status(static_cast<uint32_t>(message.status));
  std::string_view payload = message.payload;
  if (!IsTransfer(kind)) {
    result.data = AsVector(payload);
    return result;
  }
  boot::ClientResult header;
  if (payload.size() < sizeof(header)) return result;  // it failed before the service was called
  std::memcpy(&header, payload.data(), sizeof(header));
  payload.remove_prefix(sizeof(header));
  result.information = header.information;
  result.was_pending = header.was_pending != 0;
  result.data = AsVector(payload.substr(0, header.data_bytes));
  return result;
}

void Abandon(RequestCore& request, std::string why) {
  request.done = true;
  request.result.status = status::kNoAnswer;
  request.result.note = std::move(why);
}

}  // namespace

Result<std::shared_ptr<ClientCore>> ClientCore::Create(const std::shared_ptr<MachineCore>& machine,
                                                       uint32_t brother, const std::string& name) {
  auto payload = run::FieldWriter().U32(brother).String(name).payload();
  auto reply = machine->Call(boot::Request::kClientCreate, payload, kControlTimeout, "start a client");
  if (!reply) return reply.error();
  if (reply->status < 0) {
    const Status status(static_cast<uint32_t>(reply->status));
    return Error{"cannot start a client: " + status.text(), status};
  }
  run::FieldReader reader(reply->payload);
  const auto id = reader.U32();
  const auto process = reader.U64();
  const auto area = reader.U64();
  if (!id || !process || !area) return Error{"cannot start a client: the machine broke the control protocol"};
  auto client = std::make_shared<ClientCore>();
  auto channel = run::ClientChannel::Attach(machine->machine->ram(), *area);
  if (!channel) return AsError(channel.error());
  client->machine_ = machine;
  client->channel_ = *channel;
  client->id_ = *id;
  client->process_id_ = *process;
  client->channel_.SetAwake(true);
  machine->clients.push_back(client);
  return client;
}

ClientCore::~ClientCore() {
  (void)End(kDefaultTimeout);  // a client that hangs in a driver goes with the machine
}

Result<void> ClientCore::End(Milliseconds timeout) {
  const uint32_t id = std::exchange(id_, 0);
  for (auto& [number, request] : pending_) Abandon(*request, "its client has ended");
  pending_.clear();
  if (id == 0 || !machine_->running()) return {};
  const auto deadline = run::Clock::now() + timeout;
  for (;;) {
    auto reply = machine_->Call(boot::Request::kClientEnd, run::FieldWriter().U32(id).payload(), timeout,
                                "end a client");
    if (!reply) return reply.error();
    const Status status(static_cast<uint32_t>(reply->status));
    if (status.ok()) return {};
    if (status.code != kIoTimeoutCode) return Error{"cannot end a client: " + status.text(), status};
    if (run::Clock::now() >= deadline)
      return Error{"cannot end a client: its thread does not come back from a driver", status};
  }
}

bool ClientCore::Send(RequestCore& request, ByteView header, ByteView first, ByteView second) {
  auto sent = channel_.Send(request.kind, request.id, header, first, second);
  if (!sent) {
    Abandon(request, sent.error().message);
    return true;
  }
  if (*sent && channel_.GuestSleeps()) machine_->machine->process().RingDoorbell();
  return *sent;
}

Request ClientCore::Start(boot::ClientRequest kind, uint64_t handle, ByteView header, ByteView first,
                          ByteView second) {
  auto request = std::make_shared<RequestCore>();
  request->client = weak_from_this();
  request->kind = kind;
  request->handle = handle;
  request->id = next_request_++;
  if (next_request_ == 0) next_request_ = 1;
  if (id_ == 0 || !machine_->running()) {
    Abandon(*request, id_ == 0 ? "its client has ended" : machine_->Whereabouts());
    return Request(std::move(request));
  }
  bool sent = Send(*request, header, first, second);
  if (!sent) {  // the ring is full: the guest makes room
    machine_->Wait(kDefaultTimeout, [&] { return sent = Send(*request, header, first, second); });
    if (!sent) Abandon(*request, machine_->Whereabouts());
  }
  if (!request->done) pending_.emplace(request->id, request);
  return Request(std::move(request));
}

Request ClientCore::StartTransfer(boot::ClientRequest kind, const boot::ClientTransfer& transfer,
                                  ByteView input, ByteView output) {
  const bool raw = transfer.flags & boot::kClientRawAddresses;
  if (!raw && (input.size() > kMaxTransfer || transfer.output_length > kMaxTransfer ||
               input.size() + output.size() > kMaxTransfer)) {
    auto request = std::make_shared<RequestCore>();
    Abandon(*request, "more than kMaxTransfer bytes: use Client::Allocate and raw buffers");
    return Request(std::move(request));
  }
  return Start(kind, transfer.handle, AsBytes(transfer), input, output);
}

Status ClientCore::Cancel(uint64_t handle, uint32_t id) {
  struct {
    uint64_t handle;
    uint32_t id;
  } __attribute__((packed)) const payload{handle, id};
  return Perform(boot::ClientRequest::kCancel, handle, AsBytes(payload)).status;
}

bool ClientCore::Read() {
  if (id_ == 0) return false;
  bool came = false;
  for (;;) {
    auto message = channel_.Read();
    if (!message) {
      for (auto& [number, request] : pending_) Abandon(*request, message.error().message);
      pending_.clear();
      return true;
    }
    if (!*message) return came;
    came = true;
    const auto found = pending_.find((*message)->id);
    if (found == pending_.end()) continue;
    found->second->result = Parse(found->second->kind, **message);
    found->second->done = true;
    pending_.erase(found);
  }
}

}  // namespace bugcheck::detail
