// Names that plug and play puts together, and the registry keys by them.
#pragma once

#include "io_internal.h"

namespace pnp {

// A growing wide string in pool (tag kNameTag), zero-terminated. What fails shows in Failed().
class Name {
 public:
  Name() { value_.Buffer = static_cast<PWCH>(ExAllocatePoolWithTag(NonPagedPoolNx, kCapacity, kNameTag)); }
  ~Name() {
    if (value_.Buffer != nullptr) ExFreePoolWithTag(value_.Buffer, kNameTag);
  }
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;

  Name& Append(const WCHAR* text, ULONG bytes) {
    if (value_.Buffer == nullptr || value_.Length + bytes + sizeof(WCHAR) > kCapacity) {
      failed_ = true;
      return *this;
    }
    RtlCopyMemory(value_.Buffer + value_.Length / sizeof(WCHAR), text, bytes);
    value_.Length = static_cast<USHORT>(value_.Length + bytes);
    value_.MaximumLength = static_cast<USHORT>(value_.Length + sizeof(WCHAR));
    value_.Buffer[value_.Length / sizeof(WCHAR)] = 0;
    return *this;
  }
  Name& Append(PCUNICODE_STRING text) { return Append(text->Buffer, text->Length); }
  Name& Append(const wchar_t* text) {
    const UNICODE_STRING string = ob::String(text);
    return Append(&string);
  }
  Name& AppendNumber(ULONG number, ULONG base, ULONG digits) {
    WCHAR text[12];
    ULONG at = RTL_NUMBER_OF(text);
    for (ULONG i = 0; i < digits || number != 0; ++i, number /= base)
      text[--at] = L"0123456789abcdef"[number % base];
    return Append(text + at, (RTL_NUMBER_OF(text) - at) * sizeof(WCHAR));
  }
  // {xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx}
  Name& AppendGuid(const GUID& guid) {
    UNICODE_STRING text;
    if (!NT_SUCCESS(RtlStringFromGUID(guid, &text))) {
      failed_ = true;
      return *this;
    }
    Append(&text);
    RtlFreeUnicodeString(&text);
    return *this;
  }
  void Replace(WCHAR from, WCHAR to, ULONG first = 0) {
    for (ULONG i = first; i < value_.Length / sizeof(WCHAR); ++i) {
      if (value_.Buffer[i] == from) value_.Buffer[i] = to;
    }
  }
  void Upcase() {
    for (ULONG i = 0; i < value_.Length / sizeof(WCHAR); ++i)
      value_.Buffer[i] = RtlUpcaseUnicodeChar(value_.Buffer[i]);
  }
  void Truncate(USHORT length) {
    value_.Length = length;
    if (value_.Buffer != nullptr) value_.Buffer[length / sizeof(WCHAR)] = 0;
  }
  // Hands the string over; this is empty then.
  UNICODE_STRING Take() {
    const UNICODE_STRING taken = value_;
    value_ = {};
    return taken;
  }
  PUNICODE_STRING Get() { return &value_; }
  USHORT length() const { return value_.Length; }
  NTSTATUS Status() const {
    if (value_.Buffer == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
    return failed_ ? STATUS_NAME_TOO_LONG : STATUS_SUCCESS;
  }

 private:
  static constexpr ULONG kCapacity = 1024;
  UNICODE_STRING value_ = {};
  bool failed_ = false;
};

// A registry key that is closed with its scope.
class Key {
 public:
  Key() = default;
  ~Key() { Close(); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  void Close() {
    if (handle_ != nullptr) ZwClose(handle_);
    handle_ = nullptr;
  }
  NTSTATUS Open(HANDLE root, PUNICODE_STRING path, ACCESS_MASK access);
  // Makes the keys on the way too.
  NTSTATUS Create(HANDLE root, PUNICODE_STRING path, ACCESS_MASK access, bool persistent);
  HANDLE get() const { return handle_; }
  HANDLE* put() { return &handle_; }
  HANDLE Take() {
    HANDLE taken = handle_;
    handle_ = nullptr;
    return taken;
  }

  NTSTATUS Set(const wchar_t* name, ULONG type, const void* data, ULONG size);
  NTSTATUS SetNumber(const wchar_t* name, ULONG number) {
    return Set(name, REG_DWORD, &number, sizeof(number));
  }
  NTSTATUS SetText(const wchar_t* name, PCWSTR text);
  NTSTATUS SetText(const wchar_t* name, PCUNICODE_STRING text);

 private:
  HANDLE handle_ = nullptr;
};

// A value's content in pool.
class Value {
 public:
  Value() = default;
  ~Value() {
    if (information_ != nullptr) ExFreePoolWithTag(information_, kNameTag);
  }
  Value(const Value&) = delete;
  Value& operator=(const Value&) = delete;
  NTSTATUS Read(HANDLE key, const wchar_t* name);
  ULONG type() const { return information_->Type; }
  const UCHAR* data() const { return information_->Data; }
  ULONG size() const { return information_->DataLength; }
  bool Exists() const { return information_ != nullptr; }
  // A text's content, zero-terminated; 0 if it is none.
  PCWSTR Text() const {
    const bool text = Exists() && (type() == REG_SZ || type() == REG_EXPAND_SZ || type() == REG_MULTI_SZ);
    return text && size() >= sizeof(WCHAR) ? reinterpret_cast<PCWSTR>(data()) : nullptr;
  }

 private:
  PKEY_VALUE_PARTIAL_INFORMATION information_ = nullptr;
};

// The bytes of a REG_MULTI_SZ, its end included.
inline ULONG MultiTextSize(PCWSTR text) {
  PCWSTR at = text;
  while (*at != 0) {
    while (*at != 0) ++at;
    ++at;
  }
  return static_cast<ULONG>((at + 1 - text) * sizeof(WCHAR));
}

}  // namespace pnp
