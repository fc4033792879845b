// How fast the kit is, as one line of JSON: a test from boot to unload with 1,000 control codes, a round
// trip, and one request of many that are on their way together.
//
// usage: kit_bench IOCTL_SERVER.sys
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "bugcheck/machine.h"
#include "ioctl_server/ioctl_server.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTestRequests = 1000, kRoundTrips = 2000, kBatches = 100, kBatch = 200;

double Since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

double Median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + values.size() / 2, values.end());
  return values[values.size() / 2];
}

[[noreturn]] void Fail(const std::string& why) {
  std::fprintf(stderr, "kit_bench: %s\n", why.c_str());
  std::exit(1);
}

template <typename T>
T Take(bugcheck::Result<T> result) {
  if (!result) Fail(result.error().message);
  return std::move(*result);
}

double WholeTest(const char* driver_file) {
  const auto begin = Clock::now();
  auto machine = Take(bugcheck::Machine::Boot());
  auto driver = Take(machine->Load(driver_file));
  {
    auto file = Take(machine->Open(L"\\\\.\\IoctlServer"));
    for (int i = 0; i < kTestRequests; ++i) {
      if (file.Ioctl(IOCTL_SERVER_ADD_NEITHER, bugcheck::AsBytes(i), 4).As<int>() != i + 1)
        Fail("a wrong answer");
    }
  }
  if (!Take(machine->Unload(driver)).empty()) Fail("something was left behind");
  return Since(begin);
}

double RoundTrip(bugcheck::File& file) {
  std::vector<double> seconds;
  for (int i = 0; i < kRoundTrips; ++i) {
    const auto begin = Clock::now();
    if (file.Ioctl(IOCTL_SERVER_ADD_NEITHER, bugcheck::AsBytes(i), 4).As<int>() != i + 1)
      Fail("a wrong answer");
    seconds.push_back(Since(begin));
  }
  return Median(seconds);
}

double OneOfABatch(bugcheck::Machine& machine, bugcheck::File& file) {
  std::vector<double> seconds;
  for (int batch = 0; batch < kBatches; ++batch) {
    std::vector<bugcheck::Request> requests(kBatch);
    const auto begin = Clock::now();
    for (int i = 0; i < kBatch; ++i)
      requests[i] = file.StartIoctl(IOCTL_SERVER_ADD_NEITHER, bugcheck::AsBytes(i), 4);
    if (!machine.WaitAll(requests)) Fail("no answer");
    seconds.push_back(Since(begin) / kBatch);
    for (int i = 0; i < kBatch; ++i) {
      if (requests[i].Wait().As<int>() != i + 1) Fail("a wrong answer");
    }
  }
  return Median(seconds);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) Fail("usage: kit_bench IOCTL_SERVER.sys");
  std::vector<double> tests;
  for (int i = 0; i < 5; ++i) tests.push_back(WholeTest(argv[1]));
  auto machine = Take(bugcheck::Machine::Boot());
  auto driver = Take(machine->Load(argv[1]));
  auto file = Take(machine->Open(L"\\\\.\\IoctlServer"));
  const double round_trip = RoundTrip(file), batched = OneOfABatch(*machine, file);
  std::printf("{\"test_seconds\": %.4f, \"round_trip_us\": %.2f, \"batched_us\": %.2f}\n", Median(tests),
              round_trip * 1e6, batched * 1e6);
}
