// Compression of buffers: LZNT1.
#include "lznt1.h"

namespace {

constexpr USHORT kFormatMask = 0x00FF, kEngineMask = 0xFF00;
constexpr USHORT kNone = 0, kDefault = 1, kLznt1 = 2, kEngineHiber = 0x0200;

NTSTATUS CheckFormat(USHORT format) {
  if ((format & kFormatMask) == kNone || (format & kFormatMask) == kDefault) return STATUS_INVALID_PARAMETER;
  return (format & kFormatMask) == kLznt1 ? STATUS_SUCCESS : STATUS_UNSUPPORTED_COMPRESSION;
}

bool IsZero(const UCHAR* bytes, ULONG size) {
  for (ULONG i = 0; i < size; ++i) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

}  // namespace

extern "C" {

/// Tells how much memory the compressor and RtlDecompressFragment work in.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: LZNT1 only; other sizes than Windows's.
/// Source: WDK ntifs/RtlGetCompressionWorkSpaceSize.
NT_EXPORT(RtlGetCompressionWorkSpaceSize, nt::AtMost(APC_LEVEL), Partial, "RtlCompression.*");
NTSTATUS NTAPI RtlGetCompressionWorkSpaceSize(USHORT CompressionFormatAndEngine,
                                              PULONG CompressBufferWorkSpaceSize,
                                              PULONG CompressFragmentWorkSpaceSize) {
  const NTSTATUS status = CheckFormat(CompressionFormatAndEngine);
  if (status != STATUS_SUCCESS) return status;
  if ((CompressionFormatAndEngine & kEngineMask) == kEngineHiber) return STATUS_NOT_SUPPORTED;
  *CompressBufferWorkSpaceSize = rtl::kLznt1Work;
  *CompressFragmentWorkSpaceSize = rtl::kLznt1Chunk;
  return STATUS_SUCCESS;
}

/// Compresses a buffer in chunks of 4096 bytes. STATUS_BUFFER_ALL_ZEROS, a success, if there is nothing else
/// in it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: LZNT1 only; both engines find the same repetitions.
/// Source: WDK ntifs/RtlCompressBuffer.
NT_EXPORT(RtlCompressBuffer, nt::AtMost(APC_LEVEL), Partial, "RtlCompression.*");
NTSTATUS NTAPI RtlCompressBuffer(USHORT CompressionFormatAndEngine, PUCHAR UncompressedBuffer,
                                 ULONG UncompressedBufferSize, PUCHAR CompressedBuffer,
                                 ULONG CompressedBufferSize, ULONG UncompressedChunkSize,
                                 PULONG FinalCompressedSize, PVOID WorkSpace) {
  const NTSTATUS status = CheckFormat(CompressionFormatAndEngine);
  if (status != STATUS_SUCCESS) return status;
  if ((CompressionFormatAndEngine & kEngineMask) == kEngineHiber) return STATUS_NOT_SUPPORTED;
  ULONG done = 0, used = 0;
  while (done < UncompressedBufferSize) {
    const ULONG left = UncompressedBufferSize - done;
    const ULONG part = left < rtl::kLznt1Chunk ? left : rtl::kLznt1Chunk;
    const ULONG size = rtl::CompressLznt1Chunk(UncompressedBuffer + done, part, CompressedBuffer + used,
                                               CompressedBufferSize - used, WorkSpace);
    if (size == 0) return STATUS_BUFFER_TOO_SMALL;
    done += part;
    used += size;
  }
  *FinalCompressedSize = used;
  return IsZero(UncompressedBuffer, UncompressedBufferSize) ? STATUS_BUFFER_ALL_ZEROS : STATUS_SUCCESS;
}

/// Decompresses a part of what a compressed buffer holds, from an offset in the uncompressed data on.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: LZNT1 only.
/// Source: WDK ntifs/RtlDecompressFragment.
NT_EXPORT(RtlDecompressFragment, nt::AtMost(APC_LEVEL), Partial, "RtlCompression.*");
NTSTATUS NTAPI RtlDecompressFragment(USHORT CompressionFormat, PUCHAR UncompressedFragment,
                                     ULONG UncompressedFragmentSize, PUCHAR CompressedBuffer,
                                     ULONG CompressedBufferSize, ULONG FragmentOffset,
                                     PULONG FinalUncompressedSize, PVOID WorkSpace) {
  const NTSTATUS status = CheckFormat(CompressionFormat);
  if (status != STATUS_SUCCESS) return status;
  auto* work = static_cast<UCHAR*>(WorkSpace);
  ULONG taken = 0, done = 0, chunk = 0;
  for (;; chunk += rtl::kLznt1Chunk) {
    rtl::Lznt1Sizes sizes;
    const bool whole = chunk >= FragmentOffset;
    if (done == UncompressedFragmentSize && whole) break;
    UCHAR* to = whole ? UncompressedFragment + done : work;
    const ULONG room = whole ? UncompressedFragmentSize - done : rtl::kLznt1Chunk;
    if (!rtl::DecompressLznt1Chunk(CompressedBuffer + taken, CompressedBufferSize - taken, to, room, &sizes))
      return STATUS_BAD_COMPRESSION_BUFFER;
    if (sizes.input == 0) break;
    taken += sizes.input;
    if (whole) {
      done += sizes.output;
    } else if (chunk + sizes.output > FragmentOffset) {
      const ULONG skip = FragmentOffset - chunk, left = sizes.output - skip;
      done = left < UncompressedFragmentSize ? left : UncompressedFragmentSize;
      __builtin_memcpy(UncompressedFragment, work + skip, done);
    }
  }
  *FinalUncompressedSize = done;
  return STATUS_SUCCESS;
}

/// Decompresses a whole buffer, as far as there is room.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: LZNT1 only.
/// Source: WDK ntifs/RtlDecompressBuffer.
NT_EXPORT(RtlDecompressBuffer, nt::AtMost(APC_LEVEL), Partial, "RtlCompression.*");
NTSTATUS NTAPI RtlDecompressBuffer(USHORT CompressionFormat, PUCHAR UncompressedBuffer,
                                   ULONG UncompressedBufferSize, PUCHAR CompressedBuffer,
                                   ULONG CompressedBufferSize, PULONG FinalUncompressedSize) {
  return RtlDecompressFragment(CompressionFormat, UncompressedBuffer, UncompressedBufferSize,
                               CompressedBuffer, CompressedBufferSize, 0, FinalUncompressedSize, nullptr);
}

/// The same with a work space, which LZNT1 does not need.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: LZNT1 only.
/// Source: WDK ntifs/RtlDecompressBufferEx.
NT_EXPORT(RtlDecompressBufferEx, nt::AtMost(APC_LEVEL), Partial, "RtlCompression.*");
NTSTATUS NTAPI RtlDecompressBufferEx(USHORT CompressionFormat, PUCHAR UncompressedBuffer,
                                     ULONG UncompressedBufferSize, PUCHAR CompressedBuffer,
                                     ULONG CompressedBufferSize, PULONG FinalUncompressedSize,
                                     PVOID WorkSpace) {
  return RtlDecompressBuffer(CompressionFormat, UncompressedBuffer, UncompressedBufferSize, CompressedBuffer,
                             CompressedBufferSize, FinalUncompressedSize);
}

/// The CRC-32 of IEEE 802.3 over a buffer, continued from a partial one (0 at first).
/// IRQL: any.
/// Differs from NT: none.
/// Source: not documented; used by file systems and boot code.
NT_EXPORT(RtlComputeCrc32, nt::AnyIrql(), Full, "RtlCompression.Crc*");
ULONG NTAPI RtlComputeCrc32(ULONG PartialCrc, PVOID Buffer, ULONG Length) {
  auto* bytes = static_cast<const UCHAR*>(Buffer);
  ULONG crc = ~PartialCrc;
  for (ULONG i = 0; i < Length; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xEDB88320u : crc >> 1;
  }
  return ~crc;
}

}  // extern "C"
