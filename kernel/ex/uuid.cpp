// UUIDs of version 1, made of the time and of a node that this boot chose, as the machine has no network
// address.
#include "nt/export.h"
#include "nt/ntos.h"
#include "ob/ob.h"

namespace {

constexpr LONGLONG kFrom1582 = 0x00146BF33E42C000;  // 1582-10-15 to 1601-01-01, in 100 ns

KSPIN_LOCK g_lock;  // all below
LONGLONG g_last_time;
UCHAR g_node[6];
USHORT g_sequence;
bool g_have_node;

// The multicast bit says that the node is no address.
void ChooseNode() {
  LARGE_INTEGER counter = KeQueryPerformanceCounter(nullptr);
  ULONG seed = counter.LowPart ^ static_cast<ULONG>(__rdtsc());
  for (UCHAR& byte : g_node) byte = static_cast<UCHAR>(RtlRandomEx(&seed) >> 8);
  g_node[0] |= 1;
  g_sequence = static_cast<USHORT>(RtlRandomEx(&seed) & 0x3FFF);
  g_have_node = true;
}

// A time that no other UUID has: the clock's, or one more than the last.
LONGLONG TakeTime() {
  LARGE_INTEGER now;
  KeQuerySystemTime(&now);
  g_last_time = now.QuadPart > g_last_time ? now.QuadPart : g_last_time + 1;
  return g_last_time + kFrom1582;
}

}  // namespace

/// Makes a UUID that no other call gives. RPC_NT_UUID_LOCAL_ONLY, a success, tells that it is unique on this
/// machine only, as there is no network adapter.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none; the answer is that of a machine without network.
/// Source: WDK ntddk/ExUuidCreate.
NT_EXPORT(ExUuidCreate, nt::Exactly(PASSIVE_LEVEL), Full, "ExUuid.*");
extern "C" NTSTATUS NTAPI ExUuidCreate(UUID* Uuid) {
  ke::SpinGuard guard(&g_lock);
  if (!g_have_node) ChooseNode();
  const LONGLONG time = TakeTime();
  Uuid->Data1 = static_cast<ULONG>(time);
  Uuid->Data2 = static_cast<USHORT>(time >> 32);
  Uuid->Data3 = static_cast<USHORT>((time >> 48 & 0x0FFF) | 0x1000);
  Uuid->Data4[0] = static_cast<UCHAR>(g_sequence >> 8 | 0x80);
  Uuid->Data4[1] = static_cast<UCHAR>(g_sequence);
  RtlCopyMemory(Uuid->Data4 + 2, g_node, sizeof(g_node));
  return RPC_NT_UUID_LOCAL_ONLY;
}
