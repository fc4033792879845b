#include "dump_builder.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "formats/kdump/dump.h"
#include "formats/pdb/pdb_file.h"

namespace fabricated {

namespace {

constexpr uint64_t kPage = 0x1000;
constexpr uint64_t kPresentWritable = 0x63;  // present, writable, accessed, dirty

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "dump builder: %s\n", what.c_str());
  std::abort();
}

}  // namespace

std::vector<std::byte> ReadFile(const std::string& path) {
  const std::string text = ReadText(path);
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) Die(path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

uint64_t Structure::AddressOf(std::string_view path) const {
  const auto field = type_.FindField(path);
  if (!field) Die(field.error().message);
  return address_ + field->offset;
}

Structure& Structure::Set(std::string_view path, uint64_t value) {
  const auto field = type_.FindField(path);
  if (!field) Die(field.error().message);
  symbols::Type info = type_.source().GetType(field->type_id);
  if (info.kind == symbols::TypeKind::kBitField) info = type_.source().GetType(info.target);
  if (info.size == 0 || info.size > 8) Die(std::string(path) + ": not a scalar");
  if (field->bit_count != 0) {
    const uint64_t mask = ((uint64_t{1} << field->bit_count) - 1) << field->bit_position;
    value = (builder_->Read64(address_ + field->offset) & ~mask) | (value << field->bit_position & mask);
  }
  builder_->Write(address_ + field->offset, std::as_bytes(std::span(&value, 1)).first(info.size));
  return *this;
}

Structure& Structure::SetText(std::string_view path, std::string_view text) {
  const auto field = type_.FindField(path);
  if (!field) Die(field.error().message);
  std::vector<std::byte> bytes(type_.source().GetType(field->type_id).size);
  std::memcpy(bytes.data(), text.data(), std::min(text.size(), bytes.size()));
  builder_->Write(address_ + field->offset, bytes);
  return *this;
}

Structure& Structure::EmptyList(std::string_view path) {
  builder_->InitList(AddressOf(path));
  return *this;
}

DumpBuilder::DumpBuilder(const std::string& kernel_image, const std::string& kernel_pdb)
    : header_(std::make_unique<kdump::Header64>(kdump::NewHeader())) {
  NewPage();  // page 0 stays empty
  root_ = NewPage();
  auto source = pdb::Open(kernel_pdb);
  if (!source) Die(source.error().message);
  source_ = std::move(*source);
  const auto file = ReadFile(kernel_image);
  const auto image = pe::Image::Parse(file, pe::Layout::kFile);
  const auto mapped = image ? pe::MapImage(*image) : tl::make_unexpected(image.error());
  if (!mapped) Die(mapped.error().message);
  kernel_base_ = image->headers().image_base;
  Write(kernel_base_, *mapped);
  header_->DirectoryTableBase = root_ * kPage;
}

uint64_t DumpBuilder::NewPage() {
  pages_.emplace_back(kPage);
  return pages_.size() - 1;
}

// The PTE of an address; null when a table is missing and `create` is false.
uint64_t* DumpBuilder::Entry(uint64_t address, bool create) {
  uint64_t table = root_;
  for (int shift = 39;; shift -= 9) {
    const uint64_t index = address >> shift & 0x1FF;
    auto* entry = reinterpret_cast<uint64_t*>(pages_[table].data()) + index;
    if (shift == 12) return entry;
    if ((*entry & 1) == 0) {
      if (!create) return nullptr;
      const uint64_t page = NewPage();  // may move pages_: look the entry up again
      entry = reinterpret_cast<uint64_t*>(pages_[table].data()) + index;
      *entry = page * kPage | kPresentWritable;
    }
    table = *entry >> 12 & 0xFFFFFFFFFF;
  }
}

void DumpBuilder::Map(uint64_t address, uint64_t size) {
  for (uint64_t at = address & ~(kPage - 1); at < address + size; at += kPage) {
    if (*Entry(at, true) != 0) continue;
    const uint64_t page = NewPage();
    *Entry(at, true) = page * kPage | kPresentWritable;
  }
}

DumpBuilder::Page* DumpBuilder::PageOf(uint64_t address) {
  const uint64_t* entry = Entry(address, false);
  return entry != nullptr && *entry != 0 ? &pages_[*entry >> 12 & 0xFFFFFFFFFF] : nullptr;
}

void DumpBuilder::Write(uint64_t address, std::span<const std::byte> bytes) {
  Map(address, bytes.size());
  for (size_t done = 0; done < bytes.size();) {
    const size_t offset = (address + done) & (kPage - 1),
                 length = std::min<size_t>(kPage - offset, bytes.size() - done);
    std::memcpy(PageOf(address + done)->data() + offset, bytes.data() + done, length);
    done += length;
  }
}

uint64_t DumpBuilder::Read64(uint64_t address) const {
  uint64_t value = 0;
  auto* self = const_cast<DumpBuilder*>(this);
  for (unsigned i = 0; i < 8; ++i) {
    const Page* page = self->PageOf(address + i);
    if (page == nullptr) continue;
    value |= static_cast<uint64_t>((*page)[(address + i) & (kPage - 1)]) << (i * 8);
  }
  return value;
}

uint64_t DumpBuilder::Allocate(uint64_t size) {
  const uint64_t address = next_;
  next_ += (size + 15) / 16 * 16;
  Map(address, size);
  return address;
}

void DumpBuilder::MakeNotResident(uint64_t address, uint64_t size) {
  constexpr uint64_t kTransition = 0x800;
  for (uint64_t at = address & ~(kPage - 1); at < address + size; at += kPage) {
    uint64_t* entry = Entry(at, true);
    *entry = (*entry & ~uint64_t{1}) | kTransition;
  }
}

uint64_t DumpBuilder::PhysicalOf(uint64_t address) const {
  const uint64_t* entry = const_cast<DumpBuilder*>(this)->Entry(address, false);
  if (entry == nullptr || *entry == 0) Die("address is not mapped");
  return (*entry & 0x000FFFFFFFFFF000) | (address & (kPage - 1));
}

debug::Type DumpBuilder::TypeNamed(std::string_view name) const {
  const symbols::TypeId id = source_->FindType(name);
  if (id == symbols::kNoType) Die(std::string(name) + ": no such type");
  return {source_.get(), id};
}

Structure DumpBuilder::At(std::string_view type, uint64_t address) {
  const debug::Type found = TypeNamed(type);
  Map(address, found.size());
  return {*this, found, address};
}

Structure DumpBuilder::New(std::string_view type) {
  const debug::Type found = TypeNamed(type);
  return {*this, found, Allocate(found.size())};
}

uint64_t DumpBuilder::Symbol(std::string_view name) const {
  const auto symbol = source_->FindSymbol(name);
  if (!symbol) Die(std::string(name) + ": no such symbol");
  return kernel_base_ + symbol->rva;
}

void DumpBuilder::PutUnicode(uint64_t address, std::string_view text) {
  const uint64_t buffer = Allocate(text.size() * 2 + 2);
  for (size_t i = 0; i < text.size(); ++i) Put<uint16_t>(buffer + i * 2, static_cast<uint8_t>(text[i]));
  Put<uint16_t>(address, static_cast<uint16_t>(text.size() * 2));
  Put<uint16_t>(address + 2, static_cast<uint16_t>(text.size() * 2 + 2));
  Put<uint64_t>(address + 8, buffer);
}

void DumpBuilder::InitList(uint64_t head) {
  Put<uint64_t>(head, head);
  Put<uint64_t>(head + 8, head);
}

void DumpBuilder::InsertTail(uint64_t head, uint64_t entry) {
  const uint64_t last = Read64(head + 8);
  Put<uint64_t>(entry, head);
  Put<uint64_t>(entry + 8, last);
  Put<uint64_t>(last, entry);
  Put<uint64_t>(head + 8, entry);
}

uint64_t DumpBuilder::LoadImage(const std::string& file, const std::string& name) {
  const auto bytes = ReadFile(file);
  const auto image = pe::Image::Parse(bytes, pe::Layout::kFile);
  const auto mapped = image ? pe::MapImage(*image) : tl::make_unexpected(image.error());
  if (!mapped) Die(mapped.error().message);
  const uint64_t base = image->headers().image_base;
  if (base != kernel_base_) Write(base, *mapped);
  if (header_->PsLoadedModuleList == 0 || module_list_ == 0) {
    module_list_ = header_->PsLoadedModuleList;
    InitList(module_list_);
  }
  Structure entry = New("_KLDR_DATA_TABLE_ENTRY");
  entry.Set("DllBase", base)
      .Set("EntryPoint", base + image->headers().entry_rva)
      .Set("SizeOfImage", mapped->size())
      .Set("TimeDateStamp", image->headers().time_date_stamp)
      .Set("CheckSum", image->headers().checksum);
  PutUnicode(entry.AddressOf("BaseDllName"), name);
  PutUnicode(entry.AddressOf("FullDllName"), "\\SystemRoot\\system32\\" + name);
  InsertTail(module_list_, entry.AddressOf("InLoadOrderLinks"));
  return base;
}

base::Result<void> DumpBuilder::Save(const std::string& path) {
  const kdump::PhysicalRun run{0, pages_.size()};
  const auto front = TRY(kdump::LayOutFull(*header_, std::span(&run, 1)));
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char*>(front.data()), static_cast<std::streamsize>(front.size()));
  for (const Page& page : pages_) file.write(reinterpret_cast<const char*>(page.data()), kPage);
  if (!file.flush()) return base::Fail(path + ": cannot be written");
  return {};
}

}  // namespace fabricated
