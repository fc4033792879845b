// Interrupt controllers, timers, the doorbells. Works through the physical map: needs no mm. Owner: ke.
#pragma once

#include "nt/ntos.h"

namespace hal {

// Vectors; vector >> 4 is the IRQL.
inline constexpr UCHAR kApcVector = 0x1F;
inline constexpr UCHAR kDispatchVector = 0x2F;
inline constexpr UCHAR kFirstDeviceVector = 0x50;
inline constexpr UCHAR kLastDeviceVector = 0xBF;
inline constexpr UCHAR kClockVector = 0xD1;
inline constexpr UCHAR kIpiVector = 0xE1;
inline constexpr UCHAR kSpuriousVector = 0xFF;

// ---- Local APIC ----
void InitializeLocalApic();  // this processor: enabled, spurious vector, LINT1 = NMI
ULONG LocalApicId();
void EndOfInterrupt();
void SendIpi(ULONG apic_id, UCHAR vector);
void SendSelfIpi(UCHAR vector);
void SendNmi(ULONG apic_id);
void StartProcessors(ULONG start_page);  // INIT + SIPI to all others; start_page < 0x100
// One interrupt at kClockVector in `nanoseconds` (0: none). Replaces the pending one.
void ArmClock(ULONG64 nanoseconds);

// ---- I/O APIC ----
void InitializeIoApic();
void EnableLine(ULONG gsi, UCHAR vector, ULONG apic_id, bool level);
void DisableLine(ULONG gsi);

// ---- Time ----
void CalibrateTimers();  // processor 0, once
inline ULONG64 ReadTsc() {
  return __rdtsc();
}
ULONG64 TscFrequency();                 // Hz
ULONG64 TscToPerformance(ULONG64 tsc);  // performance counter, 10 MHz, 0 at boot
ULONG64 PerformanceNow();               // monotonic over processors
inline constexpr ULONG64 kPerformanceFrequency = 10'000'000;

// ---- Doorbells ----
void RingHost();              // port 0xE9
void EnableSerialDoorbell();  // COM1 interrupts on reception
bool DrainSerialDoorbell();   // true: something had arrived

[[noreturn]] void HaltForEver();             // interrupts off
[[noreturn]] void ExitMachine(UCHAR value);  // isa-debug-exit where present, else halts

}  // namespace hal
