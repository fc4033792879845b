// The kernel's console and debugger data. Owner: ke.
#pragma once

#include "boot/control.h"
#include "boot/loader_block.h"
#include "nt/kd_types.h"
#include "nt/kpcr.h"

namespace kd {

// Attaches the control area: prints and machine states work from here on. First call of KiSystemStartup.
void InitializeConsole(const boot::LoaderBlock* block);
// Text to the host's console log. Any IRQL, any context except NMI; never blocks on the host.
void PutText(const char* text, SIZE_T length);
// A line to the host's trace; same rules.
void PutTrace(const char* text, SIZE_T length);
// printf to the console; same rules. %s %c %d %u %x %p %llx %I64x %wZ %ws.
void Print(const char* format, ...);

boot::ControlArea* Control();
void SetMachineState(boot::MachineState state);
void SetBootStep(PVOID function);
void EnterCrash();  // the console goes on without its lock: the other processors are frozen

// Fills KdDebuggerDataBlock and KdVersionBlock with what is known now; called once mm and ps are up, and
// again at crash.
void UpdateDebuggerData();
// A variable of another module whose address belongs at `offset` of KdDebuggerDataBlock.
void RegisterDebuggerVariable(USHORT offset, PVOID address);

}  // namespace kd

extern "C" {
extern UCHAR KdDebuggerDataBlock[0x380];
extern DBGKD_GET_VERSION64 KdVersionBlock;
extern CHAR NtBuildLab[];
}
