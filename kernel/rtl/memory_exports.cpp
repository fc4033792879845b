// Memory: copy, fill, compare. The compiler calls memcpy, memset and friends by itself. Any IRQL that the
// memory allows.
#include "rtl/rtl.h"

namespace {

using Word __attribute__((may_alias, aligned(1))) = ULONG64;

void CopyUp(unsigned char* to, const unsigned char* from, size_t count) {
  for (; count >= 32; count -= 32, to += 32, from += 32) {
    const ULONG64 a = reinterpret_cast<const Word*>(from)[0], b = reinterpret_cast<const Word*>(from)[1];
    const ULONG64 c = reinterpret_cast<const Word*>(from)[2], d = reinterpret_cast<const Word*>(from)[3];
    reinterpret_cast<Word*>(to)[0] = a;
    reinterpret_cast<Word*>(to)[1] = b;
    reinterpret_cast<Word*>(to)[2] = c;
    reinterpret_cast<Word*>(to)[3] = d;
  }
  for (; count >= 8; count -= 8, to += 8, from += 8)
    *reinterpret_cast<Word*>(to) = *reinterpret_cast<const Word*>(from);
  for (; count != 0; --count) *to++ = *from++;
}

void CopyDown(unsigned char* to, const unsigned char* from, size_t count) {
  to += count;
  from += count;
  for (; count >= 8; count -= 8) {
    to -= 8;
    from -= 8;
    *reinterpret_cast<Word*>(to) = *reinterpret_cast<const Word*>(from);
  }
  for (; count != 0; --count) *--to = *--from;
}

void Fill(unsigned char* to, unsigned char value, size_t count) {
  const ULONG64 pattern = 0x0101010101010101ull * value;
  for (; count >= 32; count -= 32, to += 32) {
    reinterpret_cast<Word*>(to)[0] = pattern;
    reinterpret_cast<Word*>(to)[1] = pattern;
    reinterpret_cast<Word*>(to)[2] = pattern;
    reinterpret_cast<Word*>(to)[3] = pattern;
  }
  for (; count >= 8; count -= 8, to += 8) *reinterpret_cast<Word*>(to) = pattern;
  for (; count != 0; --count) *to++ = value;
}

size_t EqualPrefix(const unsigned char* a, const unsigned char* b, size_t count) {
  size_t i = 0;
  while (count - i >= 8 && *reinterpret_cast<const Word*>(a + i) == *reinterpret_cast<const Word*>(b + i))
    i += 8;
  while (i < count && a[i] == b[i]) ++i;
  return i;
}

}  // namespace

extern "C" {

#undef RtlCompareMemory
#undef RtlMoveMemory
#undef RtlCopyMemory
#undef RtlFillMemory
#undef RtlZeroMemory

/// Copies bytes between blocks that do not overlap. Returns the destination.
/// IRQL: any, if both blocks are resident.
/// Differs from NT: none.
/// Source: C11 7.24.2.1.
NT_EXPORT(memcpy, nt::AnyIrql(), Full, "RtlMemory.Copy*");
void* __cdecl memcpy(void* __restrict__ to, const void* __restrict__ from, size_t count) {
  CopyUp(static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), count);
  return to;
}

/// Copies bytes between blocks that may overlap. Returns the destination.
/// IRQL: any, if both blocks are resident.
/// Differs from NT: none.
/// Source: C11 7.24.2.2.
NT_EXPORT(memmove, nt::AnyIrql(), Full, "RtlMemory.Move*");
void* __cdecl memmove(void* to, const void* from, size_t count) {
  auto* target = static_cast<unsigned char*>(to);
  auto* source = static_cast<const unsigned char*>(from);
  if (target - source >= 0 && static_cast<size_t>(target - source) < count) {
    CopyDown(target, source, count);
  } else {
    CopyUp(target, source, count);
  }
  return to;
}

/// Fills a block with a byte. Returns the block.
/// IRQL: any, if the block is resident.
/// Differs from NT: none.
/// Source: C11 7.24.6.1.
NT_EXPORT(memset, nt::AnyIrql(), Full, "RtlMemory.Fill*");
void* __cdecl memset(void* to, int value, size_t count) {
  Fill(static_cast<unsigned char*>(to), static_cast<unsigned char>(value), count);
  return to;
}

/// Compares two blocks as unsigned bytes: negative, zero or positive.
/// IRQL: any, if both blocks are resident.
/// Differs from NT: none.
/// Source: C11 7.24.4.1.
NT_EXPORT(memcmp, nt::AnyIrql(), Full, "RtlMemory.Compare*");
int __cdecl memcmp(const void* a, const void* b, size_t count) {
  auto* left = static_cast<const unsigned char*>(a);
  auto* right = static_cast<const unsigned char*>(b);
  const size_t i = EqualPrefix(left, right, count);
  return i == count ? 0 : left[i] < right[i] ? -1 : 1;
}

/// Finds a byte in a block, or returns 0.
/// IRQL: any, if the block is resident.
/// Differs from NT: none.
/// Source: C11 7.24.5.1.
NT_EXPORT(memchr, nt::AnyIrql(), Full, "RtlMemory.FindsAByte");
void* __cdecl memchr(const void* block, int value, size_t count) {
  auto* bytes = static_cast<const unsigned char*>(block);
  for (size_t i = 0; i < count; ++i) {
    if (bytes[i] == static_cast<unsigned char>(value)) return const_cast<unsigned char*>(bytes + i);
  }
  return nullptr;
}

/// Copies bytes between blocks that may overlap.
/// IRQL: any, if both blocks are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlMoveMemory.
NT_EXPORT(RtlMoveMemory, nt::AnyIrql(), Full, "RtlMemory.Move*");
VOID NTAPI RtlMoveMemory(PVOID Destination, const VOID* Source, SIZE_T Length) {
  memmove(Destination, Source, Length);
}

/// Copies bytes between blocks that do not overlap, without keeping them in the caches.
/// IRQL: any, if both blocks are resident.
/// Differs from NT: the copy is an ordinary one.
/// Source: WDK wdm/RtlCopyMemoryNonTemporal.
NT_EXPORT(RtlCopyMemoryNonTemporal, nt::AnyIrql(), Full, "RtlMemory.Copy*");
VOID NTAPI RtlCopyMemoryNonTemporal(PVOID Destination, const VOID* Source, SIZE_T Length) {
  memcpy(Destination, Source, Length);
}

/// Fills a block with a byte.
/// IRQL: any, if the block is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlFillMemory.
NT_EXPORT(RtlFillMemory, nt::AnyIrql(), Full, "RtlMemory.Fill*");
VOID NTAPI RtlFillMemory(PVOID Destination, SIZE_T Length, UCHAR Value) {
  memset(Destination, Value, Length);
}

/// Fills a block with zeros.
/// IRQL: any, if the block is resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlZeroMemory.
NT_EXPORT(RtlZeroMemory, nt::AnyIrql(), Full, "RtlMemory.Fill*");
VOID NTAPI RtlZeroMemory(PVOID Destination, SIZE_T Length) {
  memset(Destination, 0, Length);
}

/// Returns how many bytes two blocks have in common from their start.
/// IRQL: any, if both blocks are resident.
/// Differs from NT: none.
/// Source: WDK wdm/RtlCompareMemory.
NT_EXPORT(RtlCompareMemory, nt::AnyIrql(), Full, "RtlMemory.CommonPrefix");
SIZE_T NTAPI RtlCompareMemory(const VOID* Source1, const VOID* Source2, SIZE_T Length) {
  return EqualPrefix(static_cast<const unsigned char*>(Source1), static_cast<const unsigned char*>(Source2),
                     Length);
}

/// Returns how many bytes of a block, counted in whole 32-bit units, repeat a pattern from the start.
/// IRQL: any, if the block is resident.
/// Differs from NT: none.
/// Source: WDK ntifs/RtlCompareMemoryUlong.
NT_EXPORT(RtlCompareMemoryUlong, nt::AnyIrql(), Full, "RtlMemory.CommonPattern");
SIZE_T NTAPI RtlCompareMemoryUlong(PVOID Source, SIZE_T Length, ULONG Pattern) {
  auto* units = static_cast<const ULONG*>(Source);
  SIZE_T i = 0;
  while (i < Length / sizeof(ULONG) && units[i] == Pattern) ++i;
  return i * sizeof(ULONG);
}

/// Asks the processor to bring a block into its caches.
/// IRQL: any.
/// Differs from NT: none (a hint that changes no result).
/// Source: WDK wdm/RtlPrefetchMemoryNonTemporal.
NT_EXPORT(RtlPrefetchMemoryNonTemporal, nt::AnyIrql(), Full, "RtlMemory.PrefetchChangesNothing");
VOID NTAPI RtlPrefetchMemoryNonTemporal(PVOID Source, SIZE_T Length) {
  for (SIZE_T i = 0; i < Length; i += 64) __builtin_prefetch(static_cast<char*>(Source) + i, 0, 0);
}

}  // extern "C"
