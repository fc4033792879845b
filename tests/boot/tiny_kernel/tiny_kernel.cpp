// A kernel of a hundred lines for the tests of the host side: checks what the loader handed over, then obeys
// the boot option "play=...":
//   serve   answers every request (kPing with its payload, the rest with success and none), stops on
//   kShutdown,
//           crashes on kCrash and on an NMI (default)
//   start_crash, start_hang, start_fail   as serve, but so at kServiceStart
//   crash   writes a dump description and stops as if KeBugCheckEx had run
//   hang    reaches kReady and answers nothing
//   mute    hangs before the console is up
//   reset   triple fault
//   liar    puts an impossible index into the reply ring
#include <stdint.h>

#include "boot/control.h"
#include "boot/loader_block.h"

namespace {

boot::LoaderBlock* g_block;
boot::ControlArea* g_control;

template <typename T>
T* AtPhysical(uint64_t physical) {
  return reinterpret_cast<T*>(boot::kPhysicalMapBase + physical);
}

void OutByte(uint16_t port, uint8_t value) {
  asm volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
void Pause() {
  asm volatile("pause");
}
[[noreturn]] void Halt() {
  for (;;) asm volatile("cli; hlt");
}

void Ring(boot::Ring& ring, const void* bytes, uint32_t size) {
  auto* target = AtPhysical<uint8_t>(ring.physical);
  const auto* source = static_cast<const uint8_t*>(bytes);
  const uint64_t head = ring.head;
  for (uint32_t i = 0; i < size; i++) target[(head + i) & (ring.size - 1)] = source[i];
  asm volatile("" ::: "memory");
  ring.head = head + size;
}

void Doorbell() {
  OutByte(boot::kDebugConsolePort, 0);
}

void SetState(boot::MachineState state) {
  g_control->state = state;
  Doorbell();
}

void Print(const char* text) {
  uint32_t size = 0;
  while (text[size] != 0) size++;
  Ring(g_control->console, text, size);
  Doorbell();
}

bool Option(const char* wanted) {
  const char* at = g_block->options;
  const char prefix[] = "play=";
  for (; *at != 0; at++) {
    uint32_t i = 0;
    while (i < 5 && at[i] == prefix[i]) i++;
    if (i < 5) continue;
    at += 5;
    while (*wanted != 0 && *at == *wanted) at++, wanted++;
    return *wanted == 0 && (*at == 0 || *at == ' ');
  }
  return false;
}

template <typename T>
void Put(uint8_t* header, uint32_t offset, T value) {
  *reinterpret_cast<T*>(header + offset) = value;
}

alignas(4096) uint8_t g_dump_header[0x2000];
alignas(4096) uint64_t g_bitmap[16384];

uint64_t PhysicalOf(const void* address) {
  return reinterpret_cast<uint64_t>(address) - g_block->kernel_base + g_block->kernel_physical;
}

// The dump: the kernel image, loader block and page-table root; enough to find the way.
[[noreturn]] void Crash(uint32_t code) {
  SetState(boot::MachineState::kCrashing);
  for (uint32_t i = 0; i < sizeof(g_dump_header); i += 4) Put<uint32_t>(g_dump_header, i, 0x45474150);
  Put<uint32_t>(g_dump_header, 4, 0x34365544);
  Put<uint32_t>(g_dump_header, 8, 15);
  Put<uint32_t>(g_dump_header, 12, g_block->build_number);
  uint64_t cr3;
  asm volatile("movq %%cr3, %0" : "=r"(cr3));
  Put<uint64_t>(g_dump_header, 0x10, cr3);
  Put<uint32_t>(g_dump_header, 0x30, 0x8664);
  Put<uint32_t>(g_dump_header, 0x34, 1);
  Put<uint32_t>(g_dump_header, 0x38, code);
  for (uint32_t i = 0; i < 4; i++) Put<uint64_t>(g_dump_header, 0x40 + i * 8, i + 1);
  uint32_t runs = 0;
  uint64_t pages = 0;
  for (uint32_t i = 0; i < g_block->memory_descriptor_count; i++) {
    const boot::MemoryDescriptor& memory = g_block->memory[i];
    if (memory.type == boot::MemoryType::kFirmwarePermanent) continue;
    Put<uint64_t>(g_dump_header, 0x98 + runs * 16, memory.base_page);
    Put<uint64_t>(g_dump_header, 0xA0 + runs * 16, memory.page_count);
    pages += memory.page_count;
    runs++;
    if (memory.type == boot::MemoryType::kFree) continue;
    for (uint64_t page = memory.base_page; page < memory.base_page + memory.page_count; page++) {
      g_bitmap[page / 64] |= 1ull << page % 64;
    }
  }
  Put<uint32_t>(g_dump_header, 0x88, runs);
  Put<uint64_t>(g_dump_header, 0x90, pages);
  g_control->dump.header_physical = PhysicalOf(g_dump_header);
  g_control->dump.bitmap_physical = PhysicalOf(g_bitmap);
  g_control->dump.bitmap_bits = 65536;
  g_control->stop.code = code;
  for (uint32_t i = 0; i < 4; i++) g_control->stop.parameters[i] = i + 1;
  SetState(boot::MachineState::kCrashed);
  Halt();
}

void TakeRequest(uint8_t* bytes, uint32_t size) {
  boot::Ring& ring = g_control->requests;
  const uint64_t tail = ring.tail;
  const auto* source = AtPhysical<uint8_t>(ring.physical);
  for (uint32_t i = 0; i < size; i++) bytes[i] = source[(tail + i) & (ring.size - 1)];
  ring.tail = tail + size;
}

uint8_t g_payload[boot::kMaxPayload + 8];

[[noreturn]] void Serve() {
  for (;;) {
    while (g_control->requests.head == g_control->requests.tail) Pause();
    boot::Message message;
    TakeRequest(reinterpret_cast<uint8_t*>(&message), sizeof(message));
    const uint32_t padded = (message.size + 7) & ~7u;
    TakeRequest(g_payload, padded);
    const auto request = static_cast<boot::Request>(message.kind);
    if (request == boot::Request::kCrash) Crash(0xE2);
    if (request == boot::Request::kServiceStart) {
      if (Option("start_crash")) Crash(0xD1);
      if (Option("start_hang")) Halt();
      if (Option("start_fail")) message.status = static_cast<int32_t>(0xC0000001);
    }
    if (request != boot::Request::kPing) message.size = 0;
    Ring(g_control->replies, &message, sizeof(message));
    Ring(g_control->replies, g_payload, (message.size + 7) & ~7u);
    Doorbell();
    if (message.kind == static_cast<uint32_t>(boot::Request::kShutdown)) {
      SetState(boot::MachineState::kShuttingDown);
      SetState(boot::MachineState::kStopped);
      Halt();
    }
  }
}

struct [[gnu::packed]] Gate {
  uint16_t offset_low, selector, type;
  uint16_t offset_middle;
  uint32_t offset_high, reserved;
};
Gate g_idt[3];

void NmiEntry() {
  Crash(0x80);
}

// An interrupt table with the NMI alone, and the local APIC's pin that brings QEMU's inject-nmi.
void PrepareForNmi() {
  const auto handler = reinterpret_cast<uint64_t>(&NmiEntry);
  uint16_t code_selector;
  asm volatile("movw %%cs, %0" : "=r"(code_selector));
  g_idt[2] = {static_cast<uint16_t>(handler),
              code_selector,
              0x8E00,
              static_cast<uint16_t>(handler >> 16),
              static_cast<uint32_t>(handler >> 32),
              0};
  struct [[gnu::packed]] {
    uint16_t limit;
    uint64_t base;
  } table{sizeof(g_idt) - 1, reinterpret_cast<uint64_t>(g_idt)};
  asm volatile("lidt %0" ::"m"(table));
  *AtPhysical<volatile uint32_t>(0xFEE00350) = 0x700;
  *AtPhysical<volatile uint32_t>(0xFEE00360) = 0x400;
}

}  // namespace

extern "C" [[noreturn]] void KiSystemStartup(boot::LoaderBlock* block) {
  g_block = block;
  g_control = AtPhysical<boot::ControlArea>(block->control_physical);
  if (block->version != boot::kLoaderBlockVersion || block->size != sizeof(boot::LoaderBlock) ||
      g_control->magic != boot::kControlMagic || g_control->state != boot::MachineState::kStubEntered) {
    for (const char* text = "tiny kernel: bad hand-off\n"; *text != 0; text++)
      OutByte(boot::kDebugConsolePort, *text);
    Halt();
  }
  SetState(boot::MachineState::kKernelEntered);
  if (Option("mute")) Halt();
  if (Option("reset")) {
    struct [[gnu::packed]] {
      uint16_t limit;
      uint64_t base;
    } nothing{0, 0};
    asm volatile("lidt %0; int3" ::"m"(nothing));
  }
  PrepareForNmi();
  SetState(boot::MachineState::kConsoleUp);
  Print("tiny kernel: hello\n");
  if (block->boot_file_count == 1) Print("tiny kernel: one boot file\n");
  SetState(boot::MachineState::kReady);
  if (Option("crash")) Crash(0xE2);
  if (Option("hang")) Halt();
  if (Option("liar")) {
    g_control->replies.head = 1ull << 40;
    Doorbell();
    Halt();
  }
  Serve();
}

extern "C" void* memcpy(void* target, const void* source, unsigned long long size) {
  auto* to = static_cast<uint8_t*>(target);
  const auto* from = static_cast<const uint8_t*>(source);
  for (unsigned long long i = 0; i < size; i++) to[i] = from[i];
  return target;
}

extern "C" void* memset(void* target, int value, unsigned long long size) {
  auto* to = static_cast<uint8_t*>(target);
  for (unsigned long long i = 0; i < size; i++) to[i] = static_cast<uint8_t>(value);
  return target;
}
