#include "hive.h"

namespace cm {

namespace {

constexpr char kMagic[8] = {'B', 'C', 'H', 'I', 'V', 'E', '1', '\n'};
constexpr size_t kHeaderSize = 40;
constexpr uint32_t kVersion = 2;
constexpr uint32_t kMaxDepth = 64;

void Copy(void* to, const void* from, size_t bytes) {
  for (size_t i = 0; i < bytes; ++i) static_cast<uint8_t*>(to)[i] = static_cast<const uint8_t*>(from)[i];
}

uint64_t Fnv(const uint8_t* data, size_t size) {
  uint64_t hash = 0xcbf29ce484222325;
  for (size_t i = 0; i < size; ++i) hash = (hash ^ data[i]) * 0x100000001b3;
  return hash;
}

char16_t* DuplicateName(Text name) {
  auto* copy = static_cast<char16_t*>(HiveAllocate((name.length + 1) * sizeof(char16_t)));
  if (copy == nullptr) return nullptr;
  Copy(copy, name.data, name.length * sizeof(char16_t));
  copy[name.length] = 0;
  return copy;
}

// The link where a child of this name is or belongs.
Key** ChildLink(Key* key, Text name) {
  Key** link = &key->first_child;
  while (*link != nullptr && CompareNames((*link)->Name(), name) < 0) link = &(*link)->next;
  return link;
}

void FreeValue(Value* value) {
  if (value->name != nullptr) HiveFree(value->name);
  if (value->data != nullptr) HiveFree(value->data);
  HiveFree(value);
}

class Writer {
 public:
  Writer(uint8_t* buffer, size_t capacity) : buffer_(buffer), capacity_(capacity) {}
  template <typename T>
  void Number(T value) {
    for (size_t i = 0; i < sizeof(T); ++i)
      Byte(static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i)));
  }
  void Bytes(const void* data, size_t size) {
    for (size_t i = 0; i < size; ++i) Byte(static_cast<const uint8_t*>(data)[i]);
  }
  void Name(Text name) {
    Number(static_cast<uint16_t>(name.length * 2));
    for (uint16_t i = 0; i < name.length; ++i) Number(static_cast<uint16_t>(name.data[i]));
  }
  size_t size() const { return size_; }

 private:
  void Byte(uint8_t byte) {
    if (size_ < capacity_) buffer_[size_] = byte;
    ++size_;
  }
  uint8_t* buffer_;
  size_t capacity_;
  size_t size_ = 0;
};

void WriteKey(Writer& writer, const Key* key) {
  writer.Name(key->Name());
  writer.Number(key->last_write);
  writer.Number(uint32_t{key->is_link});
  writer.Name(key->Class());
  writer.Number(key->security_length);
  writer.Bytes(key->security, key->security_length);
  uint32_t values = 0, subkeys = 0;
  for (Value* value = key->first_value; value != nullptr; value = value->next) ++values;
  for (Key* child = key->first_child; child != nullptr; child = child->next) subkeys += !child->is_volatile;
  writer.Number(values);
  writer.Number(subkeys);
  for (Value* value = key->first_value; value != nullptr; value = value->next) {
    writer.Name(value->Name());
    writer.Number(value->type);
    writer.Number(value->data_length);
    writer.Bytes(value->data, value->data_length);
  }
  for (Key* child = key->first_child; child != nullptr; child = child->next) {
    if (!child->is_volatile) WriteKey(writer, child);
  }
}

class Reader {
 public:
  Reader(const uint8_t* data, size_t size) : at_(data), left_(size) {}
  template <typename T>
  T Number() {
    if (left_ < sizeof(T)) {
      failed_ = true;
      left_ = 0;
      return 0;
    }
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<uint64_t>(at_[i]) << (8 * i);
    at_ += sizeof(T);
    left_ -= sizeof(T);
    return static_cast<T>(value);
  }
  const uint8_t* Bytes(size_t size) {
    if (size > left_) {
      failed_ = true;
      left_ = 0;
      return nullptr;
    }
    const uint8_t* data = at_;
    at_ += size;
    left_ -= size;
    return data;
  }
  bool failed() const { return failed_; }
  size_t left() const { return left_; }

 private:
  const uint8_t* at_;
  size_t left_;
  bool failed_ = false;
};

// A name of the file: not aligned there, so it is copied. Key names are at most 255 characters.
constexpr uint16_t kMaxName = 16383;

char16_t* ReadName(Reader& reader, uint16_t* length) {
  const uint16_t bytes = reader.Number<uint16_t>();
  const uint8_t* data = reader.Bytes(bytes);
  if (data == nullptr || bytes % 2 != 0 || bytes / 2 > kMaxName) return nullptr;
  auto* name = static_cast<char16_t*>(HiveAllocate(bytes + sizeof(char16_t)));
  if (name == nullptr) return nullptr;
  Copy(name, data, bytes);
  name[bytes / 2] = 0;
  *length = static_cast<uint16_t>(bytes / 2);
  return name;
}

HiveStatus ReadValue(Reader& reader, Key* key) {
  uint16_t length = 0;
  char16_t* name = ReadName(reader, &length);
  if (name == nullptr) return HiveStatus::kCorrupt;
  const uint32_t type = reader.Number<uint32_t>();
  const uint32_t size = reader.Number<uint32_t>();
  const uint8_t* data = reader.Bytes(size);
  HiveStatus status =
      data == nullptr ? HiveStatus::kCorrupt : SetValue(key, {name, length}, type, data, size);
  HiveFree(name);
  return status;
}

// Where the payload stands and in which version it is.
struct Payload {
  Reader reader;
  uint32_t version;
};

HiveStatus ReadKeyBody(Payload& payload, Key* key, uint32_t depth);

HiveStatus ReadProperties(Reader& reader, Key* key) {
  key->is_link = reader.Number<uint32_t>() != 0;
  uint16_t length = 0;
  char16_t* name = ReadName(reader, &length);
  if (name == nullptr) return HiveStatus::kCorrupt;
  HiveStatus status = SetClass(key, {name, length});
  HiveFree(name);
  const uint32_t bytes = reader.Number<uint32_t>();
  const uint8_t* descriptor = reader.Bytes(bytes);
  if (descriptor == nullptr) return HiveStatus::kCorrupt;
  return status == HiveStatus::kOk ? SetSecurity(key, descriptor, bytes) : status;
}

HiveStatus ReadChild(Payload& payload, Key* parent, uint32_t depth) {
  Reader& reader = payload.reader;
  uint16_t length = 0;
  char16_t* name = ReadName(reader, &length);
  if (name == nullptr) return HiveStatus::kCorrupt;
  Key* key = length != 0 ? FindChild(parent, {name, length}) : nullptr;
  if (key == nullptr && length != 0) key = CreateKey(parent, {name, length}, false);
  HiveFree(name);
  if (key == nullptr) return length == 0 ? HiveStatus::kCorrupt : HiveStatus::kNoMemory;
  return ReadKeyBody(payload, key, depth);
}

HiveStatus ReadKeyBody(Payload& payload, Key* key, uint32_t depth) {
  Reader& reader = payload.reader;
  if (depth > kMaxDepth) return HiveStatus::kTooDeep;
  key->last_write = reader.Number<uint64_t>();
  if (payload.version >= 2) {
    const HiveStatus status = ReadProperties(reader, key);
    if (status != HiveStatus::kOk) return status;
  }
  const uint32_t values = reader.Number<uint32_t>();
  const uint32_t subkeys = reader.Number<uint32_t>();
  for (uint32_t i = 0; i < values; ++i) {
    HiveStatus status = reader.failed() ? HiveStatus::kCorrupt : ReadValue(reader, key);
    if (status != HiveStatus::kOk) return status;
  }
  for (uint32_t i = 0; i < subkeys; ++i) {
    HiveStatus status = reader.failed() ? HiveStatus::kCorrupt : ReadChild(payload, key, depth + 1);
    if (status != HiveStatus::kOk) return status;
  }
  return reader.failed() ? HiveStatus::kCorrupt : HiveStatus::kOk;
}

// Moves what `from` holds into `to`; equal keys are merged, values of `from` win.
HiveStatus Merge(Key* from, Key* to) {
  to->last_write = from->last_write;
  to->is_link = from->is_link;
  HiveStatus taken = SetClass(to, from->Class());
  if (taken == HiveStatus::kOk && from->security_length != 0)
    taken = SetSecurity(to, from->security, from->security_length);
  if (taken != HiveStatus::kOk) return taken;
  for (Value* value = from->first_value; value != nullptr; value = value->next) {
    HiveStatus status = SetValue(to, value->Name(), value->type, value->data, value->data_length);
    if (status != HiveStatus::kOk) return status;
  }
  while (Key* child = from->first_child) {
    from->first_child = child->next;
    Key* same = FindChild(to, child->Name());
    if (same == nullptr) {
      Key** link = ChildLink(to, child->Name());
      child->parent = to;
      child->next = *link;
      *link = child;
      continue;
    }
    HiveStatus status = Merge(child, same);
    child->parent = nullptr;
    DestroyTree(child);
    if (status != HiveStatus::kOk) return status;
  }
  return HiveStatus::kOk;
}

uint64_t HeaderNumber(const uint8_t* at) {
  Reader reader(at, 8);
  return reader.Number<uint64_t>();
}

}  // namespace

int CompareNames(Text a, Text b) {
  for (uint16_t i = 0; i < a.length && i < b.length; ++i) {
    const int difference = static_cast<int>(HiveUpcase(a.data[i])) - static_cast<int>(HiveUpcase(b.data[i]));
    if (difference != 0) return difference;
  }
  return static_cast<int>(a.length) - static_cast<int>(b.length);
}

Key* CreateKey(Key* parent, Text name, bool is_volatile) {
  auto* key = static_cast<Key*>(HiveAllocate(sizeof(Key)));
  char16_t* copy = key != nullptr ? DuplicateName(name) : nullptr;
  if (copy == nullptr) {
    if (key != nullptr) HiveFree(key);
    return nullptr;
  }
  *key = Key{};
  key->name = copy;
  key->name_length = name.length;
  key->is_volatile = is_volatile;
  if (parent == nullptr) return key;
  key->parent = parent;
  Key** link = ChildLink(parent, name);
  key->next = *link;
  *link = key;
  return key;
}

Key* FindChild(Key* key, Text name) {
  Key* child = *ChildLink(key, name);
  return child != nullptr && CompareNames(child->Name(), name) == 0 ? child : nullptr;
}

Key* ChildAt(Key* key, uint32_t index) {
  Key* child = key->first_child;
  while (child != nullptr && index-- != 0) child = child->next;
  return child;
}

Value* FindValue(Key* key, Text name) {
  for (Value* value = key->first_value; value != nullptr; value = value->next) {
    if (CompareNames(value->Name(), name) == 0) return value;
  }
  return nullptr;
}

Value* ValueAt(Key* key, uint32_t index) {
  Value* value = key->first_value;
  while (value != nullptr && index-- != 0) value = value->next;
  return value;
}

HiveStatus SetValue(Key* key, Text name, uint32_t type, const void* data, uint32_t length) {
  uint8_t* copy = nullptr;
  if (length != 0) {
    copy = static_cast<uint8_t*>(HiveAllocate(length));
    if (copy == nullptr) return HiveStatus::kNoMemory;
    Copy(copy, data, length);
  }
  Value* value = FindValue(key, name);
  if (value == nullptr) {
    value = static_cast<Value*>(HiveAllocate(sizeof(Value)));
    char16_t* own_name = value != nullptr ? DuplicateName(name) : nullptr;
    if (own_name == nullptr) {
      if (value != nullptr) HiveFree(value);
      if (copy != nullptr) HiveFree(copy);
      return HiveStatus::kNoMemory;
    }
    *value = Value{};
    value->name = own_name;
    value->name_length = name.length;
    Value** link = &key->first_value;
    while (*link != nullptr) link = &(*link)->next;
    *link = value;
  } else if (value->data != nullptr) {
    HiveFree(value->data);
  }
  value->type = type;
  value->data = copy;
  value->data_length = length;
  return HiveStatus::kOk;
}

bool DeleteValue(Key* key, Text name) {
  for (Value** link = &key->first_value; *link != nullptr; link = &(*link)->next) {
    Value* value = *link;
    if (CompareNames(value->Name(), name) != 0) continue;
    *link = value->next;
    FreeValue(value);
    return true;
  }
  return false;
}

HiveStatus SetClass(Key* key, Text name) {
  char16_t* copy = nullptr;
  if (name.length != 0 && (copy = DuplicateName(name)) == nullptr) return HiveStatus::kNoMemory;
  if (key->class_name != nullptr) HiveFree(key->class_name);
  key->class_name = copy;
  key->class_length = name.length;
  return HiveStatus::kOk;
}

HiveStatus SetSecurity(Key* key, const void* descriptor, uint32_t length) {
  uint8_t* copy = nullptr;
  if (length != 0) {
    copy = static_cast<uint8_t*>(HiveAllocate(length));
    if (copy == nullptr) return HiveStatus::kNoMemory;
    Copy(copy, descriptor, length);
  }
  if (key->security != nullptr) HiveFree(key->security);
  key->security = copy;
  key->security_length = length;
  return HiveStatus::kOk;
}

void RemoveKey(Key* key) {
  if (key->parent != nullptr) {
    Key** link = &key->parent->first_child;
    while (*link != key) link = &(*link)->next;
    *link = key->next;
  }
  key->parent = nullptr;
  key->next = nullptr;
  key->deleted = true;
  if (key->references == 0) DestroyKey(key);
}

void DestroyKey(Key* key) {
  while (Value* value = key->first_value) {
    key->first_value = value->next;
    FreeValue(value);
  }
  if (key->class_name != nullptr) HiveFree(key->class_name);
  if (key->security != nullptr) HiveFree(key->security);
  HiveFree(key->name);
  HiveFree(key);
}

void DestroyTree(Key* key) {
  while (Key* child = key->first_child) {
    key->first_child = child->next;
    DestroyTree(child);
  }
  DestroyKey(key);
}

KeyCounts CountsOf(const Key* key) {
  KeyCounts counts = {};
  for (Key* child = key->first_child; child != nullptr; child = child->next) {
    ++counts.subkeys;
    if (child->name_length * 2u > counts.longest_name) counts.longest_name = child->name_length * 2u;
    if (child->class_length * 2u > counts.longest_class) counts.longest_class = child->class_length * 2u;
  }
  for (Value* value = key->first_value; value != nullptr; value = value->next) {
    ++counts.values;
    if (value->name_length * 2u > counts.longest_value_name)
      counts.longest_value_name = value->name_length * 2u;
    if (value->data_length > counts.longest_value_data) counts.longest_value_data = value->data_length;
  }
  return counts;
}

size_t WriteHive(const Key* root, uint8_t* buffer, size_t capacity) {
  Writer counter(nullptr, 0);
  WriteKey(counter, root);
  const size_t total = kHeaderSize + counter.size();
  if (buffer == nullptr || capacity < total) return total;
  Writer payload(buffer + kHeaderSize, capacity - kHeaderSize);
  WriteKey(payload, root);
  Writer header(buffer, kHeaderSize);
  header.Bytes(kMagic, sizeof(kMagic));
  header.Number(kVersion);
  header.Number(uint32_t{0});
  header.Number(static_cast<uint64_t>(payload.size()));
  header.Number(Fnv(buffer + kHeaderSize, payload.size()));
  header.Number(Fnv(buffer, 32));
  return total;
}

HiveStatus ReadHive(const uint8_t* data, size_t size, Key* root) {
  if (size < kHeaderSize) return HiveStatus::kCorrupt;
  for (size_t i = 0; i < sizeof(kMagic); ++i) {
    if (data[i] != static_cast<uint8_t>(kMagic[i])) return HiveStatus::kCorrupt;
  }
  const uint64_t payload_size = HeaderNumber(data + 16);
  const uint64_t version = HeaderNumber(data + 8);
  if (version < 1 || version > kVersion || HeaderNumber(data + 32) != Fnv(data, 32) ||
      payload_size != size - kHeaderSize ||
      HeaderNumber(data + 24) != Fnv(data + kHeaderSize, size - kHeaderSize)) {
    return HiveStatus::kCorrupt;
  }
  Payload payload = {Reader(data + kHeaderSize, size - kHeaderSize), static_cast<uint32_t>(version)};
  Reader& reader = payload.reader;
  uint16_t length = 0;
  char16_t* name = ReadName(reader, &length);
  if (name == nullptr) return HiveStatus::kCorrupt;
  Key* tree = CreateKey(nullptr, {name, length}, false);
  HiveFree(name);
  if (tree == nullptr) return HiveStatus::kNoMemory;
  HiveStatus status = ReadKeyBody(payload, tree, 0);
  if (status == HiveStatus::kOk && reader.left() != 0) status = HiveStatus::kCorrupt;
  if (status == HiveStatus::kOk) status = Merge(tree, root);
  DestroyTree(tree);
  return status;
}

}  // namespace cm
