// Boot order, declared: the tables in boot_tasks.cpp. The only module that sees every other.
#pragma once

#include "boot/loader_block.h"
#include "nt/ntos.h"

namespace init {

struct Task {
  const char* name;
  NTSTATUS (*run)(const boot::LoaderBlock* block);
  const char* needs;  // why it stands here, for the reader
};

// Runs the tasks in order; a failure is bug check 0x31 (phase 0) or 0x32 (phase 1) naming the task on the
// console.
void RunPhase(const Task* tasks, ULONG count, ULONG phase, const boot::LoaderBlock* block);

}  // namespace init
