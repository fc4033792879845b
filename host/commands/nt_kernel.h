// What is known about an NT kernel above raw memory. Every type and field is asked for by name, so that our
// kernel and Microsoft's both work; what a kernel's symbols lack is left out, never guessed.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "debug/session.h"

namespace nt {

// One field of a type, resolved once and read from the type's bytes many times.
class FieldReader {
 public:
  FieldReader() = default;
  // The first of `paths` that the type has; none: valid() is false and reads give nothing.
  FieldReader(const debug::Type& type, std::initializer_list<std::string_view> paths);

  bool valid() const { return size_ != 0; }
  uint64_t offset() const { return offset_; }
  std::optional<uint64_t> Read(std::span<const std::byte> record) const;
  uint64_t ReadOr(std::span<const std::byte> record, uint64_t fallback = 0) const {
    return Read(record).value_or(fallback);
  }
  int64_t SignedOr(std::span<const std::byte> record, int64_t fallback = 0) const;

 private:
  uint64_t offset_ = 0;
  unsigned size_ = 0;  // bytes, 0 = no such field
  uint8_t bit_position_ = 0;
  uint8_t bit_count_ = 0;
};

struct Thread;
struct Process;
struct ThreadFields;
struct ProcessFields;

// KUSER_SHARED_DATA's address is part of the ABI.
inline constexpr uint64_t kSharedUserData = 0xFFFFF780'00000000;

class Kernel {
 public:
  explicit Kernel(debug::Session& session);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  debug::Session& session() const { return session_; }
  const debug::Symbols& symbols() const { return session_.symbols(); }
  const debug::VirtualMemory& memory() const { return session_.memory(); }

  // An invalid Type when there is none. Looked up once.
  const debug::Type& type(const std::string& name) const;
  // The enumerator's name for `value`, else the fallback table's, else the number.
  std::string EnumName(const std::string& type_name, uint64_t value,
                       std::span<const char* const> fallback) const;

  // ---- Time ----
  uint64_t TickCount() const;      // now, in ticks
  uint64_t TimeIncrement() const;  // 100 ns units in a tick
  // From a KTHREAD's 32-bit tick stamp to now, 100 ns units.
  uint64_t SinceTick(uint32_t tick) const;
  int64_t TimeZoneBias() const;  // UTC - local, 100 ns units
  // Of the performance counter: now (as the crash path recorded it) and ticks a second; nothing when unknown.
  std::optional<uint64_t> CounterNow() const;
  uint64_t CounterFrequency() const;
  // Microseconds from a performance counter value to now; nothing when not known.
  std::optional<double> MicrosecondsSince(uint64_t counter) const;

  // ---- Globals ----
  std::optional<uint64_t> GlobalU64(std::string_view symbol, unsigned size = 8) const;
  // A char array or a pointer to characters at a symbol; "" when there is none.
  std::string GlobalString(std::string_view symbol) const;

  // ---- Processes and threads (nt_process.h has the structs) ----
  // Every process, Idle first; threads of each. Read once until Refresh().
  const std::vector<Process>& Processes();
  // Forgets what was read: the interpreter calls it before each command on a live machine.
  void Refresh();
  // The process or thread at an address, also one that is on no list.
  base::Result<Process> ReadProcess(uint64_t address);
  base::Result<Thread> ReadThread(uint64_t address);
  // The listed thread at an address or with that id; null when there is none.
  const Thread* FindThread(uint64_t address);
  const Process* FindProcess(uint64_t address);
  // Damage that was met while walking lists, one line each.
  const std::vector<std::string>& damage() const { return damage_; }

  bool HasType(const std::string& name) const { return type(name).valid(); }

 private:
  void ReadAll();
  void ReadProcessorThreads();
  std::vector<uint64_t> ThreadAddresses(const Process& process);

  debug::Session& session_;
  mutable std::map<std::string, debug::Type> types_;
  mutable std::optional<uint64_t> increment_;
  std::unique_ptr<ThreadFields> thread_fields_;
  std::unique_ptr<ProcessFields> process_fields_;
  bool processes_read_ = false;
  std::vector<Process> processes_;
  std::map<uint64_t, uint32_t> running_on_;  // KTHREAD -> processor
  std::vector<uint64_t> idle_threads_;
  std::vector<std::string> damage_;
};

}  // namespace nt
