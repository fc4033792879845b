#include "bin/debugger_entry.h"

#ifdef BUGCHECK_HAVE_COMMANDS
#include "commands/debug_main.h"
#endif

namespace bin {

int RunDebugger(const Arguments& arguments) {
#ifdef BUGCHECK_HAVE_COMMANDS
  return commands::DebugMain(arguments);
#else
  (void)arguments;
  return ReportError("debug: this program was built without the debugger");
#endif
}

}  // namespace bin
