// Every command: help, and its own examples on a dump.
#include <set>

#include <gtest/gtest.h>

#include "commands/command.h"
#include "fabricated_machine.h"

namespace fabricated {
namespace {

TEST(Registry, NamesAreUniqueAndEveryCommandHasItsPage) {
  std::set<std::string_view> names;
  ASSERT_GT(commands::AllCommands().size(), 39u);
  for (const commands::Command* command : commands::AllCommands()) {
    for (std::string_view name : command->names) EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_FALSE(command->summary.empty()) << command->names[0];
    EXPECT_FALSE(command->usage.empty()) << command->names[0];
    EXPECT_FALSE(command->examples.empty()) << command->names[0];
  }
}

TEST(Registry, NamesAreFoundWhateverTheirCase) {
  ASSERT_NE(commands::FindCommand("!MEX.TL"), nullptr);
  EXPECT_EQ(commands::FindCommand("!MEX.TL"), commands::FindCommand("!tl"));
  EXPECT_EQ(commands::FindCommand("!nonsense"), nullptr);
}

TEST(Registry, MarkdownHasEveryCommand) {
  const std::string text = commands::CommandsMarkdown();
  for (const commands::Command* command : commands::AllCommands()) {
    EXPECT_NE(text.find("\n## `" + std::string(command->names[0]) + "`\n"), std::string::npos)
        << command->names[0];
  }
}

// The examples in the manual pages work.
class Examples : public ::testing::TestWithParam<const commands::Command*> {};

TEST_P(Examples, RunOnADump) {
  static const auto machine = CaseStudy();
  static Machine::Opened opened = machine->Open(true);
  for (std::string_view example : GetParam()->examples) {
    commands::Output out;
    const auto outcome = opened.interpreter->RunLine("~1s", out);
    ASSERT_FALSE(outcome.failed) << out.text();
    const auto result = opened.interpreter->RunLine(example, out);
    EXPECT_FALSE(result.failed) << example << ":\n" << out.text();
    EXPECT_TRUE(!out.text().empty() || result.quit || example == "~0s") << example;
  }
}

std::string TestName(const ::testing::TestParamInfo<const commands::Command*>& info) {
  std::string name;
  for (char c : info.param->names[0]) {
    if (std::isalnum(static_cast<unsigned char>(c))) name += c;
  }
  return name.empty() ? (info.param->names[0] == "~" ? "tilde" : "evaluate" + std::to_string(info.index))
                      : name + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(Commands, Examples, ::testing::ValuesIn(commands::AllCommands()), TestName);

TEST(Interpreter, SplitsAtSemicolonsOutsideQuotes) {
  EXPECT_EQ(commands::SplitCommands("a; b 'c;d' ;; e"), (std::vector<std::string>{"a", "b 'c;d'", "e"}));
}

TEST(Options, ScriptsAndDumpAreUnderstood) {
  const auto options = commands::ParseDebugOptions({"-c", "!mex.di; k", "-y", "/s", "--json", "x.dmp"});
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->scripts, std::vector<std::string>{"!mex.di; k"});
  EXPECT_EQ(options->symbol_path, "/s");
  EXPECT_TRUE(options->json);
  EXPECT_EQ(options->dump, "x.dmp");
}

TEST(Options, WrongUsageIsNamed) {
  EXPECT_FALSE(commands::ParseDebugOptions({}));
  EXPECT_FALSE(commands::ParseDebugOptions({"-c"}));
  EXPECT_FALSE(commands::ParseDebugOptions({"--bogus", "x.dmp"}));
  EXPECT_FALSE(commands::ParseDebugOptions({"--json", "x.dmp"}));
  EXPECT_FALSE(commands::ParseDebugOptions({"a.dmp", "b.dmp"}));
}

}  // namespace
}  // namespace fabricated
