// Commands on the running machine: what `bugcheck sc` and the shell share.
#pragma once

#include <string>
#include <vector>

#include "bin/subcommand.h"
#include "run/client.h"

namespace bin {

// Each prints its answer and returns an exit status. kBugcheck: the machine stopped; what is known has been
// printed.
int ScCommand(run::MachineClient& client, const std::string& drive_c, const Arguments& arguments);
int DriverQueryCommand(run::MachineClient& client);
int DirCommand(run::MachineClient& client, const std::string& path);
int TypeCommand(run::MachineClient& client, const std::string& path);
int VerifierCommand(run::MachineClient& client, const Arguments& arguments);
int DevicesCommand(run::MachineClient& client, const std::string& directory);
int ProcCommand(run::MachineClient& client, const Arguments& arguments);
int CrashCommand(run::MachineClient& client);

// Says what a reply other than kAnswered means; kClean for kAnswered.
int CheckReply(const base::Result<run::RpcMessage>& reply);

void PrintScHelp();

// A subcommand of the program's that is a command of the shell's too, on the default machine.
int OnDefaultMachine(const char* name, const char* help,
                     int (*command)(run::MachineClient&, const Arguments&), const Arguments& arguments);

}  // namespace bin
