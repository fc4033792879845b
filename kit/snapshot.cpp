#include "bugcheck/snapshot.h"

#include "debug/target.h"
#include "machine_core.h"
#include "snapshot_core.h"

namespace bugcheck {
namespace {

constexpr int kMonitorTimeoutMs = 3000;
constexpr size_t kMaxFrames = 64;
constexpr size_t kMaxDevices = 4096;

template <typename T>
Result<T> Convert(base::Result<T> result) {
  if (!result) return detail::AsError(result.error());
  return std::move(*result);
}

}  // namespace

Result<std::unique_ptr<Snapshot::Core>> Snapshot::Core::Open(run::Machine& machine,
                                                             const std::string& guest_folder,
                                                             const std::vector<std::string>& driver_folders) {
  auto core = std::make_unique<Core>();
  core->machine = &machine;
  if (machine.condition() == run::Condition::kRunning) {
    auto paused = machine.process().Command(R"({"execute":"stop"})", kMonitorTimeoutMs);
    if (!paused) return detail::AsError(paused.error());
    core->paused = true;
  }
  debug::SessionOptions options;
  options.symbol_path = guest_folder;
  for (const std::string& folder : driver_folders) options.symbol_path += ";" + folder;
  options.use_environment = false;
  auto target = debug::OpenLive(machine.ram().fd(), machine.channel().dump_description().header_physical);
  if (!target) return detail::AsError(target.error());
  auto session = debug::Session::Open(std::move(*target), options);
  if (!session) return detail::AsError(session.error());
  core->session = std::move(*session);
  return core;
}

Snapshot::Core::~Core() {
  // A machine that does not go on shows at the next call.
  if (paused) (void)machine->process().Command(R"({"execute":"cont"})", kMonitorTimeoutMs);
}

Snapshot::Snapshot(std::unique_ptr<Core> core) : core_(std::move(core)) {}
Snapshot::~Snapshot() = default;

// ---- Objects ----

KernelObject KernelObject::Make(const debug::Symbols& symbols, debug::Object object) {
  KernelObject made;
  made.core_ = std::make_shared<Core>(Core{&symbols, std::move(object)});
  return made;
}

uint64_t KernelObject::address() const {
  return core_ != nullptr ? core_->object.address() : 0;
}

std::string KernelObject::type() const {
  return core_ != nullptr ? core_->object.type().name() : "";
}

Result<KernelObject> KernelObject::At(std::string_view path) const {
  if (core_ == nullptr) return Error{"there is no object"};
  auto member = core_->object.At(path);
  if (!member) return detail::AsError(member.error());
  return Make(*core_->symbols, *member);
}

Result<uint64_t> KernelObject::U64(std::string_view path) const {
  if (core_ == nullptr) return Error{"there is no object"};
  return Convert(core_->object.U64(path));
}

Result<int64_t> KernelObject::I64(std::string_view path) const {
  if (core_ == nullptr) return Error{"there is no object"};
  return Convert(core_->object.I64(path));
}

Result<std::string> KernelObject::UnicodeString(std::string_view path) const {
  if (core_ == nullptr) return Error{"there is no object"};
  return Convert(core_->object.UnicodeString(path));
}

Result<KernelObject> KernelObject::Follow(std::string_view path) const {
  if (core_ == nullptr) return Error{"there is no object"};
  auto pointer = core_->object.At(path);
  if (!pointer) return detail::AsError(pointer.error());
  auto target = pointer->Deref();
  if (!target) return detail::AsError(target.error());
  return Make(*core_->symbols, target->As(core_->symbols->Complete(target->type())));
}

Result<uint64_t> KernelObject::Value() const {
  if (core_ == nullptr) return Error{"there is no object"};
  return Convert(core_->object.U64());
}

// ---- The snapshot ----

Result<KernelObject> Snapshot::ObjectAt(std::string_view type, uint64_t address) const {
  const debug::Symbols& symbols = core_->session->symbols();
  auto object = symbols.ObjectAt(type, address);
  if (!object) return detail::AsError(object.error());
  return KernelObject::Make(symbols, *object);
}

Result<KernelObject> Snapshot::Global(std::string_view name) const {
  const debug::Symbols& symbols = core_->session->symbols();
  auto object = symbols.Global(name);
  if (!object) return detail::AsError(object.error());
  return KernelObject::Make(symbols, *object);
}

Result<std::vector<std::byte>> Snapshot::Read(uint64_t address, size_t bytes) const {
  std::vector<std::byte> data(bytes);
  auto read = core_->session->memory().Read(address, data);
  if (!read) return detail::AsError(read.error());
  return data;
}

std::string Snapshot::Describe(uint64_t address) const {
  return core_->session->symbols().Describe(address);
}

std::vector<KernelObject> Snapshot::Processes() const {
  std::vector<KernelObject> processes;
  for (const uint64_t address : core_->session->Processes().entries) {
    if (auto process = ObjectAt("_EPROCESS", address)) processes.push_back(*process);
  }
  return processes;
}

std::vector<KernelObject> Snapshot::Threads(const KernelObject& process) const {
  std::vector<KernelObject> threads;
  for (const uint64_t address : core_->session->Threads(process.address()).entries) {
    if (auto thread = ObjectAt("_ETHREAD", address)) threads.push_back(*thread);
  }
  return threads;
}

std::vector<std::string> Snapshot::Stack(const KernelObject& thread) const {
  std::vector<std::string> names;
  auto stack = core_->session->ThreadStack(thread.address(), kMaxFrames);
  if (!stack) return names;
  for (const debug::Frame& frame : stack->frames) names.push_back(Describe(frame.ip));
  return names;
}

std::vector<KernelObject> Snapshot::DevicesOf(const KernelObject& driver) const {
  std::vector<KernelObject> devices;
  auto device = driver.Follow("DeviceObject");
  while (device && devices.size() < kMaxDevices) {
    devices.push_back(*device);
    device = devices.back().Follow("NextDevice");
  }
  return devices;
}

}  // namespace bugcheck
