// What a query of a key or a value answers: as much as fits of a class's structure, and the length of all of
// it. Registry locked.
#pragma once

#include "cm_internal.h"

namespace cm {

NTSTATUS QueryKey(const Key* key, KEY_INFORMATION_CLASS information_class, PVOID buffer, ULONG length,
                  PULONG result_length);
NTSTATUS QueryValue(const Value* value, KEY_VALUE_INFORMATION_CLASS information_class, PVOID buffer,
                    ULONG length, PULONG result_length);

}  // namespace cm
