// The console: bytes into the control area's console ring, a doorbell for the host.
#include "kd/kd.h"

#include <stdarg.h>

#include "arch/cpu.h"
#include "hal/hal.h"
#include "ktl/byte_ring.h"
#include "ktl/format.h"
#include "nt/export.h"
#include "nt/kpcr.h"

namespace kd {
namespace {

constinit boot::ControlArea* control = nullptr;
constinit ktl::RingWriter<boot::Ring> ring;
constinit volatile long console_lock = 0;
constinit volatile ULONG crashing = 0;  // number + 1 of the processor that crashes
constinit ULONG64 lost_bytes = 0;

bool Crashes() {
  return crashing != 0 && crashing == KeGetCurrentPrcb()->Number + 1;
}

// Held with interrupts off, so a print from any IRQL is safe. The holder may be frozen: the processor that
// crashes goes on anyway, while the others wait for their freeze.
class ConsoleGuard {
 public:
  ConsoleGuard() : enabled_(arch::DisableInterruptsAndTell()) {
    while (__atomic_exchange_n(&console_lock, 1, __ATOMIC_ACQUIRE) != 0 && !Crashes()) {
      for (int i = 0; i < 64 && console_lock != 0; ++i) {
      }
      arch::Pause();
    }
  }
  ~ConsoleGuard() {
    __atomic_store_n(&console_lock, 0, __ATOMIC_RELEASE);
    arch::RestoreInterrupts(enabled_);
  }

 private:
  bool enabled_;
};

void ReportLoss() {
  char text[64];
  const SIZE_T length =
      ktl::Format(text, sizeof text, "[%llu bytes of console output were lost]\n", lost_bytes);
  if (ring.Write(text, length)) lost_bytes = 0;
}

}  // namespace

void InitializeConsole(const boot::LoaderBlock* block) {
  control = reinterpret_cast<boot::ControlArea*>(boot::kPhysicalMapBase + block->control_physical);
  boot::Ring& console = control->console;
  ring = {&console, reinterpret_cast<uint8_t*>(boot::kPhysicalMapBase + console.physical), console.size};
  SetMachineState(boot::MachineState::kKernelEntered);
}

void PutText(const char* text, SIZE_T length) {
  if (control == nullptr || length == 0) return;
  {
    ConsoleGuard guard;
    if (lost_bytes != 0) ReportLoss();
    if (!ring.Write(text, length)) lost_bytes += length;
  }
  hal::RingHost();
}

void Print(const char* format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  const SIZE_T length = ktl::FormatV(text, sizeof text, format, arguments);
  va_end(arguments);
  PutText(text, length);
}

boot::ControlArea* Control() {
  return control;
}

void SetMachineState(boot::MachineState state) {
  control->state = state;
  hal::RingHost();
}

void SetBootStep(PVOID function) {
  control->boot_step = reinterpret_cast<ULONG64>(function);
}

void EnterCrash() {
  crashing = KeGetCurrentPrcb()->Number + 1;
}

}  // namespace kd
