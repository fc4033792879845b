// Requests of the host and events to it. Handlers run in nt!KdpControlThread at PASSIVE_LEVEL, one at a time.
#pragma once

#include "boot/control.h"
#include "ktl/payload.h"
#include "nt/ntos.h"

namespace kd {

using RequestReader = ktl::PayloadReader;
using ReplyWriter = ktl::PayloadWriter;

// Fills `reply` and returns the reply's status. A request that does not parse (reader.Failed()) should return
// STATUS_INVALID_PARAMETER.
using RequestHandler = NTSTATUS (*)(RequestReader& request, ReplyWriter& reply);
// Once a request, during phase 1 initialization. kPing is kd's own.
void RegisterRequestHandler(boot::Request request, RequestHandler handler);

// Called at DISPATCH_LEVEL whenever the host has rung. One listener, set during phase 1.
void SetDoorbellListener(void (*listener)());

// IRQL <= DISPATCH_LEVEL. An event that does not fit because the host does not read is dropped and counted.
void SendEvent(boot::Event event, const ktl::PayloadWriter& payload);
void SendTextEvent(boot::Event event, const char* text);

// Rings and COM1 doorbell (phase 1); init then creates the thread with the body KdpControlThread.
NTSTATUS StartControlServer();

}  // namespace kd

extern "C" VOID NTAPI KdpControlThread(PVOID context);
