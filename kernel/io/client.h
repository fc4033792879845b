// The kit's clients (boot/client.h): threads of user processes that perform requests of the host.
#pragma once

#include "boot/client.h"
#include "io_internal.h"
#include "ktl/byte_ring.h"
#include "ktl/payload.h"

extern "C" {
NTSTATUS NTAPI ZwProtectVirtualMemory(HANDLE ProcessHandle, PVOID* BaseAddress, PSIZE_T RegionSize,
                                      ULONG NewProtect, PULONG OldProtect);
NTSTATUS NTAPI PsCreateSystemProcess(PHANDLE ProcessHandle, ULONG DesiredAccess,
                                     POBJECT_ATTRIBUTES ObjectAttributes);
}

namespace io {

inline constexpr ULONG kClientTag = 'tilC';
inline constexpr ULONG kClientSlots = 64;

// A user process of clients. Guarded by the control thread, which alone creates and ends clients.
struct ClientProcess {
  HANDLE handle;
  PEPROCESS process;
  ULONG clients;
};

// Memory of the process for one request: status block, input, output. The buffers end at pages that are not
// there.
struct ClientBuffers {
  ULONG slot = kClientSlots;  // kClientSlots: an allocation of its own
  PVOID allocation = nullptr;
  PUCHAR input = nullptr;
  PUCHAR output = nullptr;
  PIO_STATUS_BLOCK iosb = nullptr;
};

// A request that a driver keeps.
struct PendingRequest {
  LIST_ENTRY link;
  ULONG id;
  ULONG kind;
  ULONG output_length;
  bool raw;
  ClientBuffers buffers;
};

struct Client {
  ULONG id;
  ClientProcess* process;
  PETHREAD thread;
  boot::ClientArea* area;  // physically contiguous: the area, then the rings' bytes
  PHYSICAL_ADDRESS physical;
  ktl::RingReader<boot::Ring> requests;
  ktl::RingWriter<boot::Ring> replies;
  KEVENT wake;  // synchronization event
  volatile LONG ending;
  // The thread's own.
  UCHAR* request;  // boot::kMaxPayload bytes
  UCHAR* reply;
  LIST_ENTRY pending;  // PendingRequest
  PUCHAR arena;        // kClientSlots slots
  PIO_STATUS_BLOCK status_blocks;
  ULONG64 free_slots;
  ULONG64 used_once;  // slots whose pages are committed
};

// client_memory.cpp, in the client's thread. PASSIVE_LEVEL.
NTSTATUS PrepareClientMemory(Client* client);
NTSTATUS TakeBuffers(Client* client, SIZE_T input, SIZE_T output, ClientBuffers* buffers);
void GiveBuffers(Client* client, const ClientBuffers& buffers);

// client_requests.cpp, in the client's thread. PASSIVE_LEVEL.
void PerformClientRequest(Client* client, const boot::Message& message);
void ReplyToCompleted(Client* client);
void DropPending(Client* client);
ULONG CancelOwnRequests(PFILE_OBJECT file, PIO_STATUS_BLOCK iosb);  // 0: any

// client_server.cpp.
void SendClientReply(Client* client, ULONG kind, ULONG id, NTSTATUS status, SIZE_T bytes);
// In a thread whose request has just been completed (<= APC_LEVEL): a client's looks at its pending ones.
void NoteCompletion(PETHREAD thread);
NTSTATUS InitClientServer();

}  // namespace io
