// Private to etw.
#pragma once

#include "etw/etw.h"

namespace etw {

// A registration. It is found by its handle without a lock, at any IRQL, and is never freed: what follows
// EtwUnregister finds another generation.
struct Provider {
  volatile ULONG generation;  // odd: in use
  GUID id;
  PETWENABLECALLBACK callback;
  PVOID context;
};

// 0 for a handle that is none, or no longer.
Provider* ProviderOf(REGHANDLE handle);
bool SessionTakes(UCHAR level, ULONGLONG keyword);

struct EventIds {
  const GUID* activity;  // may be 0, as the next
  const GUID* related;
};
// Writes one event's lines to the trace. Any IRQL at which the data is resident.
void WriteEvent(const Provider* provider, const EVENT_DESCRIPTOR& event, const EventIds& ids, ULONG count,
                const EVENT_DATA_DESCRIPTOR* data);

}  // namespace etw
