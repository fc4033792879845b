#include "commands/nt_process.h"

#include <algorithm>
#include <cstring>
#include <set>

#include <fmt/format.h>

#include "commands/text.h"

namespace nt {

namespace {

constexpr size_t kMaxProcesses = 65536;
constexpr size_t kMaxThreads = 65536;  // of one process

constexpr const char* kStateNames[] = {
    "Initialized", "Ready",      "Running",       "Standby",          "Terminated",
    "Waiting",     "Transition", "DeferredReady", "GateWaitObsolete", "WaitingForProcessInSwap"};

}  // namespace

ThreadFields::ThreadFields(const Kernel& kernel) {
  const debug::Type& t = kernel.type("_ETHREAD");
  size = t.size();
  state = {t, {"Tcb.State"}};
  wait_reason = {t, {"Tcb.WaitReason"}};
  priority = {t, {"Tcb.Priority"}};
  base_priority = {t, {"Tcb.BasePriority"}};
  priority_decrement = {t, {"Tcb.PriorityDecrement"}};
  affinity = {t, {"Tcb.Affinity.Mask", "Tcb.Affinity", "Tcb.UserAffinity.Mask", "Tcb.UserAffinity"}};
  // Windows 11: a pointer to a _KAFFINITY_EX.
  const auto mask = t.FindField("Tcb.Affinity");
  affinity_is_pointer = mask && t.source().GetType(mask->type_id).kind == symbols::TypeKind::kPointer;
  next_processor = {t, {"Tcb.NextProcessorNumber", "Tcb.NextProcessor"}};
  ideal_processor = {t, {"Tcb.IdealProcessor"}};
  context_switches = {t, {"Tcb.ContextSwitches"}};
  user_time = {t, {"Tcb.UserTime"}};
  kernel_time = {t, {"Tcb.KernelTime"}};
  wait_time = {t, {"Tcb.WaitTime"}};
  suspend_count = {t, {"Tcb.SuspendCount"}};
  active_faults = {t, {"ActiveFaultCount"}};
  teb = {t, {"Tcb.Teb"}};
  pid = {t, {"Cid.UniqueProcess"}};
  tid = {t, {"Cid.UniqueThread"}};
  process = {t, {"Tcb.Process"}};
  apc_process = {t, {"Tcb.ApcState.Process"}};
  start_address = {t, {"StartAddress"}};
  win32_start_address = {t, {"Win32StartAddress"}};
  create_time = {t, {"CreateTime.QuadPart", "CreateTime"}};
  wait_block_list = {t, {"Tcb.WaitBlockList"}};
  wait_block_count = {t, {"Tcb.WaitBlockCount"}};
  initial_stack = {t, {"Tcb.InitialStack"}};
  stack_base = {t, {"Tcb.StackBase"}};
  stack_limit = {t, {"Tcb.StackLimit"}};
  kernel_stack = {t, {"Tcb.KernelStack"}};
  trap_frame = {t, {"Tcb.TrapFrame"}};
  wait_irql = {t, {"Tcb.WaitIrql"}};
  wait_mode = {t, {"Tcb.WaitMode"}};
  lock_entries = {t, {"Tcb.LockEntries"}};
  lock_entry_count = {t, {"Tcb.LockEntryCount"}};
  irp_list = {t, {"IrpList.Flink"}};
}

ProcessFields::ProcessFields(const Kernel& kernel) {
  const debug::Type& p = kernel.type("_EPROCESS");
  const debug::Type& t = kernel.type("_ETHREAD");
  size = p.size();
  if (const auto name = p.FindField("ImageFileName")) {
    image_name_offset = name->offset;
    image_name_size = std::min<uint64_t>(p.source().GetType(name->type_id).size, 64);
  }
  pid = {p, {"UniqueProcessId"}};
  parent = {p, {"InheritedFromUniqueProcessId"}};
  wow64 = {p, {"WoW64Process", "Wow64Process"}};
  dtb = {p, {"Pcb.DirectoryTableBase"}};
  peb = {p, {"Peb"}};
  create_time = {p, {"CreateTime.QuadPart", "CreateTime"}};
  exit_time = {p, {"ExitTime.QuadPart", "ExitTime"}};
  active_threads = {p, {"ActiveThreads"}};
  object_table = {p, {"ObjectTable"}};
  kernel_time = {p, {"Pcb.KernelTime"}};
  user_time = {p, {"Pcb.UserTime"}};
  audit_name = {p, {"SeAuditProcessCreationInfo.ImageFileName"}};
  session = {p, {"Session"}};
  auto offset = [](const debug::Type& type, std::string_view path) {
    const auto found = type.OffsetOf(path);
    return found ? *found : UINT64_MAX;
  };
  thread_list = offset(p, "ThreadListHead");
  thread_link = offset(t, "ThreadListEntry");
  pcb_thread_list = offset(p, "Pcb.ThreadListHead");
  pcb_thread_link = offset(t, "Tcb.ThreadListEntry");
}

std::string Thread::Where() const {
  if (state == ThreadState::kRunning && processor) return fmt::format("Running on processor {}", *processor);
  if (state == ThreadState::kStandby) return fmt::format("Standby on processor {}", next_processor);
  return state_name;
}

base::Result<Thread> Kernel::ReadThread(uint64_t address) {
  if (!thread_fields_) thread_fields_ = std::make_unique<ThreadFields>(*this);
  const ThreadFields& f = *thread_fields_;
  if (f.size == 0) return base::Fail("the kernel's symbols have no type _ETHREAD");
  std::vector<std::byte> bytes(std::min<uint64_t>(f.size, 0x4000));
  const auto read = memory().Read(address, bytes);
  if (!read) return base::Fail("Memory read error at " + debug::FormatAddress(address));
  ReadProcessorThreads();

  Thread t;
  t.address = address;
  t.process = f.process.ReadOr(bytes, f.apc_process.ReadOr(bytes));
  t.pid = f.pid.ReadOr(bytes);
  t.tid = f.tid.ReadOr(bytes);
  t.state = static_cast<ThreadState>(f.state.ReadOr(bytes) & 0xFF);
  t.state_name = EnumName("_KTHREAD_STATE", f.state.ReadOr(bytes), kStateNames);
  t.wait_reason = static_cast<uint8_t>(f.wait_reason.ReadOr(bytes));
  t.wait_reason_name = EnumName("_KWAIT_REASON", t.wait_reason, kWaitReasons);
  t.priority = f.priority.SignedOr(bytes);
  t.base_priority = f.base_priority.SignedOr(bytes);
  t.priority_decrement = f.priority_decrement.ReadOr(bytes);
  t.affinity = f.affinity.ReadOr(bytes);
  if (f.affinity_is_pointer) {
    const auto bitmap = type("_KAFFINITY_EX").OffsetOf("Bitmap");
    const auto mask = memory().Get<uint64_t>(t.affinity + bitmap.value_or(8));
    t.affinity = mask.value_or(0);
  }
  t.next_processor = f.next_processor.ReadOr(bytes);
  t.ideal_processor = f.ideal_processor.ReadOr(bytes);
  t.context_switches = f.context_switches.ReadOr(bytes);
  t.user_time = f.user_time.ReadOr(bytes) * TimeIncrement();
  t.kernel_time = f.kernel_time.ReadOr(bytes) * TimeIncrement();
  t.time = SinceTick(static_cast<uint32_t>(f.wait_time.ReadOr(bytes)));
  t.suspend_count = f.suspend_count.ReadOr(bytes);
  t.active_faults = f.active_faults.ReadOr(bytes);
  t.teb = f.teb.ReadOr(bytes);
  t.start_address = f.start_address.ReadOr(bytes);
  t.win32_start_address = f.win32_start_address.ReadOr(bytes);
  t.wait_block_list = f.wait_block_list.ReadOr(bytes);
  t.wait_block_count = f.wait_block_count.ReadOr(bytes);
  t.initial_stack = f.initial_stack.ReadOr(bytes);
  t.stack_base = f.stack_base.ReadOr(bytes);
  t.stack_limit = f.stack_limit.ReadOr(bytes);
  t.kernel_stack = f.kernel_stack.ReadOr(bytes);
  t.trap_frame = f.trap_frame.ReadOr(bytes);
  t.wait_irql = f.wait_irql.ReadOr(bytes);
  t.wait_mode = f.wait_mode.ReadOr(bytes);
  t.lock_entries = f.lock_entries.ReadOr(bytes);
  t.lock_entry_count = f.lock_entry_count.ReadOr(bytes);
  t.irp_list = f.irp_list.valid() ? address + f.irp_list.offset() : 0;
  const uint64_t created = f.create_time.ReadOr(bytes), now = session_.header().SystemTime;
  if (created != 0 && created <= now) t.age = now - created;
  t.is_idle = std::find(idle_threads_.begin(), idle_threads_.end(), address) != idle_threads_.end();
  if (const auto on = running_on_.find(address); on != running_on_.end()) t.processor = on->second;
  return t;
}

void Kernel::ReadProcessorThreads() {
  if (!running_on_.empty()) return;
  for (uint32_t number = 0; number < session_.processor_count(); ++number) {
    const auto processor = session_.GetProcessor(number);
    if (!processor) continue;
    running_on_[processor->current_thread] = number;
    if (processor->idle_thread != 0) idle_threads_.push_back(processor->idle_thread);
  }
}

namespace {

std::string ProcessName(const Kernel& kernel, const ProcessFields& f, std::span<const std::byte> bytes) {
  std::string name;
  for (uint64_t i = 0; i < f.image_name_size && f.image_name_offset + i < bytes.size(); ++i) {
    const char c = static_cast<char>(bytes[f.image_name_offset + i]);
    if (c == 0) break;
    name += commands::Printable(static_cast<uint8_t>(c));
  }
  // ImageFileName holds 14 characters; the audit record has the whole path.
  if (name.size() < 14) return name;
  const uint64_t record = f.audit_name.ReadOr(bytes);
  const auto length = kernel.memory().Get<uint16_t>(record);
  const auto buffer = kernel.memory().Get<uint64_t>(record + 8);
  if (record == 0 || !length || !buffer) return name;
  const auto path = kernel.memory().ReadUtf16(*buffer, std::min<uint16_t>(*length, 2048));
  if (!path) return name;
  const std::string full = path->substr(path->find_last_of('\\') + 1);
  return full.size() > name.size() && commands::EqualsNoCase(full.substr(0, name.size()), name) ? full : name;
}

}  // namespace

base::Result<Process> Kernel::ReadProcess(uint64_t address) {
  if (!process_fields_) process_fields_ = std::make_unique<ProcessFields>(*this);
  const ProcessFields& f = *process_fields_;
  if (f.size == 0) return base::Fail("the kernel's symbols have no type _EPROCESS");
  std::vector<std::byte> bytes(std::min<uint64_t>(f.size, 0x4000));
  if (!memory().Read(address, bytes))
    return base::Fail("Memory read error at " + debug::FormatAddress(address));
  ReadProcessorThreads();

  Process p;
  p.address = address;
  p.pid = f.pid.ReadOr(bytes);
  p.parent_pid = f.parent.ReadOr(bytes);
  p.name = ProcessName(*this, f, bytes);
  p.is_idle = p.pid == 0;
  if (p.is_idle && p.name.empty()) p.name = "Idle";
  p.is_wow64 = f.wow64.ReadOr(bytes) != 0;
  p.directory_table_base = f.dtb.ReadOr(bytes);
  p.peb = f.peb.ReadOr(bytes);
  p.create_time = f.create_time.ReadOr(bytes);
  p.exit_time = f.exit_time.ReadOr(bytes);
  p.active_threads = f.active_threads.ReadOr(bytes);
  p.object_table = f.object_table.ReadOr(bytes);
  p.kernel_time = f.kernel_time.ReadOr(bytes) * TimeIncrement();
  p.user_time = f.user_time.ReadOr(bytes) * TimeIncrement();
  for (uint64_t thread : ThreadAddresses(p)) {
    if (auto read = ReadThread(thread)) {
      p.threads.push_back(std::move(*read));
    } else {
      damage_.push_back(fmt::format("thread {:x} of {}: {}", thread, p.name, read.error().message));
    }
  }
  const bool alive = std::any_of(p.threads.begin(), p.threads.end(),
                                 [](const Thread& t) { return t.state != ThreadState::kTerminated; });
  p.is_zombie =
      !p.is_idle && !alive && (p.exit_time != 0 || !f.active_threads.valid() || p.active_threads == 0);
  return p;
}

std::vector<uint64_t> Kernel::ThreadAddresses(const Process& process) {
  const ProcessFields& f = *process_fields_;
  std::vector<uint64_t> threads;
  std::set<uint64_t> seen;
  auto add = [&](uint64_t list, uint64_t link) {
    if (list == UINT64_MAX || link == UINT64_MAX) return;
    const debug::ListWalk walk = debug::WalkList(memory(), process.address + list, kMaxThreads);
    if (!walk.damage.empty() && !(walk.entries.empty() && process.is_idle)) {
      damage_.push_back(
          fmt::format("thread list of {} ({:x}): {}", process.name, process.address, walk.damage));
    }
    for (uint64_t entry : walk.entries) {
      if (seen.insert(entry - link).second) threads.push_back(entry - link);
    }
  };
  add(f.thread_list, f.thread_link);
  if (threads.empty()) add(f.pcb_thread_list, f.pcb_thread_link);
  if (process.is_idle) {
    for (uint64_t thread : idle_threads_) {
      if (seen.insert(thread).second) threads.push_back(thread);
    }
  }
  return threads;
}

void Kernel::ReadAll() {
  processes_.clear();
  damage_.clear();
  std::set<uint64_t> seen;
  const debug::ListWalk walk = session_.Processes();
  for (uint64_t address : walk.entries) {
    if (processes_.size() >= kMaxProcesses || !seen.insert(address).second) break;
    if (auto process = ReadProcess(address)) {
      processes_.push_back(std::move(*process));
    } else {
      damage_.push_back(fmt::format("process {:x}: {}", address, process.error().message));
    }
  }
  if (!walk.damage.empty()) damage_.push_back("process list: " + walk.damage);
}

const std::vector<Process>& Kernel::Processes() {
  if (!processes_read_) ReadAll();
  processes_read_ = true;
  return processes_;
}

void Kernel::Refresh() {
  processes_read_ = false;
  running_on_.clear();
  idle_threads_.clear();
}

const Thread* Kernel::FindThread(uint64_t address) {
  for (const Process& process : Processes()) {
    for (const Thread& thread : process.threads) {
      if (thread.address == address) return &thread;
    }
  }
  return nullptr;
}

const Process* Kernel::FindProcess(uint64_t address) {
  for (const Process& process : Processes()) {
    if (process.address == address) return &process;
  }
  return nullptr;
}

namespace {

constexpr const char* kObjectNames[] = {
    "NotificationEvent", "SynchronizationEvent", "Mutant", "Process", "Queue", "Semaphore", "Thread", "Gate",
    "NotificationTimer", "SynchronizationTimer"};

}  // namespace

std::vector<WaitObject> WaitObjects(Kernel& kernel, const Thread& thread) {
  std::vector<WaitObject> objects;
  const debug::Type& block = kernel.type("_KWAIT_BLOCK");
  const debug::Type& header = kernel.type("_DISPATCHER_HEADER");
  if (thread.wait_block_list == 0 || !block.valid() || !header.valid()) return objects;
  const uint64_t count = std::min<uint64_t>(thread.wait_block_count, 64);
  const FieldReader object_field(block, {"Object"}), type_field(header, {"Type"});
  const auto waiters = header.OffsetOf("WaitListHead");
  const uint64_t owner_offset = kernel.type("_KMUTANT").OffsetOf("OwnerThread").value_or(UINT64_MAX);
  for (uint64_t i = 0; i < count; ++i) {
    std::vector<std::byte> bytes(block.size()), head(header.size());
    if (!kernel.memory().Read(thread.wait_block_list + i * block.size(), bytes)) break;
    WaitObject entry;
    entry.object = object_field.ReadOr(bytes);
    if (entry.object == 0 || !kernel.memory().Read(entry.object, head)) continue;
    entry.type = type_field.ReadOr(head) & 0x7F;
    entry.type_name = entry.type < std::size(kObjectNames) ? kObjectNames[entry.type]
                                                           : fmt::format("Type {:#x}", entry.type);
    if (waiters) {
      const auto walk = debug::WalkList(kernel.memory(), entry.object + *waiters, 4096);
      entry.other_waiters = walk.entries.empty() ? 0 : walk.entries.size() - 1;
    }
    if (entry.type == kMutantObject && owner_offset != UINT64_MAX) {
      const auto owner = kernel.memory().Get<uint64_t>(entry.object + owner_offset);
      entry.owner = owner ? *owner & ~uint64_t{1} : 0;
    }
    objects.push_back(entry);
  }
  return objects;
}

}  // namespace nt
