// QEMU's edu device, end to end, through the sample driver: registers, BAR, interrupts of both kinds, DMA.
// Oracle: the device's specification (docs/specs/edu in QEMU's sources), and what was written comes back.
#include <algorithm>

#include "bugcheck/gtest.h"
#include "edu/edu.h"

namespace {

using bugcheck::AsBytes;
using bugcheck::Bytes;
using bugcheck::DeviceNode;
using bugcheck::File;
using bugcheck::MachineOptions;
namespace status = bugcheck::status;

constexpr char kHardwareId[] = "PCI\\VEN_1234&DEV_11E8";

struct Kind {
  const char* name;
  bool messages;
  unsigned processors;
  unsigned memory_mib;
};

MachineOptions OptionsFor(const Kind& kind) {
  MachineOptions options;
  options.processors = kind.processors;
  options.memory_mib = kind.memory_mib;
  options.devices = {"edu"};
  return options;
}

class Edu : public bugcheck::DriverTest, public testing::WithParamInterface<Kind> {
 protected:
  Edu() : DriverTest(EDU_SYS, OptionsFor(GetParam())) {}

  void SetUp() override {
    DriverTest::SetUp();
    if (HasFatalFailure()) return;
    std::vector<bugcheck::DeviceParameter> parameters;
    if (GetParam().messages) parameters.push_back({bugcheck::kMsiSupported, 1});
    BUGCHECK_ASSERT_OK(machine().InstallDriver(kHardwareId, driver(), parameters));
    ASSERT_TRUE(Node().started) << machine().output();
  }

  DeviceNode Node() {
    auto nodes = machine().Devices();
    for (const DeviceNode& node : nodes ? *nodes : std::vector<DeviceNode>{}) {
      if (node.instance.starts_with("PCI\\VEN_1234&DEV_11E8&SUBSYS_11001AF4&REV_10\\")) return node;
    }
    return {};
  }
  File OpenEdu() { return Open(L"\\\\.\\Edu"); }
  static EDU_STATISTICS Statistics(File& file) {
    return file.Ioctl(IOCTL_EDU_STATISTICS, {}, sizeof(EDU_STATISTICS)).As<EDU_STATISTICS>();
  }
  static uint32_t Ask(File& file, uint32_t code, uint32_t value) {
    return file.Ioctl(code, AsBytes(value), sizeof(value)).As<uint32_t>();
  }
};

Bytes Pattern(size_t size, unsigned seed) {
  Bytes bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 31 + (i >> 8) + seed);
  return bytes;
}

TEST_P(Edu, RegistersAnswer) {
  File file = OpenEdu();
  EXPECT_EQ(file.Ioctl(IOCTL_EDU_IDENTIFY, {}, 4).As<uint32_t>(), 0x010000EDu);
  EXPECT_EQ(Ask(file, IOCTL_EDU_LIVENESS, 0x12345678), ~0x12345678u);
}

TEST_P(Edu, FactorialsComeByInterrupt) {
  File file = OpenEdu();
  uint32_t factorial = 1;
  for (uint32_t n = 1; n <= 20; ++n) {
    factorial *= n;
    EXPECT_EQ(Ask(file, IOCTL_EDU_FACTORIAL, n), factorial);
  }
  const EDU_STATISTICS statistics = Statistics(file);
  EXPECT_EQ(statistics.Interrupts, 20u);
  EXPECT_EQ(statistics.Messages, GetParam().messages ? 20u : 0u);
  EXPECT_GT(statistics.Irql, 2u);
  EXPECT_LE(statistics.Irql, 12u);
}

TEST_P(Edu, RaisedInterruptCarriesItsStatus) {
  File file = OpenEdu();
  const uint32_t wanted = 0xA5000;
  EXPECT_EQ(file.Ioctl(IOCTL_EDU_RAISE, AsBytes(wanted)).status, status::kSuccess);
  EXPECT_EQ(Statistics(file).Raised, wanted);
}

TEST_P(Edu, CommonBufferMovesBothWays) {
  File file = OpenEdu();
  const Bytes pattern = Pattern(3000, 1);
  EXPECT_EQ(file.Ioctl(IOCTL_EDU_STORE, pattern).status, status::kSuccess);
  const auto back = file.Ioctl(IOCTL_EDU_FETCH, {}, pattern.size());
  EXPECT_EQ(back.status, status::kSuccess);
  EXPECT_EQ(back.data, pattern);
}

// All of the device's memory from pages of a program, part of it over other pages, and back.
TEST_P(Edu, ScatterGatherMovesTheCallersPages) {
  File file = OpenEdu();
  Bytes pattern = Pattern(EDU_MEMORY, 2);
  const auto written = file.Write(pattern, 0);
  EXPECT_EQ(written.status, status::kSuccess);
  EXPECT_EQ(written.information, EDU_MEMORY);
  const Bytes middle = Pattern(1000, 3);
  EXPECT_EQ(file.Write(middle, 1500).status, status::kSuccess);
  std::copy(middle.begin(), middle.end(), pattern.begin() + 1500);
  const auto back = file.Read(EDU_MEMORY, 0);
  EXPECT_EQ(back.status, status::kSuccess);
  EXPECT_EQ(back.data, pattern);
  const EDU_STATISTICS statistics = Statistics(file);
  EXPECT_GE(statistics.Elements, 3u);
  EXPECT_LT(statistics.HighestAddress, 1ull << 28);  // what the device can form
  EXPECT_EQ(file.Read(2, EDU_MEMORY - 1).status, status::kInvalidParameter);
}

TEST_P(Edu, StopsAndStartsAgainWithAnOpenFile) {
  File file = OpenEdu();
  EXPECT_EQ(file.Write(Pattern(100, 4), 0).status, status::kSuccess);
  BUGCHECK_ASSERT_OK(machine().RestartDevice(Node().instance));
  EXPECT_TRUE(Node().started);
  EXPECT_EQ(Ask(file, IOCTL_EDU_FACTORIAL, 5), 120u);
  EXPECT_EQ(file.Read(100, 0).data, Pattern(100, 4));
}

TEST_P(Edu, SurpriseRemovalEndsWhatTheDeviceOwes) {
  File file = OpenEdu();
  std::vector<bugcheck::Request> requests;
  for (int i = 0; i < 3; ++i) requests.push_back(file.StartRead(EDU_MEMORY, 0));  // a tenth of a second each
  BUGCHECK_ASSERT_OK(machine().SurpriseRemoveDevice(Node().instance));
  ASSERT_TRUE(machine().WaitAll(requests));
  EXPECT_FALSE(requests.back().Wait().ok());
  EXPECT_EQ(file.Ioctl(IOCTL_EDU_IDENTIFY, {}, 4).status, status::kDeviceNotReady);
}

INSTANTIATE_TEST_SUITE_P(, Edu,
                         testing::Values(Kind{"line", false, 1, 256}, Kind{"line_smp", false, 4, 256},
                                         Kind{"message", true, 1, 256}, Kind{"message_smp", true, 4, 256},
                                         Kind{"large_memory", true, 2, 1024}),
                         [](const auto& info) { return info.param.name; });

TEST(EduOptions, UnknownDeviceIsRefused) {
  MachineOptions options;
  options.devices = {"toaster"};
  const auto machine = bugcheck::Machine::Boot(options);
  ASSERT_FALSE(machine);
  EXPECT_NE(machine.error().message.find("there is no device 'toaster'; there are: edu"), std::string::npos)
      << machine.error().message;
}

}  // namespace
