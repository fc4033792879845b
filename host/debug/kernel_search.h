// Finding the kernel image and its debugger data by formats alone, before any symbol is known.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "debug/memory.h"

namespace debug {

// The base of the PE image that contains `address`, found by its header downward (at most 64 MiB).
base::Result<uint64_t> FindImageBelow(const VirtualMemory& memory, uint64_t address);

// SizeOfImage from the PE header at `base`.
std::optional<uint64_t> ImageSize(const VirtualMemory& memory, uint64_t base);

// The bytes of a KDDEBUGGER_DATA64 with a valid tag and size at `address`.
std::optional<std::vector<std::byte>> ReadDebuggerData(const VirtualMemory& memory, uint64_t address);

// Values of nt!KiWaitNever and nt!KiWaitAlways, address of nt!KdpDataBlockEncoded.
struct EncodingKeys {
  uint64_t wait_never = 0;
  uint64_t wait_always = 0;
  uint64_t encoded_flag_address = 0;
};
// The same for a block that the kernel keeps encoded.
std::optional<std::vector<std::byte>> DecodeDebuggerDataBlock(const VirtualMemory& memory, uint64_t address,
                                                              const EncodingKeys& keys);

// "TestDriver" for "TestDriver.sys": what is written in front of '!'.
std::string ModuleNameOf(std::string_view image_name);

}  // namespace debug
