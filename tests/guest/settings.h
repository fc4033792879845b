// What a test is told from outside: decimal numbers in a file.
#pragma once

#include "ddi.h"

namespace nt_test {

// The first `count` numbers of a file (of at most 63 characters); 0 for those that are not there.
// PASSIVE_LEVEL.
inline void ReadNumbers(PCWSTR path, ULONG64* numbers, ULONG count) {
  for (ULONG i = 0; i < count; ++i) numbers[i] = 0;
  UNICODE_STRING name;
  RtlInitUnicodeString(&name, path);
  OBJECT_ATTRIBUTES attributes;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE | OBJ_KERNEL_HANDLE, nullptr, nullptr);
  IO_STATUS_BLOCK io = {};
  HANDLE file;
  NTSTATUS status =
      ZwCreateFile(&file, GENERIC_READ | SYNCHRONIZE, &attributes, &io, nullptr, 0, FILE_SHARE_READ,
                   FILE_OPEN, FILE_SYNCHRONOUS_IO_NONALERT | FILE_NON_DIRECTORY_FILE, nullptr, 0);
  if (!NT_SUCCESS(status)) return;
  char text[64] = {};
  status = ZwReadFile(file, nullptr, nullptr, nullptr, &io, text, sizeof text - 1, nullptr, nullptr);
  ZwClose(file);
  if (!NT_SUCCESS(status)) return;
  const char* at = text;
  for (ULONG i = 0; i < count; ++i) {
    while (*at != 0 && (*at < '0' || *at > '9')) ++at;
    for (; *at >= '0' && *at <= '9'; ++at) numbers[i] = numbers[i] * 10 + static_cast<ULONG64>(*at - '0');
  }
}

}  // namespace nt_test
