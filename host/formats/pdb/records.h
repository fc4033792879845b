// CodeView record kinds and a cursor to read records with. Names as in Microsoft's cvinfo.h.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/span_reader.h"

namespace pdb {

enum Leaf : uint16_t {
  LF_MODIFIER = 0x1001,
  LF_POINTER = 0x1002,
  LF_PROCEDURE = 0x1008,
  LF_MFUNCTION = 0x1009,
  LF_FIELDLIST = 0x1203,
  LF_BITFIELD = 0x1205,
  LF_BCLASS = 0x1400,
  LF_VBCLASS = 0x1401,
  LF_IVBCLASS = 0x1402,
  LF_INDEX = 0x1404,
  LF_VFUNCTAB = 0x1409,
  LF_VFUNCOFF = 0x140c,
  LF_ENUMERATE = 0x1502,
  LF_ARRAY = 0x1503,
  LF_CLASS = 0x1504,
  LF_STRUCTURE = 0x1505,
  LF_UNION = 0x1506,
  LF_ENUM = 0x1507,
  LF_MEMBER = 0x150d,
  LF_STMEMBER = 0x150e,
  LF_METHOD = 0x150f,
  LF_NESTTYPE = 0x1510,
  LF_ONEMETHOD = 0x1511,
  LF_INTERFACE = 0x1519,
  LF_FUNC_ID = 0x1601,
  LF_MFUNC_ID = 0x1602,
  LF_STRING_ID = 0x1605,
  LF_NUMERIC = 0x8000,
  LF_CHAR = 0x8000,
  LF_SHORT = 0x8001,
  LF_USHORT = 0x8002,
  LF_LONG = 0x8003,
  LF_ULONG = 0x8004,
  LF_QUADWORD = 0x8009,
  LF_UQUADWORD = 0x800a,
};

enum SymbolRecord : uint16_t {
  S_END = 0x0006,
  S_FRAMEPROC = 0x1012,
  S_THUNK32 = 0x1102,
  S_BLOCK32 = 0x1103,
  S_LABEL32 = 0x1105,
  S_CONSTANT = 0x1107,
  S_UDT = 0x1108,
  S_LDATA32 = 0x110c,
  S_GDATA32 = 0x110d,
  S_PUB32 = 0x110e,
  S_LPROC32 = 0x110f,
  S_GPROC32 = 0x1110,
  S_REGREL32 = 0x1111,
  S_PROCREF = 0x1125,
  S_LPROCREF = 0x1127,
  S_LOCAL = 0x113e,
  S_DEFRANGE_REGISTER = 0x1141,
  S_DEFRANGE_FRAMEPOINTER_REL = 0x1142,
  S_DEFRANGE_SUBFIELD_REGISTER = 0x1143,
  S_DEFRANGE_FRAMEPOINTER_REL_FULL_SCOPE = 0x1144,
  S_DEFRANGE_REGISTER_REL = 0x1145,
  S_LPROC32_ID = 0x1146,
  S_GPROC32_ID = 0x1147,
  S_INLINESITE = 0x114d,
  S_INLINESITE_END = 0x114e,
  S_PROC_ID_END = 0x114f,
  S_INLINESITE2 = 0x115d,
};

// Reads forward; after the first read beyond the end every value is zero and ok() is false.
class Cursor {
 public:
  explicit Cursor(base::Bytes bytes, uint64_t at = 0) : reader_(bytes), at_(at) {}

  bool ok() const { return ok_; }
  uint64_t at() const { return at_; }
  uint64_t left() const { return at_ < reader_.size() ? reader_.size() - at_ : 0; }
  void Skip(uint64_t bytes) {
    if (bytes > left())
      ok_ = false;
    else
      at_ += bytes;
  }

  template <typename T>
  T Get() {
    const auto value = reader_.Get<T>(at_);
    if (!value || !ok_) {
      ok_ = false;
      return T{};
    }
    at_ += sizeof(T);
    return *value;
  }

  std::string_view Name() {
    const auto text = reader_.CString(at_, left());
    if (!text || !ok_) {
      ok_ = false;
      return {};
    }
    at_ += text->size() + 1;
    return *text;
  }

  // A "numeric leaf": small values in place, larger ones behind a tag.
  int64_t Number() {
    const uint16_t tag = Get<uint16_t>();
    if (tag < LF_NUMERIC) return tag;
    switch (tag) {
      case LF_CHAR:
        return Get<int8_t>();
      case LF_SHORT:
        return Get<int16_t>();
      case LF_USHORT:
        return Get<uint16_t>();
      case LF_LONG:
        return Get<int32_t>();
      case LF_ULONG:
        return Get<uint32_t>();
      case LF_QUADWORD:
        return Get<int64_t>();
      case LF_UQUADWORD:
        return static_cast<int64_t>(Get<uint64_t>());
      default:
        ok_ = false;
        return 0;
    }
  }

 private:
  base::SpanReader reader_;
  uint64_t at_ = 0;
  bool ok_ = true;
};

// One length-prefixed record: u16 length (of what follows it), u16 kind, data.
struct Record {
  uint16_t kind = 0;
  base::Bytes data;     // without length and kind
  uint64_t offset = 0;  // of the length field in the stream
  uint64_t next = 0;
};

inline std::optional<Record> RecordAt(base::Bytes stream, uint64_t offset) {
  const base::SpanReader r(stream);
  const auto length = r.Get<uint16_t>(offset);
  if (!length || *length < 2) return std::nullopt;
  const auto body = r.Slice(offset + 2, *length);
  if (!body) return std::nullopt;
  return Record{*r.Get<uint16_t>(offset + 2), body->subspan(2), offset, offset + 2 + *length};
}

}  // namespace pdb
