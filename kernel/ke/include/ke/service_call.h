// A Zw routine is a call of the Nt routine through nt!KiServiceLinkage and nt!KiSystemServiceCopyEnd:
//
//   NTSTATUS NTAPI ZwClose(HANDLE Handle) { return ke::CallService(NtClose, Handle); }
//
// For its duration the previous mode is kernel, and the thread remembers who called the service. An exception
// that the service does not catch is bug check 3B, whatever handlers its caller has.
#pragma once

#include "nt/ntos.h"

extern "C" NTSTATUS KiServiceLinkage(PVOID routine, ULONG64 count, PVOID caller, ULONG64 first, ...);

namespace ke {

template <typename T>
struct NotDeduced {
  using Type = T;
};

// An argument as it travels: eight bytes, the upper ones of a narrower type undefined to the callee.
template <typename T>
FORCEINLINE ULONG64 ServiceArgument(T value) {
  static_assert(sizeof(T) <= 8);
  if constexpr (__is_pointer(T)) {
    return reinterpret_cast<ULONG64>(value);
  } else {
    return static_cast<ULONG64>(value);
  }
}

// Inlined: the caller that is remembered is the caller of the Zw routine.
template <typename First, typename... Rest>
FORCEINLINE NTSTATUS CallService(NTSTATUS(NTAPI* routine)(First, Rest...),
                                 typename NotDeduced<First>::Type first,
                                 typename NotDeduced<Rest>::Type... rest) {
  return KiServiceLinkage(reinterpret_cast<PVOID>(routine), 1 + sizeof...(Rest), __builtin_return_address(0),
                          ServiceArgument(first), ServiceArgument(rest)...);
}

}  // namespace ke
