// Clients: how the host performs requests as a program in the guest would. A client is a thread of a user
// process there; each has a page of its own, a pair of rings, and performs what arrives in order, with
// previous mode User. A request that a driver keeps pending does not hold up the next one; its reply comes
// when it is complete.
//
// The control channel creates and ends clients (Request::kClientCreate, kClientEnd). The guest allocates the
// area and both rings and tells the host their physical addresses once; the host checks that they are RAM,
// keeps what it read and never reads it again. Indices and sizes are checked on both sides as in
// boot/control.h.
#pragma once

#include "boot/control.h"

namespace boot {

inline constexpr uint64_t kClientMagic = 0x544e45494c43434b;  // "KCCLIENT"
inline constexpr uint32_t kClientRingSize = 128 * 1024;
inline constexpr uint32_t kMaxClients = 64;

struct ClientArea {
  uint64_t magic;
  Ring requests;  // host -> guest: Message (kind: ClientRequest) + payload
  Ring replies;   // guest -> host: Message + payload, one for each request, in the order of completion
  // 1: this side will look at its ring before it sleeps, and needs no doorbell. Who sets it to 0 looks once
  // more.
  alignas(64) volatile uint32_t guest_awake;
  alignas(64) volatile uint32_t host_awake;
};

// What a client does. Payloads begin with the structure named; handles and addresses are the process's own.
enum class ClientRequest : uint32_t {
  kOpen = 1,      // ClientOpen, name as UTF-16 -> u64 handle, u64 information
  kClose = 2,     // u64 handle
  kRead = 3,      // ClientTransfer -> ClientResult, data
  kWrite = 4,     // ClientTransfer, data -> ClientResult
  kControl = 5,   // ClientTransfer, data -> ClientResult, data
  kCancel = 6,    // u64 handle, u32 id of the request (0: all of the handle and this client) -> u32 number of
                  // requests
  kAllocate = 7,  // u64 bytes, u32 protection (PAGE_*) -> u64 address
  kFree = 8,      // u64 address
  kPeek = 9,      // u64 address, u32 bytes -> bytes
  kPoke = 10,     // u64 address, bytes
  kProtect = 11,  // u64 address, u64 bytes, u32 protection
};

struct ClientOpen {
  uint32_t access;
  uint32_t share;
  uint32_t disposition;
  uint32_t options;
  uint32_t attributes;
  uint32_t name_length;  // bytes, as UNICODE_STRING.Length; may differ from what follows
};

enum ClientTransferFlags : uint32_t {
  // Addresses are passed as they are. Otherwise the data are put into memory of the process, each buffer so
  // that it ends
  // at a page that is not there.
  kClientRawAddresses = 1,
  kClientHasOffset = 2,
};

struct ClientTransfer {
  uint64_t handle;
  uint64_t offset;  // kRead, kWrite
  uint64_t input;   // kClientRawAddresses
  uint64_t output;
  uint32_t input_length;  // kClientRawAddresses: any number; otherwise the bytes that follow
  uint32_t output_length;
  uint32_t code;  // kControl
  uint32_t flags;
};

struct ClientResult {
  uint64_t information;
  uint32_t was_pending;  // the service returned STATUS_PENDING
  uint32_t data_bytes;   // that follow
};

}  // namespace boot
