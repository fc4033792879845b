// The console and the trace: bytes into the control area's rings, a doorbell for the host.
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
constinit volatile ULONG crashing = 0;  // number + 1 of the processor that crashes

bool Crashes() {
  return crashing != 0 && crashing == KeGetCurrentPrcb()->Number + 1;
}

// Text to the host by one of the rings. Its lock is held with interrupts off, so any IRQL may write. The
// holder may be frozen: the processor that crashes goes on anyway, while the others wait for their freeze.
class TextRing {
 public:
  explicit constexpr TextRing(const char* name) : name_(name) {}

  void Attach(boot::Ring& ring) {
    ring_ = {&ring, reinterpret_cast<uint8_t*>(boot::kPhysicalMapBase + ring.physical), ring.size};
  }

  void Put(const char* text, SIZE_T length) {
    const bool enabled = arch::DisableInterruptsAndTell();
    while (__atomic_exchange_n(&lock_, 1, __ATOMIC_ACQUIRE) != 0 && !Crashes()) {
      for (int i = 0; i < 64 && lock_ != 0; ++i) {
      }
      arch::Pause();
    }
    if (lost_bytes_ != 0) ReportLoss();
    if (!ring_.Write(text, length)) lost_bytes_ += length;
    __atomic_store_n(&lock_, 0, __ATOMIC_RELEASE);
    arch::RestoreInterrupts(enabled);
  }

 private:
  void ReportLoss() {
    char text[64];
    const SIZE_T length =
        ktl::Format(text, sizeof text, "[%llu bytes of %s were lost]\n", lost_bytes_, name_);
    if (ring_.Write(text, length)) lost_bytes_ = 0;
  }

  const char* name_;
  ktl::RingWriter<boot::Ring> ring_;
  volatile long lock_ = 0;
  ULONG64 lost_bytes_ = 0;
};

constinit TextRing console_ring("console output");
constinit TextRing trace_ring("the trace");

}  // namespace

void InitializeConsole(const boot::LoaderBlock* block) {
  control = reinterpret_cast<boot::ControlArea*>(boot::kPhysicalMapBase + block->control_physical);
  console_ring.Attach(control->console);
  trace_ring.Attach(control->trace);
  SetMachineState(boot::MachineState::kKernelEntered);
}

void PutText(const char* text, SIZE_T length) {
  if (control == nullptr || length == 0) return;
  console_ring.Put(text, length);
  hal::RingHost();
}

void PutTrace(const char* text, SIZE_T length) {
  if (control == nullptr || length == 0) return;
  trace_ring.Put(text, length);
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
