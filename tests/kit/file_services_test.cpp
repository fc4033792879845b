// File services called by a program: good buffers work, bad pointers are statuses, never a stop. Oracle: the
// WDK's pages of the services (STATUS_ACCESS_VIOLATION, STATUS_DATATYPE_MISALIGNMENT).
#include "bugcheck/gtest.h"
#include "nt_call.h"

namespace {

using bugcheck::AsBytes;
using bugcheck::Client;
using bugcheck::File;
namespace status = bugcheck::status;

constexpr uint32_t kSuccess = 0;
constexpr uint32_t kAccessViolation = 0xC0000005;
constexpr uint32_t kInvalidUserBuffer = 0xC00000E8;
constexpr uint32_t kMisaligned = 0x80000002;
constexpr uint32_t kLengthMismatch = 0xC0000004;
constexpr uint64_t kNowhere = 0x0000500000000000;  // nothing is mapped there
constexpr uint64_t kKernel = 0xFFFFF78000000000;   // readable, but not a program's
constexpr uint64_t kAllOfIt = 0x00007FFFFFFEFFF0;  // runs out of the program's half
constexpr uint64_t kBasic = 4, kStandard = 5, kEndOfFile = 20, kRename = 10, kNames = 12, kFsSize = 3,
                   kLabel = 2;

class FileServices : public bugcheck::DriverTest {
 protected:
  FileServices() : DriverTest(NT_CALL_SYS) {}

  void SetUp() override {
    DriverTest::SetUp();
    auto client = machine().NewClient("caller.exe");
    BUGCHECK_ASSERT_OK(client);
    client_.emplace(std::move(*client));
    bugcheck::OpenOptions options;
    options.synchronous = true;
    auto control = client_->Open(L"\\\\.\\NtCall");
    BUGCHECK_ASSERT_OK(control);
    control_ = std::move(*control);
    options.disposition = 3;  // FILE_OPEN_IF
    options.access = bugcheck::kGenericRead | bugcheck::kGenericWrite | 0x10000 | bugcheck::kSynchronize;
    auto file = client_->Open(L"C:\\services.txt", options);
    BUGCHECK_ASSERT_OK(file);
    file_ = std::move(*file);
    options.disposition = 1;
    options.access = 1 | bugcheck::kSynchronize;
    options.create_options = 1;  // FILE_DIRECTORY_FILE
    auto directory = client_->Open(L"C:\\", options);
    BUGCHECK_ASSERT_OK(directory);
    directory_ = std::move(*directory);
    auto memory = client_->Allocate(2 * 4096);
    BUGCHECK_ASSERT_OK(memory);
    memory_ = *memory;
  }
  void TearDown() override {
    directory_ = {};
    file_ = {};
    control_ = {};
    client_.reset();
    DriverTest::TearDown();
  }

  template <typename... Arguments>
  uint32_t Call(NtCallService service, Arguments... arguments) {
    NtCall call = {static_cast<uint64_t>(service), {static_cast<uint64_t>(arguments)...}};
    const auto result = control_.Ioctl(NT_CALL_CODE, AsBytes(call), 4);
    EXPECT_EQ(result.status, status::kSuccess);
    return result.As<uint32_t>();
  }
  uint64_t iosb() const { return memory_; }
  uint64_t buffer() const { return memory_ + 64; }
  uint64_t end() const { return memory_ + 2 * 4096; }  // nothing behind it

  std::optional<Client> client_;
  File control_, file_, directory_;
  uint64_t memory_ = 0;
};

TEST_F(FileServices, GoodBuffersWork) {
  EXPECT_EQ(Call(kQueryInformation, file_.handle(), iosb(), buffer(), 40, kBasic), kSuccess);
  EXPECT_EQ(Call(kQueryInformation, file_.handle(), iosb(), end() - 24, 24, kStandard), kSuccess);
  EXPECT_EQ(Call(kQueryVolume, file_.handle(), iosb(), buffer(), 24, kFsSize), kSuccess);
  const uint64_t size = 100;
  EXPECT_EQ(client_->WriteMemory(buffer(), AsBytes(size)), status::kSuccess);
  EXPECT_EQ(Call(kSetInformation, file_.handle(), iosb(), buffer(), 8, kEndOfFile), kSuccess);
  EXPECT_EQ(Call(kRead, file_.handle(), 0, 0, 0, iosb(), buffer(), 100, 0, 0), kSuccess);
  EXPECT_EQ(Call(kQueryDirectory, directory_.handle(), 0, 0, 0, iosb(), buffer(), 512, kNames, 0, 0, 1),
            kSuccess);
}

TEST_F(FileServices, BadBuffersAreAccessViolations) {
  for (const uint64_t bad : {uint64_t{0}, kNowhere, kKernel, kAllOfIt, end() - 4, ~uint64_t{0} - 7}) {
    const uint64_t aligned = bad & ~uint64_t{7};
    EXPECT_EQ(Call(kQueryInformation, file_.handle(), iosb(), aligned, 40, kBasic), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kSetInformation, file_.handle(), iosb(), aligned, 40, kBasic), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kQueryVolume, file_.handle(), iosb(), aligned, 24, kFsSize), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kSetVolume, file_.handle(), iosb(), aligned, 64, kLabel), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kQueryDirectory, directory_.handle(), 0, 0, 0, iosb(), aligned, 512, kNames, 0, 0, 1),
              kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kQueryEa, file_.handle(), iosb(), aligned, 64, 0, 0, 0, 0, 1), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kSetEa, file_.handle(), iosb(), aligned, 64), kAccessViolation) << std::hex << bad;
    EXPECT_EQ(Call(kNotifyChange, directory_.handle(), 0, 0, 0, iosb(), aligned, 64, 1, 0), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kFsControl, file_.handle(), 0, 0, 0, iosb(), 0x90000, aligned, 64, 0, 0), kAccessViolation)
        << std::hex << bad;
    EXPECT_EQ(Call(kRead, file_.handle(), 0, 0, 0, iosb(), aligned, 64, 0, 0), kAccessViolation)
        << std::hex << bad;
    // What is read is probed without being touched; no address at all is the file system's to refuse.
    EXPECT_EQ(Call(kWrite, file_.handle(), 0, 0, 0, iosb(), aligned, 64, 0, 0),
              aligned == 0 ? kInvalidUserBuffer : kAccessViolation)
        << std::hex << bad;
  }
}

TEST_F(FileServices, BadStatusBlocksAreAccessViolations) {
  for (const uint64_t bad : {uint64_t{0}, kNowhere, kKernel, end() - 8}) {
    EXPECT_EQ(Call(kQueryInformation, file_.handle(), bad, buffer(), 40, kBasic), kAccessViolation);
    EXPECT_EQ(Call(kSetInformation, file_.handle(), bad, buffer(), 8, kEndOfFile), kAccessViolation);
    EXPECT_EQ(Call(kQueryVolume, file_.handle(), bad, buffer(), 24, kFsSize), kAccessViolation);
    EXPECT_EQ(Call(kQueryDirectory, directory_.handle(), 0, 0, 0, bad, buffer(), 512, kNames, 0, 0, 1),
              kAccessViolation);
    EXPECT_EQ(Call(kQueryEa, file_.handle(), bad, buffer(), 64, 0, 0, 0, 0, 1), kAccessViolation);
    EXPECT_EQ(Call(kNotifyChange, directory_.handle(), 0, 0, 0, bad, buffer(), 64, 1, 0), kAccessViolation);
    EXPECT_EQ(Call(kFsControl, file_.handle(), 0, 0, 0, bad, 0x90000, 0, 0, 0, 0), kAccessViolation);
    EXPECT_EQ(Call(kLock, file_.handle(), 0, 0, 0, bad, buffer(), buffer(), 0, 1, 1), kAccessViolation);
    EXPECT_EQ(Call(kUnlock, file_.handle(), bad, buffer(), buffer(), 0), kAccessViolation);
  }
}

TEST_F(FileServices, PointersInsideAreCaptured) {
  EXPECT_EQ(Call(kLock, file_.handle(), 0, 0, 0, iosb(), kNowhere, buffer(), 0, 1, 1), kAccessViolation);
  EXPECT_EQ(Call(kLock, file_.handle(), 0, 0, 0, iosb(), buffer(), kKernel, 0, 1, 1), kAccessViolation);
  EXPECT_EQ(Call(kRead, file_.handle(), 0, 0, 0, iosb(), buffer(), 8, kNowhere, 0), kAccessViolation);
  // A pattern whose text is nowhere, or the kernel's.
  for (const uint64_t text : {kNowhere, kKernel}) {
    const struct {
      uint16_t length, maximum;
      uint32_t padding;
      uint64_t text;
    } pattern = {8, 8, 0, text};
    EXPECT_EQ(client_->WriteMemory(memory_ + 32, AsBytes(pattern)), status::kSuccess);
    EXPECT_EQ(Call(kQueryDirectory, directory_.handle(), 0, 0, 0, iosb(), buffer(), 512, kNames, 0,
                   memory_ + 32, 1),
              kAccessViolation);
  }
  EXPECT_EQ(
      Call(kQueryDirectory, directory_.handle(), 0, 0, 0, iosb(), buffer(), 512, kNames, 0, kNowhere, 1),
      kAccessViolation);
  EXPECT_EQ(Call(kQueryEa, file_.handle(), iosb(), buffer(), 64, 0, kNowhere, 16, 0, 1), kAccessViolation);
  EXPECT_EQ(Call(kQueryEa, file_.handle(), iosb(), buffer(), 64, 0, 0, 0, kNowhere, 1), kAccessViolation);
}

TEST_F(FileServices, AlignmentAndLengthsComeFirst) {
  EXPECT_EQ(Call(kQueryInformation, file_.handle(), iosb(), buffer() + 4, 40, kBasic), kMisaligned);
  EXPECT_EQ(Call(kSetInformation, file_.handle(), iosb(), buffer() + 1, 8, kEndOfFile), kMisaligned);
  EXPECT_EQ(Call(kQueryDirectory, directory_.handle(), 0, 0, 0, iosb(), buffer() + 2, 512, kNames, 0, 0, 1),
            kMisaligned);
  EXPECT_EQ(Call(kQueryInformation, file_.handle(), iosb(), kNowhere, 39, kBasic), kLengthMismatch);
  EXPECT_EQ(Call(kSetInformation, file_.handle(), iosb(), kNowhere, 23, kRename), kLengthMismatch);
}

}  // namespace
