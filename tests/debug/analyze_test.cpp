// !analyze -v on fabricated crashes.
#include <gtest/gtest.h>

#include "fabricated_machine.h"
#include "formats/pe/image.h"

namespace fabricated {
namespace {

const std::string kDir = FABRICATED_DIR;
constexpr uint64_t kStack = 0xFFFFFB00'90000000;
constexpr uint64_t kLock = 0xFFFFAB02'71234560;

// Writes return addresses where the frames' sizes put them, innermost first.
class Stack {
 public:
  Stack(DumpBuilder& builder, uint64_t rsp) : builder_(builder), rsp_(rsp) {}
  uint64_t rsp() const { return rsp_; }
  // The frame at rsp is `size` bytes; its caller goes on at `return_address`.
  Stack& Frame(uint64_t size, uint64_t return_address) {
    builder_.Put<uint64_t>(rsp_ + size, return_address);
    rsp_ += size + 8;
    return *this;
  }
  // A page fault's frame (as nt!KiPageFault has it), above the code that was interrupted.
  uint64_t TrapFrame(uint64_t rip, uint64_t rsp) {
    const uint64_t frame = rsp_;
    builder_.Put<uint64_t>(frame + 0x158, 0);
    builder_.Put<uint64_t>(frame + 0x168, rip);
    builder_.Put<uint64_t>(frame + 0x170, 0x10);
    builder_.Put<uint64_t>(frame + 0x178, 0x10246);
    builder_.Put<uint64_t>(frame + 0x180, rsp);
    builder_.Put<uint64_t>(frame + 0x188, 0x18);
    rsp_ = rsp;
    return frame;
  }

 private:
  DumpBuilder& builder_;
  uint64_t rsp_;
};

uint64_t PageSection(const std::string& file) {
  const auto bytes = ReadFile(file);
  return pe::Image::Parse(bytes, pe::Layout::kFile)->headers().SectionNamed("PAGE")->rva;
}

struct Crash {
  std::unique_ptr<Machine> machine;
  uint64_t holder = 0, spinner = 0, trap_frame = 0, fault = 0;
};

// The project's crash: file I/O under a spin lock, the file system's code not resident, a rival spinning.
Crash FileIoUnderSpinLock(bool with_trace) {
  Crash crash;
  crash.machine = std::make_unique<Machine>(2);
  Machine& machine = *crash.machine;
  DumpBuilder& b = machine.builder();
  const uint64_t driver = b.LoadImage(kDir + "/drivers/TestDriver.sys", "TestDriver.sys");
  const uint64_t hostfs = b.LoadImage(kDir + "/drivers/hostfs.sys", "hostfs.sys");
  crash.fault = hostfs + PageSection(kDir + "/drivers/hostfs.sys");
  b.MakeNotResident(crash.fault, 1);
  machine.AddProcess({.pid = 0, .name = "Idle"});
  const uint64_t system = machine.AddProcess({.pid = 4, .name = "System"});
  crash.holder = machine.AddThread(system, {.tid = 0x30, .state = kRunning, .processor = 0});
  crash.spinner = machine.AddThread(system, {.tid = 0x34, .state = kRunning, .processor = 1});

  b.Map(kStack, 0x6000);
  Stack stack(b, kStack + 0x1000);
  stack.Frame(0, b.Symbol("KiBugCheckDispatch") + 0x69).Frame(0x138, b.Symbol("KiPageFault") + 0x474);
  const uint64_t frame_base = stack.rsp() + 0x80;
  crash.trap_frame = stack.TrapFrame(crash.fault, kStack + 0x2000);
  stack.Frame(0, b.Symbol("IofCallDriver") + 0x55)
      .Frame(0x38, b.Symbol("IopParseDevice") + 0x90)
      .Frame(0x88, b.Symbol("NtCreateFile") + 0x79)
      .Frame(0x78, b.Symbol("ZwCreateFile") + 0x15)
      .Frame(0x28, driver + 0x1120)
      .Frame(0x338, b.Symbol("PspSystemThreadStartup") + 0x57)
      .Frame(0x48, b.Symbol("KiStartSystemThread") + 0x34)
      .Frame(0x38, 0);
  machine.SetCrash(0, 0xD1, {crash.fault, 2, 8, crash.fault}, {crash.fault, kStack + 0x2000});
  machine.SetContext(0, {b.Symbol("KeBugCheckEx"), kStack + 0x1000, frame_base});

  Stack rival(b, kStack + 0x4000);
  rival.Frame(0x28, b.Symbol("KeAcquireSpinLockRaiseToDpc") + 0x8E)
      .Frame(0x28, driver + 0x1297)
      .Frame(0x338, b.Symbol("PspSystemThreadStartup") + 0x57)
      .Frame(0x48, b.Symbol("KiStartSystemThread") + 0x34)
      .Frame(0x38, 0);
  machine.SetContext(1, {b.Symbol("KxWaitForSpinLockAndAcquire") + 0x1C, kStack + 0x4000});
  if (with_trace) {
    machine.TraceLock(0, 0, kLock, driver + 0x1110, crash.holder, false, 40'100);
    machine.TraceLock(1, 0, kLock, driver + 0x1297, crash.spinner, true, 39'000);
  }
  return crash;
}

std::string Hex16(uint64_t value) {
  char text[20];
  std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(value));
  return text;
}

TEST(Analyze, NamesCallIrqlLockSpinnerAndPageableCode) {
  Crash crash = FileIoUnderSpinLock(true);
  auto opened = crash.machine->Open(true);
  const std::string text = opened.Run("!analyze -v");
  auto has = [&](const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n---\n" << text;
  };
  has("DRIVER_IRQL_NOT_LESS_OR_EQUAL (d1)\n");
  has("Arg1: " + Hex16(crash.fault) + ", memory address that was used\n");
  has("TestDriver called ZwCreateFile at DISPATCH_LEVEL (it requires PASSIVE_LEVEL) while holding the spin "
      "lock at " +
      Hex16(kLock) +
      ", taken at TestDriver!FileCreationThread+0x10 on processor 0, 40.1 ms ago (limit 25 us).");
  has("Thread " + Hex16(crash.spinner) +
      " has been spinning for that lock on processor 1 for 39.0 ms (at TestDriver!FileMoveThread+0x47).");
  has("The fault was an execute of pageable code of hostfs.sys (section PAGE, not resident)");
  has("TRAP_FRAME:  " + Hex16(crash.trap_frame));
  has("PROCESS_NAME:  System\n");
  has(" : nt!ZwCreateFile+0x15\n");
  has(" : hostfs!HostFsCreate\n");
  has("SYMBOL_NAME:  TestDriver!FileCreationThread+0x20\n");
  has("IMAGE_NAME:  TestDriver.sys\n");
  has("FAILURE_BUCKET_ID:  AV_CODE_AV_PAGED_CODE_TestDriver!FileCreationThread\n");
}

TEST(Analyze, WithoutALockTraceItSaysSoAndNamesTheSpinner) {
  Crash crash = FileIoUnderSpinLock(false);
  auto opened = crash.machine->Open(false);
  const std::string text = opened.Run("!analyze -v");
  EXPECT_NE(text.find("TestDriver called ZwCreateFile at DISPATCH_LEVEL (it requires PASSIVE_LEVEL).\n"),
            std::string::npos)
      << text;
  EXPECT_EQ(text.find("while holding"), std::string::npos);
  EXPECT_NE(text.find("SYMBOL_NAME:  TestDriver+0x1120\n"), std::string::npos) << text;
}

TEST(Analyze, StackOfTheCrashedThreadBeginsAtTheBugCheck) {
  Crash crash = FileIoUnderSpinLock(true);
  auto opened = crash.machine->Open(true);
  const std::string text = opened.Run("!mex.t " + Hex16(crash.holder));
  EXPECT_NE(text.find(" nt!KeBugCheckEx\n"), std::string::npos) << text;
  EXPECT_NE(text.find(" nt!KiPageFault+0x474\n"), std::string::npos) << text;
}

TEST(Analyze, HangNamesTheDeadlockOfTwoLocks) {
  Machine machine(2);
  DumpBuilder& b = machine.builder();
  const uint64_t driver = b.LoadImage(kDir + "/drivers/TestDriver.sys", "TestDriver.sys");
  machine.AddProcess({.pid = 0, .name = "Idle"});
  const uint64_t system = machine.AddProcess({.pid = 4, .name = "System"});
  const uint64_t one = machine.AddThread(system, {.tid = 0x30, .state = kRunning, .processor = 0});
  const uint64_t two = machine.AddThread(system, {.tid = 0x34, .state = kRunning, .processor = 1});
  b.Map(kStack, 0x1000);
  for (uint32_t cpu = 0; cpu < 2; ++cpu)
    machine.SetContext(cpu, {b.Symbol("KxWaitForSpinLockAndAcquire") + 0x1C, kStack + 0x100});
  machine.SetCrash(0, 0x80, {0x4F4454}, {b.Symbol("KxWaitForSpinLockAndAcquire") + 0x1C, kStack + 0x100});
  machine.TraceLock(0, 0, kLock, driver + 0x1110, one, false, 5'000'000);
  machine.TraceLock(0, 1, kLock + 8, driver + 0x1120, one, true, 4'000'000);
  machine.TraceLock(1, 0, kLock + 8, driver + 0x1260, two, false, 5'000'000);
  machine.TraceLock(1, 1, kLock, driver + 0x1297, two, true, 4'000'000);
  auto opened = machine.Open(true);
  const std::string text = opened.Run("!analyze -v");
  EXPECT_NE(text.find("this is a hang, not a crash"), std::string::npos) << text;
  EXPECT_NE(text.find("Deadlock of 2 threads"), std::string::npos) << text;
  EXPECT_NE(opened.Run("!spinlocks").find("5.000 s !"), std::string::npos) << opened.Run("!spinlocks");
}

TEST(Analyze, NullPointerOfADriverIsCalledThat) {
  Machine machine(1);
  DumpBuilder& b = machine.builder();
  const uint64_t driver = b.LoadImage(kDir + "/drivers/TestDriver.sys", "TestDriver.sys");
  machine.AddProcess({.pid = 0, .name = "Idle"});
  const uint64_t system = machine.AddProcess({.pid = 4, .name = "System"});
  machine.AddThread(system, {.tid = 0x30, .state = kRunning, .processor = 0});
  b.Map(kStack, 0x3000);
  Stack stack(b, kStack + 0x1000);
  stack.Frame(0x338, b.Symbol("PspSystemThreadStartup") + 0x57)
      .Frame(0x48, b.Symbol("KiStartSystemThread") + 0x34)
      .Frame(0x38, 0);
  machine.SetCrash(0, 0xD1, {0x18, 2, 0, driver + 0x1120}, {driver + 0x1120, kStack + 0x1000});
  auto opened = machine.Open(true);
  const std::string text = opened.Run("!analyze -v");
  EXPECT_NE(text.find("The fault was a read of address 0x18: a null pointer, or a field of one"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("SYMBOL_NAME:  TestDriver!FileCreationThread+0x20\n"), std::string::npos) << text;
}

// A damaged dump must not hang or crash a command.
TEST(HostileDumps, DamagedListsAreBoundedAndSaid) {
  Machine machine(2);
  DumpBuilder& b = machine.builder();
  machine.AddProcess({.pid = 0, .name = "Idle"});
  const uint64_t system = machine.AddProcess({.pid = 4, .name = "System"});
  machine.AddThread(system, {.tid = 0x30, .state = kRunning, .processor = 0});
  Structure process = b.At("_EPROCESS", system);
  b.Put<uint64_t>(process.AddressOf("ThreadListHead"), 0x4141414141414141);
  b.Put<uint64_t>(process.AddressOf("ActiveProcessLinks"), process.AddressOf("ActiveProcessLinks"));
  b.At("_KPRCB", machine.prcb(1)).Set("CurrentThread", 0x1234);
  machine.SetCrash(0, 0xD1, {~0ull, 255, 8, ~0ull}, {0x4141414141414141, 0x4141414141414141});
  auto opened = machine.Open();
  for (const commands::Command* command : commands::AllCommands()) {
    for (std::string_view example : command->examples) opened.Run(std::string(example));
  }
  EXPECT_NE(opened.Run("!mex.tl -t").find("Warning! "), std::string::npos);
  EXPECT_NE(opened.Run("!mex.running").find("Processor 1: Memory read error at 00000000`00001234"),
            std::string::npos)
      << opened.Run("!mex.running");
}

}  // namespace
}  // namespace fabricated
