// The executive: worker threads, resources, named synchronisation objects.
#pragma once

#include "nt/ntos.h"

extern "C" {
// Phase 1, after the processors are up: object types (Event, Mutant, Semaphore, Timer, Callback), worker
// threads.
NTSTATUS ExInitSystem();
// True once work items are served.
BOOLEAN ExpWorkersReady();
}
