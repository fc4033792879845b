// Programs in ring 3: how they end, what they may not do, many at once.
#include <random>

#include "bugcheck/gtest.h"

namespace {

using bugcheck::Machine;
using bugcheck::Program;
namespace status = bugcheck::status;

std::unique_ptr<Machine> Boot(uint32_t cpus = 2) {
  bugcheck::MachineOptions options;
  options.processors = cpus;
  auto machine = Machine::Boot(options);
  if (!machine) ADD_FAILURE() << machine.error();
  return machine ? std::move(*machine) : nullptr;
}

Program Start(Machine& machine, const std::string& name, const std::string& arguments = "") {
  bugcheck::ProgramOptions options;
  options.arguments = arguments;
  auto program = machine.StartProgram(name, options);
  if (!program) ADD_FAILURE() << program.error();
  return program ? *program : Program{};
}

TEST(KitPrograms, ExceptionsEndTheProgramAndNothingElse) {
  struct Case {
    const char* word;
    uint32_t exit_status;
  };
  constexpr Case kCases[] = {{"fault", 0xC0000005},
                             {"kernel", 0xC0000005},
                             {"break", 0x80000003},
                             {"failfast", 0xC0000409},
                             {"privileged", 0xC0000096},
                             {"illegal", 0xC000001D},
                             {"divide", 0xC0000094},
                             {"badstack", 0xC000001D},
                             {"noaddress", 0xC0000005},
                             {"noservice", 0xC000001C},
                             {"exit", 42}};
  auto machine = Boot();
  ASSERT_TRUE(machine);
  for (const Case& test : kCases) {
    const Program program = Start(*machine, std::string(test.word) + ".exe", test.word);
    const auto end = machine->WaitForExit(program);
    BUGCHECK_ASSERT_OK(end);
    EXPECT_EQ(end->code, test.exit_status) << test.word;
  }
  EXPECT_NE(machine->output().find("fault.exe (process "), std::string::npos);
  EXPECT_TRUE(machine->Problems().empty());
  BUGCHECK_EXPECT_OK(machine->ShutDown());
}

TEST(KitPrograms, LiveUntilTheyAreEnded) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  for (const char* word : {"", "spin", "services", "flags", "registers"}) {
    const Program program = Start(*machine, "program.exe", word);
    BUGCHECK_EXPECT_OK(machine->StartThread(program));
    const auto alive = machine->ExitStatus(program);
    BUGCHECK_ASSERT_OK(alive);
    EXPECT_EQ(*alive, status::kPending) << word;
    BUGCHECK_EXPECT_OK(machine->EndProgram(program, bugcheck::Status(7)));
    const auto end = machine->ExitStatus(program);
    BUGCHECK_ASSERT_OK(end);
    EXPECT_EQ(end->code, 7u) << word;
    EXPECT_FALSE(machine->EndProgram(program)) << word;
  }
  BUGCHECK_EXPECT_OK(machine->ShutDown());
}

TEST(KitPrograms, UserApcs) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  const Program target = Start(*machine, "target.exe");
  const Program spinner = Start(*machine, "spinner.exe", "spin");
  const Program victim = Start(*machine, "victim.exe");
  auto driver = machine->Load(USER_APC_TESTS_SYS);
  BUGCHECK_ASSERT_OK(driver);
  EXPECT_NE(machine->output().find(" passed, 0 failed"), std::string::npos) << machine->output();
  EXPECT_EQ(machine->output().find("[test] FAIL"), std::string::npos) << machine->output();
  EXPECT_EQ(machine->WaitForExit(spinner)->code, 9u);
  EXPECT_EQ(machine->WaitForExit(victim)->code, 0xC0000005u);
  EXPECT_EQ(machine->ExitStatus(target)->code, status::kPending.code);
  BUGCHECK_EXPECT_OK(machine->EndProgram(target));
  BUGCHECK_EXPECT_OK(machine->Unload(*driver));
  BUGCHECK_EXPECT_OK(machine->ShutDown());
}

// What the system has of pages and threads is asked by a driver, which prints it when it is loaded.
std::string Pages(Machine& machine) {
  auto driver = machine.Load(PAGE_COUNTS_SYS);
  if (!driver) return driver.error().message;
  const std::string& text = machine.output();
  const size_t at = text.rfind("[pages] ");
  std::string line = text.substr(at, text.find('\n', at) - at);
  (void)machine.Unload(*driver);
  return line;
}

constexpr uint32_t kRegistersChanged = 0xC000003E;  // STATUS_DATA_ERROR: `registers`

// Programs that spin, call, fault and wait, on more threads than processors, ended at random moments.
void Churn(Machine& machine, uint32_t rounds, uint32_t seed) {
  constexpr const char* kWords[] = {"", "spin", "services", "flags", "registers", "fault", "exit"};
  std::mt19937 random(seed);
  std::vector<Program> alive;
  for (uint32_t round = 0; round < rounds; ++round) {
    const std::string word = kWords[random() % std::size(kWords)];
    alive.push_back(Start(machine, "churn.exe", word));
    if (random() % 2 == 0) (void)machine.StartThread(alive.back());  // it may have ended
    while (alive.size() > random() % 7) {
      const size_t index = random() % alive.size();
      (void)machine.EndProgram(alive[index], bugcheck::Status(round));
      const auto end = machine.WaitForExit(alive[index]);
      BUGCHECK_EXPECT_OK(end);
      if (end) EXPECT_NE(end->code, kRegistersChanged);
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(index));
    }
  }
  for (const Program& program : alive) (void)machine.EndProgram(program);
}

TEST(KitPrograms, ManyComeAndGoAndLeaveNothing) {
  for (const uint32_t cpus : {2u, 4u}) {
    auto machine = Boot(cpus);
    ASSERT_TRUE(machine);
    const uint32_t seed = std::random_device{}();
    SCOPED_TRACE("cpus " + std::to_string(cpus) + ", seed " + std::to_string(seed));
    Churn(*machine, 8, seed);
    (void)Pages(*machine);
    const std::string before = Pages(*machine);
    Churn(*machine, 20, seed);
    EXPECT_TRUE(machine->WaitUntil([&] { return Pages(*machine) == before; }))
        << before << " became " << Pages(*machine);
    EXPECT_TRUE(machine->Problems().empty());
    BUGCHECK_EXPECT_OK(machine->ShutDown());
  }
}

TEST(KitPrograms, AServiceThatComesBackAtRaisedIrqlIsBugCheck4A) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  BUGCHECK_ASSERT_OK(machine->Load(RETURNS_RAISED_SYS));
  Start(*machine, "asks.exe", "ask");
  const auto stop = machine->WaitForBugCheck();
  ASSERT_TRUE(stop.has_value());
  EXPECT_EQ(stop->code, 0x4Au) << stop->text();
  EXPECT_EQ(stop->parameters[1], 2u);  // DISPATCH_LEVEL
  EXPECT_EQ(stop->name, "IRQL_GT_ZERO_AT_SYSTEM_SERVICE");
}

}  // namespace
