// Local APIC and I/O APIC, through the uncached device window of the physical map.
#include "arch/cpu.h"
#include "boot/loader_block.h"
#include "hal/hal.h"

namespace hal {
namespace {

constexpr uint64_t kLocalApicPhysical = 0xFEE00000;
constexpr uint64_t kIoApicPhysical = 0xFEC00000;

enum LocalRegister : uint32_t {
  kId = 0x20,
  kTaskPriority = 0x80,
  kEoi = 0xB0,
  kSpurious = 0xF0,
  kIcrLow = 0x300,
  kIcrHigh = 0x310,
  kLvtTimer = 0x320,
  kLvtLint0 = 0x350,
  kLvtLint1 = 0x360,
  kLvtError = 0x370,
  kInitialCount = 0x380,
  kCurrentCount = 0x390,
  kDivide = 0x3E0,
};
constexpr uint32_t kMasked = 1u << 16;
constexpr uint32_t kDeliveryNmi = 4u << 8;
constexpr uint32_t kDivideByOne = 0xB;
constexpr uint32_t kIcrBusy = 1u << 12;

volatile uint32_t& Local(uint32_t offset) {
  return *reinterpret_cast<volatile uint32_t*>(boot::kPhysicalMapBase + kLocalApicPhysical + offset);
}

volatile uint32_t& IoSelect() {
  return *reinterpret_cast<volatile uint32_t*>(boot::kPhysicalMapBase + kIoApicPhysical);
}
volatile uint32_t& IoWindow() {
  return *reinterpret_cast<volatile uint32_t*>(boot::kPhysicalMapBase + kIoApicPhysical + 0x10);
}
void WriteIo(uint32_t index, uint32_t value) {
  IoSelect() = index;
  IoWindow() = value;
}
uint32_t ReadIo(uint32_t index) {
  IoSelect() = index;
  return IoWindow();
}

// The command is two registers: nothing on this processor may come in between.
void WriteCommand(uint32_t apic_id, uint32_t command) {
  const bool enabled = arch::DisableInterruptsAndTell();
  while (Local(kIcrLow) & kIcrBusy) arch::Pause();
  Local(kIcrHigh) = apic_id << 24;
  Local(kIcrLow) = command;
  arch::RestoreInterrupts(enabled);
}

// The I/O APIC's index and window registers are one resource.
volatile long io_apic_lock;
class IoApicGuard {
 public:
  IoApicGuard() : enabled_(arch::DisableInterruptsAndTell()) {
    while (__atomic_exchange_n(&io_apic_lock, 1, __ATOMIC_ACQUIRE) != 0) arch::Pause();
  }
  ~IoApicGuard() {
    __atomic_store_n(&io_apic_lock, 0, __ATOMIC_RELEASE);
    arch::RestoreInterrupts(enabled_);
  }

 private:
  bool enabled_;
};

uint32_t LineCount() {
  return ((ReadIo(1) >> 16) & 0xFF) + 1;
}

}  // namespace

void InitializeLocalApic() {
  Local(kSpurious) = 0x100 | kSpuriousVector;
  Local(kLvtTimer) = kMasked;
  Local(kLvtLint0) = kMasked;
  Local(kLvtLint1) = kDeliveryNmi;  // QEMU's inject-nmi reaches the processor only so
  Local(kLvtError) = kMasked;
  Local(kDivide) = kDivideByOne;
}

ULONG LocalApicId() {
  return Local(kId) >> 24;
}
void EndOfInterrupt() {
  Local(kEoi) = 0;
}
void SendIpi(ULONG apic_id, UCHAR vector) {
  WriteCommand(apic_id, 0x4000u | vector);
}
void SendSelfIpi(UCHAR vector) {
  const bool enabled = arch::DisableInterruptsAndTell();
  Local(kIcrLow) = 0x44000u | vector;
  arch::RestoreInterrupts(enabled);
}
void SendNmi(ULONG apic_id) {
  WriteCommand(apic_id, 0x4000u | kDeliveryNmi);
}

void StartProcessors(ULONG start_page) {
  WriteCommand(0, 0xC4500);
  WriteCommand(0, 0xC4600 | start_page);
}

void ArmClock(ULONG64 nanoseconds) {
  if (nanoseconds == 0) {
    Local(kLvtTimer) = kMasked;
    Local(kInitialCount) = 0;
    return;
  }
  if (nanoseconds > 0xFFFFFFFF) nanoseconds = 0xFFFFFFFF;
  Local(kLvtTimer) = kClockVector;  // one-shot; the timer counts at 1 GHz
  Local(kInitialCount) = static_cast<uint32_t>(nanoseconds);
}

void InitializeIoApic() {
  IoApicGuard guard;
  const uint32_t lines = LineCount();
  for (uint32_t line = 0; line < lines; ++line) WriteIo(0x10 + 2 * line, kMasked);
}

void EnableLine(ULONG gsi, UCHAR vector, ULONG apic_id, bool level) {
  IoApicGuard guard;
  if (gsi >= LineCount()) return;
  WriteIo(0x11 + 2 * gsi, apic_id << 24);
  WriteIo(0x10 + 2 * gsi, vector | (level ? 1u << 15 : 0));
}

void DisableLine(ULONG gsi) {
  IoApicGuard guard;
  if (gsi < LineCount()) WriteIo(0x10 + 2 * gsi, kMasked);
}

// ---- calibration: the only other user of the timer's registers ----
void StartReferenceCount() {
  Local(kLvtTimer) = kMasked;
  Local(kInitialCount) = 0xFFFFFFFF;
}
uint32_t ReadReferenceCount() {
  return 0xFFFFFFFF - Local(kCurrentCount);
}
void StopReferenceCount() {
  Local(kInitialCount) = 0;
}

}  // namespace hal
