// 9P2000.L messages: encoding of requests and decoding of replies. Pure: bytes in, values out; tested on the
// host. Layouts: https://github.com/chaos/diod/blob/master/protocol.md
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace p9 {

enum class Type : uint8_t {
  kRlerror = 7,
  kTstatfs = 8,
  kTlopen = 12,
  kTlcreate = 14,
  kTgetattr = 24,
  kTsetattr = 26,
  kTreaddir = 40,
  kTfsync = 50,
  kTlink = 70,
  kTmkdir = 72,
  kTrenameat = 74,
  kTunlinkat = 76,
  kTversion = 100,
  kTattach = 104,
  kTwalk = 110,
  kTread = 116,
  kTwrite = 118,
  kTclunk = 120,
};

inline constexpr uint32_t kHeaderSize = 7;        // size[4] type[1] tag[2]
inline constexpr uint32_t kWriteHeaderSize = 23;  // header, fid[4], offset[8], count[4]
inline constexpr uint32_t kReadReplyHeaderSize = 11;
inline constexpr uint32_t kNoFid = 0xFFFFFFFF;
inline constexpr uint16_t kNoTag = 0xFFFF;

// Qid types
inline constexpr uint8_t kQidDirectory = 0x80;
inline constexpr uint8_t kQidSymlink = 0x02;

// Linux open flags, as the protocol uses them
inline constexpr uint32_t kReadOnly = 0;
inline constexpr uint32_t kReadWrite = 2;
inline constexpr uint32_t kCreate = 0100;
inline constexpr uint32_t kExclusive = 0200;
inline constexpr uint32_t kTruncate = 01000;
inline constexpr uint32_t kDirectory = 0200000;
inline constexpr uint32_t kLargeFile = 0100000;
inline constexpr uint32_t kRemoveDirectory = 0x200;  // unlinkat

inline constexpr uint64_t kGetattrBasic = 0x7FF;
// setattr's valid bits
inline constexpr uint32_t kSetMode = 0x1;
inline constexpr uint32_t kSetSize = 0x8;
inline constexpr uint32_t kSetAtime = 0x10;
inline constexpr uint32_t kSetMtime = 0x20;
inline constexpr uint32_t kSetAtimeValue = 0x80;
inline constexpr uint32_t kSetMtimeValue = 0x100;

struct Qid {
  uint8_t type;
  uint32_t version;
  uint64_t path;
};

struct Time {
  uint64_t seconds;
  uint64_t nanoseconds;
};

struct Attributes {
  uint64_t valid;
  Qid qid;
  uint32_t mode;
  uint64_t links;
  uint64_t size;
  uint64_t blocks;  // of 512 bytes
  Time access;
  Time modification;
  Time change;
};

struct SetAttributes {
  uint32_t valid;
  uint32_t mode;
  uint64_t size;
  Time access;
  Time modification;
};

struct Statistics {
  uint32_t block_size;
  uint64_t blocks;
  uint64_t free;
  uint64_t available;
  uint64_t id;
  uint32_t name_length;
};

struct Text {
  const char* bytes;
  uint16_t length;
};

struct DirectoryEntry {
  Qid qid;
  uint64_t offset;  // where the next Treaddir goes on
  uint8_t type;     // DT_DIR 4, DT_REG 8, DT_LNK 10
  Text name;
};

// Writes one message into a buffer; an overflow is remembered and makes Finish return 0.
class Encoder {
 public:
  Encoder(uint8_t* buffer, size_t capacity, Type type, uint16_t tag);
  Encoder& U8(uint8_t value) { return Put(&value, 1); }
  Encoder& U16(uint16_t value) { return Number(value, 2); }
  Encoder& U32(uint32_t value) { return Number(value, 4); }
  Encoder& U64(uint64_t value) { return Number(value, 8); }
  Encoder& String(Text text);
  Encoder& Bytes(const void* bytes, size_t count) { return Put(bytes, count); }
  // Reserves room for bytes that the caller writes itself; 0 if there is none.
  uint8_t* Reserve(size_t count);
  // Fills in the size; returns it, or 0 if the message did not fit.
  uint32_t Finish();

 private:
  Encoder& Number(uint64_t value, int bytes);
  Encoder& Put(const void* bytes, size_t count);

  uint8_t* buffer_;
  size_t capacity_;
  size_t used_ = 0;
  bool overflow_ = false;
};

// Reads fields of a reply; reading past the end is remembered, and gives zeros.
class Decoder {
 public:
  Decoder(const uint8_t* bytes, size_t count) : at_(bytes), left_(count) {}
  uint8_t U8() { return static_cast<uint8_t>(Number(1)); }
  uint16_t U16() { return static_cast<uint16_t>(Number(2)); }
  uint32_t U32() { return static_cast<uint32_t>(Number(4)); }
  uint64_t U64() { return Number(8); }
  Text String();
  Qid ReadQid();
  Attributes ReadAttributes();
  Statistics ReadStatistics();
  DirectoryEntry ReadDirectoryEntry();
  const uint8_t* Bytes(size_t count);
  size_t left() const { return left_; }
  bool valid() const { return valid_; }

 private:
  uint64_t Number(int bytes);

  const uint8_t* at_;
  size_t left_;
  bool valid_ = true;
};

struct Reply {
  bool well_formed = false;  // size and tag right, type that of the request or Rlerror
  uint32_t error = 0;        // Linux errno of an Rlerror
  const uint8_t* body = nullptr;
  size_t body_size = 0;
};

// Checks the frame of a reply that the device says is `count` bytes long.
Reply ParseReply(const uint8_t* bytes, size_t count, Type request, uint16_t tag);

}  // namespace p9
