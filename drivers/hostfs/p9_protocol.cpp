#include "p9_protocol.h"

#ifdef BUGCHECK_GUEST_PAGED
#pragma code_seg("PAGE")
#endif

namespace p9 {

Encoder::Encoder(uint8_t* buffer, size_t capacity, Type type, uint16_t tag)
    : buffer_(buffer), capacity_(capacity) {
  U32(0).U8(static_cast<uint8_t>(type)).U16(tag);
}

Encoder& Encoder::Put(const void* bytes, size_t count) {
  if (uint8_t* room = Reserve(count)) {
    for (size_t i = 0; i < count; ++i) room[i] = static_cast<const uint8_t*>(bytes)[i];
  }
  return *this;
}

Encoder& Encoder::Number(uint64_t value, int bytes) {
  uint8_t raw[8];
  for (int i = 0; i < bytes; ++i) raw[i] = static_cast<uint8_t>(value >> (8 * i));
  return Put(raw, static_cast<size_t>(bytes));
}

Encoder& Encoder::String(Text text) {
  return U16(text.length).Put(text.bytes, text.length);
}

uint8_t* Encoder::Reserve(size_t count) {
  if (overflow_ || count > capacity_ - used_) {
    overflow_ = true;
    return nullptr;
  }
  uint8_t* room = buffer_ + used_;
  used_ += count;
  return room;
}

uint32_t Encoder::Finish() {
  if (overflow_) return 0;
  for (int i = 0; i < 4; ++i) buffer_[i] = static_cast<uint8_t>(used_ >> (8 * i));
  return static_cast<uint32_t>(used_);
}

uint64_t Decoder::Number(int bytes) {
  const uint8_t* raw = Bytes(static_cast<size_t>(bytes));
  uint64_t value = 0;
  for (int i = 0; raw != nullptr && i < bytes; ++i) value |= static_cast<uint64_t>(raw[i]) << (8 * i);
  return value;
}

const uint8_t* Decoder::Bytes(size_t count) {
  if (!valid_ || count > left_) {
    valid_ = false;
    left_ = 0;
    return nullptr;
  }
  const uint8_t* bytes = at_;
  at_ += count;
  left_ -= count;
  return bytes;
}

Text Decoder::String() {
  const uint16_t length = U16();
  const uint8_t* bytes = Bytes(length);
  return {reinterpret_cast<const char*>(bytes), bytes == nullptr ? static_cast<uint16_t>(0) : length};
}

Qid Decoder::ReadQid() {
  Qid qid;
  qid.type = U8();
  qid.version = U32();
  qid.path = U64();
  return qid;
}

Attributes Decoder::ReadAttributes() {
  Attributes a;
  a.valid = U64();
  a.qid = ReadQid();
  a.mode = U32();
  U32();  // uid
  U32();  // gid
  a.links = U64();
  U64();  // rdev
  a.size = U64();
  U64();  // blksize
  a.blocks = U64();
  Time* const times[] = {&a.access, &a.modification, &a.change};
  for (Time* time : times) {
    time->seconds = U64();
    time->nanoseconds = U64();
  }
  return a;  // birth time, generation and data version follow; the server does not fill them
}

Statistics Decoder::ReadStatistics() {
  Statistics s;
  U32();  // file system type
  s.block_size = U32();
  s.blocks = U64();
  s.free = U64();
  s.available = U64();
  U64();  // files
  U64();  // free files
  s.id = U64();
  s.name_length = U32();
  return s;
}

DirectoryEntry Decoder::ReadDirectoryEntry() {
  DirectoryEntry entry;
  entry.qid = ReadQid();
  entry.offset = U64();
  entry.type = U8();
  entry.name = String();
  return entry;
}

Reply ParseReply(const uint8_t* bytes, size_t count, Type request, uint16_t tag) {
  Reply reply;
  Decoder decoder(bytes, count);
  const uint32_t size = decoder.U32();
  const uint8_t type = decoder.U8();
  const uint16_t reply_tag = decoder.U16();
  if (!decoder.valid() || size < kHeaderSize || size > count || reply_tag != tag) return reply;
  reply.body = bytes + kHeaderSize;
  reply.body_size = size - kHeaderSize;
  if (type == static_cast<uint8_t>(Type::kRlerror)) {
    Decoder body(reply.body, reply.body_size);
    reply.error = body.U32();
    reply.well_formed = body.valid() && reply.error != 0;
  } else {
    reply.well_formed = type == static_cast<uint8_t>(request) + 1;
  }
  return reply;
}

}  // namespace p9
