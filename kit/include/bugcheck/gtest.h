// For tests in GoogleTest.
//
//   class MyDriver : public bugcheck::DriverTest {
//    protected:
//     MyDriver() : DriverTest(MY_DRIVER_SYS) {}
//   };
//   TEST_F(MyDriver, TellsItsVersion) {
//     bugcheck::File file = Open(L"\\\\.\\MyDriver");
//     EXPECT_EQ(file.Ioctl(kGetVersion, {}, 4).As<uint32_t>(), 3u);
//   }
//
// Each test gets a machine of its own with the driver loaded. Its end unloads the driver and fails the test
// on a bug check, on anything that the driver left behind, and when the machine does not shut down.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "bugcheck/machine.h"

// For a Result or an IoResult: ok, or its error is told.
#define BUGCHECK_EXPECT_OK(expression) EXPECT_PRED_FORMAT1(::bugcheck::detail::IsOk, expression)
#define BUGCHECK_ASSERT_OK(expression) ASSERT_PRED_FORMAT1(::bugcheck::detail::IsOk, expression)

namespace bugcheck {

inline void PrintTo(const IoResult& result, std::ostream* stream) {
  *stream << result;
}
inline void PrintTo(Status status, std::ostream* stream) {
  *stream << status;
}

namespace detail {
template <typename T>
testing::AssertionResult IsOk(const char* expression, const Result<T>& result) {
  if (result.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << expression << ": " << result.error().message;
}
inline testing::AssertionResult IsOk(const char* expression, const IoResult& result) {
  if (result.ok()) return testing::AssertionSuccess();
  return testing::AssertionFailure() << expression << ": " << result;
}
}  // namespace detail

class DriverTest : public testing::Test {
 protected:
  explicit DriverTest(std::string sys_file, MachineOptions options = {})
      : sys_file_(std::move(sys_file)), options_(std::move(options)) {}

  void SetUp() override {
    auto booted = Machine::Boot(options_);
    BUGCHECK_ASSERT_OK(booted);
    machine_ = std::move(*booted);
    auto loaded = machine_->Load(sys_file_);
    BUGCHECK_ASSERT_OK(loaded);
    driver_ = *loaded;
    is_loaded_ = true;
  }

  void TearDown() override {
    if (machine_ == nullptr) return;
    if (is_loaded_ && machine_->state() == MachineState::kRunning) {
      auto left = machine_->Unload(driver_);
      BUGCHECK_EXPECT_OK(left);
    }
    if (!expects_bug_check_) {
      for (const std::string& problem : machine_->Problems()) ADD_FAILURE() << problem;
      if (machine_->state() == MachineState::kRunning) BUGCHECK_EXPECT_OK(machine_->ShutDown());
    } else {
      EXPECT_TRUE(machine_->bug_check()) << "the machine should have stopped with a bug check";
    }
    if (HasFailure()) RecordProperty("console", machine_->output());
  }

  Machine& machine() { return *machine_; }
  Driver& driver() { return driver_; }

  // An open file, or a failure of the test (the file is then closed, and what it is asked tells so).
  File Open(std::wstring_view path, const OpenOptions& options = {}) {
    auto file = machine_->Open(path, options);
    if (!file) ADD_FAILURE() << file.error();
    return file ? std::move(*file) : File();
  }
  // Unloads the driver within the test.
  void Unload() {
    auto left = machine_->Unload(driver_);
    BUGCHECK_EXPECT_OK(left);
    is_loaded_ = false;
  }
  // The test wants the machine to stop: waits for it.
  std::optional<BugCheck> ExpectBugCheck(Milliseconds timeout = kDefaultTimeout) {
    expects_bug_check_ = true;
    return machine_->WaitForBugCheck(timeout);
  }

 private:
  std::string sys_file_;
  MachineOptions options_;
  std::unique_ptr<Machine> machine_;
  Driver driver_;
  bool is_loaded_ = false;
  bool expects_bug_check_ = false;
};

}  // namespace bugcheck
