// What a query of a key or a value answers.
#include "registry_query.h"

// ntddk's, which the mingw-w64 headers lack.
typedef struct _KEY_NAME_INFORMATION {
  ULONG NameLength;
  WCHAR Name[1];
} KEY_NAME_INFORMATION;

namespace cm {
namespace {

// Fills a caller's buffer with what fits; remembers what all of it would take.
class Output {
 public:
  Output(PVOID buffer, ULONG length) : buffer_(static_cast<UCHAR*>(buffer)), length_(length) {}
  // Copies what fits of `bytes` to `offset`.
  void Put(ULONG offset, const void* data, ULONG bytes) {
    if (offset < length_)
      RtlCopyMemory(buffer_ + offset, data, bytes < length_ - offset ? bytes : length_ - offset);
    if (offset + bytes > needed_) needed_ = offset + bytes;
  }
  template <typename T>
  void PutNumber(ULONG offset, T value) {
    Put(offset, &value, sizeof(value));
  }
  // `fixed`: the part without which the answer is STATUS_BUFFER_TOO_SMALL; with it but not all,
  // STATUS_BUFFER_OVERFLOW.
  NTSTATUS Finish(ULONG fixed, PULONG result_length) const {
    *result_length = needed_ > fixed ? needed_ : fixed;
    if (length_ < fixed) return STATUS_BUFFER_TOO_SMALL;
    return length_ < needed_ ? STATUS_BUFFER_OVERFLOW : STATUS_SUCCESS;
  }

 private:
  UCHAR* buffer_;
  ULONG length_;
  ULONG needed_ = 0;
};

struct CachedInformation {  // KEY_CACHED_INFORMATION
  LARGE_INTEGER LastWriteTime;
  ULONG TitleIndex;
  ULONG SubKeys;
  ULONG MaxNameLen;
  ULONG Values;
  ULONG MaxValueNameLen;
  ULONG MaxValueDataLen;
  ULONG NameLength;
};

// What a key's KEY_FLAGS_INFORMATION and KEY_VIRTUALIZATION_INFORMATION hold: volatile, a link; nothing is
// virtualized.
struct FlagsInformation {
  ULONG user_flags;
  ULONG key_flags;
  ULONG control_flags;
};

template <typename T>
NTSTATUS QueryFixed(const T& value, Output* output, PULONG result_length) {
  output->Put(0, &value, sizeof(value));
  return output->Finish(sizeof(value), result_length);
}

NTSTATUS QueryCached(const Key* key, Output* output, PULONG result_length) {
  const KeyCounts counts = CountsOf(key);
  CachedInformation information = {};
  information.LastWriteTime.QuadPart = static_cast<LONGLONG>(key->last_write);
  information.SubKeys = counts.subkeys;
  information.MaxNameLen = counts.longest_name;
  information.Values = counts.values;
  information.MaxValueNameLen = counts.longest_value_name;
  information.MaxValueDataLen = counts.longest_value_data;
  information.NameLength = key->name_length * sizeof(WCHAR);
  return QueryFixed(information, output, result_length);
}

NTSTATUS QueryKeyName(const Key* key, Output* output, PULONG result_length) {
  const ULONG length = PathLength(key);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_NAME_INFORMATION, NameLength), length);
  ULONG end = FIELD_OFFSET(KEY_NAME_INFORMATION, Name) + length;
  for (const Key* part = key; part != nullptr; part = part->parent) {
    end -= part->name_length * sizeof(WCHAR);
    output->Put(end, part->name, part->name_length * sizeof(WCHAR));
    end -= sizeof(WCHAR);
    output->PutNumber<WCHAR>(end, L'\\');
  }
  return output->Finish(FIELD_OFFSET(KEY_NAME_INFORMATION, Name), result_length);
}

// A key's class at `at`, with its offset and length; without one the offset is -1.
void PutClass(const Key* key, Output* output, ULONG offset_field, ULONG length_field, ULONG at) {
  const ULONG bytes = key->class_length * sizeof(WCHAR);
  output->PutNumber<ULONG>(offset_field, bytes != 0 ? at : 0xFFFFFFFF);
  output->PutNumber<ULONG>(length_field, bytes);
  if (bytes != 0) output->Put(at, key->class_name, bytes);
}

NTSTATUS QueryFull(const Key* key, Output* output, PULONG result_length) {
  const KeyCounts counts = CountsOf(key);
  output->PutNumber<ULONG64>(FIELD_OFFSET(KEY_FULL_INFORMATION, LastWriteTime), key->last_write);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, TitleIndex), 0);
  PutClass(key, output, FIELD_OFFSET(KEY_FULL_INFORMATION, ClassOffset),
           FIELD_OFFSET(KEY_FULL_INFORMATION, ClassLength), FIELD_OFFSET(KEY_FULL_INFORMATION, Class));
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, SubKeys), counts.subkeys);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, MaxNameLen), counts.longest_name);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, MaxClassLen), counts.longest_class);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, Values), counts.values);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, MaxValueNameLen), counts.longest_value_name);
  output->PutNumber<ULONG>(FIELD_OFFSET(KEY_FULL_INFORMATION, MaxValueDataLen), counts.longest_value_data);
  return output->Finish(FIELD_OFFSET(KEY_FULL_INFORMATION, Class), result_length);
}

}  // namespace

NTSTATUS QueryKey(const Key* key, KEY_INFORMATION_CLASS information_class, PVOID buffer, ULONG length,
                  PULONG result_length) {
  Output output(buffer, length);
  const ULONG name_bytes = key->name_length * sizeof(WCHAR);
  switch (information_class) {
    case KeyBasicInformation:
      output.PutNumber<ULONG64>(FIELD_OFFSET(KEY_BASIC_INFORMATION, LastWriteTime), key->last_write);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_BASIC_INFORMATION, TitleIndex), 0);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_BASIC_INFORMATION, NameLength), name_bytes);
      output.Put(FIELD_OFFSET(KEY_BASIC_INFORMATION, Name), key->name, name_bytes);
      return output.Finish(FIELD_OFFSET(KEY_BASIC_INFORMATION, Name), result_length);
    case KeyNodeInformation:
      output.PutNumber<ULONG64>(FIELD_OFFSET(KEY_NODE_INFORMATION, LastWriteTime), key->last_write);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_NODE_INFORMATION, TitleIndex), 0);
      PutClass(key, &output, FIELD_OFFSET(KEY_NODE_INFORMATION, ClassOffset),
               FIELD_OFFSET(KEY_NODE_INFORMATION, ClassLength),
               (FIELD_OFFSET(KEY_NODE_INFORMATION, Name) + name_bytes + 3) & ~3u);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_NODE_INFORMATION, NameLength), name_bytes);
      output.Put(FIELD_OFFSET(KEY_NODE_INFORMATION, Name), key->name, name_bytes);
      return output.Finish(FIELD_OFFSET(KEY_NODE_INFORMATION, Name), result_length);
    case KeyFullInformation:
      return QueryFull(key, &output, result_length);
    case KeyNameInformation:
      return QueryKeyName(key, &output, result_length);
    case KeyCachedInformation:
      return QueryCached(key, &output, result_length);
    case KeyFlagsInformation:
      return QueryFixed(FlagsInformation{0, (key->is_volatile ? 1u : 0) | (key->is_link ? 2u : 0), 0},
                        &output, result_length);
    case KeyVirtualizationInformation:
      return QueryFixed(ULONG{0}, &output, result_length);
    default:
      return STATUS_INVALID_PARAMETER;
  }
}

NTSTATUS QueryValue(const Value* value, KEY_VALUE_INFORMATION_CLASS information_class, PVOID buffer,
                    ULONG length, PULONG result_length) {
  Output output(buffer, length);
  const ULONG name_bytes = value->name_length * sizeof(WCHAR);
  switch (information_class) {
    case KeyValueBasicInformation:
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, TitleIndex), 0);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, Type), value->type);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, NameLength), name_bytes);
      output.Put(FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, Name), value->name, name_bytes);
      return output.Finish(FIELD_OFFSET(KEY_VALUE_BASIC_INFORMATION, Name), result_length);
    case KeyValueFullInformation:
    case KeyValueFullInformationAlign64: {
      const ULONG data = (FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, Name) + name_bytes + 7) & ~7u;
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, TitleIndex), 0);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, Type), value->type);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, DataOffset), data);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, DataLength), value->data_length);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, NameLength), name_bytes);
      output.Put(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, Name), value->name, name_bytes);
      output.Put(data, value->data, value->data_length);
      return output.Finish(FIELD_OFFSET(KEY_VALUE_FULL_INFORMATION, Name), result_length);
    }
    case KeyValuePartialInformation:
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, TitleIndex), 0);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Type), value->type);
      output.PutNumber<ULONG>(FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, DataLength), value->data_length);
      output.Put(FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data), value->data, value->data_length);
      return output.Finish(FIELD_OFFSET(KEY_VALUE_PARTIAL_INFORMATION, Data), result_length);
    case KeyValuePartialInformationAlign64:  // type, length, data at 8
      output.PutNumber<ULONG>(0, value->type);
      output.PutNumber<ULONG>(4, value->data_length);
      output.Put(8, value->data, value->data_length);
      return output.Finish(8, result_length);
    default:
      return STATUS_INVALID_PARAMETER;
  }
}

}  // namespace cm
