// The machine of the kit: files, drivers that do not load, debug output, bug checks, dumps, many boots.
#include <dirent.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "bugcheck/gtest.h"
#include "ioctl_server/ioctl_server.h"

namespace {

using bugcheck::Bytes;
using bugcheck::Machine;
using bugcheck::MachineState;
namespace status = bugcheck::status;
namespace fs = std::filesystem;

std::unique_ptr<Machine> Boot(const bugcheck::MachineOptions& options = {}) {
  auto machine = Machine::Boot(options);
  if (!machine) ADD_FAILURE() << machine.error();
  return machine ? std::move(*machine) : nullptr;
}

fs::path Scratch() {
  fs::path folder = fs::path(testing::TempDir()) / ("bugcheck-kit-" + std::to_string(getpid()));
  fs::create_directories(folder);
  return folder;
}

TEST(KitMachine, FilesGoBothWays) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  Bytes data(100'000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i % 253);
  BUGCHECK_ASSERT_OK(machine->WriteFile("C:\\Data\\in.bin", data));
  auto file = machine->Open(L"C:\\Data\\in.bin");
  BUGCHECK_ASSERT_OK(file);
  const auto part = file->Read(1000, 50'000);
  EXPECT_EQ(part.status, status::kSuccess);
  EXPECT_EQ(part.data, Bytes(data.begin() + 50'000, data.begin() + 51'000));
  bugcheck::OpenOptions create;
  create.disposition = bugcheck::kCreateNew;
  auto out = machine->Open(L"C:\\Data\\out.bin", create);
  BUGCHECK_ASSERT_OK(out);
  EXPECT_EQ(out->Write(Bytes(data.begin(), data.begin() + 3000), 0).status, status::kSuccess);
  EXPECT_EQ(out->Close(), status::kSuccess);
  auto back = machine->ReadFile("C:\\Data\\out.bin");
  BUGCHECK_ASSERT_OK(back);
  EXPECT_EQ(*back, Bytes(data.begin(), data.begin() + 3000));
  EXPECT_FALSE(machine->WriteFile("D:\\x", {}));
  EXPECT_FALSE(machine->WriteFile("C:\\..\\x", {}));
  BUGCHECK_EXPECT_OK(machine->ShutDown());
}

TEST(KitMachine, ADriverThatDoesNotLoadSaysWhy) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  const std::string folder = fs::path(IOCTL_SERVER_SYS).parent_path().string();
  auto refused = machine->Load(folder + "/load_failure.sys");
  ASSERT_FALSE(refused);
  EXPECT_TRUE(refused.error().status.is_error()) << refused.error();
  auto missing = machine->Load(folder + "/missing_import.sys");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().status, bugcheck::Status(0xC0000263));
  EXPECT_NE(missing.error().message.find("nothing exports"), std::string::npos) << missing.error();
  EXPECT_FALSE(machine->Load(folder + "/there is none.sys"));
  EXPECT_TRUE(machine->Problems().empty());
  BUGCHECK_EXPECT_OK(machine->ShutDown());
}

TEST(KitMachine, WhatADriverLeavesBehindIsAProblem) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  auto driver = machine->Load(fs::path(IOCTL_SERVER_SYS).parent_path().string() + "/leaky.sys");
  BUGCHECK_ASSERT_OK(driver);
  EXPECT_EQ(machine->Problems(), std::vector<std::string>{"leaky is still loaded"});
  auto left = machine->Unload(*driver);
  BUGCHECK_ASSERT_OK(left);
  EXPECT_FALSE(left->empty());
  EXPECT_EQ(machine->Problems().size(), left->size());
}

TEST(KitMachine, ABugCheckIsSeenByEveryCall) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  const fs::path folder = Scratch();
  auto driver = machine->Load(fs::path(IOCTL_SERVER_SYS).parent_path().string() + "/spinlock.sys");
  auto stop = machine->WaitForBugCheck();
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->code, 0xD1u);
  EXPECT_EQ(stop->name, "DRIVER_IRQL_NOT_LESS_OR_EQUAL");
  EXPECT_EQ(stop->parameters[1], 2u);
  EXPECT_EQ(machine->state(), MachineState::kCrashed);
  EXPECT_FALSE(machine->Problems().empty());
  auto client = machine->NewClient();
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().status, status::kNoAnswer);
  EXPECT_NE(client.error().message.find("0xD1"), std::string::npos) << client.error();
  BUGCHECK_EXPECT_OK(machine->WriteDump(folder / "memory.dmp"));
  EXPECT_GT(fs::file_size(folder / "memory.dmp"), 1'000'000u);
  fs::remove_all(folder);
}

TEST(KitMachine, ALiveDumpAndTheMachineGoesOn) {
  auto machine = Boot();
  ASSERT_TRUE(machine);
  const fs::path folder = Scratch();
  auto driver = machine->Load(IOCTL_SERVER_SYS);
  BUGCHECK_ASSERT_OK(driver);
  BUGCHECK_ASSERT_OK(machine->WriteDump(folder / "live.dmp"));
  std::ifstream dump(folder / "live.dmp", std::ios::binary);
  char signature[8] = {};
  dump.read(signature, sizeof(signature));
  EXPECT_EQ(std::string_view(signature, 8), "PAGEDU64");
  auto file = machine->Open(L"\\\\.\\IoctlServer");
  BUGCHECK_ASSERT_OK(file);
  EXPECT_EQ(file->Ioctl(IOCTL_SERVER_LAST_SUM, {}, 4).status, status::kSuccess);
  EXPECT_EQ(file->Close(), status::kSuccess);
  BUGCHECK_EXPECT_OK(machine->Unload(*driver));
  fs::remove_all(folder);
}

// What this process has: open descriptors, children, and files of ours in the temporary folder.
std::vector<size_t> Resources() {
  const auto count = [](const fs::path& folder, std::string_view prefix) {
    size_t entries = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder, error))
      entries += entry.path().filename().string().starts_with(prefix) ? 1 : 0;
    return entries;
  };
  std::ifstream children("/proc/self/task/" + std::to_string(getpid()) + "/children");
  const std::string pids{std::istreambuf_iterator<char>(children), {}};
  const char* temporary = std::getenv("TMPDIR");
  return {count("/proc/self/fd", ""), pids.size(),
          count(temporary != nullptr ? temporary : "/tmp", "bugcheck-")};
}

void BootOften(int times) {
  const fs::path temporary = Scratch();  // nobody else's folders are in it
  setenv("TMPDIR", temporary.c_str(), 1);
  std::vector<size_t> before;
  for (int i = 0; i < times; ++i) {
    {
      auto machine = Boot();
      ASSERT_TRUE(machine);
      auto driver = machine->Load(IOCTL_SERVER_SYS);
      BUGCHECK_ASSERT_OK(driver);
      auto file = machine->Open(L"\\\\.\\IoctlServer");
      BUGCHECK_ASSERT_OK(file);
      EXPECT_EQ(file->Ioctl(IOCTL_SERVER_REVERSE, bugcheck::AsBytes(i), 4).status, status::kSuccess);
      if (i % 3 == 2) continue;  // pulled out
      EXPECT_EQ(file->Close(), status::kSuccess);
      BUGCHECK_EXPECT_OK(machine->Unload(*driver));
      EXPECT_EQ(machine->Problems(), std::vector<std::string>{});
      BUGCHECK_EXPECT_OK(machine->ShutDown());
    }
    if (i == 0) before = Resources();
  }
  EXPECT_EQ(Resources(), before) << "descriptors, children, temporary folders after " << times << " boots";
  unsetenv("TMPDIR");
  fs::remove_all(temporary);
}

// Ten, and a hundred in `make soak`.
TEST(KitMachine, ManyBootsLeakNothing) {
  const char* times = std::getenv("BUGCHECK_KIT_BOOTS");
  BootOften(times != nullptr ? std::atoi(times) : 10);
}

}  // namespace
