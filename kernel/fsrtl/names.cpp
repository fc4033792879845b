// Names of files: their parts, comparison, wildcard expressions.
#include "fsrtl_internal.h"
#include "name_match.h"

namespace {

constexpr size_t kWordsOnStack = 2 * 5;  // expressions of up to 255 characters

template <typename Ch, typename Fold>
BOOLEAN InExpression(const Ch* expression, size_t expression_length, const Ch* name, size_t name_length,
                     Fold fold) {
  if (expression_length == 0 || name_length == 0) return expression_length == name_length;
  if (expression_length == 1 && expression[0] == '*') return TRUE;
  uint64_t on_stack[kWordsOnStack];
  const size_t words = 2 * ((expression_length + 64) / 64);
  if (words <= kWordsOnStack)
    return fsrtl::NameInExpression(expression, expression_length, name, name_length, fold, on_stack);
  auto* pool = static_cast<uint64_t*>(fsrtl::AllocateOrRaise(NonPagedPoolNx, words * sizeof(uint64_t)));
  const bool in = fsrtl::NameInExpression(expression, expression_length, name, name_length, fold, pool);
  ExFreePoolWithTag(pool, fsrtl::kTag);
  return in;
}

// The characters before the first backslash (a leading one not counted), and what follows it.
template <typename String>
void Dissect(const String& name, String* first, String* rest) {
  constexpr USHORT kSize = sizeof(name.Buffer[0]);
  *first = {};
  *rest = {};
  const USHORT count = name.Length / kSize;
  if (count == 0) return;
  const USHORT start = name.Buffer[0] == '\\' ? 1 : 0;
  USHORT end = start;
  while (end < count && name.Buffer[end] != '\\') ++end;
  first->Buffer = name.Buffer + start;
  first->Length = first->MaximumLength = static_cast<USHORT>((end - start) * kSize);
  if (end >= count) return;
  rest->Buffer = name.Buffer + end + 1;
  rest->Length = rest->MaximumLength = static_cast<USHORT>((count - end - 1) * kSize);
}

struct LegalTable {
  UCHAR kinds[128];
};
constexpr LegalTable MakeLegalTable() {
  LegalTable table = {};
  for (unsigned c = 0; c < 128; ++c) table.kinds[c] = fsrtl::CharacterKinds(c);
  return table;
}
constexpr LegalTable kLegalTable = MakeLegalTable();

bool IsKind(CHAR c, UCHAR kinds) {
  const auto byte = static_cast<UCHAR>(c);
  return byte >= 128 || (kLegalTable.kinds[byte] & kinds) != 0;
}

// One component: NAME, or NAME.EXT for FAT; "." and ".." are names of directories.
bool FatComponentLegal(const CHAR* name, USHORT length, UCHAR kinds) {
  if (length == 0) return false;
  if (name[0] == '.') return length == 1 || (length == 2 && name[1] == '.');
  USHORT base = 0;
  while (base < length && name[base] != '.') ++base;
  const USHORT extension = base < length ? static_cast<USHORT>(length - base - 1) : 0;
  if (base > 8 || extension > 3 || (base < length && extension == 0)) return false;
  if (name[base - 1] == ' ' || name[length - 1] == ' ') return false;
  for (USHORT i = 0; i < length; ++i) {
    if (i == base) continue;
    if (name[i] == '.' || !IsKind(name[i], kinds)) return false;
  }
  return true;
}

bool HpfsComponentLegal(const CHAR* name, USHORT length, UCHAR kinds) {
  if (length == 0 || length > 255) return false;
  if (name[0] == '.' && (length == 1 || (length == 2 && name[1] == '.'))) return true;
  if (name[length - 1] == ' ' || name[length - 1] == '.') return false;
  for (USHORT i = 0; i < length; ++i) {
    if (!IsKind(name[i], kinds)) return false;
  }
  return true;
}

bool DbcsLegal(ANSI_STRING name, BOOLEAN wild, BOOLEAN path, BOOLEAN leading, UCHAR legal,
               bool (*component)(const CHAR*, USHORT, UCHAR)) {
  if (name.Length == 0) return false;
  const UCHAR kinds = legal | (wild ? fsrtl::kWildCharacter : 0);
  const CHAR* at = name.Buffer;
  USHORT left = name.Length;
  if (*at == '\\') {
    if (!leading) return false;
    ++at, --left;
    if (left == 0) return true;  // the root
  }
  for (;;) {
    USHORT length = 0;
    while (length < left && at[length] != '\\') ++length;
    if (!component(at, length, kinds)) return false;
    if (length == left) return true;
    if (!path) return false;
    at += length + 1;
    left = static_cast<USHORT>(left - length - 1);
  }
}

template <typename String>
BOOLEAN ContainsWild(const String* name) {
  for (ULONG i = name->Length / sizeof(name->Buffer[0]); i-- != 0;) {
    if (fsrtl::IsWild(name->Buffer[i])) return TRUE;
  }
  return FALSE;
}

}  // namespace

extern "C" {
#undef FsRtlLegalAnsiCharacterArray
extern const UCHAR* const FsRtlLegalAnsiCharacterArray;
const UCHAR* const FsRtlLegalAnsiCharacterArray = kLegalTable.kinds;
}
/// In which kinds of names each of the 128 characters is legal (FSRTL_*_LEGAL, FSRTL_WILD_CHARACTER).
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsAnsiCharacterLegal.
NT_EXPORT_DATA(FsRtlLegalAnsiCharacterArray, Full, "FsRtlNames.*");

/// Whether a name matches an expression with wildcards: * ? DOS_STAR DOS_QM DOS_DOT. With IgnoreCase the
/// expression must be in upper case; the name is folded by UpcaseTable or the system's.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/_FsRtlIsNameInExpression.
NT_EXPORT(FsRtlIsNameInExpression, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlIsNameInExpression(PUNICODE_STRING Expression, PUNICODE_STRING Name,
                                                 BOOLEAN IgnoreCase, PWCHAR UpcaseTable) {
  const auto fold = [=](WCHAR c) -> WCHAR {
    if (!IgnoreCase) return c;
    return UpcaseTable != nullptr ? UpcaseTable[c] : RtlUpcaseUnicodeChar(c);
  };
  return InExpression(Expression->Buffer, Expression->Length / sizeof(WCHAR), Name->Buffer,
                      Name->Length / sizeof(WCHAR), fold);
}

/// The same for ANSI names; both must be in the same case.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsDbcsInExpression.
NT_EXPORT(FsRtlIsDbcsInExpression, nt::AtMost(APC_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlIsDbcsInExpression(PANSI_STRING Expression, PANSI_STRING Name) {
  return InExpression(Expression->Buffer, Expression->Length, Name->Buffer, Name->Length,
                      [](CHAR c) { return c; });
}

/// Whether two names are equal, by UpcaseTable or the system's table where case is ignored.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlAreNamesEqual.
NT_EXPORT(FsRtlAreNamesEqual, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlAreNamesEqual(PCUNICODE_STRING ConstantNameA, PCUNICODE_STRING ConstantNameB,
                                            BOOLEAN IgnoreCase, PCWCH UpcaseTable) {
  if (ConstantNameA->Length != ConstantNameB->Length) return FALSE;
  if (UpcaseTable == nullptr || !IgnoreCase)
    return RtlEqualUnicodeString(const_cast<PUNICODE_STRING>(ConstantNameA),
                                 const_cast<PUNICODE_STRING>(ConstantNameB), IgnoreCase);
  for (ULONG i = 0; i < ConstantNameA->Length / sizeof(WCHAR); ++i) {
    if (UpcaseTable[ConstantNameA->Buffer[i]] != UpcaseTable[ConstantNameB->Buffer[i]]) return FALSE;
  }
  return TRUE;
}

/// Whether a name has a wildcard in it.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDoesNameContainWildCards.
NT_EXPORT(FsRtlDoesNameContainWildCards, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlDoesNameContainWildCards(PUNICODE_STRING Name) {
  return ContainsWild(Name);
}

/// Whether an ANSI name has a wildcard in it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDoesDbcsContainWildCards.
NT_EXPORT(FsRtlDoesDbcsContainWildCards, nt::AtMost(APC_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlDoesDbcsContainWildCards(PANSI_STRING Name) {
  return ContainsWild(Name);
}

/// A path's first component and what follows it; neither has the backslash between them.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDissectName.
NT_EXPORT(FsRtlDissectName, nt::AtMost(PASSIVE_LEVEL), Full, "FsRtlNames.*");
extern "C" VOID NTAPI FsRtlDissectName(UNICODE_STRING Path, PUNICODE_STRING FirstName,
                                       PUNICODE_STRING RemainingName) {
  Dissect(Path, FirstName, RemainingName);
}

/// The same for ANSI paths.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDissectDbcs.
NT_EXPORT(FsRtlDissectDbcs, nt::AtMost(APC_LEVEL), Full, "FsRtlNames.*");
extern "C" VOID NTAPI FsRtlDissectDbcs(ANSI_STRING Path, PANSI_STRING FirstName, PANSI_STRING RemainingName) {
  Dissect(Path, FirstName, RemainingName);
}

/// Whether an ANSI name is legal on FAT: eight characters and three, none that FAT forbids; as asked for with
/// wildcards, as a path, with a leading backslash.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none (the system's code page has no lead bytes).
/// Source: WDK ntifs/FsRtlIsFatDbcsLegal.
NT_EXPORT(FsRtlIsFatDbcsLegal, nt::AtMost(APC_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlIsFatDbcsLegal(ANSI_STRING DbcsName, BOOLEAN WildCardsPermissible,
                                             BOOLEAN PathNamePermissible,
                                             BOOLEAN LeadingBackslashPermissible) {
  return DbcsLegal(DbcsName, WildCardsPermissible, PathNamePermissible, LeadingBackslashPermissible,
                   fsrtl::kFatLegal, FatComponentLegal);
}

/// Whether an ANSI name is legal on HPFS: up to 255 characters, none that HPFS forbids, no dot or space at
/// the end.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlIsHpfsDbcsLegal.
NT_EXPORT(FsRtlIsHpfsDbcsLegal, nt::AtMost(APC_LEVEL), Full, "FsRtlNames.*");
extern "C" BOOLEAN NTAPI FsRtlIsHpfsDbcsLegal(ANSI_STRING DbcsName, BOOLEAN WildCardsPermissible,
                                              BOOLEAN PathNamePermissible,
                                              BOOLEAN LeadingBackslashPermissible) {
  return DbcsLegal(DbcsName, WildCardsPermissible, PathNamePermissible, LeadingBackslashPermissible,
                   fsrtl::kHpfsLegal, HpfsComponentLegal);
}
