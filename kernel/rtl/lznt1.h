// LZNT1 as [MS-XCA] describes it: chunks of 4096 bytes, each with a header and stored or compressed by
// itself. Pure; nothing of the input is trusted.
#pragma once

#include "rtl/rtl.h"

namespace rtl {

inline constexpr ULONG kLznt1Chunk = 4096;
inline constexpr ULONG kLznt1Work = 2 * kLznt1Chunk;  // of the compressor

struct Lznt1Sizes {
  ULONG input;
  ULONG output;
};

// Compresses one chunk (1 to 4096 bytes) with its header; 0 if it does not fit. `work`: kLznt1Work bytes.
ULONG CompressLznt1Chunk(const UCHAR* from, ULONG size, UCHAR* to, ULONG room, void* work);
// Decompresses one chunk to at most `room` bytes, cutting off the rest; false: the data is damaged. `used`
// tells what was taken and given; output == 0 with input == 0 is the end of the data.
bool DecompressLznt1Chunk(const UCHAR* from, ULONG size, UCHAR* to, ULONG room, Lznt1Sizes* used);

}  // namespace rtl
