// A registry hive: a tree of keys with values in memory, and its file. No NT types, memory from
// hive_allocate/hive_free: also built and tested on the host.
//
// File format (little endian): header { char magic[8] "BCHIVE1\n", u32 version 2, u32 reserved 0, u64 payload
// bytes, u64 FNV-1a of the payload, u64 FNV-1a of the 32 bytes before }, then the payload: one key. A key =
// u16 name length in bytes, name (UTF-16), u64 last write time, u32 flags (1: a link), u16 class length,
// class, u32 descriptor length, descriptor, u32 values, u32 subkeys, values, subkeys. A value = u16 name
// length, name, u32 type, u32 data length, data. Nothing is aligned. Volatile keys are not written. Version
// 1, which is read too, has neither flags nor class nor descriptor.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace cm {

void* HiveAllocate(size_t bytes);
void HiveFree(void* memory);

struct Text {
  const char16_t* data = nullptr;
  uint16_t length = 0;  // characters
};

struct Value {
  Value* next = nullptr;
  char16_t* name = nullptr;
  uint16_t name_length = 0;
  uint32_t type = 0;
  uint32_t data_length = 0;
  uint8_t* data = nullptr;
  Text Name() const { return {name, name_length}; }
};

struct Key {
  Key* parent = nullptr;
  Key* next = nullptr;  // next sibling
  Key* first_child = nullptr;
  Value* first_value = nullptr;
  char16_t* name = nullptr;
  uint16_t name_length = 0;
  uint32_t references = 0;  // open handles
  uint64_t last_write = 0;
  char16_t* class_name = nullptr;
  uint16_t class_length = 0;
  uint8_t* security = nullptr;  // a self-relative security descriptor; 0: the parent's holds
  uint32_t security_length = 0;
  bool is_link = false;  // its value SymbolicLinkValue names the key that is meant
  bool is_volatile = false;
  bool deleted = false;  // out of the tree, kept by its handles
  Text Name() const { return {name, name_length}; }
  Text Class() const { return {class_name, class_length}; }
};

enum class HiveStatus { kOk, kNoMemory, kCorrupt, kTooDeep };

// Case-insensitive comparison (<0, 0, >0); the upcase function is the platform's.
int CompareNames(Text a, Text b);
char16_t HiveUpcase(char16_t c);

Key* CreateKey(Key* parent, Text name,
               bool is_volatile);  // 0 without memory; children are kept sorted by name
Key* FindChild(Key* key, Text name);
Key* ChildAt(Key* key, uint32_t index);
Value* FindValue(Key* key, Text name);
Value* ValueAt(Key* key, uint32_t index);
HiveStatus SetValue(Key* key, Text name, uint32_t type, const void* data, uint32_t length);
bool DeleteValue(Key* key, Text name);
HiveStatus SetClass(Key* key, Text name);
HiveStatus SetSecurity(Key* key, const void* descriptor, uint32_t length);
// Takes a key without subkeys out of the tree; frees it when nobody refers to it.
void RemoveKey(Key* key);
void DestroyKey(Key* key);   // memory of a key that is out of the tree
void DestroyTree(Key* key);  // a whole tree that nobody refers to

struct KeyCounts {
  uint32_t subkeys, values;
  uint32_t longest_name, longest_class, longest_value_name, longest_value_data;  // bytes
};
KeyCounts CountsOf(const Key* key);

// Serializes: with a null buffer only counts. Returns the bytes of the whole file.
size_t WriteHive(const Key* root, uint8_t* buffer, size_t capacity);
// Reads a file's bytes into keys below `root` (existing keys are merged). On failure nothing of it is left in
// the tree.
HiveStatus ReadHive(const uint8_t* data, size_t size, Key* root);

}  // namespace cm
