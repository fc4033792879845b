// bugcheck debug: hands over to the debugger's command line. --live is resolved here: the debugger gets the
// RAM file of the running machine.
#include <algorithm>

#include <fcntl.h>

#include <fmt/format.h>

#include "bin/debugger_entry.h"
#include "bin/subcommand.h"
#include "run/client.h"

namespace bin {

int DebugMain(const Arguments& arguments) {
  Arguments passed = arguments;
  run::LiveMachine live;
  const auto found = std::find(passed.begin(), passed.end(), "--live");
  if (found != passed.end()) {
    auto client = run::MachineClient::Connect("default");
    if (!client) return ReportError("debug --live: " + client.error().message);
    auto attached = client->Attach();
    if (!attached) return ReportError("debug --live: " + attached.error().message);
    live = std::move(*attached);
    *found = fmt::format("--live-ram={},{:#x}", live.ram.get(), live.header_physical);
  }
  return RunDebugger(passed);
}

}  // namespace bin
