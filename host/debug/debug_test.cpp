#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <sys/mman.h>
#include <unistd.h>

#include <gtest/gtest.h>

#include "debug/disassembler.h"
#include "debug/expression.h"
#include "debug/session.h"
#include "debug/synthetic_dump.h"

namespace debug {
namespace {

using testing::SyntheticMachine;

std::unique_ptr<Session> OpenSession(base::Result<std::unique_ptr<Target>> target,
                                     const std::string& folder) {
  EXPECT_TRUE(target) << target.error().message;
  if (!target) return nullptr;
  SessionOptions options;
  options.image_folder = folder;
  options.use_environment = false;
  auto session = Session::Open(std::move(*target), options);
  EXPECT_TRUE(session) << session.error().message;
  return session ? std::move(*session) : nullptr;
}

// The sample's PDB carries the name that its image asks for.
class DebugTest : public ::testing::Test {
 protected:
  void Open(kdump::DumpType type) {
    session_ = OpenSession(OpenDump(machine_.Save(type)), SyntheticMachine::ImageFolder());
    ASSERT_NE(session_, nullptr);
  }
  void Open() { Open(kdump::DumpType::kBitmapKernel); }
  uint64_t Thread(uint64_t i) const { return machine_.Symbol("SampleThreads") + i * TypeSize("_ETHREAD"); }
  uint64_t Process(uint64_t i) const {
    return machine_.Symbol("SampleProcesses") + i * TypeSize("_EPROCESS");
  }
  uint64_t TypeSize(const char* name) const { return session_->symbols().FindType(name)->size(); }

  SyntheticMachine machine_;
  std::unique_ptr<Session> session_;
};

class DebugDumpTypes : public DebugTest, public ::testing::WithParamInterface<kdump::DumpType> {};

TEST_P(DebugDumpTypes, KernelModulesProcessesAndThreads) {
  Open(GetParam());
  EXPECT_TRUE(session_->warnings().empty()) << session_->warnings()[0];
  EXPECT_EQ(session_->kernel().base, SyntheticMachine::kKernelBase);
  ASSERT_EQ(session_->symbols().modules().size(), 2u);
  const Module* nt = session_->symbols().ModuleNamed("nt");
  ASSERT_NE(nt, nullptr);
  EXPECT_EQ(nt->symbol_state, SymbolState::kPdb);
  EXPECT_EQ(nt->image_name, "ntoskrnl.exe");
  EXPECT_EQ(session_->symbols().ModuleNamed("testdriver")->base, 0xfffff80277000000u);
  EXPECT_EQ(session_->Processes().entries, (std::vector{Process(0), Process(1), Process(2)}));
  EXPECT_EQ(session_->Threads(Process(0)).entries, (std::vector{Thread(0), Thread(1)}));
  EXPECT_EQ(session_->Threads(Process(1)).entries, (std::vector{Thread(2), Thread(3)}));
  EXPECT_TRUE(session_->Threads(Process(2)).entries.empty());
  EXPECT_EQ(session_->RunningOn(Thread(2)), 1u);
  EXPECT_EQ(session_->RunningOn(Thread(3)), std::nullopt);
}
INSTANTIATE_TEST_SUITE_P(Types, DebugDumpTypes,
                         ::testing::Values(kdump::DumpType::kFull, kdump::DumpType::kBitmapFull,
                                           kdump::DumpType::kBitmapKernel));

TEST_F(DebugTest, LiveMemoryIsReadInPlace) {
  const int fd = ::memfd_create("ram", 0);
  ASSERT_GE(fd, 0);
  std::memcpy(machine_.ram().data() + 0x8000, &machine_.header(), sizeof(kdump::Header64));
  ASSERT_EQ(::write(fd, machine_.ram().data(), machine_.ram().size()),
            static_cast<ssize_t>(machine_.ram().size()));
  session_ = OpenSession(OpenLive(fd, 0x8000), SyntheticMachine::ImageFolder());
  ASSERT_NE(session_, nullptr);
  const uint64_t counter = machine_.Symbol("PrivateCounter");
  EXPECT_EQ(session_->symbols().GlobalU64("nt!PrivateCounter").value_or(0), 7u);
  const uint32_t changed = 99;
  const auto translation = session_->memory().Translate(counter);
  ASSERT_EQ(::pwrite(fd, &changed, 4, static_cast<off_t>(translation.physical)), 4);
  EXPECT_EQ(session_->symbols().GlobalU64("nt!PrivateCounter").value_or(0), 99u);
  EXPECT_FALSE(session_->ProcessorRegisters(0));
  EXPECT_FALSE(OpenLive(fd, 0x9000));
  ::close(fd);
}

TEST(RamFile, HoleIsSkipped) {
  constexpr uint64_t kFourGiB = 4ull << 30;
  EXPECT_EQ(RamFileOffset(0xbfffffff, kFourGiB), 0xbfffffffu);
  EXPECT_EQ(RamFileOffset(0xc0000000, kFourGiB), UINT64_MAX);
  EXPECT_EQ(RamFileOffset(0xffffffff, kFourGiB), UINT64_MAX);
  EXPECT_EQ(RamFileOffset(0x100000000, kFourGiB), 0xc0000000u);
  EXPECT_EQ(RamFileOffset(0x140000000, kFourGiB), UINT64_MAX);
}

TEST_F(DebugTest, Translation) {
  machine_.ram()[0x200000 + 0x12345] = std::byte{0xab};
  Open();
  const auto large = session_->memory().Translate(SyntheticMachine::kLargePageVa + 0x12345);
  EXPECT_TRUE(large.valid);
  EXPECT_EQ(large.page_size, 2u << 20);
  EXPECT_EQ(large.physical, 0x212345u);
  EXPECT_EQ(large.levels, 3);
  EXPECT_EQ(session_->memory().Get<uint8_t>(SyntheticMachine::kLargePageVa + 0x12345).value_or(0), 0xab);
  const auto transition = session_->memory().Translate(SyntheticMachine::kTransitionVa);
  EXPECT_TRUE(transition.valid);
  EXPECT_TRUE(transition.from_transition);
  EXPECT_EQ(session_->memory().Get<uint16_t>(SyntheticMachine::kTransitionVa).value_or(0), 0x5a5a);
  // The self-map shows the page tables themselves.
  EXPECT_EQ(session_->memory().Get<uint64_t>(0xfffff6fb7dbedf68).value_or(0) & ~0xfffull,
            SyntheticMachine::kDirectory);
  EXPECT_FALSE(session_->memory().Translate(0x0000900000000000).valid);
  const auto missing = session_->memory().Get<uint64_t>(0xfffff80277000000);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, "memory at fffff802`77000000 is not readable");
}

TEST_F(DebugTest, Types) {
  Open();
  const Type thread = *session_->symbols().FindType("nt!_ETHREAD");
  EXPECT_TRUE(session_->symbols().FindType("ETHREAD"));
  EXPECT_EQ(*thread.OffsetOf("Tcb"), 0u);
  const Field object = *thread.FindField("Tcb.WaitBlock[2].Object");
  EXPECT_EQ(object.offset, *thread.OffsetOf("Tcb.WaitBlock") + 2 * 24 + 16);
  EXPECT_FALSE(thread.FindField("Tcb.WaitBlock[4].Object"));
  EXPECT_EQ(thread.FindField("Tcb.Missing").error().message, "_KTHREAD has no field Missing");
  EXPECT_EQ(*thread.OffsetOf("Tcb.WaitTime"), *thread.OffsetOf("Tcb.WaitTime64"));
  EXPECT_EQ(*thread.OffsetOf("Tcb.Matrix[1][2]"), *thread.OffsetOf("Tcb.Matrix") + 10);
  const Field bits = *thread.FindField("Tcb.QuantumReset");
  EXPECT_EQ(bits.bit_position, 1);
  EXPECT_EQ(bits.bit_count, 7);
  EXPECT_EQ(Type(&thread.source(), thread.FindField("Tcb.Matrix")->type_id).name(), "short[2][3]");
  EXPECT_EQ(session_->symbols().FindType("_KTHREAD_STATE")->EnumeratorName(5), "Waiting");
  EXPECT_EQ(*session_->symbols().Enumerator("_KTHREAD_STATE", "Broken"), -1);
  EXPECT_FALSE(session_->symbols().FindType("_NO_SUCH_TYPE"));
}

TEST_F(DebugTest, Objects) {
  machine_.WriteField(machine_.Symbol("SampleThreads"), "_ETHREAD", "Cid[1]", 0x1234567890abcdef);
  // One 32-bit unit holds all three bit-fields: 1 bit, 7 bits, 4 signed bits.
  const uint8_t bits[] = {0x85, 0x0e, 0, 0};
  machine_.Write(machine_.Symbol("SampleThreads") + machine_.Offset("_ETHREAD", "Tcb.Alertable"), bits, 4);
  Open();
  const Object thread = *session_->symbols().ObjectAt("nt!_ETHREAD", Thread(0));
  EXPECT_EQ(*thread.U64("Cid[1]"), 0x1234567890abcdefu);
  EXPECT_EQ(*thread.U64("Tcb.Alertable"), 1u);
  EXPECT_EQ(*thread.U64("Tcb.QuantumReset"), 0x42u);
  EXPECT_EQ(*thread.I64("Tcb.SignedBits"), -2);
  EXPECT_FALSE(thread.U64("Tcb"));
  EXPECT_EQ(*session_->symbols().ObjectAt("nt!_EPROCESS", Process(1))->CharArray("ImageFileName"), "System");
  const Object block = *session_->symbols().Global("nt!KiProcessorBlock");
  const Object prcb = *block.Index(1)->Deref();
  EXPECT_EQ(prcb.type().name(), "_KPRCB");
  EXPECT_EQ(*prcb.U64("CurrentThread"), Thread(2));
  EXPECT_EQ(block.Index(2)->Deref().error().message, "null pointer");
}

TEST_F(DebugTest, DamagedLists) {
  const uint64_t head = machine_.Symbol("PsActiveProcessHead");
  Open();
  const uint64_t links = *session_->symbols().FindType("_EPROCESS")->OffsetOf("ActiveProcessLinks");
  machine_.Write64(Process(2) + links, Process(1) + links);  // a circle that never comes back to the head
  Open();
  ListWalk walk = session_->Processes();
  EXPECT_EQ(walk.entries.size(), 3u);
  EXPECT_NE(walk.damage.find("points back to"), std::string::npos) << walk.damage;
  machine_.Write64(Process(2) + links, 0xdeadbeef);
  Open();
  EXPECT_NE(session_->Processes().damage.find("not readable"), std::string::npos);
  EXPECT_EQ(WalkList(session_->memory(), head, 1).damage, "the list has more than 1 entries");
}

TEST_F(DebugTest, SymbolsByNameAndAddress) {
  Open();
  const Symbols& symbols = session_->symbols();
  const uint64_t leaf = *symbols.AddressOf("nt!Leaf");
  EXPECT_EQ(symbols.Describe(leaf), "nt!Leaf");
  EXPECT_EQ(symbols.Describe(leaf + 1), "nt!Leaf+0x1");
  EXPECT_EQ(*symbols.AddressOf("Leaf"), leaf);
  EXPECT_EQ(symbols.Describe(0xfffff80277001234), "TestDriver+0x1234");
  EXPECT_EQ(symbols.Describe(0x1234), "0x1234");
  EXPECT_TRUE(symbols.Find("nt!PrivateCounter")) << "statics are found";
  EXPECT_TRUE(symbols.Find("ke::Event::Set"));
  EXPECT_TRUE(symbols.Find("nt!Handler")) << "assembler functions are found as publics";
  EXPECT_EQ(symbols.Find("foo!Leaf").error().message, "no module named foo");
  const auto matches = *symbols.Match("nt!sample*");
  std::vector<std::string> names;
  for (const auto& match : matches) names.push_back(match.name);
  for (const char* wanted : {"SampleEntry", "SampleModules", "SampleThreads"}) {
    EXPECT_NE(std::ranges::find(names, wanted), names.end()) << wanted;
  }
  const auto line = symbols.LineAt(leaf);
  ASSERT_TRUE(line);
  EXPECT_TRUE(line->file.ends_with("sample.cpp")) << line->file;
}

TEST_F(DebugTest, LinesInlinesAndParameters) {
  Open();
  const Symbols& symbols = session_->symbols();
  const auto function = *symbols.Find("nt!WithInline");
  ASSERT_GT(function.size, 0u);
  bool has_inline = false;
  for (uint64_t at = function.address; at < function.address + function.size; ++at) {
    for (const auto& frame : symbols.InlineFramesAt(at)) {
      EXPECT_EQ(frame.function, "Inlined");
      has_inline = true;
    }
  }
  EXPECT_TRUE(has_inline);
  const auto parameters = symbols.VariablesAt(symbols.Find("nt!Greedy")->address);
  ASSERT_GE(parameters.size(), 5u);
  EXPECT_EQ(parameters[0].name, "a");
  EXPECT_TRUE(parameters[0].is_parameter);
  EXPECT_EQ(parameters[0].kind, symbols::LocationKind::kRegister);
  EXPECT_EQ(parameters[0].reg, kRcx);
  EXPECT_EQ(parameters[3].reg, kR9);
}

TEST_F(DebugTest, MismatchedPdbIsRefused) {
  // Another PDB under the wanted name: one byte of the GUID in the image's RSDS record is changed.
  const std::string folder = machine_.folder();
  std::filesystem::copy_file(SyntheticMachine::ImageFolder() + "/debug_sample.pdb",
                             folder + "/debug_sample.pdb");
  const std::byte rsds[] = {std::byte{'R'}, std::byte{'S'}, std::byte{'D'}, std::byte{'S'}};
  const auto at = std::search(machine_.ram().begin(), machine_.ram().end(), std::begin(rsds), std::end(rsds));
  ASSERT_NE(at, machine_.ram().end());
  *(at + 4) ^= std::byte{1};
  session_ = OpenSession(OpenDump(machine_.Save(kdump::DumpType::kFull)), folder);
  ASSERT_NE(session_, nullptr);
  const Module* nt = session_->symbols().ModuleNamed("nt");
  EXPECT_EQ(nt->symbol_state, SymbolState::kExports) << "what is left are the names that the image exports";
  EXPECT_NE(nt->symbol_message.find("MISMATCH: " + folder + "/debug_sample.pdb"), std::string::npos)
      << nt->symbol_message;
  ASSERT_FALSE(session_->warnings().empty());
}

TEST_F(DebugTest, SymbolStoreLayout) {
  Open();
  const pe::CodeView& view = *session_->symbols().ModuleNamed("nt")->code_view;
  const std::filesystem::path store = machine_.folder() + "/store/debug_sample.pdb/" + view.id.StoreKey();
  std::filesystem::create_directories(store);
  std::filesystem::copy_file(SyntheticMachine::ImageFolder() + "/debug_sample.pdb",
                             store / "debug_sample.pdb");
  const SymbolPath path = *SymbolPath::Parse("/nowhere;srv*" + machine_.folder() + "/store");
  const auto found = path.Find("debug_sample.pdb", view.id);
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_EQ(found->path, (store / "debug_sample.pdb").string());
  const SymbolPath behind_cache =
      *SymbolPath::Parse("srv*" + machine_.folder() + "/cache*" + machine_.folder() + "/store");
  EXPECT_TRUE(behind_cache.Find("debug_sample.pdb", view.id));
  EXPECT_FALSE(path.Find("../debug_sample.pdb", view.id));
  EXPECT_FALSE(SymbolPath::Parse("ftp*x"));
}

TEST_F(DebugTest, SwitchedOutThread) {
  // As KiSwapContext leaves it: the frame at KernelStack, its return address into a function, that function's
  // frame above.
  Open();
  const auto small = *session_->symbols().Find("nt!Small");
  const uint64_t stack = machine_.Symbol("SampleStack") + 2048;
  const uint64_t frame_size = TypeSize("_KSWITCH_FRAME");
  machine_.WriteField(Thread(3), "_ETHREAD", "Tcb.KernelStack", stack);
  machine_.WriteField(stack, "_KSWITCH_FRAME", "Return", small.address);
  machine_.WriteField(stack, "_KSWITCH_FRAME", "Rbp", 0x77);
  machine_.Write64(stack + frame_size,
                   machine_.Symbol("RunAll"));  // at Small's first instruction: its return address
  machine_.Write64(stack + frame_size + 8, 0);
  Open();
  const auto registers = session_->ThreadRegisters(Thread(3));
  ASSERT_TRUE(registers) << registers.error().message;
  EXPECT_EQ(registers->rip, small.address);
  EXPECT_EQ(registers->rbp(), 0x77u);
  EXPECT_EQ(registers->rsp(), stack + frame_size);
  const auto trace = session_->ThreadStack(Thread(3), 2);
  ASSERT_TRUE(trace);
  ASSERT_GE(trace->frames.size(), 1u);
  EXPECT_EQ(trace->frames[0].return_address, machine_.Symbol("RunAll"));
}

TEST_F(DebugTest, CrashProcessorAndSavedContexts) {
  machine_.header().Context.Rip = machine_.Symbol("Leaf");
  machine_.header().Context.Rsp = machine_.Symbol("SampleStack") + 1024;
  kdump::ContextX64 context{};
  context.Rip = machine_.Symbol("Small");
  context.Rsp = machine_.Symbol("SampleStack") + 512;
  context.R12 = 0x1212;
  const uint64_t prcb0 = machine_.Symbol("SamplePrcbs");
  machine_.Write(prcb0 + machine_.Offset("_KPRCB", "ProcessorState.ContextFrame"), &context, sizeof context);
  machine_.WriteField(machine_.Symbol("SampleThreads") + 2 * (machine_.Offset("_ETHREAD", "Cid") + 16),
                      "_ETHREAD", "Tcb.StackLimit", machine_.Symbol("SampleStack"));
  machine_.WriteField(machine_.Symbol("SampleThreads") + 2 * (machine_.Offset("_ETHREAD", "Cid") + 16),
                      "_ETHREAD", "Tcb.StackBase", machine_.Symbol("SampleStack") + 4096);
  Open();
  EXPECT_EQ(session_->crash_processor(), 1u) << "the stack of processor 1's thread holds the crash's rsp";
  EXPECT_EQ(session_->CurrentRegisters()->rip, machine_.Symbol("Leaf"));
  ASSERT_TRUE(session_->SelectProcessor(0));
  EXPECT_EQ(session_->CurrentRegisters()->gpr[kR12], 0x1212u);
  EXPECT_FALSE(session_->SelectProcessor(2));
  EXPECT_EQ(*Evaluate(*session_, "@r12 + 1"), 0x1213u);
  EXPECT_EQ(*Evaluate(*session_, "@$ip"), machine_.Symbol("Small"));
}

TEST_F(DebugTest, Expressions) {
  Open();
  const auto value = [&](const char* text) {
    const auto result = Evaluate(*session_, text);
    EXPECT_TRUE(result) << result.error().message;
    return result.value_or(0xbad);
  };
  EXPECT_EQ(value("10"), 0x10u);
  EXPECT_EQ(value("0n10 + 0x10 + 0y101 + 0t17"), 10u + 16 + 5 + 15);
  EXPECT_EQ(value("fffff802`12340000"), SyntheticMachine::kKernelBase);
  EXPECT_EQ(value("2 + 3 * 4"), 14u);
  EXPECT_EQ(value("(2 + 3) * 4 - -1"), 21u);
  EXPECT_EQ(value("1 << 4 | 3 & 1"), 0x11u);
  EXPECT_EQ(value("f000000000000000 >>> 4"), 0xff00000000000000u);
  EXPECT_EQ(value("~0 == ffffffff`ffffffff"), 1u);
  EXPECT_EQ(value("7 mod 4 != 2"), 1u);
  EXPECT_EQ(value("nt!Leaf"), machine_.Symbol("Leaf"));
  EXPECT_EQ(value("Leaf+0n4"), machine_.Symbol("Leaf") + 4);
  EXPECT_EQ(value("dwo(nt!PrivateCounter)"), 7u);
  EXPECT_EQ(value("poi(nt!PsIdleProcess)"), Process(0));
  EXPECT_EQ(value("by(PrivateCounter) + wo(PrivateCounter)"), 14u);
  EXPECT_EQ(value("nt"), SyntheticMachine::kKernelBase);
  for (const char* wrong :
       {"", "1 +", "(1", "1)", "nosuchname", "5 / 0", "poi(0)", "12345678123456789", "@nosuch", "1 2"}) {
    EXPECT_FALSE(Evaluate(*session_, wrong)) << wrong;
  }
  EXPECT_FALSE(Evaluate(*session_, std::string(10000, '(')));
  EXPECT_FALSE(Evaluate(*session_, std::string(10000, '-')));
  std::string_view text = "poi(nt!PsIdleProcess + 0) L10";
  EXPECT_EQ(*TakeExpression(*session_, text), Process(0));
  EXPECT_EQ(text, "L10");
}

TEST_F(DebugTest, Disassembly) {
  const uint8_t code[] = {0x48, 0x83, 0xec, 0x28, 0xf0, 0x48, 0x0f, 0xba, 0x29,
                          0x00, 0x48, 0x8b, 0x44, 0x24, 0x20, 0xc3, 0x06};
  const uint64_t at = machine_.Symbol("SampleStack");
  machine_.Write(at, code, sizeof code);
  Open();
  const Disassembler disassembler(session_->symbols());
  const auto instructions = *disassembler.Forward(at, 5);
  ASSERT_EQ(instructions.size(), 5u);
  EXPECT_EQ(Disassembler::FormatLine(instructions[0]),
            FormatAddress(at) + " 4883ec28        sub     rsp,28h");
  EXPECT_EQ(instructions[1].mnemonic, "lock bts");
  EXPECT_EQ(instructions[1].operands, "qword ptr [rcx],0");
  EXPECT_EQ(instructions[2].operands, "rax,qword ptr [rsp+20h]");
  EXPECT_TRUE(instructions[3].is_return);
  EXPECT_FALSE(instructions[4].valid);
  // Calls inside the sample are named.
  const auto function = *session_->symbols().Find("nt!Small");
  std::string calls;
  const auto body = *disassembler.Forward(function.address, 20);
  for (const auto& i : body) {
    if (i.is_call) calls += i.operands + "\n";
  }
  EXPECT_EQ(calls.substr(0, 8), "nt!Leaf ");
  const auto before = *disassembler.Backward(function.address + function.size, 3);
  ASSERT_EQ(before.size(), 3u);
  EXPECT_EQ(before.back().address + before.back().bytes.size(), function.address + function.size);
}

TEST_F(DebugTest, NoKernelInTheDump) {
  machine_.header().PsLoadedModuleList = 0xfffff80299990000;
  machine_.header().KdDebuggerDataBlock = 0;
  auto target = OpenDump(machine_.Save(kdump::DumpType::kFull));
  ASSERT_TRUE(target);
  const auto session = Session::Open(std::move(*target), {});
  ASSERT_FALSE(session);
  EXPECT_NE(session.error().message.find("page tables"), std::string::npos) << session.error().message;
}

TEST_F(DebugTest, KernelIsFoundWithoutDebuggerData) {
  machine_.header().KdDebuggerDataBlock = 0;
  Open();
  EXPECT_EQ(session_->kernel().base, SyntheticMachine::kKernelBase);
  EXPECT_EQ(session_->kernel().debugger_data, machine_.Symbol("KdDebuggerDataBlock"));
}

}  // namespace
}  // namespace debug
