// Counter sets of drivers, their instances, and what reads them.
#pragma once

#include "nt/ntos.h"
#include "ob/ob.h"

namespace pcw {

// ---- As the WDK's wdm.h has them, where mingw-w64's lacks them ----
struct CounterDescriptor {
  USHORT Id;
  USHORT StructIndex;
  USHORT Offset;
  USHORT Size;
};
struct Data {
  const VOID* Data;
  ULONG Size;
};
enum CallbackType : ULONG { kAddCounter = 0, kRemoveCounter = 1, kEnumerateInstances = 2, kCollectData = 3 };
union CallbackInformation {
  struct {
    ULONG64 CounterMask;
    PCUNICODE_STRING InstanceMask;
  } Counter;
  struct {
    ULONG64 CounterMask;
    PCUNICODE_STRING InstanceMask;
    ULONG InstanceId;
    BOOLEAN CollectMultiple;
    struct Buffer* Buffer;
    PKEVENT CancelEvent;
  } Mask;
};
typedef NTSTATUS(NTAPI* Callback)(CallbackType Type, CallbackInformation* Info, PVOID Context);
struct RegistrationInformation {
  ULONG Version;
  ULONG Size;
  PCUNICODE_STRING Name;
  ULONG CounterCount;
  CounterDescriptor* Counters;
  pcw::Callback Callback;
  PVOID CallbackContext;
};

// ---- Ours ----
struct Registration {
  LIST_ENTRY link;        // all sets
  EX_RUNDOWN_REF in_use;  // by a reader
  LIST_ENTRY instances;   // PcwCreateInstance's, under the sets' lock
  pcw::Callback callback;
  PVOID context;
  UNICODE_STRING name;
  ULONG blocks;  // the highest structure index of a counter, plus one
  ULONG counter_count;
  CounterDescriptor counters[1];  // then the name's text
};

struct Instance {
  LIST_ENTRY link;
  Registration* registration;
  UNICODE_STRING name;
  ULONG id;
  ULONG count;
  Data blocks[1];  // then the name's text
};

// What an instance's counters are written to.
struct Buffer {
  const Registration* set;
  UCHAR* bytes;
  ULONG room, needed, instances;
};

// Whether the blocks hold every counter of the set.
bool BlocksHoldCounters(const Registration& set, ULONG count, const Data* blocks);
// Writes what has room, counts what all takes. The blocks hold the counters.
void AddInstance(Buffer* buffer, const UNICODE_STRING& name, ULONG id, const Data* blocks);

// The set of a name, kept from being unregistered until ExReleaseRundownProtection; 0: there is none.
Registration* FindSet(const UNICODE_STRING& name);
// The instances of PcwCreateInstance.
void AddKnownInstances(Registration* set, Buffer* buffer);

}  // namespace pcw
