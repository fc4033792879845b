// The unwinder against the processor: the sample image runs inside the test, one instruction at a time; a
// record of the calls and returns that really happen is kept, and at every instruction the unwinder must find
// exactly that chain of callers and the values that the callers' non-volatile registers really had. The
// kernel's unwinder must agree with it at every step.
#include "debug/unwind.h"

#include <algorithm>
#include <csignal>
#include <cstring>
#include <map>
#include <vector>

#include <sys/mman.h>
#include <ucontext.h>

#include <gtest/gtest.h>

#include "base/mapped_file.h"
#include "debug/kernel_unwind.h"
#include "debug/synthetic_dump.h"

namespace debug {
namespace {

class NoMemory final : public PhysicalMemory {
 public:
  std::optional<base::Bytes> Page(uint64_t) const override { return std::nullopt; }
  std::vector<kdump::PhysicalRun> Runs() const override { return {}; }
};

// One call that has not returned: where it will return to, and the registers that must be the same then.
struct Call {
  uint64_t return_address;
  uint64_t stack;  // rsp after the return
  uint64_t rbx, rbp, rsi, rdi, r12, r13, r14, r15;
};

struct Recording {
  Unwinder* unwinder = nullptr;
  testing::KernelUnwinder kernel;
  size_t compared = 0;  // steps that both unwinders took
  uint64_t base = 0, end = 0;
  uint64_t stack_top = 0;
  std::vector<Call> calls;
  bool is_call = false;  // the instruction before was a call
  size_t instructions = 0;
  size_t deepest = 0;
  size_t machine_frames = 0;
  std::string failure;
};
Recording* g_run;

Registers FromSignal(const ucontext_t& context) {
  const auto& g = context.uc_mcontext.gregs;
  Registers r;
  static constexpr int kOrder[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                     REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
  for (uint8_t i = 0; i < 16; ++i) r.Set(i, static_cast<uint64_t>(g[kOrder[i]]));
  r.rip = static_cast<uint64_t>(g[REG_RIP]);
  return r;
}

std::string Hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(value));
  return text;
}

// Does the unwinder find g_run->calls from here?
std::string Compare(const Registers& registers) {
  Frame frame;
  frame.registers = registers;
  for (size_t i = g_run->calls.size(); i-- > 0;) {
    const Call& call = g_run->calls[i];
    frame.ip = frame.registers.rip;
    frame.child_sp = frame.registers.rsp();
    auto next = g_run->unwinder->Step(frame);
    const std::string where =
        "rip +" + Hex(registers.rip - g_run->base) + ", frame +" + Hex(frame.ip - g_run->base) + ": ";
    if (!next) return where + next.error().message;
    if (!*next) return where + "the stack ends early";
    const Registers& r = **next;
    if (auto wrong =
            g_run->kernel.Compare(frame.registers, frame.is_call_return, frame.machine_frame != 0, r);
        !wrong.empty()) {
      return where + wrong;
    }
    ++g_run->compared;
    if (frame.machine_frame != 0) {
      // An interrupt, not a call: it is no entry of the record.
      ++i;
      ++g_run->machine_frames;
    } else {
      if (r.rip != call.return_address)
        return where + "returns to " + Hex(r.rip) + ", not " + Hex(call.return_address);
      if (r.rsp() != call.stack) return where + "rsp " + Hex(r.rsp()) + ", not " + Hex(call.stack);
      const uint64_t found[] = {r.gpr[kRbx], r.gpr[kRbp], r.gpr[kRsi], r.gpr[kRdi],
                                r.gpr[kR12], r.gpr[kR13], r.gpr[kR14], r.gpr[kR15]};
      const uint64_t real[] = {call.rbx, call.rbp, call.rsi, call.rdi,
                               call.r12, call.r13, call.r14, call.r15};
      if (std::memcmp(found, real, sizeof real) != 0) return where + "a non-volatile register is wrong";
    }
    const bool is_call_return = frame.machine_frame == 0;
    frame = Frame();
    frame.registers = r;
    frame.is_call_return = is_call_return;
  }
  return "";
}

void OnTrap(int, siginfo_t*, void* opaque) {
  const auto& context = *static_cast<ucontext_t*>(opaque);
  const Registers r = FromSignal(context);
  if (r.rip < g_run->base || r.rip >= g_run->end || !g_run->failure.empty()) {
    g_run->is_call = false;
    return;
  }
  if (g_run->is_call || g_run->calls.empty()) {
    uint64_t return_address;
    std::memcpy(&return_address, reinterpret_cast<void*>(r.rsp()), 8);
    g_run->calls.push_back({return_address, r.rsp() + 8, r.gpr[kRbx], r.gpr[kRbp], r.gpr[kRsi], r.gpr[kRdi],
                            r.gpr[kR12], r.gpr[kR13], r.gpr[kR14], r.gpr[kR15]});
  }
  while (!g_run->calls.empty() && r.rsp() >= g_run->calls.back().stack) g_run->calls.pop_back();
  ++g_run->instructions;
  g_run->deepest = std::max(g_run->deepest, g_run->calls.size());
  g_run->failure = Compare(r);
  const auto* code = reinterpret_cast<const uint8_t*>(r.rip);
  g_run->is_call = code[0] == 0xe8 || (code[0] == 0xff && (code[1] & 0x38) == 0x10);
}

using Function = int64_t(__attribute__((ms_abi)) *)(int64_t);

__attribute__((noinline)) int64_t CallStepping(Function function, int64_t argument) {
  asm volatile("pushfq; orq $0x100, (%%rsp); popfq" ::: "cc", "memory");
  const int64_t result = function(argument);
  asm volatile("pushfq; andq $~0x100, (%%rsp); popfq" ::: "cc", "memory");
  return result;
}

class UnwindTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto file = base::MappedFile::Open(testing::SyntheticMachine::ImagePath());
    ASSERT_TRUE(file) << file.error().message;
    auto image = pe::Image::Parse(file->bytes(), pe::Layout::kFile);
    ASSERT_TRUE(image);
    functions_ = image->headers().directory(pe::Directory::kException);
    auto mapped = pe::MapImage(*image);
    ASSERT_TRUE(mapped);
    size_ = mapped->size();
    memory_ = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory_, MAP_FAILED);
    base_ = reinterpret_cast<uint64_t>(memory_);
    ASSERT_TRUE(pe::Relocate(*mapped, image->headers(), base_));
    std::memcpy(memory_, mapped->data(), size_);
  }
  void TearDown() override {
    if (memory_ != nullptr) ::munmap(memory_, size_);
  }

  // Our own stack, as far as the test's frames reach, is readable memory of the target.
  std::unique_ptr<Symbols> MakeSymbols(uint64_t stack) {
    virtual_ = std::make_unique<VirtualMemory>(none_, 0);
    const uint64_t low = (stack - (256 << 10)) & ~0xfffull;
    std::vector<kdump::VirtualBlock> blocks{
        {base_, {static_cast<const std::byte*>(memory_), size_}},
        {low, {reinterpret_cast<const std::byte*>(low), stack - low}},
    };
    std::ranges::sort(blocks, {}, &kdump::VirtualBlock::address);
    virtual_->SetBlocks(std::move(blocks));
    SymbolPath path;
    path.AddFolder(testing::SyntheticMachine::ImageFolder());
    auto symbols = std::make_unique<Symbols>(*virtual_, path);
    Module module;
    module.name = "sample";
    module.base = base_;
    module.size = size_;
    symbols->AddModule(std::move(module));
    return symbols;
  }

  NoMemory none_;
  std::unique_ptr<VirtualMemory> virtual_;
  pe::DataDirectory functions_;
  void* memory_ = nullptr;
  size_t size_ = 0;
  uint64_t base_ = 0;
};

TEST_F(UnwindTest, AgreesWithTheProcessorAtEveryInstruction) {
  auto symbols = MakeSymbols(reinterpret_cast<uint64_t>(__builtin_frame_address(0)));
  Unwinder unwinder(*symbols);
  const auto entry = symbols->Find("sample!RunAll");
  ASSERT_TRUE(entry) << entry.error().message;
  Recording run;
  run.unwinder = &unwinder;
  run.base = base_;
  run.end = base_ + size_;
  run.kernel = {base_, reinterpret_cast<const rtl::RuntimeFunction*>(base_ + functions_.rva),
                static_cast<uint32_t>(functions_.size / sizeof(rtl::RuntimeFunction))};
  g_run = &run;
  std::vector<std::byte> handler_stack(1 << 20);
  stack_t alternate{};
  alternate.ss_sp = handler_stack.data();
  alternate.ss_size = handler_stack.size();
  ::sigaltstack(&alternate, nullptr);
  struct sigaction action{}, old{};
  action.sa_sigaction = OnTrap;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGTRAP, &action, &old);
  const int64_t stepped = CallStepping(reinterpret_cast<Function>(entry->address), 3);
  ::sigaction(SIGTRAP, &old, nullptr);
  stack_t off{};
  off.ss_flags = SS_DISABLE;
  ::sigaltstack(&off, nullptr);

  EXPECT_EQ(run.failure, "");
  EXPECT_GT(run.instructions, 500u);
  EXPECT_GT(run.compared, run.instructions);
  EXPECT_GE(run.deepest, 5u);
  EXPECT_GT(run.machine_frames, 5u);
  // Stepping changed nothing: the second run starts from PrivateCounter's next value only.
  EXPECT_EQ(stepped, reinterpret_cast<Function>(entry->address)(3));
}

}  // namespace
}  // namespace debug
