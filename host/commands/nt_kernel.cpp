#include "commands/nt_kernel.h"

#include <cstring>

#include <fmt/format.h>

#include "commands/nt_process.h"

namespace nt {

FieldReader::FieldReader(const debug::Type& type, std::initializer_list<std::string_view> paths) {
  if (!type.valid()) return;
  for (std::string_view path : paths) {
    const auto field = type.FindField(path);
    if (!field) continue;
    symbols::Type info = type.source().GetType(field->type_id);
    if (info.kind == symbols::TypeKind::kBitField) info = type.source().GetType(info.target);
    if (info.size == 0 || info.size > 8) continue;
    offset_ = field->offset;
    size_ = static_cast<unsigned>(info.size);
    bit_position_ = field->bit_position;
    bit_count_ = field->bit_count;
    return;
  }
}

std::optional<uint64_t> FieldReader::Read(std::span<const std::byte> record) const {
  if (size_ == 0 || offset_ > record.size() || record.size() - offset_ < size_) return std::nullopt;
  uint64_t value = 0;
  std::memcpy(&value, record.data() + offset_, size_);
  if (bit_count_ != 0 && bit_count_ < 64) value = value >> bit_position_ & ((uint64_t{1} << bit_count_) - 1);
  return value;
}

int64_t FieldReader::SignedOr(std::span<const std::byte> record, int64_t fallback) const {
  const auto value = Read(record);
  if (!value) return fallback;
  const unsigned bits = bit_count_ != 0 ? bit_count_ : size_ * 8;
  if (bits >= 64) return static_cast<int64_t>(*value);
  const uint64_t sign = uint64_t{1} << (bits - 1);
  return static_cast<int64_t>((*value ^ sign) - sign);
}

Kernel::Kernel(debug::Session& session) : session_(session) {}
Kernel::~Kernel() = default;

const debug::Type& Kernel::type(const std::string& name) const {
  const auto known = types_.find(name);
  if (known != types_.end()) return known->second;
  debug::Type found;
  if (const auto type = symbols().FindType(name)) found = symbols().Complete(*type);
  return types_.emplace(name, found).first->second;
}

std::string Kernel::EnumName(const std::string& type_name, uint64_t value,
                             std::span<const char* const> fallback) const {
  const debug::Type& known = type(type_name);
  if (known.valid()) {
    const std::string_view name = known.EnumeratorName(static_cast<int64_t>(value));
    if (!name.empty()) return std::string(name);
  }
  if (value < fallback.size()) return fallback[value];
  return std::to_string(value);
}

// The fields of KUSER_SHARED_DATA at fixed offsets are ABI that drivers' inlined code reads.
uint64_t Kernel::TickCount() const {
  const auto tick = memory().Get<uint64_t>(kSharedUserData + 0x320);
  return tick ? *tick : 0;
}

uint64_t Kernel::TimeIncrement() const {
  if (increment_) return *increment_;
  constexpr uint64_t kDefault = 156250;
  auto usable = [](std::optional<uint64_t> value) { return value && *value >= 1000 && *value <= 10'000'000; };
  std::optional<uint64_t> value = GlobalU64("nt!KeMaximumIncrement", 4);
  if (!usable(value)) {
    const auto pointer = session_.kernel().KdbgU64(kdump::KdDebuggerData::kKeTimeIncrement);
    const auto found = pointer ? memory().Get<uint32_t>(*pointer) : base::Result<uint32_t>(0u);
    value = found ? std::optional<uint64_t>(*found) : std::nullopt;
  }
  increment_ = usable(value) ? *value : kDefault;
  return *increment_;
}

uint64_t Kernel::SinceTick(uint32_t tick) const {
  const auto elapsed = static_cast<uint32_t>(static_cast<uint32_t>(TickCount()) - tick);
  // A stamp from the future (the clock ticked between two reads of a live machine) is no time at all.
  return elapsed > 0xFFFFFF00 ? 0 : elapsed * TimeIncrement();
}

int64_t Kernel::TimeZoneBias() const {
  const auto low = memory().Get<uint32_t>(kSharedUserData + 0x20);
  const auto high = memory().Get<int32_t>(kSharedUserData + 0x24);
  return low && high ? static_cast<int64_t>(*high) << 32 | *low : 0;
}

std::optional<uint64_t> Kernel::CounterNow() const {
  const auto value = GlobalU64("nt!KiBugCheckPerformanceCounter");
  if (value && *value != 0) return value;
  // The counter starts at boot: the crash path's up time is the same moment in 100 ns units.
  constexpr uint64_t kUnitsPerSecond = 10'000'000;
  const uint64_t uptime = session_.header().SystemUpTime, frequency = CounterFrequency();
  if (session_.target().is_live() || frequency == 0 || uptime == 0 || uptime >> 56 != 0) return std::nullopt;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(uptime) * frequency / kUnitsPerSecond);
}

uint64_t Kernel::CounterFrequency() const {
  for (const char* symbol : {"nt!KiPerformanceFrequency", "nt!HalpPerformanceFrequency"}) {
    const auto value = GlobalU64(symbol);
    if (value && *value != 0) return *value;
  }
  const auto shared = memory().Get<uint64_t>(kSharedUserData + 0x300);  // QpcFrequency
  return shared ? *shared : 0;
}

std::optional<double> Kernel::MicrosecondsSince(uint64_t counter) const {
  const auto now = CounterNow();
  const uint64_t frequency = CounterFrequency();
  if (!now || frequency == 0 || counter == 0) return std::nullopt;
  if (*now < counter) return 0.0;  // began while the other processors were being stopped
  return static_cast<double>(*now - counter) * 1e6 / static_cast<double>(frequency);
}

std::optional<uint64_t> Kernel::GlobalU64(std::string_view symbol, unsigned size) const {
  const auto value = symbols().GlobalU64(symbol, size);
  return value ? std::optional<uint64_t>(*value) : std::nullopt;
}

std::string Kernel::GlobalString(std::string_view symbol) const {
  const auto address = symbols().AddressOf(symbol);
  if (!address) return "";
  std::string text = memory().ReadCString(*address, 256);
  for (char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) > 0x7E) return "";
  }
  return text;
}

}  // namespace nt
