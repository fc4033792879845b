// What a client's thread does with a request: it puts the data into its process's memory, calls the service
// with previous mode User, and sends what came of it.
#include "client.h"
#include "ke/service_call.h"
#include "user_mode.h"

namespace io {
namespace {

using boot::ClientRequest;
using boot::ClientTransfer;
using ktl::PayloadReader;
using ktl::PayloadWriter;

// For its duration the thread is a program that has called a service. Copies between the client's buffers and
// its process are made in this mode too, so that they can fail but not fault.
class UserScope {
 public:
  UserScope() { KeGetCurrentThread()->PreviousMode = UserMode; }
  ~UserScope() { KeGetCurrentThread()->PreviousMode = KernelMode; }
  UserScope(const UserScope&) = delete;
  UserScope& operator=(const UserScope&) = delete;
};

template <typename T>
bool Take(PayloadReader& reader, T* value) {
  if (reader.Remaining() < sizeof(T)) return false;
  RtlCopyMemory(value, reader.Data(), sizeof(T));
  reader = PayloadReader(reader.Data() + sizeof(T), reader.Remaining() - sizeof(T));
  return true;
}

HANDLE AsHandle(ULONG64 value) {
  return reinterpret_cast<HANDLE>(value);
}
PVOID AsAddress(ULONG64 value) {
  return reinterpret_cast<PVOID>(value);
}

// ---- Opening ----

struct OpenLayout {  // in the input buffer
  OBJECT_ATTRIBUTES attributes;
  UNICODE_STRING name;
};
struct OpenResult {  // in the output buffer
  HANDLE handle;
};

// What is called through the service linkage: an exception that a driver lets pass is then bug check 3B, as
// for a program.
struct OpenCall {
  const boot::ClientOpen& open;
  const ClientBuffers& buffers;
  OpenResult* result;
  IO_STATUS_BLOCK* iosb;
};

NTSTATUS NTAPI OpenService(OpenCall* call) {
  UserScope user;
  const auto& [open, buffers, result, iosb] = *call;
  auto* layout = reinterpret_cast<OpenLayout*>(buffers.input);
  auto* handle = reinterpret_cast<PHANDLE>(buffers.output);
  NTSTATUS status =
      NtCreateFile(handle, open.access, &layout->attributes, buffers.iosb, nullptr, FILE_ATTRIBUTE_NORMAL,
                   open.share, open.disposition, open.options, nullptr, 0);
  if (!NT_SUCCESS(status)) return status;
  (void)CopyFromCaller(iosb, buffers.iosb, sizeof(*iosb));
  const NTSTATUS copied = CopyFromCaller(result, handle, sizeof(*result));
  return NT_SUCCESS(copied) ? status : copied;
}

NTSTATUS Open(Client* client, const boot::Message&, PayloadReader& request, PayloadWriter& reply) {
  boot::ClientOpen open;
  if (!Take(request, &open)) return STATUS_INVALID_PARAMETER;
  const SIZE_T bytes = sizeof(OpenLayout) + request.Remaining();
  ClientBuffers buffers;
  NTSTATUS status = TakeBuffers(client, bytes, sizeof(OpenResult), &buffers);
  if (!NT_SUCCESS(status)) return status;
  auto* at = reinterpret_cast<OpenLayout*>(buffers.input);
  OpenLayout layout = {};
  layout.name = {static_cast<USHORT>(open.name_length), static_cast<USHORT>(open.name_length),
                 reinterpret_cast<PWCH>(at + 1)};
  InitializeObjectAttributes(&layout.attributes, &at->name, open.attributes, nullptr, nullptr);
  {
    UserScope user;
    status = CopyToCaller(at, &layout, sizeof(layout));
    if (NT_SUCCESS(status)) status = CopyToCaller(at + 1, request.Data(), request.Remaining());
  }
  OpenResult result = {};
  IO_STATUS_BLOCK iosb = {};
  OpenCall call = {open, buffers, &result, &iosb};
  if (NT_SUCCESS(status)) status = ke::CallService(OpenService, &call);
  GiveBuffers(client, buffers);
  if (!NT_SUCCESS(status)) return status;
  reply.U64(reinterpret_cast<ULONG64>(result.handle));
  reply.U64(iosb.Information);
  return status;
}

NTSTATUS NTAPI CloseService(HANDLE handle) {
  UserScope user;
  return NtClose(handle);
}

NTSTATUS Close(Client*, const boot::Message&, PayloadReader& request, PayloadWriter&) {
  const ULONG64 handle = request.U64();
  return request.Failed() ? STATUS_INVALID_PARAMETER : ke::CallService(CloseService, AsHandle(handle));
}

// ---- Reading, writing, control ----

// The reply of a transfer whose service has returned, or whose request is complete.
void WriteTransferReply(PayloadWriter& reply, const ClientBuffers& buffers, bool raw, bool has_output,
                        ULONG output_length, NTSTATUS* status, bool was_pending) {
  boot::ClientResult result = {0, was_pending, 0};
  IO_STATUS_BLOCK iosb = {};
  UserScope user;
  const bool has_result = was_pending || !NT_ERROR(*status);
  if (has_result) {
    const NTSTATUS copied = CopyFromCaller(&iosb, buffers.iosb, sizeof(iosb));
    if (!NT_SUCCESS(copied)) *status = copied;
    result.information = NT_SUCCESS(copied) ? iosb.Information : 0;
  }
  constexpr SIZE_T kRoom = boot::kMaxPayload - sizeof(result);
  SIZE_T data = raw || !has_output ? 0 : result.information;
  if (data > output_length) data = output_length;
  if (data > kRoom) data = kRoom;
  UCHAR* at = const_cast<UCHAR*>(reply.Data()) + sizeof(result);
  if (data != 0 && !NT_SUCCESS(CopyFromCaller(at, buffers.output, data))) data = 0;
  result.data_bytes = static_cast<ULONG>(data);
  reply.Append(&result, sizeof(result));
  reply.Append(at, data);  // onto itself
}

struct TransferCall {
  ClientRequest kind;
  const ClientTransfer& transfer;
  const ClientBuffers& buffers;
};

NTSTATUS NTAPI TransferService(TransferCall* call) {
  UserScope user;
  const auto& [kind, transfer, buffers] = *call;
  const bool raw = transfer.flags & boot::kClientRawAddresses;
  PVOID input = raw ? AsAddress(transfer.input) : buffers.input;
  PVOID output = raw ? AsAddress(transfer.output) : buffers.output;
  LARGE_INTEGER offset;
  offset.QuadPart = static_cast<LONGLONG>(transfer.offset);
  PLARGE_INTEGER offset_address = nullptr;
  IO_STATUS_BLOCK pending = {{STATUS_PENDING}, 0};
  NTSTATUS status = CopyToCaller(buffers.iosb, &pending, sizeof(pending));
  if (NT_SUCCESS(status) && (transfer.flags & boot::kClientHasOffset)) {
    // Behind the status block's slot array, or in the page of an allocation's own.
    offset_address = reinterpret_cast<PLARGE_INTEGER>(
        (reinterpret_cast<ULONG_PTR>(buffers.iosb) & ~ULONG_PTR{PAGE_SIZE - 1}) + PAGE_SIZE / 2);
    status = CopyToCaller(offset_address, &offset, sizeof(offset));
  }
  if (!NT_SUCCESS(status)) return status;
  switch (kind) {
    case ClientRequest::kRead:
      return NtReadFile(AsHandle(transfer.handle), nullptr, nullptr, nullptr, buffers.iosb, output,
                        transfer.output_length, offset_address, nullptr);
    case ClientRequest::kWrite:
      return NtWriteFile(AsHandle(transfer.handle), nullptr, nullptr, nullptr, buffers.iosb, input,
                         transfer.input_length, offset_address, nullptr);
    default:
      return NtDeviceIoControlFile(AsHandle(transfer.handle), nullptr, nullptr, nullptr, buffers.iosb,
                                   transfer.code, input, transfer.input_length, output,
                                   transfer.output_length);
  }
}

NTSTATUS FillBuffers(const ClientTransfer& transfer, const ClientBuffers& buffers, const UCHAR* data,
                     SIZE_T bytes) {
  UserScope user;
  NTSTATUS status = CopyToCaller(buffers.input, data, transfer.input_length);
  const SIZE_T rest = bytes - transfer.input_length;
  if (NT_SUCCESS(status) && rest != 0)
    status = CopyToCaller(buffers.output, data + transfer.input_length, rest);
  return status;
}

NTSTATUS Keep(Client* client, const boot::Message& message, const ClientTransfer& transfer,
              const ClientBuffers& buffers) {
  auto* pending =
      static_cast<PendingRequest*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(PendingRequest), kClientTag));
  if (pending == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *pending = {{},
              message.id,
              message.kind,
              transfer.output_length,
              (transfer.flags & boot::kClientRawAddresses) != 0,
              buffers};
  InsertTailList(&client->pending, &pending->link);
  return STATUS_PENDING;
}

NTSTATUS Transfer(Client* client, const boot::Message& message, PayloadReader& request,
                  PayloadWriter& reply) {
  ClientTransfer transfer;
  if (!Take(request, &transfer)) return STATUS_INVALID_PARAMETER;
  const bool raw = transfer.flags & boot::kClientRawAddresses;
  const SIZE_T bytes = request.Remaining();
  const bool fits = transfer.input_length <= bytes &&
                    bytes - transfer.input_length <= transfer.output_length &&
                    transfer.output_length <= boot::kMaxPayload;
  if (!raw && !fits) return STATUS_INVALID_PARAMETER;
  ClientBuffers buffers;
  NTSTATUS status =
      TakeBuffers(client, raw ? 0 : transfer.input_length, raw ? 0 : transfer.output_length, &buffers);
  if (!NT_SUCCESS(status)) return status;
  if (!raw) status = FillBuffers(transfer, buffers, request.Data(), bytes);
  TransferCall call = {static_cast<ClientRequest>(message.kind), transfer, buffers};
  if (NT_SUCCESS(status)) status = ke::CallService(TransferService, &call);
  if (status == STATUS_PENDING) {
    // Without memory for the record its buffers are lost to the process: the driver has their addresses.
    return Keep(client, message, transfer, buffers);
  }
  const bool has_output = static_cast<ClientRequest>(message.kind) != ClientRequest::kWrite;
  WriteTransferReply(reply, buffers, raw, has_output, transfer.output_length, &status, false);
  GiveBuffers(client, buffers);
  return status;
}

NTSTATUS Cancel(Client* client, const boot::Message&, PayloadReader& request, PayloadWriter& reply) {
  const ULONG64 handle = request.U64();
  const ULONG id = request.U32();
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  PIO_STATUS_BLOCK iosb = nullptr;
  for (LIST_ENTRY* link = client->pending.Flink; id != 0 && link != &client->pending; link = link->Flink) {
    auto* pending = CONTAINING_RECORD(link, PendingRequest, link);
    if (pending->id == id) iosb = pending->buffers.iosb;
  }
  if (id != 0 && iosb == nullptr) return STATUS_NOT_FOUND;
  PVOID file;
  NTSTATUS status = ob::ReferenceHandle(AsHandle(handle), IoFileObjectType, &file, nullptr, UserMode);
  if (!NT_SUCCESS(status)) return status;
  const ULONG cancelled = CancelOwnRequests(static_cast<PFILE_OBJECT>(file), iosb);
  ObfDereferenceObject(file);
  reply.U32(cancelled);
  return cancelled != 0 ? STATUS_SUCCESS : STATUS_NOT_FOUND;
}

// ---- Memory ----

NTSTATUS Allocate(Client*, const boot::Message&, PayloadReader& request, PayloadWriter& reply) {
  SIZE_T bytes = request.U64();
  const ULONG protection = request.U32();
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  PVOID base = nullptr;
  const NTSTATUS status =
      ZwAllocateVirtualMemory(ZwCurrentProcess(), &base, 0, &bytes, MEM_RESERVE | MEM_COMMIT, protection);
  reply.U64(reinterpret_cast<ULONG64>(base));
  return status;
}

NTSTATUS Free(Client*, const boot::Message&, PayloadReader& request, PayloadWriter&) {
  PVOID base = AsAddress(request.U64());
  SIZE_T bytes = 0;
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  return ZwFreeVirtualMemory(ZwCurrentProcess(), &base, &bytes, MEM_RELEASE);
}

NTSTATUS Protect(Client*, const boot::Message&, PayloadReader& request, PayloadWriter&) {
  PVOID base = AsAddress(request.U64());
  SIZE_T bytes = request.U64();
  ULONG old = 0;
  const ULONG protection = request.U32();
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  return ZwProtectVirtualMemory(ZwCurrentProcess(), &base, &bytes, protection, &old);
}

NTSTATUS Peek(Client* client, const boot::Message&, PayloadReader& request, PayloadWriter& reply) {
  PVOID address = AsAddress(request.U64());
  const ULONG bytes = request.U32();
  if (request.Failed() || bytes > boot::kMaxPayload) return STATUS_INVALID_PARAMETER;
  UserScope user;
  const NTSTATUS status = CopyFromCaller(client->reply, address, bytes);
  if (NT_SUCCESS(status)) reply.Append(client->reply, bytes);  // onto itself
  return status;
}

NTSTATUS Poke(Client*, const boot::Message&, PayloadReader& request, PayloadWriter&) {
  PVOID address = AsAddress(request.U64());
  if (request.Failed()) return STATUS_INVALID_PARAMETER;
  UserScope user;
  return CopyToCaller(address, request.Data(), request.Remaining());
}

// In the order of boot::ClientRequest. STATUS_PENDING: the reply comes later.
using Handler = NTSTATUS (*)(Client*, const boot::Message&, PayloadReader&, PayloadWriter&);
constexpr Handler kHandlers[] = {nullptr, Open,     Close, Transfer, Transfer, Transfer,
                                 Cancel,  Allocate, Free,  Peek,     Poke,     Protect};
static_assert(RTL_NUMBER_OF(kHandlers) == static_cast<ULONG>(ClientRequest::kProtect) + 1);

}  // namespace

void PerformClientRequest(Client* client, const boot::Message& message) {
  PayloadReader request(client->request, message.size);
  PayloadWriter reply(client->reply, boot::kMaxPayload);
  const Handler handler = message.kind < RTL_NUMBER_OF(kHandlers) ? kHandlers[message.kind] : nullptr;
  const NTSTATUS status =
      handler != nullptr ? handler(client, message, request, reply) : STATUS_NOT_IMPLEMENTED;
  if (status != STATUS_PENDING) SendClientReply(client, message.kind, message.id, status, reply.Size());
}

void ReplyToCompleted(Client* client) {
  for (LIST_ENTRY* link = client->pending.Flink; link != &client->pending;) {
    auto* pending = CONTAINING_RECORD(link, PendingRequest, link);
    link = link->Flink;
    IO_STATUS_BLOCK iosb = {};
    NTSTATUS status;
    {
      UserScope user;
      status = CopyFromCaller(&iosb, pending->buffers.iosb, sizeof(iosb));
    }
    if (NT_SUCCESS(status)) status = iosb.Status;
    if (status == STATUS_PENDING) continue;
    RemoveEntryList(&pending->link);
    PayloadWriter reply(client->reply, boot::kMaxPayload);
    const bool has_output =
        static_cast<ClientRequest>(pending->kind) != ClientRequest::kWrite && !NT_ERROR(status);
    WriteTransferReply(reply, pending->buffers, pending->raw, has_output, pending->output_length, &status,
                       true);
    GiveBuffers(client, pending->buffers);
    SendClientReply(client, pending->kind, pending->id, status, reply.Size());
    ExFreePoolWithTag(pending, kClientTag);
  }
}

void DropPending(Client* client) {
  while (!IsListEmpty(&client->pending)) {
    auto* pending = CONTAINING_RECORD(RemoveHeadList(&client->pending), PendingRequest, link);
    ExFreePoolWithTag(pending, kClientTag);
  }
}

// At APC_LEVEL none of the thread's requests can go away: they are freed by an APC in the thread.
ULONG CancelOwnRequests(PFILE_OBJECT file, PIO_STATUS_BLOCK iosb) {
  auto* thread = reinterpret_cast<PETHREAD>(KeGetCurrentThread());
  ULONG cancelled = 0;
  KIRQL irql;
  KeRaiseIrql(APC_LEVEL, &irql);
  for (LIST_ENTRY* link = thread->IrpList.Flink; link != &thread->IrpList;) {
    PIRP irp = CONTAINING_RECORD(link, IRP, ThreadListEntry);
    link = link->Flink;
    if ((file != nullptr && irp->Tail.Overlay.OriginalFileObject != file) ||
        (iosb != nullptr && irp->UserIosb != iosb))
      continue;
    IoCancelIrp(irp);
    ++cancelled;
  }
  KeLowerIrql(irql);
  return cancelled;
}

}  // namespace io
