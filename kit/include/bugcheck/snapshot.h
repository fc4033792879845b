// Kernel objects of a machine that stands still, by the names of their types and fields. All layouts come
// from the symbols (the kernel's PDB, and the driver's beside its .sys).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bugcheck/result.h"

namespace debug {
class Symbols;
class Object;
}  // namespace debug

namespace bugcheck {

struct NamedObject {
  std::string name;
  std::string type;      // "Device", "Driver", "SymbolicLink", ...
  uint64_t address = 0;  // of the object's body: a DEVICE_OBJECT, a DRIVER_OBJECT, ...
};

// A typed place in the machine's memory. Valid while its Snapshot is.
class KernelObject {
 public:
  KernelObject() = default;
  uint64_t address() const;
  std::string type() const;
  // Fields by dotted path: "Tcb.State", "Queue.Wcb.WaitQueueEntry.DeviceListEntry.Flink",
  // "MajorFunction[14]".
  Result<KernelObject> At(std::string_view path) const;
  Result<uint64_t> U64(std::string_view path) const;
  Result<int64_t> I64(std::string_view path) const;
  Result<std::string> UnicodeString(std::string_view path) const;
  // What the pointer at `path` points to.
  Result<KernelObject> Follow(std::string_view path) const;
  // A scalar object's own value.
  Result<uint64_t> Value() const;

 private:
  friend class Snapshot;
  struct Core;
  static KernelObject Make(const debug::Symbols& symbols, debug::Object object);
  std::shared_ptr<const Core> core_;
};

class Snapshot {
 public:
  ~Snapshot();
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;

  // "_DEVICE_OBJECT", or a driver's own type as "mydriver!_DEVICE_EXTENSION".
  Result<KernelObject> ObjectAt(std::string_view type, uint64_t address) const;
  // A global variable: "nt!PsActiveProcessHead", "mydriver!Counter".
  Result<KernelObject> Global(std::string_view name) const;
  Result<std::vector<std::byte>> Read(uint64_t address, size_t bytes) const;
  // "mydriver!Worker+0x12".
  std::string Describe(uint64_t address) const;
  // EPROCESS and ETHREAD objects.
  std::vector<KernelObject> Processes() const;
  std::vector<KernelObject> Threads(const KernelObject& process) const;
  // The function names of a thread's stack, innermost first.
  std::vector<std::string> Stack(const KernelObject& thread) const;
  // The devices of a DRIVER_OBJECT, as its DeviceObject list has them.
  std::vector<KernelObject> DevicesOf(const KernelObject& driver) const;

 private:
  friend class Machine;
  struct Core;
  explicit Snapshot(std::unique_ptr<Core> core);
  std::unique_ptr<Core> core_;
};

}  // namespace bugcheck
