// Tests of counter.sys. Each runs in a machine of its own, with the driver loaded; its end unloads the
// driver, and fails on a bug check and on anything left behind.
#include <bugcheck/gtest.h>

#include "counter_ioctl.h"

namespace {

namespace status = bugcheck::status;

class Counter : public bugcheck::DriverTest {
 protected:
  Counter() : DriverTest(COUNTER_SYS) {}
  bugcheck::File OpenCounter() { return Open(L"\\\\.\\Counter"); }
  static int32_t Add(bugcheck::File& file, int32_t value) {
    return file.Ioctl(IOCTL_COUNTER_ADD, bugcheck::AsBytes(value), sizeof(value)).As<int32_t>();
  }
};

TEST_F(Counter, AddsAndResets) {
  bugcheck::File file = OpenCounter();
  EXPECT_EQ(Add(file, 5), 5);
  EXPECT_EQ(Add(file, -2), 3);
  EXPECT_EQ(file.Ioctl(IOCTL_COUNTER_RESET, {}, 4).As<int32_t>(), 3);
  EXPECT_EQ(Add(file, 1), 1);
}

TEST_F(Counter, RefusesWhatItDoesNotKnow) {
  bugcheck::File file = OpenCounter();
  EXPECT_EQ(file.Ioctl(IOCTL_COUNTER_ADD).status, status::kBufferTooSmall);
  EXPECT_EQ(file.Ioctl(0x00222FFC).status, status::kInvalidDeviceRequest);
}

// Eight programs at once: no addition is lost.
TEST_F(Counter, CountsForManyPrograms) {
  std::vector<bugcheck::Client> programs;
  std::vector<bugcheck::File> files;
  for (int i = 0; i < 8; ++i) {
    auto program = machine().NewClient();
    BUGCHECK_ASSERT_OK(program);
    auto file = program->Open(L"\\\\.\\Counter");
    BUGCHECK_ASSERT_OK(file);
    programs.push_back(std::move(*program));
    files.push_back(std::move(*file));
  }
  const int32_t one = 1;
  std::vector<bugcheck::Request> requests;
  for (int i = 0; i < 400; ++i)
    requests.push_back(files[i % 8].StartIoctl(IOCTL_COUNTER_ADD, bugcheck::AsBytes(one), 4));
  ASSERT_TRUE(machine().WaitAll(requests));
  EXPECT_EQ(files[0].Ioctl(IOCTL_COUNTER_RESET, {}, 4).As<int32_t>(), 400);
}

}  // namespace
