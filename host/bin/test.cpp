// bugcheck test: configures, builds and runs a project's tests of drivers (docs/writing-a-driver-test.md).
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "base/result.h"
#include "bin/options.h"
#include "bin/subcommand.h"

extern char** environ;

namespace bin {
namespace {

namespace fs = std::filesystem;

constexpr char kFooter[] =
    "The project finds the installed package with find_package(Bugcheck). Its compiler is CXX's, else the "
    "one\n"
    "that built the package. Exit status: 0 every test passed, 1 a test failed or the project does not "
    "build,\n"
    "2 wrong usage.";

// A program of PATH, on our terminal; its exit status, 128 + n after signal n.
base::Result<int> RunProgram(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::fflush(stdout);
  pid_t child;
  if (const int error = posix_spawnp(&child, argv[0], nullptr, nullptr, argv.data(), environ); error != 0)
    return base::FailErrno("cannot run " + arguments[0], error);
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return base::FailErrno("cannot wait for " + arguments[0], errno);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Where this program is installed; its CMake package must lie there.
base::Result<std::string> Prefix() {
  std::error_code error;
  const fs::path prefix = fs::read_symlink("/proc/self/exe", error).parent_path().parent_path();
  const fs::path package = prefix / "lib/cmake/Bugcheck/BugcheckConfig.cmake";
  if (!fs::exists(package, error))
    return base::Fail(
        fmt::format("{} is not there: run the installed program (make install)", package.string()));
  return prefix.string();
}

base::Result<void> Step(const std::string& what, const std::vector<std::string>& arguments) {
  const int status = TRY(RunProgram(arguments));
  if (status != 0) return base::Fail(fmt::format("{}: {} ended with {}", what, arguments[0], status));
  return {};
}

struct TestArguments {
  std::string source;
  std::string build;
  std::string junit;
  std::string filter;
  unsigned jobs = 1;
};

// The compiler that the package was built with, unless CXX names one: there need be no other.
void ChooseCompiler() {
  setenv("CXX", BUGCHECK_CXX_COMPILER, 0);
}

base::Result<void> Build(const TestArguments& arguments, const std::string& prefix) {
  std::error_code error;
  if (!fs::exists(arguments.source + "/CMakeLists.txt", error))
    return base::Fail(arguments.source + " has no CMakeLists.txt");
  ChooseCompiler();
  TRY(Step("cannot configure the project",
           {"cmake", "-G", "Ninja", "-S", arguments.source, "-B", arguments.build,
            "-DCMAKE_PREFIX_PATH=" + prefix, "--log-level=WARNING"}));
  return Step("cannot build the project", {"cmake", "--build", arguments.build, "--", "--quiet"});
}

}  // namespace

int TestMain(const Arguments& arguments) {
  TestArguments parsed;
  CLI::App app("Builds a project's tests of drivers and runs them, each in a machine of its own",
               "bugcheck test");
  app.add_option("--build", parsed.build, "the build folder (default: DIR/build)");
  app.add_option("--junit", parsed.junit, "write the results there, in JUnit's format");
  app.add_option("-R,--filter", parsed.filter, "only the tests whose names match this regular expression");
  app.add_option("-j,--jobs", parsed.jobs, "tests at once (default 1: a machine has several processors)")
      ->check(CLI::Range(1u, 256u));
  app.add_option("dir", parsed.source, "the project: a folder with a CMakeLists.txt")->required();
  app.footer(kFooter);
  if (auto status = Parse(app, arguments)) return *status;
  if (parsed.build.empty()) parsed.build = parsed.source + "/build";
  const auto prefix = Prefix();
  if (!prefix) return ReportError("cannot test: " + prefix.error().message);
  if (auto built = Build(parsed, *prefix); !built) return ReportError(built.error().message);
  std::vector<std::string> ctest = {"ctest",
                                    "--test-dir",
                                    parsed.build,
                                    "--output-on-failure",
                                    "--no-tests=error",
                                    "-j",
                                    std::to_string(parsed.jobs)};
  if (!parsed.junit.empty())
    ctest.insert(ctest.end(), {"--output-junit", fs::absolute(parsed.junit).string()});
  if (!parsed.filter.empty()) ctest.insert(ctest.end(), {"-R", parsed.filter});
  const auto outcome = RunProgram(ctest);
  if (!outcome) return ReportError(outcome.error().message);
  return *outcome == 0 ? kClean : kInternalError;
}

}  // namespace bin
