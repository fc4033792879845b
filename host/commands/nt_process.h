// Processes and threads as the commands show them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "commands/nt_kernel.h"

namespace nt {

// KTHREAD.State
enum class ThreadState : uint8_t {
  kInitialized = 0,
  kReady = 1,
  kRunning = 2,
  kStandby = 3,
  kTerminated = 4,
  kWaiting = 5,
  kTransition = 6,
  kDeferredReady = 7,
  kWaitingForProcessInSwap = 9,
};

struct Thread {
  uint64_t address = 0;  // ETHREAD
  uint64_t process = 0;  // EPROCESS
  uint64_t pid = 0;
  uint64_t tid = 0;
  ThreadState state = ThreadState::kInitialized;
  std::string state_name;
  uint8_t wait_reason = 0;
  std::string wait_reason_name;
  int64_t priority = 0;
  int64_t base_priority = 0;
  uint64_t priority_decrement = 0;
  uint64_t affinity = 0;
  uint64_t next_processor = 0;
  uint64_t ideal_processor = 0;
  uint64_t context_switches = 0;
  uint64_t user_time = 0;     // 100 ns
  uint64_t kernel_time = 0;   // 100 ns
  uint64_t time = 0;          // since WaitTime, 100 ns
  uint64_t age = UINT64_MAX;  // since its creation, 100 ns; UINT64_MAX = not known
  uint64_t suspend_count = 0;
  uint64_t active_faults = 0;  // pages on their way in
  uint64_t teb = 0;
  uint64_t start_address = 0;
  uint64_t win32_start_address = 0;
  uint64_t wait_block_list = 0;
  uint64_t wait_block_count = 0;
  uint64_t initial_stack = 0, stack_base = 0, stack_limit = 0, kernel_stack = 0;
  uint64_t trap_frame = 0;
  uint64_t wait_irql = 0, wait_mode = 0;
  uint64_t lock_entries = 0, lock_entry_count = 0;
  uint64_t irp_list = 0;  // address of the list head, 0 = no such field
  bool is_idle = false;
  std::optional<uint32_t> processor;  // where it runs now

  bool IsReadyish() const {
    return state == ThreadState::kReady || state == ThreadState::kStandby ||
           state == ThreadState::kDeferredReady || state == ThreadState::kTransition;
  }
  // "Running on processor 1", "Waiting".
  std::string Where() const;
};

struct Process {
  uint64_t address = 0;
  uint64_t pid = 0;
  uint64_t parent_pid = 0;
  std::string name;  // "svchost.exe"
  bool is_wow64 = false;
  bool is_zombie = false;
  bool is_idle = false;
  uint64_t session_id = UINT64_MAX;
  uint64_t directory_table_base = 0;
  uint64_t peb = 0;
  uint64_t create_time = 0;  // FILETIME
  uint64_t exit_time = 0;
  uint64_t active_threads = 0;
  uint64_t object_table = 0;
  uint64_t handle_count = 0;
  uint64_t kernel_time = 0, user_time = 0;  // 100 ns
  std::vector<Thread> threads;

  std::string DisplayName() const { return is_wow64 ? name + "*32" : name; }
};

// The KWAIT_REASON names, for kernels whose symbols lack the enumeration; the values are part of the ABI.
inline constexpr const char* kWaitReasons[] = {"Executive",
                                               "FreePage",
                                               "PageIn",
                                               "PoolAllocation",
                                               "DelayExecution",
                                               "Suspended",
                                               "UserRequest",
                                               "WrExecutive",
                                               "WrFreePage",
                                               "WrPageIn",
                                               "WrPoolAllocation",
                                               "WrDelayExecution",
                                               "WrSuspended",
                                               "WrUserRequest",
                                               "WrSpare0",
                                               "WrQueue",
                                               "WrLpcReceive",
                                               "WrLpcReply",
                                               "WrVirtualMemory",
                                               "WrPageOut",
                                               "WrRendezvous",
                                               "WrKeyedEvent",
                                               "WrTerminated",
                                               "WrProcessInSwap",
                                               "WrCpuRateControl",
                                               "WrCalloutStack",
                                               "WrKernel",
                                               "WrResource",
                                               "WrPushLock",
                                               "WrMutex",
                                               "WrQuantumEnd",
                                               "WrDispatchInt",
                                               "WrPreempted",
                                               "WrYieldExecution",
                                               "WrFastMutex",
                                               "WrGuardedMutex",
                                               "WrRundown",
                                               "WrAlertByThreadId",
                                               "WrDeferredPreempt",
                                               "WrPhysicalFault",
                                               "WrIoRing",
                                               "WrMdlCache",
                                               "WrRcu"};

// An object in a thread's wait blocks.
struct WaitObject {
  uint64_t object = 0;
  uint64_t type = 0;           // DISPATCHER_HEADER.Type
  std::string type_name;       // "SynchronizationEvent", "Mutant", ...
  uint64_t other_waiters = 0;  // threads in the object's wait list besides this one
  uint64_t owner = 0;          // mutants: the owning KTHREAD
};
std::vector<WaitObject> WaitObjects(Kernel& kernel, const Thread& thread);

// KOBJECTS values in DISPATCHER_HEADER.Type (ABI).
inline constexpr uint64_t kMutantObject = 2;

struct ThreadFields {
  explicit ThreadFields(const Kernel& kernel);
  uint64_t size = 0;
  bool affinity_is_pointer = false;
  FieldReader state, wait_reason, priority, base_priority, priority_decrement, affinity, next_processor,
      ideal_processor, context_switches, user_time, kernel_time, wait_time, suspend_count, active_faults, teb,
      pid, tid, process, apc_process, start_address, win32_start_address, create_time, wait_block_list,
      wait_block_count, initial_stack, stack_base, stack_limit, kernel_stack, trap_frame, wait_irql,
      wait_mode, lock_entries, lock_entry_count, irp_list;
};

struct ProcessFields {
  explicit ProcessFields(const Kernel& kernel);
  uint64_t size = 0;
  uint64_t image_name_offset = UINT64_MAX;
  uint64_t image_name_size = 0;
  FieldReader pid, parent, wow64, dtb, peb, create_time, exit_time, active_threads, object_table, kernel_time,
      user_time, audit_name, session;
  uint64_t thread_list = UINT64_MAX;      // offset of the list head of ETHREAD.ThreadListEntry
  uint64_t thread_link = UINT64_MAX;      // offset of that entry
  uint64_t pcb_thread_list = UINT64_MAX;  // the same of KPROCESS and KTHREAD
  uint64_t pcb_thread_link = UINT64_MAX;
};

}  // namespace nt
