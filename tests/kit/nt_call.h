/* The control code of nt_call.sys: calls a file service in the caller's thread, with the caller's arguments.
 */
#pragma once

#define NT_CALL_CODE 0x00222000 /* CTL_CODE(FILE_DEVICE_UNKNOWN, 0x800, METHOD_BUFFERED, FILE_ANY_ACCESS) */

typedef enum NtCallService {
  kQueryInformation,
  kSetInformation,
  kQueryDirectory,
  kQueryVolume,
  kSetVolume,
  kQueryEa,
  kSetEa,
  kFsControl,
  kNotifyChange,
  kLock,
  kUnlock,
  kRead,
  kWrite,
  kServices
} NtCallService;

typedef struct NtCall {
  unsigned long long service;
  unsigned long long arguments[11];
} NtCall;
