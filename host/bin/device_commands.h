// The shell's commands about devices and power.
#pragma once

#include "bin/subcommand.h"
#include "run/client.h"

namespace bin {

// devnode [list] | add HARDWARE-ID [SERVICE] | map HARDWARE-ID SERVICE | remove|... INSTANCE
int DevnodeCommand(run::MachineClient& client, const Arguments& arguments);
// power [status] | sleep [1-4] | wake | source ac|dc
int PowerCommand(run::MachineClient& client, const Arguments& arguments);

}  // namespace bin
