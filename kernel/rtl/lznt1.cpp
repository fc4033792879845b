#include "lznt1.h"

namespace rtl {
namespace {

constexpr ULONG kShortest = 3;

// How a pair's 16 bits are split where `position` bytes of the chunk are done: bits of the length.
ULONG LengthBits(ULONG position) {
  ULONG bits = 12;
  for (ULONG rest = position - 1; rest >= 0x10; rest >>= 1) --bits;
  return bits;
}

ULONG HashOf(const UCHAR* at) {
  return ((at[0] << 8 ^ at[1] << 4 ^ at[2]) * 0x9E5Fu >> 4) & (kLznt1Chunk - 1);
}

struct Match {
  ULONG length;
  ULONG distance;
};

// The repetition that the table knows for this place; positions in the table are one too high, 0 is none.
Match FindMatch(const UCHAR* from, ULONG size, ULONG position, const USHORT* table) {
  if (size - position < kShortest) return {0, 0};
  const ULONG candidate = table[HashOf(from + position)];
  if (candidate == 0) return {0, 0};
  const ULONG longest = (1u << LengthBits(position)) - 1 + kShortest;
  ULONG length = 0;
  while (length < longest && position + length < size &&
         from[candidate - 1 + length] == from[position + length])
    ++length;
  return {length >= kShortest ? length : 0, position - (candidate - 1)};
}

void Remember(const UCHAR* from, ULONG size, ULONG position, ULONG count, USHORT* table) {
  for (ULONG i = 0; i < count && position + i + kShortest <= size; ++i)
    table[HashOf(from + position + i)] = static_cast<USHORT>(position + i + 1);
}

// The compressed form without its header; 0 if it is not shorter than the chunk.
ULONG CompressBody(const UCHAR* from, ULONG size, UCHAR* to, ULONG room, USHORT* table) {
  __builtin_memset(table, 0, kLznt1Work);
  ULONG position = 0, used = 0;
  while (position < size) {
    if (used >= room) return 0;
    const ULONG flags_at = used++;
    to[flags_at] = 0;
    for (ULONG item = 0; item < 8 && position < size; ++item) {
      const Match match = position == 0 ? Match{0, 0} : FindMatch(from, size, position, table);
      const ULONG need = match.length != 0 ? 2 : 1;
      if (need > room - used) return 0;
      if (match.length != 0) {
        const ULONG pair = (match.distance - 1) << LengthBits(position) | (match.length - kShortest);
        to[used] = static_cast<UCHAR>(pair);
        to[used + 1] = static_cast<UCHAR>(pair >> 8);
        to[flags_at] |= static_cast<UCHAR>(1u << item);
      } else {
        to[used] = from[position];
      }
      used += need;
      const ULONG step = match.length != 0 ? match.length : 1;
      Remember(from, size, position, step, table);
      position += step;
    }
  }
  return used < size ? used : 0;
}

struct Cursor {
  const UCHAR* at;
  const UCHAR* end;
};

// One compressed chunk's body. The data behind `room` is checked no further.
bool DecompressBody(Cursor in, UCHAR* to, ULONG room, ULONG* given) {
  ULONG position = 0;
  const ULONG limit = room < kLznt1Chunk ? room : kLznt1Chunk;
  while (in.at < in.end && position < limit) {
    ULONG flags = *in.at++;
    for (ULONG item = 0; item < 8 && in.at < in.end && position < limit; ++item, flags >>= 1) {
      if ((flags & 1) == 0) {
        to[position++] = *in.at++;
        continue;
      }
      if (in.end - in.at < 2 || position == 0) return false;
      const ULONG pair = in.at[0] | in.at[1] << 8;
      in.at += 2;
      const ULONG bits = LengthBits(position);
      const ULONG distance = (pair >> bits) + 1;
      if (distance > position) return false;
      ULONG length = (pair & ((1u << bits) - 1)) + kShortest;
      for (; length != 0 && position < limit; --length, ++position) to[position] = to[position - distance];
      if (length != 0 && limit == kLznt1Chunk) return false;  // beyond its chunk
    }
  }
  *given = position;
  return true;
}

}  // namespace

ULONG CompressLznt1Chunk(const UCHAR* from, ULONG size, UCHAR* to, ULONG room, void* work) {
  if (room < 2) return 0;
  ULONG body = CompressBody(from, size, to + 2, room - 2, static_cast<USHORT*>(work));
  ULONG header = 0xB000;  // signature 3, compressed
  if (body == 0) {
    if (room - 2 < size) return 0;
    __builtin_memcpy(to + 2, from, size);
    body = size;
    header = 0x3000;
  }
  header |= body - 1;
  to[0] = static_cast<UCHAR>(header);
  to[1] = static_cast<UCHAR>(header >> 8);
  return body + 2;
}

bool DecompressLznt1Chunk(const UCHAR* from, ULONG size, UCHAR* to, ULONG room, Lznt1Sizes* used) {
  *used = {0, 0};
  if (size < 2) return true;
  const ULONG header = from[0] | from[1] << 8;
  if (header == 0) return true;
  const ULONG body = (header & 0xFFF) + 1;
  if ((header & 0x7000) != 0x3000 || body > size - 2) return false;
  used->input = body + 2;
  if ((header & 0x8000) != 0) return DecompressBody({from + 2, from + 2 + body}, to, room, &used->output);
  used->output = body < room ? body : room;
  __builtin_memcpy(to, from + 2, used->output);
  return true;
}

}  // namespace rtl
