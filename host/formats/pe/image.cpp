#include "formats/pe/image.h"

#include <algorithm>
#include <cstring>

namespace pe {

namespace {

constexpr uint64_t kMaxSections = 96;
constexpr uint32_t kMaxImageSize = 1u << 30;
constexpr uint32_t kRsds = 0x53445352;

struct OptionalHeaderOffsets {
  uint32_t image_base, directory_count, directories;
};
constexpr OptionalHeaderOffsets kPe32Plus{24, 108, 112};
constexpr OptionalHeaderOffsets kPe32{28, 92, 96};

base::Result<void> ParseOptionalHeader(const base::SpanReader& r, uint64_t at, uint32_t size, Headers& h) {
  const uint16_t magic = TRY(r.Read<uint16_t>(at, "the optional header"));
  if (magic != 0x20b && magic != 0x10b) return base::Fail("not a PE image: unknown optional header");
  h.is_pe32_plus = magic == 0x20b;
  const OptionalHeaderOffsets& offsets = h.is_pe32_plus ? kPe32Plus : kPe32;
  if (size < offsets.directories || !r.Has(at, offsets.directories))
    return base::Fail("the optional header is cut off");
  const auto u16 = [&](uint64_t offset) { return r.Get<uint16_t>(at + offset).value_or(0); };
  const auto u32 = [&](uint64_t offset) { return r.Get<uint32_t>(at + offset).value_or(0); };
  h.entry_rva = u32(16);
  h.image_base = h.is_pe32_plus ? r.Get<uint64_t>(at + 24).value_or(0) : u32(28);
  h.section_alignment = u32(32);
  h.file_alignment = u32(36);
  h.subsystem_major = u16(48);
  h.subsystem_minor = u16(50);
  h.size_of_image = u32(56);
  h.size_of_headers = u32(60);
  h.checksum = u32(64);
  h.checksum_offset = static_cast<uint32_t>(at + 64);
  h.subsystem = u16(68);
  h.dll_characteristics = u16(70);
  const uint32_t count = std::min<uint32_t>(u32(offsets.directory_count), 16);
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t entry = offsets.directories + 8 * i;
    if (entry + 8 > size) break;
    h.directories[i] = {u32(entry), u32(entry + 4)};
  }
  return {};
}

std::string SectionName(const base::SpanReader& r, uint64_t at) {
  std::string name;
  for (int i = 0; i < 8; ++i) {
    const char c = r.Get<char>(at + i).value_or(0);
    if (c == 0) break;
    name += c;
  }
  return name;
}

}  // namespace

const Section* Headers::SectionAt(uint32_t rva) const {
  const auto found = std::ranges::find_if(sections, [&](const Section& s) { return s.Contains(rva); });
  return found == sections.end() ? nullptr : &*found;
}

const Section* Headers::SectionNamed(std::string_view name) const {
  const auto found = std::ranges::find(sections, name, &Section::name);
  return found == sections.end() ? nullptr : &*found;
}

std::string CodeView::PdbName() const {
  const size_t slash = pdb_path.find_last_of("\\/");
  return slash == std::string::npos ? pdb_path : pdb_path.substr(slash + 1);
}

base::Result<Headers> ParseHeaders(base::Bytes bytes) {
  const base::SpanReader r(bytes);
  if (r.Get<uint16_t>(0) != 0x5a4d) return base::Fail("not a PE image: it does not begin with MZ");
  const uint32_t pe_offset = TRY(r.Read<uint32_t>(0x3c, "the PE header's offset"));
  if (r.Get<uint32_t>(pe_offset) != 0x4550) return base::Fail("not a PE image: no PE signature");
  const uint64_t coff = uint64_t{pe_offset} + 4;
  Headers h;
  h.machine = TRY(r.Read<uint16_t>(coff, "the file header"));
  const uint16_t section_count = TRY(r.Read<uint16_t>(coff + 2, "the file header"));
  h.time_date_stamp = TRY(r.Read<uint32_t>(coff + 4, "the file header"));
  const uint16_t optional_size = TRY(r.Read<uint16_t>(coff + 16, "the file header"));
  h.characteristics = TRY(r.Read<uint16_t>(coff + 18, "the file header"));
  TRY(ParseOptionalHeader(r, coff + 20, optional_size, h));
  if (section_count > kMaxSections)
    return base::Fail(std::to_string(section_count) + " sections; at most 96 are possible");
  const uint64_t table = coff + 20 + optional_size;
  if (!r.Array(table, section_count, 40)) return base::Fail("the section table is cut off");
  for (uint64_t i = 0; i < section_count; ++i) {
    const uint64_t at = table + 40 * i;
    Section s;
    s.name = SectionName(r, at);
    s.virtual_size = *r.Get<uint32_t>(at + 8);
    s.rva = *r.Get<uint32_t>(at + 12);
    s.file_size = *r.Get<uint32_t>(at + 16);
    s.file_offset = *r.Get<uint32_t>(at + 20);
    s.characteristics = *r.Get<uint32_t>(at + 36);
    h.sections.push_back(std::move(s));
  }
  return h;
}

base::Result<CodeView> ParseCodeView(base::Bytes record) {
  const base::SpanReader r(record);
  if (r.Get<uint32_t>(0) != kRsds) return base::Fail("no RSDS record");
  CodeView view;
  view.id.guid = TRY(r.Read<formats::Guid>(4, "the RSDS record"));
  view.id.age = TRY(r.Read<uint32_t>(20, "the RSDS record"));
  for (uint64_t at = 24; at < record.size() && view.pdb_path.size() < 1024; ++at) {
    const char c = static_cast<char>(record[at]);
    if (c == 0) break;
    view.pdb_path += c;
  }
  return view;
}

base::Result<Image> Image::Parse(base::Bytes bytes, Layout layout) {
  Image image;
  image.headers_ = TRY(ParseHeaders(bytes));
  image.reader_ = base::SpanReader(bytes);
  image.layout_ = layout;
  const Headers& h = image.headers_;
  if (layout == Layout::kMapped) return image;
  if (!image.reader_.Has(0, h.size_of_headers)) return base::Fail("the file is cut off inside its headers");
  for (const Section& s : h.sections) {
    if (!image.reader_.Has(s.file_offset, s.file_size) && s.file_size != 0) {
      return base::Fail("the file is cut off: section " + s.name + " ends at " +
                        std::to_string(uint64_t{s.file_offset} + s.file_size) + ", the file at " +
                        std::to_string(bytes.size()));
    }
  }
  return image;
}

std::optional<base::Bytes> Image::At(uint32_t rva, uint32_t size) const {
  if (layout_ == Layout::kMapped) return reader_.Slice(rva, size);
  if (const Section* s = headers_.SectionAt(rva)) {
    const uint32_t offset = rva - s->rva;
    if (offset > s->file_size || size > s->file_size - offset) return std::nullopt;
    return reader_.Slice(uint64_t{s->file_offset} + offset, size);
  }
  if (uint64_t{rva} + size <= headers_.size_of_headers) return reader_.Slice(rva, size);
  return std::nullopt;
}

std::optional<std::string_view> Image::StringAt(uint32_t rva) const {
  uint64_t offset = rva;
  uint64_t room = 4096;
  if (layout_ == Layout::kFile) {
    if (const Section* s = headers_.SectionAt(rva)) {
      if (rva - s->rva >= s->file_size) return std::nullopt;
      offset = uint64_t{s->file_offset} + (rva - s->rva);
      room = std::min<uint64_t>(room, s->file_size - (rva - s->rva));
    } else if (rva >= headers_.size_of_headers) {
      return std::nullopt;
    }
  }
  return reader_.CString(offset, room);
}

base::Result<std::vector<RuntimeFunction>> Image::RuntimeFunctions() const {
  const DataDirectory& directory = headers_.directory(Directory::kException);
  std::vector<RuntimeFunction> functions;
  if (directory.rva == 0 || directory.size == 0) return functions;
  const auto bytes = At(directory.rva, directory.size);
  if (!bytes) return base::Fail("the exception directory (.pdata) lies outside the image");
  functions.resize(bytes->size() / sizeof(RuntimeFunction));
  if (functions.empty()) return functions;
  std::memcpy(functions.data(), bytes->data(), functions.size() * sizeof(RuntimeFunction));
  std::erase_if(functions, [](const RuntimeFunction& f) { return f.begin >= f.end; });
  if (!std::ranges::is_sorted(functions, {}, &RuntimeFunction::begin)) {
    std::ranges::sort(functions, {}, &RuntimeFunction::begin);
  }
  return functions;
}

base::Result<CodeView> Image::DebugRecord() const {
  const DataDirectory& directory = headers_.directory(Directory::kDebug);
  if (directory.rva == 0 || directory.size < 28) return base::Fail("the image has no debug directory");
  const uint32_t count = std::min<uint32_t>(directory.size / 28, 64);
  const auto bytes = At(directory.rva, count * 28);
  if (!bytes) return base::Fail("the debug directory lies outside the image");
  const base::SpanReader r(*bytes);
  for (uint64_t i = 0; i < count; ++i) {
    if (*r.Get<uint32_t>(28 * i + 12) != 2) continue;  // IMAGE_DEBUG_TYPE_CODEVIEW
    const uint32_t size = std::min<uint32_t>(*r.Get<uint32_t>(28 * i + 16), 4096);
    if (const auto record = At(*r.Get<uint32_t>(28 * i + 20), size)) {
      if (auto view = ParseCodeView(*record)) return view;
    }
  }
  return base::Fail("the image has no RSDS debug record");
}

uint32_t Image::ComputeChecksum() const {
  const base::Bytes bytes = reader_.bytes();
  uint64_t sum = 0;
  for (uint64_t i = 0; i < bytes.size(); i += 2) {
    if (i >= headers_.checksum_offset && i < uint64_t{headers_.checksum_offset} + 4) continue;
    sum += static_cast<uint8_t>(bytes[i]);
    if (i + 1 < bytes.size()) sum += static_cast<uint64_t>(bytes[i + 1]) << 8;
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint32_t>(sum + bytes.size());
}

base::Result<std::vector<std::byte>> MapImage(const Image& file) {
  const Headers& h = file.headers();
  if (h.size_of_image == 0 || h.size_of_image > kMaxImageSize) {
    return base::Fail("SizeOfImage " + std::to_string(h.size_of_image) + " is not possible");
  }
  std::vector<std::byte> mapped(h.size_of_image);
  const auto headers = base::SpanReader(file.bytes()).Slice(0, h.size_of_headers);
  if (!headers || headers->size() > mapped.size()) return base::Fail("the headers do not fit in the image");
  std::memcpy(mapped.data(), headers->data(), headers->size());
  for (const Section& s : h.sections) {
    const uint32_t size = s.virtual_size != 0 ? std::min(s.file_size, s.virtual_size) : s.file_size;
    if (uint64_t{s.rva} + std::max(size, s.virtual_size) > mapped.size()) {
      return base::Fail("section " + s.name + " lies outside SizeOfImage");
    }
    if (size == 0) continue;
    const auto bytes = base::SpanReader(file.bytes()).Slice(s.file_offset, size);
    if (!bytes) return base::Fail("section " + s.name + " lies outside the file");
    std::memcpy(mapped.data() + s.rva, bytes->data(), size);
  }
  return mapped;
}

}  // namespace pe
