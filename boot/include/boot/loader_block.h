// What the host's loader hands to the kernel. Shared by host and guest: fixed-width types only, no pointers.
//
// The host plays the part of winload: before the machine starts it writes into guest RAM (one shared memory
// file) the kernel image with its section protections, the first page tables, the boot drivers' files, the
// control area and this block. The PVH stub (boot/entry.S) only switches to long mode with those tables and
// jumps to KiSystemStartup(block).
#pragma once

#include <stdint.h>

namespace boot {

// ---- Fixed virtual layout that loader and kernel share (bits 47.. are the sign extension) ----
inline constexpr uint64_t kPteBase = 0xFFFFF680'00000000;  // self-map, PML4 slot 0x1ED
inline constexpr uint64_t kSelfMapSlot = 0x1ED;
inline constexpr uint64_t kPhysicalMapBase =
    0xFFFFF000'00000000;  // all RAM and the device window, NX, 2 MiB pages
inline constexpr uint64_t kSharedUserData = 0xFFFFF780'00000000;  // KUSER_SHARED_DATA
inline constexpr uint64_t kKernelBase = 0xFFFFF802'00000000;      // ntoskrnl.exe

// ---- Fixed physical layout ----
inline constexpr uint64_t kHandoffPhysical = 0x1F0000;  // boot::Handoff, read by the PVH stub
inline constexpr uint64_t kStubPhysical = 0x100000;     // the stub's ELF segment
inline constexpr uint64_t kLoaderFirstPhysical =
    0x200000;  // everything else that the loader places starts here
inline constexpr uint64_t kDeviceWindow =
    0xFEA00000;  // LAPIC, IOAPIC, virtio-mmio: mapped uncached in the physical map
inline constexpr uint64_t kDeviceWindowSize = 0x600000;  // ... up to 0xFF000000

inline constexpr uint64_t kHandoffMagic = 0x46464f444e414842;  // "BHANDOFF"
struct Handoff {
  uint64_t magic;
  uint64_t cr3;           // physical address of the PML4
  uint64_t entry;         // virtual address of KiSystemStartup
  uint64_t stack;         // virtual address: initial RSP, 16-byte aligned
  uint64_t loader_block;  // virtual address of LoaderBlock (in the physical map)
  uint64_t control;       // physical address of ControlArea: the stub sets `state` to kStubEntered
};

// Windows's TYPE_OF_MEMORY, the members that we use.
enum class MemoryType : uint32_t {
  kFree = 2,           // LoaderFree
  kLoadedProgram = 4,  // LoaderLoadedProgram: boot files, reclaimable once loaded
  kFirmwareTemporary = 5,
  kFirmwarePermanent = 6,  // firmware, ROM, reserved: never RAM for us
  kStartupKernelStack = 9,
  kSystemCode = 11,  // the kernel image
  kMemoryData = 21,  // page tables, loader block, shared data page, control area: stay for ever
};

struct MemoryDescriptor {
  MemoryType type;
  uint32_t reserved;
  uint64_t base_page;
  uint64_t page_count;
};

// A file in memory: the raw bytes, as on disk (not mapped as an image).
struct BootFile {
  char name[32];      // "hostfs.sys"
  uint64_t physical;  // page aligned
  uint64_t size;
};

// What firmware would tell of a PCI host bridge, in the ACPI tables of a real machine.
struct PciHost {
  uint64_t configuration;  // physical address of bus 0's configuration space (ECAM); 0: there is no PCI
  uint64_t window;         // physical addresses that the devices' registers may get
  uint64_t window_size;
  uint32_t first_line;  // of the I/O APIC, for pin A of device 0; pin p of device d: (d + p) % 4 further
  uint32_t reserved;
};

inline constexpr uint32_t kLoaderBlockVersion = 2;
inline constexpr uint32_t kMaxMemoryDescriptors = 64;
inline constexpr uint32_t kMaxBootFiles = 8;

enum class Accelerator : uint32_t { kTcg = 0, kKvm = 1, kTcgIcount = 2 };

struct LoaderBlock {
  uint32_t version;
  uint32_t size;
  uint64_t kernel_base;  // virtual
  uint64_t kernel_size;  // SizeOfImage
  uint64_t kernel_entry;
  uint64_t kernel_physical;   // the image is physically contiguous from here
  uint64_t control_physical;  // boot::ControlArea
  uint64_t shared_user_data_physical;
  uint64_t boot_stack_base;   // virtual, high end; the idle thread of processor 0 keeps it
  uint64_t boot_stack_limit;  // virtual, low end
  uint64_t system_time;       // FILETIME (UTC, 100 ns) at launch
  uint64_t random_seed[4];    // for cookies
  uint32_t processors;
  Accelerator accelerator;
  uint32_t build_number;    // what RtlGetVersion reports, default 22621
  uint32_t verifier_flags;  // Driver Verifier's bits
  int32_t time_zone_bias_minutes;
  uint32_t memory_descriptor_count;
  uint32_t boot_file_count;
  uint32_t virtio_first_line;  // of the I/O APIC: slot n of the virtio-mmio devices interrupts on this + n
  MemoryDescriptor memory[kMaxMemoryDescriptors];  // sorted, no overlap; covers RAM and reserved ranges
  BootFile boot_files[kMaxBootFiles];
  char machine_name[32];  // computer name
  PciHost pci;
  char options[512];  // "name=value name=value": boot options, unknown ones are reported and ignored
};

}  // namespace boot
