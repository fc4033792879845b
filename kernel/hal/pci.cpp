#include "hal/pci.h"

namespace hal {
namespace {

volatile UCHAR* g_configuration;

volatile UCHAR* Place(ULONG device, ULONG function, ULONG offset) {
  return g_configuration + ((device % 32 * 8 + function % 8) * kPciConfigurationSize) +
         offset % kPciConfigurationSize;
}

// The widest access at this offset that takes no more than what is left.
ULONG WidthAt(ULONG offset, ULONG left) {
  if (offset % 4 == 0 && left >= 4) return 4;
  return offset % 2 == 0 && left >= 2 ? 2 : 1;
}

template <typename T>
void ReadAt(volatile UCHAR* place, UCHAR* to) {
  const T value = *reinterpret_cast<volatile T*>(place);
  __builtin_memcpy(to, &value, sizeof(value));
}

template <typename T>
void WriteAt(volatile UCHAR* place, const UCHAR* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof(value));
  *reinterpret_cast<volatile T*>(place) = value;
}

}  // namespace

void InitializePci(volatile UCHAR* configuration) {
  g_configuration = configuration;
}

bool HasPci() {
  return g_configuration != nullptr;
}

void ReadPci(ULONG device, ULONG function, ULONG offset, PVOID buffer, ULONG length) {
  auto* to = static_cast<UCHAR*>(buffer);
  for (ULONG width = 0; length != 0; offset += width, to += width, length -= width) {
    width = WidthAt(offset, length);
    volatile UCHAR* place = Place(device, function, offset);
    if (width == 4) {
      ReadAt<ULONG>(place, to);
    } else if (width == 2) {
      ReadAt<USHORT>(place, to);
    } else {
      *to = *place;
    }
  }
}

void WritePci(ULONG device, ULONG function, ULONG offset, const void* buffer, ULONG length) {
  const auto* from = static_cast<const UCHAR*>(buffer);
  for (ULONG width = 0; length != 0; offset += width, from += width, length -= width) {
    width = WidthAt(offset, length);
    volatile UCHAR* place = Place(device, function, offset);
    if (width == 4) {
      WriteAt<ULONG>(place, from);
    } else if (width == 2) {
      WriteAt<USHORT>(place, from);
    } else {
      *place = *from;
    }
  }
}

}  // namespace hal
