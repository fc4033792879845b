// 8.3 names.
#include "rtl/rtl.h"

namespace {

constexpr ULONG kLastIndex = 999999;

bool IsOneOf(WCHAR unit, const char* set) {
  for (; *set != 0; ++set) {
    if (unit == static_cast<WCHAR>(*set)) return true;
  }
  return false;
}

// What a character of a long name becomes in a short one: 0 if it is left out.
WCHAR ShortCharacter(WCHAR unit, bool extended) {
  if (unit <= ' ' || unit == '.' || IsOneOf(unit, "\"*/<>?\\|")) return 0;
  if (IsOneOf(unit, ":;,+=[]")) return '_';
  const UCHAR oem = rtl::ToOem(rtl::Upcase(unit));
  if (oem == '?') return '_';
  const WCHAR upper = rtl::FromOem(oem);
  return upper < 0x7F || extended ? upper : '_';
}

// Copies up to `room` characters of text[from..to) in their short form; returns how many.
ULONG Shorten(PCUNICODE_STRING text, ULONG from, ULONG to, bool extended, WCHAR* result, ULONG room) {
  ULONG count = 0;
  for (; from < to && count < room; ++from) {
    if (const WCHAR unit = ShortCharacter(text->Buffer[from], extended); unit != 0) result[count++] = unit;
  }
  return count;
}

void Prepare(PCUNICODE_STRING name, bool extended, PGENERATE_NAME_CONTEXT context) {
  const ULONG length = name->Length / sizeof(WCHAR);
  ULONG first = 0, dot = length;
  while (first < length && name->Buffer[first] == '.') ++first;
  for (ULONG i = first; i < length; ++i) {
    if (name->Buffer[i] == '.' && i + 1 < length) dot = i;
  }
  const ULONG stem_end = dot;
  context->NameLength = static_cast<UCHAR>(Shorten(name, first, stem_end, extended, context->NameBuffer, 6));
  context->ExtensionLength = 0;
  if (dot < length) {
    context->ExtensionBuffer[0] = '.';
    context->ExtensionLength = 1 + Shorten(name, dot + 1, length, extended, context->ExtensionBuffer + 1, 3);
  }
  USHORT checksum = 0;
  for (ULONG i = 0; i < length; ++i) checksum = static_cast<USHORT>(checksum * 37 + name->Buffer[i]);
  context->Checksum = checksum;
}

// After four tries, as on Windows: two characters of the name and four digits that hash it.
void UseChecksum(PGENERATE_NAME_CONTEXT context) {
  ULONG at = context->NameLength < 2 ? context->NameLength : 2;
  for (int shift = 12; shift >= 0; shift -= 4)
    context->NameBuffer[at++] = L"0123456789ABCDEF"[context->Checksum >> shift & 15];
  context->NameLength = static_cast<UCHAR>(at);
  context->CheckSumInserted = TRUE;
  context->LastIndexValue = 1;
}

}  // namespace

extern "C" {

/// Makes a short name for a long one: NAME~1.EXT, with another number at each further call with the same
/// context; after four, with a hash of the name in it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: another hash; the mapping is not documented to be deterministic.
/// Source: WDK ntifs/RtlGenerate8dot3Name.
NT_EXPORT(RtlGenerate8dot3Name, nt::AtMost(APC_LEVEL), Full, "RtlShortName.*");
NTSTATUS NTAPI RtlGenerate8dot3Name(PCUNICODE_STRING Name, BOOLEAN AllowExtendedCharacters,
                                    PGENERATE_NAME_CONTEXT Context, PUNICODE_STRING Name8dot3) {
  if (Context->LastIndexValue == 0) Prepare(Name, AllowExtendedCharacters != FALSE, Context);
  if (Context->LastIndexValue >= kLastIndex) return STATUS_FILE_SYSTEM_LIMITATION;
  ++Context->LastIndexValue;
  if (Context->LastIndexValue > 4 && !Context->CheckSumInserted) UseChecksum(Context);
  WCHAR digits[7];
  ULONG count = 0;
  for (ULONG rest = Context->LastIndexValue; rest != 0; rest /= 10)
    digits[count++] = static_cast<WCHAR>('0' + rest % 10);
  const ULONG room = 7 - count;
  ULONG used = Context->NameLength < room ? Context->NameLength : room;
  __builtin_memcpy(Name8dot3->Buffer, Context->NameBuffer, used * sizeof(WCHAR));
  Name8dot3->Buffer[used++] = '~';
  while (count != 0) Name8dot3->Buffer[used++] = digits[--count];
  __builtin_memcpy(Name8dot3->Buffer + used, Context->ExtensionBuffer,
                   Context->ExtensionLength * sizeof(WCHAR));
  Name8dot3->Length = static_cast<USHORT>((used + Context->ExtensionLength) * sizeof(WCHAR));
  return STATUS_SUCCESS;
}

/// Tells whether the OEM code page has a character, or its upper case.
/// IRQL: PASSIVE_LEVEL.
/// Differs from NT: a best fit counts, and those of 437 are not Microsoft's own.
/// Source: WDK ntifs/RtlIsValidOemCharacter.
NT_EXPORT(RtlIsValidOemCharacter, nt::Exactly(PASSIVE_LEVEL), Partial, "RtlShortName.*");
BOOLEAN NTAPI RtlIsValidOemCharacter(PWCHAR Char) {
  const UCHAR oem = rtl::ToOem(rtl::Upcase(*Char));
  if (oem == '?' && *Char != '?') return FALSE;
  *Char = rtl::FromOem(oem);
  return TRUE;
}

/// Tells whether a name is one of the form 8.3, and whether it has spaces.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlIsNameLegalDOS8Dot3.
NT_EXPORT(RtlIsNameLegalDOS8Dot3, nt::AtMost(APC_LEVEL), Full, "RtlShortName.*");
BOOLEAN NTAPI RtlIsNameLegalDOS8Dot3(PCUNICODE_STRING Name, POEM_STRING OemName,
                                     PBOOLEAN NameContainsSpaces) {
  const ULONG length = Name->Length / sizeof(WCHAR);
  if (NameContainsSpaces != nullptr) *NameContainsSpaces = FALSE;
  if (length == 0 || length > 12) return FALSE;
  const bool dots = Name->Buffer[0] == '.' && (length == 1 || (length == 2 && Name->Buffer[1] == '.'));
  ULONG stem = 0, extension = 0;
  bool dot = false, spaces = false;
  for (ULONG i = 0; i < length && !dots; ++i) {
    const WCHAR unit = Name->Buffer[i];
    if (unit == '.') {
      if (dot || stem == 0 || i + 1 == length || Name->Buffer[i - 1] == ' ') return FALSE;
      dot = true;
      continue;
    }
    if (unit < ' ' || IsOneOf(unit, "\"*+,/:;<=>?[\\]|")) return FALSE;
    if (unit >= 0x80 && rtl::ToOem(rtl::Upcase(unit)) == '?') return FALSE;
    spaces = spaces || unit == ' ';
    ++(dot ? extension : stem);
  }
  if (!dots && (stem > 8 || extension > 3 || Name->Buffer[length - 1] == ' ')) return FALSE;
  if (NameContainsSpaces != nullptr) *NameContainsSpaces = spaces;
  if (OemName != nullptr && OemName->MaximumLength >= length) {
    for (ULONG i = 0; i < length; ++i)
      OemName->Buffer[i] = static_cast<CHAR>(rtl::ToOem(rtl::Upcase(Name->Buffer[i])));
    OemName->Length = static_cast<USHORT>(length);
  }
  return TRUE;
}

}  // extern "C"
