// The case study's screens out of the real commands, byte for byte. Oracle: the screens themselves
// (tests/data/debug), from a real Windows machine; the population of the dump is stated from the same
// figures.
#include <gtest/gtest.h>

#include "fabricated_machine.h"

namespace fabricated {
namespace {

std::string Expected(const std::string& name) {
  return ReadText(std::string(TEST_DATA_DIR) + "/" + name);
}

class CaseStudyTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    machine_ = CaseStudy();
    opened_ = std::make_unique<Machine::Opened>(machine_->Open());
  }
  static void TearDownTestSuite() {
    opened_.reset();
    machine_.reset();
  }
  static std::string Run(const std::string& line) { return opened_->Run(line); }
  static inline std::unique_ptr<Machine> machine_;
  static inline std::unique_ptr<Machine::Opened> opened_;
};

TEST_F(CaseStudyTest, DumpInformation) {
  EXPECT_EQ(Run("!mex.di"), Expected("mex_di.txt"));
}
TEST_F(CaseStudyTest, ShortNameOfDumpInformation) {
  EXPECT_EQ(Run("!di"), Expected("mex_di.txt"));
}
TEST_F(CaseStudyTest, ThreadStatesOfAllProcesses) {
  EXPECT_EQ(Run("!mex.tl -t"), Expected("mex_tl_t.txt"));
}
TEST_F(CaseStudyTest, RunningThreads) {
  EXPECT_EQ(Run("!mex.running"), Expected("mex_running.txt"));
}
TEST_F(CaseStudyTest, SpinningThread) {
  EXPECT_EQ(Run("!mex.t ffffab027465f040"), Expected("mex_t.txt"));
}

TEST_F(CaseStudyTest, PromptNamesTheCrashedProcessor) {
  EXPECT_EQ(opened_->interpreter->Prompt(), "5: kd> ");
}

TEST_F(CaseStudyTest, FilterShowsOnlyMatchingProcesses) {
  const std::string text = Run("!mex.tl spoolsv");
  EXPECT_NE(text.find("0xdd0 0n3536 ffffab02746d90c0 spoolsv.exe"), std::string::npos) << text;
  EXPECT_EQ(text.find("lsass.exe"), std::string::npos);
}

TEST_F(CaseStudyTest, VerboseListNamesTheReasons) {
  const std::string text = Run("!mex.tl -t -v system");
  EXPECT_NE(text.find("ffffab027465f040   b48 Running on processor 1 spinning for a spin lock"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("running for 5m:49.515 without a wait"), std::string::npos) << text;
  EXPECT_NE(text.find("suspended"), std::string::npos) << text;
}

TEST_F(CaseStudyTest, ReadyThreadsAreListedWithTheirPlacement) {
  const std::string text = Run("!mex.ready");
  EXPECT_TRUE(text.starts_with("Process")) << text;
  EXPECT_NE(text.find("Affinity Next CPU Ideal CPU"), std::string::npos) << text;
  EXPECT_NE(text.find("\nCount: 7\n"), std::string::npos) << text;  // six of Idle, one of services.exe
}

TEST_F(CaseStudyTest, ThreadReportAddsUp) {
  const std::string text = Run("!mex.trep");
  EXPECT_NE(text.find("Count State\n===== "), std::string::npos) << text;
  EXPECT_NE(text.find("   10 Running\n"), std::string::npos) << text;
}

TEST_F(CaseStudyTest, ThreadListFiltersByReason) {
  const std::string text = Run("!mex.lt 2a4 -wr WrLpcReply; !mex.lt csrss -wr WrLpcReply");
  EXPECT_NE(text.find("Thread Count: 3"), std::string::npos) << text;
}

TEST_F(CaseStudyTest, RunningStacksAreGrouped) {
  const std::string text = Run("!mex.us -cpu");
  EXPECT_NE(
      text.find("1 thread: ffffab027465f040\n    fffff8023184059c nt!KxWaitForSpinLockAndAcquire+0x1c --> "),
      std::string::npos)
      << text;
  EXPECT_NE(text.find("    fffff802516a1297 TestDriver+0x1297\n"), std::string::npos) << text;
}

TEST_F(CaseStudyTest, StackOfAChosenProcessor) {
  const std::string text = Run("~1s; k; ~5s");
  EXPECT_EQ(text,
            "Child-SP          RetAddr           Call Site\n"
            "fffffb00`851ef1d0 fffff802`3184056e nt!KxWaitForSpinLockAndAcquire+0x1c\n"
            "fffffb00`851ef200 fffff802`516a1297 nt!KeAcquireSpinLockRaiseToDpc+0x8e\n"
            "fffffb00`851ef230 fffff802`319573d7 TestDriver+0x1297\n"
            "fffffb00`851ef570 fffff802`31a1b8d4 nt!PspSystemThreadStartup+0x57\n"
            "fffffb00`851ef5c0 00000000`00000000 nt!KiStartSystemThread+0x34\n");
}

TEST_F(CaseStudyTest, UnreadableMemoryIsSaidNotInvented) {
  EXPECT_NE(Run("dq ffff900000000000 L2").find("????????`????????"), std::string::npos);
  EXPECT_NE(Run("!mex.t ffff900000000000").find("Memory read error at ffff9000`00000000"), std::string::npos);
  EXPECT_NE(Run("da ffff900000000000").find("Memory read error at ffff9000`00000000"), std::string::npos);
}

TEST_F(CaseStudyTest, StructuresAreShownByTheirTypes) {
  const std::string text = Run("dt nt!_ETHREAD ffffab027465f040 -r Tcb");
  EXPECT_NE(text.find("+0x000 Tcb "), std::string::npos) << text;
  EXPECT_NE(text.find("ContextSwitches    : 0x1\n"), std::string::npos) << text;
}

TEST_F(CaseStudyTest, ProcessesAndThreadsInTheOlderLayout) {
  EXPECT_NE(Run("!process 0 0 spoolsv.exe").find("PROCESS ffffab02746d90c0"), std::string::npos);
  EXPECT_NE(Run("!thread ffffab027465f040").find("RUNNING on processor 1"), std::string::npos);
}

}  // namespace
}  // namespace fabricated
