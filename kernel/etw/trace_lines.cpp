// An event as lines of text (docs/trace.md): one that describes it, then its data, 64 bytes a line.
#include "etw_internal.h"
#include "kd/kd.h"
#include "ktl/format.h"
#include "nt/eprocess.h"

namespace etw {
namespace {

constexpr ULONG kBytesInLine = 64;

volatile LONG event_number;

struct Line {
  char text[512];
  SIZE_T length = 0;

  template <typename... Values>
  void Add(const char* format, Values... values) {
    length += ktl::Format(text + length, sizeof(text) - length, format, values...);
    if (length > sizeof(text) - 1) length = sizeof(text) - 1;
  }
  void AddGuid(const char* name, const GUID* id) {
    if (id == nullptr) return;
    const UCHAR* tail = id->Data4;
    Add(" %s={%08x-%04x-%04x-", name, id->Data1, id->Data2, id->Data3);
    for (int i = 0; i < 8; ++i) Add(i == 1 ? "%02x-" : "%02x", tail[i]);
    Add("}");
  }
  void Send() {
    text[length++] = '\n';  // Add leaves room
    kd::PutTrace(text, length);
  }
};

// The data of several descriptors, as one run of bytes.
class DataReader {
 public:
  DataReader(ULONG count, const EVENT_DATA_DESCRIPTOR* data) : left_(count), data_(data) {}

  ULONG Read(UCHAR* to, ULONG room) {
    ULONG got = 0;
    while (got < room && left_ != 0) {
      const ULONG part = data_->Size - offset_ < room - got ? data_->Size - offset_ : room - got;
      RtlCopyMemory(to + got, reinterpret_cast<const UCHAR*>(data_->Ptr) + offset_, part);
      got += part;
      offset_ += part;
      if (offset_ == data_->Size) {
        ++data_;
        --left_;
        offset_ = 0;
      }
    }
    return got;
  }

 private:
  ULONG left_;
  const EVENT_DATA_DESCRIPTOR* data_;
  ULONG offset_ = 0;
};

void SendData(ULONG number, DataReader reader) {
  UCHAR bytes[kBytesInLine];
  ULONG offset = 0;
  while (const ULONG got = reader.Read(bytes, sizeof(bytes))) {
    Line line;
    line.Add("%u+%04x", number, offset);
    for (ULONG i = 0; i < got; ++i) line.Add(" %02x", bytes[i]);
    line.Add(" |");
    for (ULONG i = 0; i < got; ++i) line.Add("%c", bytes[i] >= 0x20 && bytes[i] < 0x7F ? bytes[i] : '.');
    line.Add("|");
    line.Send();
    offset += got;
  }
}

}  // namespace

void WriteEvent(const Provider* provider, const EVENT_DESCRIPTOR& event, const EventIds& ids, ULONG count,
                const EVENT_DATA_DESCRIPTOR* data) {
  const auto number = static_cast<ULONG>(InterlockedIncrement(&event_number));
  ULONG64 counter;
  const ULONG64 time = KeQueryInterruptTimePrecise(&counter);
  const PETHREAD thread = PsGetCurrentThread();
  ULONG size = 0;
  for (ULONG i = 0; i < count; ++i) size += data[i].Size;
  Line line;
  line.Add("%u %llu.%07llu cpu=%u pid=%llu tid=%llu", number, time / 10'000'000, time % 10'000'000,
           KeGetCurrentProcessorNumberEx(nullptr), reinterpret_cast<ULONG64>(thread->Cid.UniqueProcess),
           reinterpret_cast<ULONG64>(thread->Cid.UniqueThread));
  line.AddGuid("provider", &provider->id);
  line.Add(" id=%u version=%u channel=%u level=%u opcode=%u task=%u keyword=0x%llx size=%u", event.Id,
           event.Version, event.Channel, event.Level, event.Opcode, event.Task, event.Keyword, size);
  line.AddGuid("activity", ids.activity);
  line.AddGuid("related", ids.related);
  line.Send();
  SendData(number, DataReader(count, data));
}

}  // namespace etw
