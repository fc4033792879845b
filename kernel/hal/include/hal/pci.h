// PCI configuration space: bus 0, memory mapped (ECAM). Any IRQL; accesses need no lock.
#pragma once

#include "nt/ntos.h"

namespace hal {

inline constexpr ULONG kPciConfigurationSize = 4096;                  // of a function
inline constexpr ULONG kPciBusSize = 32 * 8 * kPciConfigurationSize;  // of a bus

// Where bus 0's configuration space is mapped, uncached. Once, by io; without it there is no PCI.
void InitializePci(volatile UCHAR* configuration);
bool HasPci();

// Where there is no function, all ones are read and writes go nowhere. offset + length <=
// kPciConfigurationSize; accesses are as wide as their alignment allows.
void ReadPci(ULONG device, ULONG function, ULONG offset, PVOID buffer, ULONG length);
void WritePci(ULONG device, ULONG function, ULONG offset, const void* buffer, ULONG length);

template <typename T>
T ReadPci(ULONG device, ULONG function, ULONG offset) {
  T value;
  ReadPci(device, function, offset, &value, sizeof(value));
  return value;
}
template <typename T>
void WritePci(ULONG device, ULONG function, ULONG offset, T value) {
  WritePci(device, function, offset, &value, sizeof(value));
}

}  // namespace hal
