#include "sddl.h"

namespace wdmsec {
namespace {

constexpr ULONG kTag = 'cesW';
constexpr ULONG kMostSubAuthorities = SID_MAX_SUB_AUTHORITIES;

struct SidBuffer {
  UCHAR revision, count;
  UCHAR authority[6];  // big endian
  ULONG sub[kMostSubAuthorities];
  ULONG Length() const { return 8 + count * static_cast<ULONG>(sizeof(ULONG)); }
};

struct KnownSid {
  char code[3];
  UCHAR authority, count;
  ULONG sub[6];
};
constexpr KnownSid kSids[] = {
    {"SY", 5, 1, {18}},      {"LS", 5, 1, {19}},      {"NS", 5, 1, {20}}, {"BA", 5, 2, {32, 544}},
    {"BU", 5, 2, {32, 545}}, {"BG", 5, 2, {32, 546}}, {"AU", 5, 1, {11}}, {"AN", 5, 1, {7}},
    {"IU", 5, 1, {4}},       {"NU", 5, 1, {2}},       {"WD", 1, 1, {0}},  {"RC", 5, 1, {12}},
    {"UD", 5, 6, {84}},
};

struct Right {
  char code[3];
  ACCESS_MASK mask;
};
constexpr Right kRights[] = {{"GA", GENERIC_ALL},     {"GR", GENERIC_READ}, {"GW", GENERIC_WRITE},
                             {"GX", GENERIC_EXECUTE}, {"RC", READ_CONTROL}, {"SD", DELETE},
                             {"WD", WRITE_DAC},       {"WO", WRITE_OWNER}};

// Reads on from where it stands; what is not there is not taken.
class Reader {
 public:
  explicit Reader(PCUNICODE_STRING text)
      : at_(text->Buffer), end_(text->Buffer + text->Length / sizeof(WCHAR)) {}
  bool AtEnd() const { return at_ == end_; }
  bool Take(const char* text) {
    PCWSTR at = at_;
    for (; *text != 0; ++text, ++at) {
      if (at == end_ || *at != static_cast<UCHAR>(*text)) return false;
    }
    at_ = at;
    return true;
  }
  // At least one digit, and no more than `most` in value.
  bool TakeNumber(ULONG base, ULONG64 most, ULONG64* value) {
    ULONG digit;
    if (!Digit(base, &digit)) return false;
    for (*value = 0; Digit(base, &digit); ++at_) {
      *value = *value * base + digit;
      if (*value > most) return false;
    }
    return true;
  }

 private:
  bool Digit(ULONG base, ULONG* digit) const {
    if (at_ == end_) return false;
    const WCHAR c = *at_;
    if (c >= L'0' && c <= L'9') {
      *digit = c - L'0';
    } else if (base == 16 && (c | 0x20) >= L'a' && (c | 0x20) <= L'f') {
      *digit = (c | 0x20) - L'a' + 10;
    } else {
      return false;
    }
    return true;
  }

  PCWSTR at_, end_;
};

bool ReadAccess(Reader* reader, ACCESS_MASK* mask) {
  *mask = 0;
  if (reader->Take("0x") || reader->Take("0X")) {
    ULONG64 value;
    if (!reader->TakeNumber(16, ~ULONG{0}, &value)) return false;
    *mask = static_cast<ACCESS_MASK>(value);
    return true;
  }
  for (bool found = true; found;) {
    found = false;
    for (const Right& right : kRights) {
      if (found || !reader->Take(right.code)) continue;
      *mask |= right.mask;
      found = true;
    }
  }
  return *mask != 0;
}

bool ReadSid(Reader* reader, SidBuffer* sid) {
  *sid = {};
  sid->revision = SID_REVISION;
  for (const KnownSid& known : kSids) {
    if (!reader->Take(known.code)) continue;
    sid->count = known.count;
    sid->authority[5] = known.authority;
    for (ULONG i = 0; i < known.count; ++i) sid->sub[i] = known.sub[i];
    return true;
  }
  ULONG64 value;
  if (!reader->Take("S-1-") || !reader->TakeNumber(10, 0xFFFFFFFF, &value)) return false;
  for (ULONG i = 0; i < 4; ++i) sid->authority[5 - i] = static_cast<UCHAR>(value >> (8 * i));
  while (reader->Take("-")) {
    if (sid->count == kMostSubAuthorities || !reader->TakeNumber(10, 0xFFFFFFFF, &value)) return false;
    sid->sub[sid->count++] = static_cast<ULONG>(value);
  }
  return sid->count != 0;
}

bool ReadEntry(Reader* reader, ACCESS_MASK* mask, SidBuffer* sid) {
  return reader->Take("(A;;") && ReadAccess(reader, mask) && reader->Take(";;;") && ReadSid(reader, sid) &&
         reader->Take(")");
}

// Calls add(mask, sid) for each entry. False: the text is none of the subset, or add does not want more.
template <typename Add>
bool ForEachEntry(PCUNICODE_STRING text, Add add) {
  Reader reader(text);
  if (!reader.Take("D:P")) return false;
  ACCESS_MASK mask;
  SidBuffer sid;
  while (!reader.AtEnd()) {
    if (!ReadEntry(&reader, &mask, &sid) || !add(mask, &sid)) return false;
  }
  return true;
}

}  // namespace

NTSTATUS ParseSddl(PCUNICODE_STRING text, PACL* acl) {
  *acl = nullptr;
  if (text == nullptr || text->Buffer == nullptr || text->Length % sizeof(WCHAR) != 0)
    return STATUS_INVALID_PARAMETER;
  constexpr ULONG kAceHead = FIELD_OFFSET(ACCESS_ALLOWED_ACE, SidStart), kMostBytes = 0xFFFC;
  ULONG bytes = sizeof(ACL);
  const bool good = ForEachEntry(text, [&](ACCESS_MASK, const SidBuffer* sid) {
    bytes += kAceHead + sid->Length();
    return bytes <= kMostBytes;
  });
  if (!good) return STATUS_INVALID_PARAMETER;
  auto* made = static_cast<PACL>(ExAllocatePoolWithTag(PagedPool, bytes, kTag));
  if (made == nullptr) return STATUS_INSUFFICIENT_RESOURCES;
  NTSTATUS status = RtlCreateAcl(made, bytes, ACL_REVISION);
  (void)ForEachEntry(text, [&](ACCESS_MASK mask, SidBuffer* sid) {
    if (NT_SUCCESS(status)) status = RtlAddAccessAllowedAce(made, ACL_REVISION, mask, sid);
    return NT_SUCCESS(status);
  });
  if (!NT_SUCCESS(status)) {
    ExFreePool(made);
    return status;
  }
  *acl = made;
  return STATUS_SUCCESS;
}

}  // namespace wdmsec
