// A snapshot's session of the debugger library, and the machine that stands still for it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bugcheck/snapshot.h"
#include "debug/session.h"
#include "run/machine.h"

namespace bugcheck {

struct Snapshot::Core {
  static Result<std::unique_ptr<Core>> Open(run::Machine& machine, const std::string& guest_folder,
                                            const std::vector<std::string>& driver_folders);
  ~Core();

  run::Machine* machine = nullptr;
  bool paused = false;
  std::unique_ptr<debug::Session> session;
};

struct KernelObject::Core {
  const debug::Symbols* symbols = nullptr;
  debug::Object object;
};

}  // namespace bugcheck
