// The sample IOCTL server through the kit: every method, good and bad buffers. Oracle: the WDK's descriptions
// of the four methods, and what the sample says it does.
#include <numeric>
#include <string_view>

#include "bugcheck/gtest.h"
#include "ioctl_server/ioctl_server.h"

namespace {

using bugcheck::AsBytes;
using bugcheck::Bytes;
using bugcheck::File;
namespace status = bugcheck::status;

class IoctlServer : public bugcheck::DriverTest {
 protected:
  IoctlServer() : DriverTest(IOCTL_SERVER_SYS) {}
  File OpenServer() { return Open(L"\\\\.\\IoctlServer"); }
};

Bytes Text(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return Bytes(bytes.begin(), bytes.end());
}

TEST_F(IoctlServer, BufferedCarriesBothWays) {
  File file = OpenServer();
  const auto result = file.Ioctl(IOCTL_SERVER_REVERSE, Text("driver"), 100);
  EXPECT_EQ(result.status, status::kSuccess);
  EXPECT_EQ(result.information, 6u);
  EXPECT_EQ(result.data, Text("revird"));
  EXPECT_EQ(file.Ioctl(IOCTL_SERVER_REVERSE, Text("driver"), 5).status, status::kBufferTooSmall);
  EXPECT_EQ(file.Ioctl(IOCTL_SERVER_REVERSE).status, status::kSuccess);
}

TEST_F(IoctlServer, LargeBuffersTravelToo) {
  File file = OpenServer();
  Bytes input(20'000);
  for (size_t i = 0; i < input.size(); ++i) input[i] = static_cast<std::byte>(i * 7);
  auto result = file.Ioctl(IOCTL_SERVER_REVERSE, input, input.size());
  EXPECT_EQ(result.status, status::kSuccess);
  EXPECT_EQ(result.data, Bytes(input.rbegin(), input.rend()));
}

TEST_F(IoctlServer, InDirectReadsTheOutputBuffer) {
  File file = OpenServer();
  const Bytes ones(5000, std::byte{1});
  EXPECT_EQ(file.IoctlDirect(IOCTL_SERVER_SUM_DIRECT, {}, ones).status, status::kSuccess);
  EXPECT_EQ(file.Ioctl(IOCTL_SERVER_LAST_SUM, {}, 4).As<uint32_t>(), 5000u);
  EXPECT_TRUE(machine().WaitForOutput("ioctl_server: sum 5000"));
}

TEST_F(IoctlServer, OutDirectFillsTheOutputBuffer) {
  File file = OpenServer();
  const auto result = file.Ioctl(IOCTL_SERVER_FILL_DIRECT, Text("x"), 9000);
  EXPECT_EQ(result.status, status::kSuccess);
  EXPECT_EQ(result.data, Bytes(9000, std::byte{'x'}));
  EXPECT_EQ(file.Ioctl(IOCTL_SERVER_FILL_DIRECT, {}, 10).status, status::kInvalidParameter);
}

TEST_F(IoctlServer, NeitherWorksOnUserAddresses) {
  File file = OpenServer();
  const uint32_t value = 41;
  const auto result = file.Ioctl(IOCTL_SERVER_ADD_NEITHER, AsBytes(value), sizeof(value));
  EXPECT_EQ(result.status, status::kSuccess);
  EXPECT_EQ(result.As<uint32_t>(), 42u);
}

TEST_F(IoctlServer, SeesAProgramsProcessAndMode) {
  auto client = machine().NewClient("asker.exe");
  BUGCHECK_ASSERT_OK(client);
  auto file = client->Open(L"\\\\.\\IoctlServer");
  BUGCHECK_ASSERT_OK(file);
  const auto info =
      file->Ioctl(IOCTL_SERVER_CALLER, {}, sizeof(IOCTL_SERVER_CALLER_INFO)).As<IOCTL_SERVER_CALLER_INFO>();
  EXPECT_EQ(info.RequestorMode, 1u);
  EXPECT_EQ(info.ProcessId, client->process_id());
  EXPECT_EQ(info.Opens, 1u);
  File other = OpenServer();
  EXPECT_NE(other.Ioctl(IOCTL_SERVER_CALLER, {}, sizeof(info)).As<IOCTL_SERVER_CALLER_INFO>().ProcessId,
            info.ProcessId);
}

// One entry an address that no program may pass, for each method.
TEST_F(IoctlServer, BadAddressesAreStatusesNotFaults) {
  auto client = machine().NewClient();
  BUGCHECK_ASSERT_OK(client);
  auto file = client->Open(L"\\\\.\\IoctlServer");
  BUGCHECK_ASSERT_OK(file);
  auto good = client->Allocate(4096);
  auto read_only = client->Allocate(4096, bugcheck::kPageReadOnly);
  auto freed = client->Allocate(4096);
  BUGCHECK_ASSERT_OK(good);
  BUGCHECK_ASSERT_OK(read_only);
  BUGCHECK_ASSERT_OK(freed);
  EXPECT_EQ(client->Free(*freed), status::kSuccess);
  constexpr uint64_t kKernel = 0xFFFFF80200000000, kNotCanonical = 0x8000000000000000;
  for (const uint64_t bad : {uint64_t{0}, uint64_t{0x1000}, *freed, kKernel, kNotCanonical, ~uint64_t{3}}) {
    for (const uint32_t code : {IOCTL_SERVER_REVERSE, IOCTL_SERVER_FILL_DIRECT, IOCTL_SERVER_ADD_NEITHER}) {
      EXPECT_EQ(file->IoctlRaw(code, {bad, 8, *good, 8}).status, status::kAccessViolation)
          << code << " " << bad;
      EXPECT_EQ(file->IoctlRaw(code, {*good, 8, bad, 8}).status, status::kAccessViolation)
          << code << " " << bad;
    }
  }
  EXPECT_EQ(file->IoctlRaw(IOCTL_SERVER_ADD_NEITHER, {*read_only, 4, *good, 4}).status, status::kSuccess);
  EXPECT_EQ(file->IoctlRaw(IOCTL_SERVER_ADD_NEITHER, {*good, 4, *read_only, 4}).status,
            status::kAccessViolation);
  EXPECT_EQ(file->IoctlRaw(IOCTL_SERVER_REVERSE, {*good, 4, *read_only, 4}).status, status::kAccessViolation);
  // The end of the page is the end: eight bytes of which four are there.
  EXPECT_EQ(file->IoctlRaw(IOCTL_SERVER_REVERSE, {*good + 4092, 8, *good, 8}).status,
            status::kAccessViolation);
  EXPECT_EQ(file->IoctlRaw(IOCTL_SERVER_ADD_NEITHER, {*good + 2, 4, *good, 4}).status,
            bugcheck::Status(0x80000002));
}

TEST_F(IoctlServer, MemoryOfTheProcessIsReadAndWritten) {
  auto client = machine().NewClient();
  BUGCHECK_ASSERT_OK(client);
  auto address = client->Allocate(200'000);
  BUGCHECK_ASSERT_OK(address);
  Bytes data(200'000);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i % 251);
  EXPECT_EQ(client->WriteMemory(*address, data), status::kSuccess);
  auto file = client->Open(L"\\\\.\\IoctlServer");
  BUGCHECK_ASSERT_OK(file);
  const auto size = static_cast<uint32_t>(data.size());
  EXPECT_EQ(file->IoctlRaw(IOCTL_SERVER_REVERSE, {*address, size, *address, size}).status, status::kSuccess);
  auto back = client->ReadMemory(*address, data.size());
  BUGCHECK_ASSERT_OK(back);
  EXPECT_EQ(*back, Bytes(data.rbegin(), data.rend()));
}

TEST_F(IoctlServer, HandlesThatAreNone) {
  auto client = machine().NewClient();
  BUGCHECK_ASSERT_OK(client);
  auto file = client->Open(L"\\\\.\\IoctlServer");
  BUGCHECK_ASSERT_OK(file);
  const uint64_t handle = file->handle();
  EXPECT_EQ(file->Close(), status::kSuccess);
  EXPECT_EQ(client->IoctlOnHandle(handle, IOCTL_SERVER_CALLER, {}, 16).status, status::kInvalidHandle);
  EXPECT_EQ(client->CloseHandle(handle), status::kInvalidHandle);
  for (const uint64_t wrong : {uint64_t{0}, uint64_t{0xDEADBEEC}, ~uint64_t{0} - 100})
    EXPECT_EQ(client->IoctlOnHandle(wrong, IOCTL_SERVER_CALLER, {}, 16).status, status::kInvalidHandle)
        << wrong;
}

TEST_F(IoctlServer, NamesThatAreNone) {
  const auto open = [&](std::wstring_view name) {
    auto file = machine().Open(name);
    return file ? status::kSuccess : file.error().status;
  };
  EXPECT_EQ(open(L"\\\\.\\NoSuchDevice"), status::kObjectNameNotFound);
  EXPECT_EQ(open(std::wstring(20'000, L'x')), bugcheck::Status(0xC000003B));  // STATUS_OBJECT_PATH_SYNTAX_BAD
  EXPECT_EQ(open(L"\\\\.\\" + std::wstring(20'000, L'x')), status::kObjectNameNotFound);
  bugcheck::OpenOptions longer;
  longer.claimed_name_length = 0xFFFE;
  auto file = machine().Open(L"\\\\.\\IoctlServer", longer);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().status, status::kAccessViolation);
}

TEST_F(IoctlServer, KernelObjectsAreInspectedByType) {
  File file = OpenServer();
  auto drivers = machine().Objects("\\Driver");
  BUGCHECK_ASSERT_OK(drivers);
  const auto named = [](const bugcheck::NamedObject& object) { return object.name == "ioctl_server"; };
  const auto found = std::find_if(drivers->begin(), drivers->end(), named);
  ASSERT_NE(found, drivers->end());
  EXPECT_EQ(found->type, "Driver");
  auto snapshot = machine().Inspect();
  BUGCHECK_ASSERT_OK(snapshot);
  auto object = (*snapshot)->ObjectAt("_DRIVER_OBJECT", found->address);
  BUGCHECK_ASSERT_OK(object);
  EXPECT_EQ(object->UnicodeString("DriverName").value_or(""), "\\Driver\\ioctl_server");
  const auto devices = (*snapshot)->DevicesOf(*object);
  ASSERT_EQ(devices.size(), 1u);
  EXPECT_EQ(devices[0].U64("ReferenceCount").value_or(0), 1u);
  auto extension = devices[0].U64("DeviceExtension");
  BUGCHECK_ASSERT_OK(extension);
  auto server = (*snapshot)->ObjectAt("ioctl_server!_SERVER_EXTENSION", *extension);
  BUGCHECK_ASSERT_OK(server);
  EXPECT_EQ(server->U64("Opens").value_or(0), 1u);
}

TEST_F(IoctlServer, ManyClientsAtOnce) {
  std::vector<bugcheck::Client> clients;
  std::vector<File> files;
  for (int i = 0; i < 8; ++i) {
    auto client = machine().NewClient();
    BUGCHECK_ASSERT_OK(client);
    auto file = client->Open(L"\\\\.\\IoctlServer");
    BUGCHECK_ASSERT_OK(file);
    clients.push_back(std::move(*client));
    files.push_back(std::move(*file));
  }
  std::vector<bugcheck::Request> requests;
  for (uint32_t i = 0; i < 800; ++i)
    requests.push_back(files[i % 8].StartIoctl(IOCTL_SERVER_ADD_NEITHER, AsBytes(i), 4));
  EXPECT_TRUE(machine().WaitAll(requests));
  for (uint32_t i = 0; i < 800; ++i) EXPECT_EQ(requests[i].Wait().As<uint32_t>(), i + 1);
}

}  // namespace
