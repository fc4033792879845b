#include "commands/nt_objects.h"

#include <fmt/format.h>

namespace nt {

namespace {

constexpr uint64_t kHasName = 2;  // OBJECT_HEADER.InfoMask

// Windows 10 and later: type index, xor a byte of the header's address, xor a cookie.
uint64_t TypeIndex(Kernel& kernel, const debug::Object& header) {
  const uint64_t index = header.U64("TypeIndex").value_or(0);
  const auto cookie = kernel.GlobalU64("nt!ObHeaderCookie", 1);
  return cookie ? index ^ (header.address() >> 8 & 0xFF) ^ *cookie : index;
}

uint64_t NameOffset(Kernel& kernel, uint64_t mask) {
  if (const auto table = kernel.symbols().AddressOf("nt!ObpInfoMaskToOffset")) {
    if (const auto offset = kernel.memory().Get<uint8_t>(*table + (mask & (kHasName | (kHasName - 1)))))
      return *offset;
  }
  return kernel.type("_OBJECT_HEADER_NAME_INFO").size();
}

}  // namespace

base::Result<ObjectFacts> ReadObject(Kernel& kernel, uint64_t address) {
  const debug::Type& type = kernel.type("_OBJECT_HEADER");
  const uint64_t body = TRY(type.OffsetOf("Body"));
  const debug::Object header = kernel.symbols().ObjectAt(type, address - body);
  ObjectFacts facts;
  facts.address = address, facts.header = header.address();
  facts.pointer_count = TRY(header.I64("PointerCount"));
  facts.handle_count = TRY(header.I64("HandleCount"));
  const uint64_t table = TRY(kernel.symbols().AddressOf("nt!ObTypeIndexTable"));
  const uint64_t index = TypeIndex(kernel, header);
  facts.type = kernel.memory().Get<uint64_t>(table + 8 * index).value_or(0);
  const auto object_type = kernel.symbols().ObjectAt("_OBJECT_TYPE", facts.type);
  const auto name =
      object_type ? object_type->UnicodeString("Name") : tl::make_unexpected(object_type.error());
  if (facts.type == 0 || !name || name->empty())
    return base::Fail(fmt::format("{:x}: no object: its header names no type (index {:#x})", address, index));
  facts.type_name = *name;
  const uint64_t mask = header.U64("InfoMask").value_or(0);
  if ((mask & kHasName) == 0) return facts;
  const auto info =
      kernel.symbols().ObjectAt("_OBJECT_HEADER_NAME_INFO", header.address() - NameOffset(kernel, mask));
  if (!info) return facts;
  facts.name = info->UnicodeString("Name").value_or("");
  facts.directory = info->U64("Directory").value_or(0);
  return facts;
}

}  // namespace nt
