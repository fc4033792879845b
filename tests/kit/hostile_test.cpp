// Hostile programs: random control codes, lengths and pointers, handles that are none, handles closed by one
// thread while others use them. Nothing here may stop the machine. BUGCHECK_HOSTILE_REQUESTS and
// BUGCHECK_HOSTILE_SEED choose how much and what; the seed is printed.
#include <cstdlib>
#include <random>

#include "bugcheck/gtest.h"
#include "ioctl_server/ioctl_server.h"

namespace {

using bugcheck::Bytes;
using bugcheck::Client;
using bugcheck::File;
using bugcheck::RawBuffers;
using bugcheck::Request;
namespace status = bugcheck::status;

constexpr size_t kWindow = 256;  // requests that are on their way at once

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 0) : otherwise;
}

class Hostile : public bugcheck::DriverTest {
 protected:
  Hostile() : DriverTest(IOCTL_SERVER_SYS) {}

  void SetUp() override {
    DriverTest::SetUp();
    const uint64_t seed = FromEnvironment("BUGCHECK_HOSTILE_SEED", std::random_device()());
    std::printf("seed %llu, %llu requests\n", static_cast<unsigned long long>(seed),
                static_cast<unsigned long long>(requests_));
    random_.seed(seed);
    auto queue = machine().Load(CANCEL_QUEUE_SYS);
    BUGCHECK_ASSERT_OK(queue);
    queue_ = *queue;
  }
  void TearDown() override {
    if (machine().state() == bugcheck::MachineState::kRunning) BUGCHECK_EXPECT_OK(machine().Unload(queue_));
    DriverTest::TearDown();
  }

  uint64_t Below(uint64_t limit) { return random_() % limit; }
  uint32_t Code() {
    constexpr uint32_t kKnown[] = {IOCTL_SERVER_REVERSE,     IOCTL_SERVER_SUM_DIRECT,
                                   IOCTL_SERVER_FILL_DIRECT, IOCTL_SERVER_ADD_NEITHER,
                                   IOCTL_SERVER_LAST_SUM,    IOCTL_SERVER_CALLER};
    switch (Below(4)) {
      case 0:
        return static_cast<uint32_t>(random_());
      case 1:
        return 0x00220000 | static_cast<uint32_t>(Below(0x10000));
      default:
        return kKnown[Below(std::size(kKnown))];
    }
  }
  uint32_t Length() {
    constexpr uint32_t kEdges[] = {0,    1,    3,     4,          8,          4095,
                                   4096, 4097, 65536, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF};
    return Below(2) == 0 ? kEdges[Below(std::size(kEdges))] : static_cast<uint32_t>(Below(64));
  }
  uint64_t Address(uint64_t memory) {
    switch (Below(8)) {
      case 0:
        return random_();
      case 1:
        return Below(0x20000);
      case 2:
        return 0xFFFF800000000000 | random_();
      case 3:
        return 0x00007FFFFFFE0000 + Below(0x30000);
      default:
        return memory + Below(3 * 4096);  // two pages and what lies behind
    }
  }

  std::mt19937_64 random_;
  uint64_t requests_ = FromEnvironment("BUGCHECK_HOSTILE_REQUESTS", 100'000);
  bugcheck::Driver queue_;
};

// Keeps a window of requests open; each must be answered.
class Window {
 public:
  void Add(Request request) {
    if (requests_.size() < kWindow) {
      requests_.push_back(std::move(request));
    } else {
      Finish(requests_[next_]);
      requests_[next_] = std::move(request);
      next_ = (next_ + 1) % kWindow;
    }
  }
  void FinishAll() {
    for (Request& request : requests_) Finish(request);
    requests_.clear();
    next_ = 0;
  }
  uint64_t answers() const { return answers_; }
  uint64_t successes() const { return successes_; }
  bool failed() const { return failed_; }

 private:
  void Finish(Request& request) {
    if (failed_) return;
    const auto result = request.Wait();
    failed_ = result.status == status::kNoAnswer;
    if (failed_) ADD_FAILURE() << "after " << answers_ << " answers: " << result;
    ++answers_;
    successes_ += result.ok() ? 1 : 0;
  }
  std::vector<Request> requests_;
  size_t next_ = 0;
  uint64_t answers_ = 0;
  uint64_t successes_ = 0;
  bool failed_ = false;
};

TEST_F(Hostile, RandomControlCodesLengthsAndPointers) {
  auto client = machine().NewClient("hostile.exe");
  BUGCHECK_ASSERT_OK(client);
  auto file = client->Open(L"\\\\.\\IoctlServer");
  BUGCHECK_ASSERT_OK(file);
  auto queue = client->Open(L"\\\\.\\CancelQueue");
  BUGCHECK_ASSERT_OK(queue);
  auto memory = client->Allocate(2 * 4096);
  BUGCHECK_ASSERT_OK(memory);
  Window window;
  Bytes input(64);
  for (uint64_t i = 0; i < requests_ && !window.failed(); ++i) {
    File& target = Below(8) == 0 ? *queue : *file;
    if (Below(2) == 0) {
      for (std::byte& byte : input) byte = static_cast<std::byte>(random_());
      const auto length = static_cast<size_t>(Below(input.size() + 1));
      window.Add(target.StartIoctl(Code(), std::span(input).first(length), Below(200)));
    } else {
      const RawBuffers buffers{Address(*memory), Length(), Address(*memory), Length()};
      window.Add(target.StartIoctlRaw(Code(), buffers));
    }
  }
  window.FinishAll();
  EXPECT_EQ(window.answers(), requests_);
  EXPECT_GT(window.successes(), requests_ / 20) << "hardly anything was a request at all";
}

TEST_F(Hostile, HandlesThatAreNone) {
  auto client = machine().NewClient("hostile.exe");
  BUGCHECK_ASSERT_OK(client);
  Window window;
  for (uint64_t i = 0; i < requests_ / 20 && !window.failed(); ++i) {
    const uint64_t handle = Below(3) == 0   ? random_()
                            : Below(3) == 0 ? 0xFFFFFFFF80000000 | Below(0x1000)
                                            : Below(64) * 4;
    if (Below(16) == 0) {
      const auto closed = client->CloseHandle(handle);
      // -1 and -2 are the process and the thread, which are never closed.
      EXPECT_TRUE(closed == status::kInvalidHandle || handle >= ~uint64_t{1}) << handle << " " << closed;
    } else {
      window.Add(client->StartIoctlOnHandle(handle, Code(), {}, Below(64)));
    }
  }
  window.FinishAll();
  EXPECT_EQ(window.successes(), 0u);
}

// One process, eight threads: seven send on a handle that the eighth closes and opens again.
TEST_F(Hostile, CloseRacesWithRequests) {
  auto opener = machine().NewClient("hostile.exe");
  BUGCHECK_ASSERT_OK(opener);
  std::vector<Client> threads;
  for (int i = 0; i < 7; ++i) {
    auto thread = opener->NewThread();
    BUGCHECK_ASSERT_OK(thread);
    threads.push_back(std::move(*thread));
  }
  Window window;
  const uint32_t value = 41;
  const uint64_t rounds = requests_ / 200;
  for (uint64_t round = 0; round < rounds && !window.failed(); ++round) {
    auto file = opener->Open(L"\\\\.\\IoctlServer");
    BUGCHECK_ASSERT_OK(file);
    const uint64_t close_at = Below(28);
    for (uint64_t i = 0; i < 28; ++i) {
      if (i == close_at) window.Add(file->StartClose());
      window.Add(threads[i % 7].StartIoctlOnHandle(file->handle(), IOCTL_SERVER_ADD_NEITHER,
                                                   bugcheck::AsBytes(value), 4));
    }
  }
  window.FinishAll();
  EXPECT_EQ(window.answers(), rounds * 29);
  EXPECT_GT(window.successes(), rounds);
}

// The same with reads that wait in the queue: the close and a cancellation race for each.
TEST_F(Hostile, CloseRacesWithCancellation) {
  auto client = machine().NewClient("hostile.exe");
  BUGCHECK_ASSERT_OK(client);
  auto other = client->NewThread();
  BUGCHECK_ASSERT_OK(other);
  for (uint64_t round = 0; round < requests_ / 1000; ++round) {
    auto file = client->Open(L"\\\\.\\CancelQueue");
    BUGCHECK_ASSERT_OK(file);
    std::vector<Request> reads;
    for (int i = 0; i < 8; ++i) reads.push_back(file->StartRead(16));
    const uint64_t handle = file->handle();
    Request close = other->StartIoctlOnHandle(handle, Code());
    Request closed = file->StartClose();
    for (Request& read : reads) (void)read.Cancel();
    EXPECT_NE(close.Wait().status, status::kNoAnswer);
    EXPECT_EQ(closed.Wait().status, status::kSuccess);
    for (Request& read : reads) EXPECT_EQ(read.Wait().status, status::kCancelled);
  }
}

TEST_F(Hostile, NamesOfAnyLength) {
  auto client = machine().NewClient("hostile.exe");
  BUGCHECK_ASSERT_OK(client);
  for (uint64_t i = 0; i < requests_ / 200; ++i) {
    std::wstring name(Below(4) == 0 ? Below(25'000) : Below(40), L'\\');
    for (wchar_t& c : name) c = Below(6) == 0 ? L'\\' : static_cast<wchar_t>(1 + Below(0xD7FE));
    if (Below(2) == 0) name = L"\\\\.\\" + name;
    bugcheck::OpenOptions options;
    if (Below(3) == 0) options.claimed_name_length = static_cast<uint16_t>(random_());
    options.disposition = static_cast<uint32_t>(Below(8));
    options.create_options = Below(3) == 0 ? static_cast<uint32_t>(random_()) & ~0x1000u : 0;
    auto file = client->Open(name, options);
    if (!file) EXPECT_NE(file.error().status, status::kNoAnswer) << file.error();
  }
}

}  // namespace
