// Segment, task-state and interrupt descriptors.
#pragma once

#include <stdint.h>

namespace arch {

inline constexpr uint16_t kCodeSelector = 0x10, kDataSelector = 0x18, kTssSelector = 0x40;
inline constexpr uint16_t kUserCodeSelector = 0x33, kUserDataSelector = 0x2B;

struct __attribute__((packed)) TaskState {
  uint32_t reserved0;
  uint64_t rsp[3];
  uint64_t ist[8];  // ist[0] is reserved
  uint64_t reserved1;
  uint16_t reserved2;
  uint16_t io_map_base;
};
static_assert(sizeof(TaskState) == 0x68);

// What one processor needs beside its PCR.
struct alignas(16) ProcessorTables {
  uint64_t gdt[12];
  TaskState tss;
};

struct Gate {
  uint16_t offset_low;
  uint16_t selector;
  uint16_t ist_and_type;
  uint16_t offset_middle;
  uint32_t offset_high;
  uint32_t reserved;
};
static_assert(sizeof(Gate) == 16);

inline constexpr int kIstDoubleFault = 1, kIstMachineCheck = 2, kIstNmi = 3;

// Interrupt gate (interrupts disabled on entry); ist 0 = stay on the current stack; user: INT n from any
// ring.
void SetGate(Gate& gate, const void* handler, int ist, bool user);

// Loads GDT, TSS, IDT and segments on this processor. The tables must stay where they are.
void LoadTables(ProcessorTables& tables, const Gate* idt, uint32_t idt_entries);

// CR0, CR4 and EFER features, only where CPUID has them (a bit that is not supported hangs TCG).
void EnableProcessorFeatures();
// The components of the extended state that this processor has and the kernel switches (XCR0).
uint64_t UsableExtendedStates();

}  // namespace arch
