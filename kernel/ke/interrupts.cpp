// Handlers behind the interrupt stubs: dispatch, devices; the connection of device lines.
#include "ke/line_target.h"
#include "ke_internal.h"

namespace {

struct Connection {
  PKDEVICE_ROUTINE routine;
  PVOID context;
};
constexpr ULONG kLines = 24, kSharers = 4;

struct Line {
  UCHAR vector;  // 0: not in use
  bool level;
  Connection connections[kSharers];
};
Line lines[kLines];
UCHAR line_of_vector[256];  // line + 1
KSPIN_LOCK lines_lock;

constexpr UCHAR VectorOf(ULONG gsi) {
  return static_cast<UCHAR>(hal::kFirstDeviceVector + gsi * 4);
}
static_assert(VectorOf(kLines - 1) <= hal::kLastDeviceVector);

// Messages have the vectors between those of the lines.
constexpr ULONG kMessages = kLines;
struct Message {
  bool taken;
  Connection connection;
};
Message messages[kMessages];
constexpr UCHAR VectorOfMessage(ULONG index) {
  return static_cast<UCHAR>(VectorOf(index) + 1);
}
// The message of a vector; 0: it is none.
Message* MessageOf(ULONG vector) {
  const ULONG offset = vector - hal::kFirstDeviceVector;
  return vector >= hal::kFirstDeviceVector && offset % 4 == 1 && offset / 4 < kMessages
             ? &messages[offset / 4]
             : nullptr;
}

}  // namespace

extern "C" {

VOID KiHandleDpcInterrupt(PKTRAP_FRAME) {
  hal::EndOfInterrupt();
  PKPRCB prcb = KeGetCurrentPrcb();
  __atomic_store_n(&prcb->DispatchPending, UCHAR{0}, __ATOMIC_SEQ_CST);
  prcb->IdleHalt = 0;
  const UCHAR wanted = __atomic_exchange_n(&prcb->TimerExpirationWanted, UCHAR{0}, __ATOMIC_ACQ_REL);
  if ((wanted & (kOwnTimers | kAllTimers)) != 0) KiTimerExpiration((wanted & kAllTimers) != 0);
  KiRetireDpcList(prcb);
  KiDispatchInterrupt((wanted & kTakeStandby) != 0);
}

VOID KiHandleDeviceInterrupt(PKTRAP_FRAME trap) {
  const ULONG vector = static_cast<ULONG>(trap->ErrorCode) & 0xFF;
  PKPRCB prcb = KeGetCurrentPrcb();
  ++prcb->InterruptCount;
  KiEnsureTick(prcb);  // for the watchdogs, should the routine not return
  const ULONG line = line_of_vector[vector];
  if (line != 0) {
    for (const Connection& connection : lines[line - 1].connections) {
      PKDEVICE_ROUTINE routine = __atomic_load_n(&connection.routine, __ATOMIC_ACQUIRE);
      if (routine != nullptr) routine(connection.context);
    }
  } else if (Message* message = MessageOf(vector); message != nullptr) {
    PKDEVICE_ROUTINE routine = __atomic_load_n(&message->connection.routine, __ATOMIC_ACQUIRE);
    if (routine != nullptr) routine(message->connection.context);
  }
  hal::EndOfInterrupt();  // after the routines: a level line is low again by then
}

NTSTATUS KeConnectLine(ULONG gsi, BOOLEAN level, PKDEVICE_ROUTINE routine, PVOID context, PKIRQL irql) {
  if (gsi >= kLines) return STATUS_INVALID_PARAMETER;
  KIRQL old_irql;
  KeAcquireSpinLock(&lines_lock, &old_irql);
  Line& line = lines[gsi];
  NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
  for (Connection& connection : line.connections) {
    if (connection.routine != nullptr) continue;
    connection.context = context;
    __atomic_store_n(&connection.routine, routine, __ATOMIC_RELEASE);
    status = STATUS_SUCCESS;
    break;
  }
  const UCHAR vector = VectorOf(gsi);
  if (status == STATUS_SUCCESS && line.vector == 0) {
    line.vector = vector;
    line.level = level != FALSE;
    line_of_vector[vector] = static_cast<UCHAR>(gsi + 1);
    hal::EnableLine(gsi, vector, KiProcessorBlock[0]->ApicId, level != FALSE);
  }
  KeReleaseSpinLock(&lines_lock, old_irql);
  if (irql != nullptr) *irql = static_cast<KIRQL>(vector >> 4);
  return status;
}

VOID KeTargetLine(ULONG gsi, KAFFINITY affinity) {
  affinity &= KeActiveProcessors;
  if (gsi >= kLines || affinity == 0) return;
  const auto processor = static_cast<ULONG>(__builtin_ctzll(affinity));
  KIRQL old_irql;
  KeAcquireSpinLock(&lines_lock, &old_irql);
  const Line& line = lines[gsi];
  ULONG routines = 0;
  for (const Connection& connection : line.connections) routines += connection.routine != nullptr;
  if (line.vector != 0 && routines == 1)
    hal::EnableLine(gsi, line.vector, KiProcessorBlock[processor]->ApicId, line.level);
  KeReleaseSpinLock(&lines_lock, old_irql);
}

VOID KeDisconnectLine(ULONG gsi, PKDEVICE_ROUTINE routine, PVOID context) {
  if (gsi >= kLines) return;
  KIRQL old_irql;
  KeAcquireSpinLock(&lines_lock, &old_irql);
  Line& line = lines[gsi];
  bool left = false;
  for (Connection& connection : line.connections) {
    if (connection.routine == routine && connection.context == context) connection.routine = nullptr;
    left = left || connection.routine != nullptr;
  }
  if (!left && line.vector != 0) {
    hal::DisableLine(gsi);
    line.vector = 0;
  }
  KeReleaseSpinLock(&lines_lock, old_irql);
}

UCHAR KeVectorOfLine(ULONG gsi) {
  return gsi < kLines ? VectorOf(gsi) : 0;
}

LONG KeLineOfVector(ULONG vector) {
  const ULONG offset = vector - hal::kFirstDeviceVector;
  const bool line = vector >= hal::kFirstDeviceVector && offset % 4 == 0 && offset / 4 < kLines;
  return line ? static_cast<LONG>(offset / 4) : -1;
}

NTSTATUS KeAllocateMessageVector(UCHAR* vector) {
  KIRQL old_irql;
  NTSTATUS status = STATUS_INSUFFICIENT_RESOURCES;
  KeAcquireSpinLock(&lines_lock, &old_irql);
  for (ULONG i = 0; i < kMessages && status != STATUS_SUCCESS; ++i) {
    if (messages[i].taken) continue;
    messages[i].taken = true;
    *vector = VectorOfMessage(i);
    status = STATUS_SUCCESS;
  }
  KeReleaseSpinLock(&lines_lock, old_irql);
  return status;
}

VOID KeFreeMessageVector(UCHAR vector) {
  KeDisconnectMessage(vector);
  if (Message* message = MessageOf(vector); message != nullptr) message->taken = false;
}

NTSTATUS KeConnectMessage(UCHAR vector, PKDEVICE_ROUTINE routine, PVOID context) {
  Message* message = MessageOf(vector);
  if (message == nullptr || !message->taken || message->connection.routine != nullptr)
    return STATUS_INVALID_PARAMETER;
  message->connection.context = context;
  __atomic_store_n(&message->connection.routine, routine, __ATOMIC_RELEASE);
  return STATUS_SUCCESS;
}

VOID KeDisconnectMessage(UCHAR vector) {
  if (Message* message = MessageOf(vector); message != nullptr)
    __atomic_store_n(&message->connection.routine, nullptr, __ATOMIC_RELEASE);
}

VOID KeDescribeMessage(UCHAR vector, PULONG64 address, PULONG data) {
  *address = 0xFEE00000 | (static_cast<ULONG64>(KiProcessorBlock[0]->ApicId) << 12);
  *data = vector;  // fixed delivery, edge
}

}  // extern "C"
