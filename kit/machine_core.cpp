#include "machine_core.h"

#include <algorithm>

#include <fmt/format.h>

#include "run/run_report.h"

namespace bugcheck::detail {
namespace {

// How long a wait looks at the rings before it sleeps until the doorbell, and how often it sees to the rest
// meanwhile. Longer than a doorbell takes in both directions: a client that was asleep once is then found
// awake the next time.
constexpr auto kLook = std::chrono::microseconds(1000);
constexpr auto kPumpInterval = std::chrono::milliseconds(1);
constexpr int kSleepMs = 20;

}  // namespace

std::string MachineCore::Whereabouts() const {
  switch (machine->condition()) {
    case run::Condition::kCrashed:
      return "the machine stopped with bug check " + run::BugcheckTitle(machine->channel().stop_facts().code);
    case run::Condition::kRunning:
      return "no answer in time";
    default:
      return machine->Whereabouts();
  }
}

bool MachineCore::ReadClients() {
  bool came = false;
  for (const auto& weak : clients) {
    if (auto client = weak.lock()) came = client->Read() || came;
  }
  return came;
}

// Sleeps until something happens; the guest rings meanwhile.
void MachineCore::Sleep(int milliseconds) {
  std::erase_if(clients, [](const auto& weak) { return weak.expired(); });
  for (const auto& weak : clients) {
    if (auto client = weak.lock()) client->SetAwake(false);
  }
  if (!ReadClients()) machine->Pump(milliseconds);
  for (const auto& weak : clients) {
    if (auto client = weak.lock()) client->SetAwake(true);
  }
}

bool MachineCore::Wait(Milliseconds timeout, const std::function<bool()>& done) {
  const auto begin = run::Clock::now();
  const auto deadline = begin + timeout;
  auto last_news = begin, last_pump = begin;
  for (;;) {
    const bool came = ReadClients();
    if (done()) return true;
    if (!running()) return false;
    const auto now = run::Clock::now();
    if (now >= deadline) {
      machine->Pump(0);
      ReadClients();
      return done();
    }
    if (came) last_news = now;
    if (now - last_news >= kLook) {
      const auto left = std::chrono::duration_cast<Milliseconds>(deadline - now).count();
      Sleep(static_cast<int>(std::min<int64_t>(left, kSleepMs)));
    } else if (now - last_pump >= kPumpInterval) {
      machine->Pump(0);
      last_pump = now;
    } else {
      __builtin_ia32_pause();
    }
  }
}

Result<run::Reply> MachineCore::Call(boot::Request kind, const std::string& payload, Milliseconds timeout,
                                     const std::string& what) {
  auto reply = machine->Call(kind, payload, run::Clock::now() + timeout);
  if (!reply) return Error{fmt::format("cannot {}: {}", what, Whereabouts()), status::kNoAnswer};
  return *reply;
}

}  // namespace bugcheck::detail
