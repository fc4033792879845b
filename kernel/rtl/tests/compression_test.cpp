// Oracles: the examples and the format of [MS-XCA] 2.5, the check value of CRC-32, the WDK pages of short
// names.
#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "prototypes.h"

namespace {

constexpr USHORT kLznt1 = 2;
using Bytes = std::vector<UCHAR>;

Bytes Compress(Bytes data, NTSTATUS expected = STATUS_SUCCESS) {
  ULONG work_size = 0, fragment = 0, size = 0;
  EXPECT_EQ(RtlGetCompressionWorkSpaceSize(kLznt1, &work_size, &fragment), STATUS_SUCCESS);
  Bytes work(work_size), result(data.size() + data.size() / 1024 + 64);
  EXPECT_EQ(RtlCompressBuffer(kLznt1, data.data(), static_cast<ULONG>(data.size()), result.data(),
                              static_cast<ULONG>(result.size()), 4096, &size, work.data()),
            expected);
  result.resize(size);
  return result;
}

Bytes Decompress(Bytes data, size_t room) {
  Bytes result(room);
  ULONG size = 0;
  EXPECT_EQ(RtlDecompressBuffer(kLznt1, result.data(), static_cast<ULONG>(room), data.data(),
                                static_cast<ULONG>(data.size()), &size),
            STATUS_SUCCESS);
  result.resize(size);
  return result;
}

Bytes Random(std::mt19937& random, size_t size, unsigned letters) {
  Bytes data(size);
  for (UCHAR& byte : data) byte = static_cast<UCHAR>(random() % letters);
  return data;
}

std::string Short(const WCHAR* text, GENERATE_NAME_CONTEXT* context, bool extended = false) {
  size_t length = 0;
  while (text[length] != 0) ++length;
  const UNICODE_STRING name = {static_cast<USHORT>(2 * length), static_cast<USHORT>(2 * length),
                               const_cast<WCHAR*>(text)};
  WCHAR buffer[12];
  UNICODE_STRING result = {0, sizeof buffer, buffer};
  if (RtlGenerate8dot3Name(&name, extended, context, &result) != STATUS_SUCCESS) return "";
  return std::string(buffer, buffer + result.Length / 2);
}

bool Legal(const char* text, bool* spaces = nullptr) {
  std::basic_string<WCHAR> wide(text, text + strlen(text));
  const UNICODE_STRING name = {static_cast<USHORT>(2 * wide.size()), static_cast<USHORT>(2 * wide.size()),
                               wide.data()};
  BOOLEAN has = FALSE;
  const bool legal = RtlIsNameLegalDOS8Dot3(&name, nullptr, &has) != FALSE;
  if (spaces != nullptr) *spaces = has != FALSE;
  return legal;
}

}  // namespace

TEST(RtlCompression, SpecifiedExampleDecompresses) {
  const std::string text =
      "F# F# G A A G F# E D D E F# F# E E F# F# G A A G F# E D D E F# E D D E E F# D E F# G F# D E F# G F# E "
      "D E A F# F# "
      "G A A G F# E D D E F# E D D";
  const Bytes data = {0x38, 0xb0, 0x88, 0x46, 0x23, 0x20, 0x00, 0x20, 0x47, 0x20, 0x41, 0x00,
                      0x10, 0xa2, 0x47, 0x01, 0xa0, 0x45, 0x20, 0x44, 0x00, 0x08, 0x45, 0x01,
                      0x50, 0x79, 0x00, 0xc0, 0x45, 0x20, 0x05, 0x24, 0x13, 0x88, 0x05, 0xb4,
                      0x02, 0x4a, 0x44, 0xef, 0x03, 0x58, 0x02, 0x8c, 0x09, 0x16, 0x01, 0x48,
                      0x45, 0x00, 0xbe, 0x00, 0x9e, 0x00, 0x04, 0x01, 0x18, 0x90, 0x00};
  const Bytes result = Decompress(data, 1000);
  EXPECT_EQ(std::string(result.begin(), result.end()), text + std::string(1, '\0'));
}

TEST(RtlCompression, RoundTrips) {
  std::mt19937 random(7);
  for (size_t size : {1u, 2u, 3u, 17u, 4095u, 4096u, 4097u, 8192u, 20000u}) {
    for (unsigned letters : {2u, 4u, 26u, 256u}) {
      const Bytes data = Random(random, size, letters);
      bool zeros = true;
      for (const UCHAR byte : data) zeros = zeros && byte == 0;
      const Bytes packed = Compress(data, zeros ? STATUS_BUFFER_ALL_ZEROS : STATUS_SUCCESS);
      EXPECT_EQ(Decompress(packed, size + 100), data) << size << " " << letters;
      if (letters == 2 && size > 4000) EXPECT_LT(packed.size(), size * 3 / 5);
      EXPECT_LE(packed.size(), size + 2 * ((size + 4095) / 4096));
    }
  }
  const Bytes zeros(5000);
  EXPECT_EQ(Decompress(Compress(zeros, STATUS_BUFFER_ALL_ZEROS), 5000), zeros);
}

TEST(RtlCompression, FragmentsAreParts) {
  std::mt19937 random(8);
  const Bytes data = Random(random, 15000, 8);
  Bytes packed = Compress(data);
  Bytes work(4096);
  for (ULONG offset : {0u, 1u, 4095u, 4096u, 5000u, 12288u, 14999u, 15000u, 20000u}) {
    for (ULONG size : {1u, 100u, 4096u, 9000u}) {
      Bytes part(size);
      ULONG got = ~0u;
      ASSERT_EQ(RtlDecompressFragment(kLznt1, part.data(), size, packed.data(),
                                      static_cast<ULONG>(packed.size()), offset, &got, work.data()),
                STATUS_SUCCESS);
      const size_t left = offset < data.size() ? data.size() - offset : 0;
      ASSERT_EQ(got, std::min<size_t>(size, left)) << offset << " " << size;
      for (ULONG i = 0; i < got; ++i) ASSERT_EQ(part[i], data[offset + i]);
    }
  }
}

// Damaged data ends in an error or in some bytes, never outside the buffers (the sanitizers watch).
TEST(RtlCompression, DamagedDataIsRefused) {
  std::mt19937 random(9);
  const Bytes good = Compress(Random(random, 6000, 5));
  int refused = 0;
  for (int i = 0; i < 20000; ++i) {
    Bytes bad(good.begin(), good.begin() + static_cast<long>(random() % good.size()));
    for (int k = 0; k < 4 && !bad.empty(); ++k) bad[random() % bad.size()] = static_cast<UCHAR>(random());
    Bytes room(random() % 8000);
    ULONG size = 0;
    const NTSTATUS status = RtlDecompressBufferEx(kLznt1, room.data(), static_cast<ULONG>(room.size()),
                                                  bad.data(), static_cast<ULONG>(bad.size()), &size, nullptr);
    if (status != STATUS_SUCCESS) {
      EXPECT_EQ(status, STATUS_BAD_COMPRESSION_BUFFER);
      ++refused;
    } else {
      EXPECT_LE(size, room.size());
    }
  }
  EXPECT_GT(refused, 1000);
}

TEST(RtlCompression, RefusesOtherFormats) {
  UCHAR byte = 1, out[8];
  ULONG a = 0, b = 0;
  for (USHORT format : {0, 1})
    EXPECT_EQ(RtlGetCompressionWorkSpaceSize(format, &a, &b), STATUS_INVALID_PARAMETER);
  EXPECT_EQ(RtlGetCompressionWorkSpaceSize(3, &a, &b), STATUS_UNSUPPORTED_COMPRESSION);
  EXPECT_EQ(RtlGetCompressionWorkSpaceSize(0x202, &a, &b), STATUS_NOT_SUPPORTED);
  EXPECT_EQ(RtlCompressBuffer(4, &byte, 1, out, 8, 4096, &a, nullptr), STATUS_UNSUPPORTED_COMPRESSION);
  EXPECT_EQ(RtlDecompressBuffer(0, out, 8, &byte, 1, &a), STATUS_INVALID_PARAMETER);
  Bytes work(65536);
  EXPECT_EQ(RtlCompressBuffer(kLznt1, &byte, 1, out, 2, 4096, &a, work.data()), STATUS_BUFFER_TOO_SMALL);
}

TEST(RtlCompression, Crc32) {
  char text[] = "123456789";
  EXPECT_EQ(RtlComputeCrc32(0, text, 9), 0xCBF43926u);
  EXPECT_EQ(RtlComputeCrc32(RtlComputeCrc32(0, text, 4), text + 4, 5), 0xCBF43926u);
  EXPECT_EQ(RtlComputeCrc32(0, text, 0), 0u);
}

TEST(RtlShortName, Generates) {
  GENERATE_NAME_CONTEXT context = {};
  EXPECT_EQ(Short(L"A long name.text", &context), "ALONGN~1.TEX");
  EXPECT_EQ(Short(L"A long name.text", &context), "ALONGN~2.TEX");
  EXPECT_EQ(Short(L"A long name.text", &context), "ALONGN~3.TEX");
  EXPECT_EQ(Short(L"A long name.text", &context), "ALONGN~4.TEX");
  std::string last;
  for (int i = 0; i < 12; ++i) {
    const std::string next = Short(L"A long name.text", &context);
    EXPECT_EQ(next.substr(0, 2), "AL");
    EXPECT_EQ(next.substr(next.size() - 4), ".TEX");
    EXPECT_LE(next.size(), 12u);
    EXPECT_NE(next, last);
    last = next;
  }
  context = {};
  EXPECT_EQ(Short(L"..hidden.and.more.c", &context), "HIDDEN~1.C");
  context = {};
  EXPECT_EQ(Short(L"a+b,c;d=[e]:f", &context), "A_B_C_~1");
  context = {};
  EXPECT_EQ(Short(L"\u00E4b.c", &context), "_B~1.C");
  context = {};
  EXPECT_EQ(Short(L"\u00E4b.c", &context, true), std::string("\xC4"
                                                             "B~1.C"));
  context.LastIndexValue = 999999;
  EXPECT_EQ(Short(L"x", &context), "");
}

TEST(RtlShortName, KnowsLegalOnes) {
  for (const char* name : {"A", "ABCDEFGH.TXT", "a.b", ".", "..", "NAME", "A-B_C~1.$$$"})
    EXPECT_TRUE(Legal(name)) << name;
  for (const char* name :
       {"", "ABCDEFGHI", "A.BCDE", ".A", "A.", "A.B.C", "A+B", "A,B", "a[b", "A\"", "A ", "A .B", "..."})
    EXPECT_FALSE(Legal(name)) << name;
  bool spaces = false;
  EXPECT_TRUE(Legal("A B.C", &spaces));
  EXPECT_TRUE(spaces);
  WCHAR unit = L'\u00E4';
  EXPECT_TRUE(RtlIsValidOemCharacter(&unit));
  EXPECT_EQ(unit, 0xC4);
  unit = 0x4E2D;
  EXPECT_FALSE(RtlIsValidOemCharacter(&unit));
}
