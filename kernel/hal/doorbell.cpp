// Port 0xE9 towards the host, COM1 from it; the ways to end.
#include "arch/cpu.h"
#include "boot/control.h"
#include "hal/hal.h"

namespace hal {
namespace {
constexpr uint16_t kCom1 = 0x3F8;
constexpr uint16_t kDebugExitPort = 0x501;
constexpr uint8_t kDataReady = 1;
}  // namespace

void RingHost() {
  arch::Out8(boot::kDebugConsolePort, 1);
}

void EnableSerialDoorbell() {
  arch::Out8(kCom1 + 3, 0x03);  // 8N1
  arch::Out8(kCom1 + 2, 0x07);  // FIFO on and emptied, trigger at 1 byte
  arch::Out8(kCom1 + 4, 0x0B);  // DTR, RTS, OUT2: without OUT2 no interrupt leaves the chip
  arch::Out8(kCom1 + 1, 0x01);  // interrupt on reception
}

bool DrainSerialDoorbell() {
  bool heard = false;
  // 0xFF: no such port.
  for (int i = 0; i < 256; ++i) {
    const uint8_t status = arch::In8(kCom1 + 5);
    if (status == 0xFF || !(status & kDataReady)) break;
    arch::In8(kCom1);
    heard = true;
  }
  return heard;
}

[[noreturn]] void HaltForEver() {
  for (;;) {
    arch::DisableInterrupts();
    arch::Halt();
  }
}

[[noreturn]] void ExitMachine(UCHAR value) {
  __asm__ volatile("outl %0, %1" ::"a"(static_cast<uint32_t>(value)), "Nd"(kDebugExitPort));
  HaltForEver();
}

}  // namespace hal
