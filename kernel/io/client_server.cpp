// Clients come and go by requests on the control channel; in between each one's thread serves its own rings.
#include "client.h"
#include "hal/hal.h"
#include "kd/control.h"
#include "mm/mm.h"
#include "ps/ps.h"

namespace io {
namespace {

using kd::ReplyWriter;
using kd::RequestReader;

constexpr SIZE_T kRingOffset = PAGE_SIZE;
constexpr SIZE_T kAreaBytes = kRingOffset + 2 * boot::kClientRingSize;
// How long a client looks for the next request before it waits for the doorbell: a host that asks again and
// again is answered without an interrupt.
constexpr ULONG kLookMicroseconds = 100;
constexpr ULONG kEndWaitMilliseconds = 100;
static_assert(sizeof(boot::ClientArea) <= kRingOffset);

KSPIN_LOCK g_lock;  // the table, against the doorbell's DPC
Client* g_clients[boot::kMaxClients];
ULONG64 g_look_ticks;

constexpr SIZE_T Padded(SIZE_T size) {
  return (size + 7) & ~SIZE_T{7};
}

// FALSE: nothing complete is there, or the host broke the rules (then nothing is read any more).
bool Next(Client* client, boot::Message* message) {
  const SIZE_T available = client->requests.Available();
  if (client->requests.Broken() || available < sizeof(*message)) return false;
  client->requests.Peek(0, message, sizeof(*message));
  if (message->size > boot::kMaxPayload) return false;
  const SIZE_T whole = sizeof(*message) + Padded(message->size);
  if (available < whole) return false;
  client->requests.Peek(sizeof(*message), client->request, message->size);
  client->requests.Consume(whole);
  return true;
}

// False: nothing has come for a while, and the host knows that it must ring.
bool LookForNext(Client* client) {
  const ULONG64 begin = hal::ReadTsc();
  while (client->requests.Available() == 0 && !client->ending && KeReadStateEvent(&client->wake) == 0) {
    if (hal::ReadTsc() - begin >= g_look_ticks) {
      client->area->guest_awake = 0;
      __atomic_thread_fence(__ATOMIC_SEQ_CST);  // the host: writes its head, then reads guest_awake
      return client->requests.Available() != 0;
    }
    arch::Pause();
  }
  return true;
}

void Serve(Client* client) {
  while (!client->ending && !client->requests.Broken()) {
    client->area->guest_awake = 1;
    boot::Message message;
    while (!client->ending && Next(client, &message)) PerformClientRequest(client, message);
    ReplyToCompleted(client);
    if (!LookForNext(client) || KeReadStateEvent(&client->wake) != 0)
      KeWaitForSingleObject(&client->wake, Executive, KernelMode, FALSE, nullptr);
  }
}

VOID NTAPI ClientThread(PVOID context) {
  auto* client = static_cast<Client*>(context);
  if (NT_SUCCESS(PrepareClientMemory(client))) Serve(client);
  CancelOwnRequests(nullptr, nullptr);
  DropPending(client);
  PsTerminateSystemThread(STATUS_SUCCESS);
}

// Runs in the doorbell's DPC.
void HearDoorbell() {
  KeAcquireSpinLockAtDpcLevel(&g_lock);
  for (Client* client : g_clients) {
    if (client != nullptr && client->requests.Available() != 0) KeSetEvent(&client->wake, 1, FALSE);
  }
  KeReleaseSpinLockFromDpcLevel(&g_lock);
}

Client* FindClient(ULONG id) {
  return id != 0 && id <= boot::kMaxClients ? g_clients[id - 1] : nullptr;
}

void EnterClient(ULONG id, Client* client) {
  ke::SpinGuard guard(&g_lock);
  g_clients[id - 1] = client;
}

ULONG FreeId() {
  for (ULONG id = 1; id <= boot::kMaxClients; ++id) {
    if (g_clients[id - 1] == nullptr) return id;
  }
  return 0;
}

NTSTATUS PlaceArea(Client* client) {
  PHYSICAL_ADDRESS highest;
  highest.QuadPart = ~0ull >> 1;
  client->area = static_cast<boot::ClientArea*>(MmAllocateContiguousMemory(kAreaBytes, highest));
  client->request = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, boot::kMaxPayload, kClientTag));
  client->reply = static_cast<UCHAR*>(ExAllocatePoolWithTag(NonPagedPoolNx, boot::kMaxPayload, kClientTag));
  if (client->area == nullptr || client->request == nullptr || client->reply == nullptr)
    return STATUS_INSUFFICIENT_RESOURCES;
  client->physical = MmGetPhysicalAddress(client->area);
  RtlZeroMemory(client->area, kRingOffset);
  auto* bytes = reinterpret_cast<UCHAR*>(client->area);
  const auto first = static_cast<ULONG64>(client->physical.QuadPart) + kRingOffset;
  client->area->magic = boot::kClientMagic;
  client->area->requests.physical = first;
  client->area->requests.size = boot::kClientRingSize;
  client->area->replies.physical = first + boot::kClientRingSize;
  client->area->replies.size = boot::kClientRingSize;
  client->requests = {&client->area->requests, bytes + kRingOffset, boot::kClientRingSize};
  client->replies = {&client->area->replies, bytes + kRingOffset + boot::kClientRingSize,
                     boot::kClientRingSize};
  return STATUS_SUCCESS;
}

void EndProcess(ClientProcess* process) {
  KAPC_STATE state;
  KeStackAttachProcess(&process->process->Pcb, &state);
  ob::CloseAllHandles(process->process->ObjectTable);
  KeUnstackDetachProcess(&state);
  ZwTerminateProcess(process->handle, STATUS_SUCCESS);
  ObfDereferenceObject(process->process);
  ZwClose(process->handle);
  ExFreePoolWithTag(process, kClientTag);
}

void FreeClient(Client* client) {
  if (client->area != nullptr) MmFreeContiguousMemory(client->area);
  if (client->request != nullptr) ExFreePoolWithTag(client->request, kClientTag);
  if (client->reply != nullptr) ExFreePoolWithTag(client->reply, kClientTag);
  if (client->process != nullptr && --client->process->clients == 0) EndProcess(client->process);
  ExFreePoolWithTag(client, kClientTag);
}

NTSTATUS StartProcess(ktl::Text name, ClientProcess** result) {
  auto* process =
      static_cast<ClientProcess*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(ClientProcess), kClientTag));
  if (process == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  *process = {};
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NTSTATUS status = PsCreateSystemProcess(&process->handle, PROCESS_ALL_ACCESS, &attributes);
  if (!NT_SUCCESS(status)) {
    ExFreePoolWithTag(process, kClientTag);
    return status;
  }
  PVOID object;
  status = ob::ReferenceHandle(process->handle, PsProcessType, &object, nullptr);
  if (!NT_SUCCESS(status)) {
    ZwClose(process->handle);
    ExFreePoolWithTag(process, kClientTag);
    return status;
  }
  process->process = static_cast<PEPROCESS>(object);
  auto& image_name = process->process->ImageFileName;
  RtlZeroMemory(image_name, sizeof(image_name));
  const SIZE_T length = name.length < sizeof(image_name) ? name.length : sizeof(image_name) - 1;
  RtlCopyMemory(image_name, name.data, length);
  *result = process;
  return STATUS_SUCCESS;
}

NTSTATUS StartThread(Client* client) {
  HANDLE handle;
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, nullptr, OBJ_KERNEL_HANDLE, nullptr, nullptr);
  NTSTATUS status = PsCreateSystemThread(&handle, THREAD_ALL_ACCESS, &attributes, client->process->handle,
                                         nullptr, ClientThread, client);
  if (!NT_SUCCESS(status)) return status;
  PVOID object;
  status = ob::ReferenceHandle(handle, PsThreadType, &object, nullptr);
  NT_ASSERT(NT_SUCCESS(status));
  client->thread = static_cast<PETHREAD>(object);
  ZwClose(handle);
  return STATUS_SUCCESS;
}

NTSTATUS HandleCreate(RequestReader& request, ReplyWriter& reply) {
  const ULONG brother = request.U32();
  const ktl::Text name = request.String();
  if (request.Failed() || (brother != 0 && FindClient(brother) == nullptr)) return STATUS_INVALID_PARAMETER;
  const ULONG id = FreeId();
  auto* client = static_cast<Client*>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(Client), kClientTag));
  if (id == 0 || client == nullptr) {
    if (client != nullptr) ExFreePoolWithTag(client, kClientTag);
    return STATUS_INSUFFICIENT_RESOURCES;
  }
  *client = {};
  client->id = id;
  InitializeListHead(&client->pending);
  KeInitializeEvent(&client->wake, SynchronizationEvent, FALSE);
  NTSTATUS status = PlaceArea(client);
  if (NT_SUCCESS(status)) {
    if (brother != 0) {
      client->process = FindClient(brother)->process;
    } else {
      status = StartProcess(name, &client->process);
    }
    if (client->process != nullptr) ++client->process->clients;
  }
  if (NT_SUCCESS(status)) status = StartThread(client);
  if (!NT_SUCCESS(status)) {
    FreeClient(client);
    return status;
  }
  EnterClient(id, client);
  reply.U32(id);
  reply.U64(reinterpret_cast<ULONG64>(client->process->process->UniqueProcessId));
  reply.U64(static_cast<ULONG64>(client->physical.QuadPart));
  return STATUS_SUCCESS;
}

NTSTATUS HandleEnd(RequestReader& request, ReplyWriter&) {
  const ULONG id = request.U32();
  Client* client = request.Failed() ? nullptr : FindClient(id);
  if (client == nullptr) return STATUS_INVALID_PARAMETER;
  client->ending = TRUE;
  KeSetEvent(&client->wake, 1, FALSE);
  LARGE_INTEGER limit;
  limit.QuadPart = -10'000LL * kEndWaitMilliseconds;
  if (KeWaitForSingleObject(client->thread, Executive, KernelMode, FALSE, &limit) != STATUS_SUCCESS)
    return STATUS_IO_TIMEOUT;
  EnterClient(id, nullptr);
  ObfDereferenceObject(client->thread);
  FreeClient(client);
  return STATUS_SUCCESS;
}

}  // namespace

void SendClientReply(Client* client, ULONG kind, ULONG id, NTSTATUS status, SIZE_T bytes) {
  const boot::Message message = {static_cast<uint32_t>(bytes), kind, id, status};
  const SIZE_T whole = sizeof(message) + Padded(bytes);
  while (client->replies.Free() < whole) {  // the host reads while it waits for a reply
    if (client->ending) return;
    hal::RingHost();
    LARGE_INTEGER pause;
    pause.QuadPart = -10'000;
    KeDelayExecutionThread(KernelMode, FALSE, &pause);
  }
  client->replies.Stage(0, &message, sizeof(message));
  client->replies.Stage(sizeof(message), client->reply, bytes);
  client->replies.Publish(whole);
  __atomic_thread_fence(__ATOMIC_SEQ_CST);  // the host: writes host_awake, then reads this head
  if (!client->area->host_awake) hal::RingHost();
}

void NoteCompletion(PETHREAD thread) {
  if (thread->StartAddress == reinterpret_cast<PVOID>(&ClientThread))
    KeSetEvent(&static_cast<Client*>(thread->StartContext)->wake, 0, FALSE);
}

NTSTATUS InitClientServer() {
  KeInitializeSpinLock(&g_lock);
  g_look_ticks = hal::TscFrequency() * kLookMicroseconds / 1'000'000;
  kd::RegisterRequestHandler(boot::Request::kClientCreate, HandleCreate);
  kd::RegisterRequestHandler(boot::Request::kClientEnd, HandleEnd);
  kd::SetDoorbellListener(HearDoorbell);
  return STATUS_SUCCESS;
}

}  // namespace io
