// The control ring's server: COM1's interrupt queues a DPC, the DPC wakes nt!KdpControlThread, which answers
// requests one at a time. Events share the reply ring, under a lock.
#include "kd/control.h"

#include "hal/hal.h"
#include "kd/kd.h"
#include "ke/ke.h"
#include "ktl/byte_ring.h"
#include "nt/export.h"

namespace kd {
namespace {

constexpr ULONG kMaxRequest = 64;
constexpr ULONG kSerialLine = 4;
constexpr ULONG kTag = 'ltCK';

constinit RequestHandler handlers[kMaxRequest] = {};
KSPIN_LOCK reply_lock;
KEVENT doorbell;
KDPC doorbell_dpc;
ktl::RingReader<boot::Ring> requests;
ktl::RingWriter<boot::Ring> replies;
UCHAR* request_buffer;
UCHAR* reply_buffer;
ULONG lost_events;
void (*doorbell_listener)();

constexpr SIZE_T Padded(SIZE_T size) {
  return (size + 7) & ~SIZE_T{7};
}

UCHAR* RingData(const boot::Ring& ring) {
  return reinterpret_cast<UCHAR*>(boot::kPhysicalMapBase + ring.physical);
}

bool Send(const boot::Message& message, const void* payload) {
  KIRQL irql;
  KeAcquireSpinLock(&reply_lock, &irql);
  const SIZE_T whole = sizeof(message) + Padded(message.size);
  const bool fits = replies.Free() >= whole;
  if (fits) {
    replies.Stage(0, &message, sizeof message);
    replies.Stage(sizeof message, payload, message.size);
    replies.Publish(whole);
  }
  KeReleaseSpinLock(&reply_lock, irql);
  hal::RingHost();
  return fits;
}

// A reply must arrive: the host reads its ring while it waits for it.
void SendReply(const boot::Message& message, const void* payload) {
  LARGE_INTEGER pause;
  pause.QuadPart = -10'000;
  while (!Send(message, payload)) KeDelayExecutionThread(KernelMode, FALSE, &pause);
}

void Answer(const boot::Message& request) {
  RequestReader reader(request_buffer, request.size);
  ReplyWriter writer(reply_buffer, boot::kMaxPayload);
  RequestHandler handler = request.kind < kMaxRequest ? handlers[request.kind] : nullptr;
  NTSTATUS status = handler != nullptr ? handler(reader, writer) : STATUS_NOT_IMPLEMENTED;
  if (writer.Overflowed() && NT_SUCCESS(status)) status = STATUS_BUFFER_OVERFLOW;
  const boot::Message reply = {static_cast<uint32_t>(writer.Size()), request.kind, request.id, status};
  SendReply(reply, reply_buffer);
}

// FALSE: nothing complete is there, or the host broke the rules (then nothing is read any more).
bool Next(boot::Message* message) {
  const SIZE_T available = requests.Available();
  if (requests.Broken() || available < sizeof(*message)) return false;
  requests.Peek(0, message, sizeof *message);
  if (message->size > boot::kMaxPayload) return false;
  const SIZE_T whole = sizeof(*message) + Padded(message->size);
  if (available < whole) return false;
  requests.Peek(sizeof *message, request_buffer, message->size);
  requests.Consume(whole);
  return true;
}

NTSTATUS Ping(RequestReader& request, ReplyWriter& reply) {
  reply.Append(request.Data(), request.Remaining());
  return STATUS_SUCCESS;
}

NTSTATUS Crash(RequestReader&, ReplyWriter&) {
  KeBugCheckEx(MANUALLY_INITIATED_CRASH, 0, 0, 0, 0);
}

BOOLEAN SerialInterrupt(PVOID) {
  if (!hal::DrainSerialDoorbell()) return FALSE;
  KeInsertQueueDpc(&doorbell_dpc, nullptr, nullptr);
  return TRUE;
}

VOID NTAPI DoorbellDpc(PKDPC, PVOID, PVOID, PVOID) {
  KeSetEvent(&doorbell, 1, FALSE);
  if (doorbell_listener != nullptr) doorbell_listener();
}

}  // namespace

extern "C" VOID NTAPI KdpControlThread(PVOID) {
  KeSetPriorityThread(KeCurrentThread(), 12);
  for (;;) {
    boot::Message message;
    while (Next(&message)) Answer(message);
    KeWaitForSingleObject(&doorbell, Executive, KernelMode, FALSE, nullptr);
  }
}

void RegisterRequestHandler(boot::Request request, RequestHandler handler) {
  const auto index = static_cast<ULONG>(request);
  if (index < kMaxRequest) handlers[index] = handler;
}

void SetDoorbellListener(void (*listener)()) {
  doorbell_listener = listener;
}

void SendEvent(boot::Event event, const ktl::PayloadWriter& payload) {
  const boot::Message message = {static_cast<uint32_t>(payload.Size()), static_cast<uint32_t>(event), 0, 0};
  if (replies.Free() == 0 || !Send(message, payload.Data()))
    InterlockedIncrement(reinterpret_cast<LONG*>(&lost_events));
}

void SendTextEvent(boot::Event event, const char* text) {
  UCHAR buffer[512];
  ktl::PayloadWriter payload(buffer, sizeof buffer);
  payload.String(text);
  SendEvent(event, payload);
}

// The rings and the interrupt; the thread itself is init's to create (KdpControlThread).
NTSTATUS StartControlServer() {
  boot::ControlArea* control = Control();
  if (control->requests.size != boot::kRequestRingSize || control->replies.size != boot::kReplyRingSize) {
    return STATUS_INVALID_PARAMETER;
  }
  request_buffer = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, boot::kMaxPayload, kTag));
  reply_buffer = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, boot::kMaxPayload, kTag));
  if (request_buffer == nullptr || reply_buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  requests = {&control->requests, RingData(control->requests), control->requests.size};
  replies = {&control->replies, RingData(control->replies), control->replies.size};
  KeInitializeEvent(&doorbell, SynchronizationEvent, FALSE);
  KeInitializeDpc(&doorbell_dpc, DoorbellDpc, nullptr);
  handlers[static_cast<ULONG>(boot::Request::kPing)] = Ping;
  handlers[static_cast<ULONG>(boot::Request::kCrash)] = Crash;
  KIRQL irql;
  const NTSTATUS status = KeConnectLine(kSerialLine, FALSE, SerialInterrupt, nullptr, &irql);
  if (!NT_SUCCESS(status)) return status;
  hal::EnableSerialDoorbell();
  return STATUS_SUCCESS;
}

}  // namespace kd
