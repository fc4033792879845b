// The control area: how host and guest talk. Plain RAM that both see, and two doorbells:
//   guest -> host: the guest writes one byte to the debug console port 0xE9 (a socket at the host's end)
//   host -> guest: the host writes one byte to COM1 (isa-serial, IRQ 4 = IOAPIC pin 4)
// A doorbell carries no meaning: whoever hears it looks at `state` and at the rings.
//
// Both sides treat the other's half as untrusted: indices are taken modulo the ring's fixed size, sizes are
// checked against what the ring holds, and a violation ends the conversation, never the checker.
#pragma once

#include <stdint.h>

namespace boot {

inline constexpr uint16_t kDebugConsolePort = 0xE9;
inline constexpr uint64_t kControlMagic = 0x4c4f52544e4f4342;  // "BCONTROL"
inline constexpr uint32_t kControlVersion = 1;

// How far the machine is; only ever grows, except that kCrashing/kCrashed may follow any state.
enum class MachineState : uint32_t {
  kPrepared = 0,       // written by the host, nothing has run
  kStubEntered = 1,    // the PVH stub runs
  kKernelEntered = 2,  // KiSystemStartup runs
  kConsoleUp = 3,      // the console ring works
  kProcessorsUp = 4,   // all processors run
  kReady = 5,          // requests are served
  kShuttingDown = 6,
  kStopped = 7,   // files written out, processors halted
  kCrashing = 8,  // KeBugCheckEx entered; contexts are being saved
  kCrashed = 9,   // the dump description below is valid; processors are halted
};

// A ring of bytes. `head` counts bytes ever written, `tail` bytes ever read; only the writer stores head,
// only the reader tail. Size is a power of two.
struct Ring {
  uint64_t physical;
  uint32_t size;
  uint32_t reserved;
  alignas(64) volatile uint64_t head;
  alignas(64) volatile uint64_t tail;
};

// What the host needs for a crash dump; valid once state == kCrashed (or kLiveDump was answered).
struct DumpDescription {
  uint64_t header_physical;  // DUMP_HEADER64, 0x2000 bytes, complete but for DumpType and RequiredDumpSpace
  uint64_t bitmap_physical;  // physically contiguous bitmap of the pages that belong in a kernel dump, LSB
                             // first, bit n = PFN n
  uint64_t bitmap_bits;      // a multiple of 64; 0: no bitmap
  uint64_t pages_in_bitmap;
  uint64_t blob_physical;  // tagged data of drivers, which follows the pages; physically contiguous
  uint64_t blob_bytes;     // 0: none
};

// The facts of the STOP screen.
struct StopFacts {
  uint32_t code;
  uint32_t irql;
  uint64_t parameters[4];
  uint64_t instruction;  // where it happened
  uint64_t thread;       // ETHREAD
  uint32_t processor;
  uint32_t reserved;
  char driver[32];  // file name of the image at fault, "" if none is known
  uint64_t driver_base;
};

// Why the host sends a non-maskable interrupt.
enum class NmiReason : uint32_t {
  kNoAnswer = 0,     // the machine hangs: bug check 0x80
  kPowerButton = 1,  // somebody holds the button down: bug check 0x1C8
};

// A dump of the running machine: all its processors wait between kReady and kTaken.
enum class LiveDump : uint32_t {
  kNone = 0,
  kReady = 1,  // by the guest: `dump` is valid
  kTaken = 2,  // by the host
};

// What drivers do when the crash dump has been written (KeRegisterBugCheckCallback).
enum class CrashCallbacks : uint32_t {
  kNone = 0,
  kWaiting = 1,  // by the guest, before kCrashed: there are some
  kGoOn = 2,     // by the host: the dump is written
  kDone = 3,     // by the guest
};

struct ControlArea {
  uint64_t magic;
  uint32_t version;
  uint32_t size;
  volatile MachineState state;
  volatile uint32_t processors_running;
  volatile uint64_t boot_step;  // address of the init task that runs: names a hang before the console
  Ring console;                 // guest -> host: text of DbgPrint and of the kernel, UTF-8
  Ring requests;                // host -> guest: Message + payload
  Ring replies;                 // guest -> host: Message + payload (replies and events)
  volatile DumpDescription dump;
  volatile StopFacts stop;
  volatile uint64_t
      driver_entry_tsc;  // time stamps for the benchmark: first DriverEntry of a service started by request
  volatile NmiReason nmi_reason;  // by the host, before the interrupt
  volatile LiveDump live_dump;
  Ring trace;  // guest -> host: events of ETW providers, text, one line each (docs/trace.md)
  volatile CrashCallbacks crash_callbacks;
};

// Message = header + `size` bytes of payload; the next message starts at the next multiple of 8.
struct Message {
  uint32_t size;   // payload bytes, at most kMaxPayload
  uint32_t kind;   // Request or Event
  uint32_t id;     // chosen by the host; the reply repeats it; 0 in events
  int32_t status;  // replies: NTSTATUS
};
inline constexpr uint32_t kMaxPayload = 60 * 1024;
inline constexpr uint32_t kRequestRingSize = 256 * 1024;
inline constexpr uint32_t kReplyRingSize = 256 * 1024;
inline constexpr uint32_t kConsoleRingSize = 256 * 1024;
inline constexpr uint32_t kTraceRingSize = 256 * 1024;

// Payloads are sequences of fields. A string field is u32 length in bytes, then UTF-8, padded to a multiple
// of 4.
enum class Request : uint32_t {
  kPing = 1,      // -> same payload
  kShutdown = 2,  // -> reply, then kShuttingDown .. kStopped
  kServiceCreate =
      3,  // name, image path as a Win32 or NT path, u32 type (1 kernel), u32 start, u32 error control
  kServiceDelete = 4,  // name
  kServiceStart =
      5,  // name -> status of the load; payload: detail text (missing imports, one a line; warnings)
  kServiceStop =
      6,  // name -> status; payload: LeftBehind text, one finding a line, empty when nothing is left
  kServiceQuery = 7,  // name ("" = all) -> per service: name, image path, u32 type, u32 state (1 stopped, 4
                      // running), u64 base, u64 size
  kDriverQuery = 8,   // -> per loaded image: file name, u64 base, u64 size, full path, service name
  kDirectory = 9,     // path -> per entry: name, u32 attributes, u64 size, u64 last write (FILETIME)
  kReadFile = 10,     // path, u64 offset, u32 length -> bytes
  kDriverActivity =
      11,          // name -> u32 threads of the image alive, u32 devices, u32 threads runnable or running,
                   //         then per thread: u64 ETHREAD, u32 state, u32 wait reason, u64 context switches
  kVerifier = 12,  // u32 flags, names... -> u32 flags in force
  kDevices = 13,   // directory path -> per object: name, type name
  kCrash = 14,     // manually initiated crash (0xE2)
  kLiveDump =
      15,  // a dump without a crash (0x161): `live_dump` says when; the reply comes after it was taken
  kWatchKernel = 16,   // from now on changes of the kernel's code and tables are bug check 0x109
  kObjects = 23,       // directory path -> per object: name, type name, u64 address of its body
  kClientCreate = 24,  // u32 client whose process gets one more thread (0: a new process), image name -> u32
                       // client, u64 process id, u64 physical address of its ClientArea (boot/client.h)
  kClientEnd = 25,     // u32 client, after which the host touches its area no more -> STATUS_IO_TIMEOUT: its
                       // thread is still in a driver; ask again
  // Programs (kernel/ps/program.h).
  kProcessStart = 17,   // image (a name in System32, or an NT path), command line ("": the image), u64 parent
                        // (0: System), u32 session, u32 account (0 LocalSystem, 1 administrator, 2 user), u32
                        // inherit -> u64 id
  kProcessStop = 18,    // u64 id, u32 exit status; the reply comes when it has ended
  kProcessThread = 19,  // u64 id -> u64 id of one more thread in it
  kProcessList = 20,    // -> per process: u64 id, u64 parent, u32 session, u32 threads, u32 exit status, name
  kDevnodeAdd = 27,     // hardware id, service ("": by the hardware id alone), u32 flags (kDevnodeKeep)
                        // -> instance path, u32 problem (0: none), u32 state
  // What an INF would say: hardware id, service, u32 count, per value of Device Parameters: name (keys before
  // it), u32. Devices with this identifier that have no driver get it.
  kDevnodeMap = 28,
  kDevnodeChange = 29,  // instance path, u32 DevnodeOperation
  kDevnodeQuery =
      30,  // -> per node, parents first: instance path, service, u32 depth, u32 state, u32 problem
  kProcessQuery = 40,  // u64 id -> u32 exit status (STATUS_PENDING while it lives; of one that has ended as
                       // long as not too many ended after it), u32 threads
  kPower = 31,         // u32 PowerOperation, u32 value -> u32 system power state (1 working, 2.. sleeping)
};

inline constexpr uint32_t kDevnodeKeep = 1;  // the device comes back at the machine's next start

enum class DevnodeOperation : uint32_t {
  kRemove = 1,
  kSurpriseRemove = 2,
  kStopAndRestart = 3,
  kRescan = 4,
  kEject = 5,
};

enum class PowerOperation : uint32_t {
  kQuery = 0,
  kSleep = 1,  // value: 1 to 4 for S1 to S4
  kWake = 2,
  kSource = 3,  // value: 0 mains, 1 battery
};

enum class Event : uint32_t {
  kDriverLoaded = 0x1001,    // file name, u64 base, u64 size
  kDriverEntry = 0x1002,     // name: DriverEntry is about to be called
  kDriverUnloaded = 0x1003,  // file name
  kWarning = 0x1004,         // text: e.g. a documented export that is bound to a trap
  kLockHeldLong = 0x1005,    // text: a spin lock held over 25 microseconds (at most a few a second)
};

}  // namespace boot
