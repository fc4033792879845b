#include "fabricated_machine.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>

#include <unistd.h>

#include "commands/nt_process.h"
#include "commands/text.h"

namespace fabricated {

namespace {

const std::string kDir = FABRICATED_DIR;
constexpr uint64_t kModuleList = 0xFFFFF802'322134A0;
constexpr uint64_t kIdleProcess = 0xFFFFF802'32349F40;
constexpr uint64_t kSharedData = 0xFFFFF780'00000000;

}  // namespace

Machine::Machine(uint32_t processors) : builder_(kDir + "/ntoskrnl.exe", kDir + "/ntkrnlmp.pdb") {
  kdump::Header64& header = builder_.header();
  header.MajorVersion = 15;
  header.MinorVersion = 22621;
  header.MachineImageType = 0x8664;
  header.NumberProcessors = processors;
  header.BugCheckCode = 0;
  for (uint64_t& parameter : header.BugCheckParameter) parameter = 0;
  header.PsLoadedModuleList = kModuleList;
  header.SystemTime = kSystemTime;
  header.SystemUpTime = 3495160000;
  header.ProductType = 1;
  header.SuiteMask = 0x110;
  header.PsActiveProcessHead = builder_.Symbol("PsActiveProcessHead");
  builder_.InitList(header.PsActiveProcessHead);
  builder_.LoadImage(kDir + "/ntoskrnl.exe", "ntoskrnl.exe");
  for (uint32_t i = 0; i < processors; ++i) {
    Structure pcr = builder_.New("_KPCR");
    const uint64_t address = pcr.AddressOf("Prcb");
    Structure prcb = builder_.At("_KPRCB", address);
    prcb.Set("Number", i).Set("Context", prcb.AddressOf("ProcessorState.ContextFrame"));
    pcr.Set("Self", pcr.address()).Set("CurrentPrcb", address);
    builder_.Put<uint64_t>(builder_.Symbol("KiProcessorBlock") + i * 8, address);
    prcbs_.push_back(address);
  }
  PutGlobals(processors);
  PutDebuggerData();
  PutSharedData();
}

namespace {

std::vector<std::byte> Smbios() {
  std::string table;
  auto add = [&](uint8_t type, std::string formatted, std::initializer_list<const char*> strings) {
    table += static_cast<char>(type);
    table += static_cast<char>(formatted.size() + 4);
    table += std::string(2, '\0') + formatted;
    for (const char* text : strings) table += text + std::string(1, '\0');
    table += '\0';
  };
  std::string system(23, '\0'), processor(38, '\0');
  system[0] = 1, system[1] = 2;
  processor[0x10 - 4] = 1;
  add(1, system, {"Microsoft Corporation", "Virtual Machine"});
  add(4, processor, {"11th Gen Intel(R) Core(TM) i7-1185G7 @ 3.00GHz"});
  add(127, "", {});
  std::vector<std::byte> bytes(table.size());
  std::memcpy(bytes.data(), table.data(), table.size());
  return bytes;
}

}  // namespace

void Machine::PutGlobals(uint32_t) {
  builder_.Put<uint32_t>(builder_.Symbol("KeMaximumIncrement"), 156250);
  builder_.Put<uint64_t>(builder_.Symbol("KiBugCheckPerformanceCounter"), kCounterNow);
  const std::string lab = "22621.2506.amd64fre.ni_release_svc_prod3.231018-1809";
  builder_.Write(builder_.Symbol("NtBuildLabEx"), std::as_bytes(std::span(lab.data(), lab.size())));
  const auto smbios = Smbios();
  const uint64_t table = builder_.Allocate(0x1000);
  builder_.Write(table, smbios);
  builder_.Put<uint64_t>(builder_.Symbol("WmipSMBiosTablePhysicalAddress"), builder_.PhysicalOf(table));
  builder_.Put<uint32_t>(builder_.Symbol("WmipSMBiosTableLength"), static_cast<uint32_t>(smbios.size()));
}

void Machine::PutDebuggerData() {
  using Data = kdump::KdDebuggerData;
  const uint64_t block = builder_.Symbol("KdDebuggerDataBlock");
  builder_.header().KdDebuggerDataBlock = block;
  builder_.InitList(block);
  builder_.Put<uint32_t>(block + Data::kOwnerTag, Data::kTag);
  builder_.Put<uint32_t>(block + Data::kSizeField, Data::kSize);
  builder_.Put<uint64_t>(block + Data::kKernBase, 0xFFFFF802'31600000);
  builder_.Put<uint64_t>(block + Data::kPsLoadedModuleList, kModuleList);
  builder_.Put<uint64_t>(block + Data::kPsActiveProcessHead, builder_.header().PsActiveProcessHead);
  builder_.Put<uint64_t>(block + Data::kKiProcessorBlock, builder_.Symbol("KiProcessorBlock"));
  builder_.Put<uint64_t>(block + Data::kKeTimeIncrement, builder_.Symbol("KeMaximumIncrement"));
}

// The fields of KUSER_SHARED_DATA that the commands read; their offsets are ABI.
void Machine::PutSharedData() {
  builder_.Map(kSharedData, 0x1000);
  builder_.Put<uint64_t>(kSharedData + 0x320, kNowTicks);
  builder_.Put<uint64_t>(kSharedData + 0x300, kCounterFrequency);
  builder_.Put<int64_t>(kSharedData + 0x20, int64_t{8} * 3600 * 10'000'000);
}

uint64_t Machine::AddProcess(const ProcessSpec& spec) {
  Structure process = spec.address != 0 ? builder_.At("_EPROCESS", spec.address) : builder_.New("_EPROCESS");
  process.Set("UniqueProcessId", spec.pid)
      .SetText("ImageFileName", spec.name.substr(0, 14))
      .Set("Pcb.DirectoryTableBase", builder_.header().DirectoryTableBase)
      .Set("WoW64Process", spec.wow64 ? 1 : 0)
      .Set("ExitTime.QuadPart", spec.ended ? kSystemTime - 1 : 0)
      .EmptyList("ThreadListHead")
      .EmptyList("Pcb.ThreadListHead");
  const uint64_t full_name = builder_.Allocate(16);
  builder_.PutUnicode(full_name, "\\Device\\HarddiskVolume3\\Windows\\" + spec.name);
  process.Set("SeAuditProcessCreationInfo.ImageFileName", full_name);
  if (spec.pid == 0) {
    builder_.Put<uint64_t>(builder_.Symbol("PsIdleProcess"), process.address());
  } else {
    builder_.InsertTail(builder_.header().PsActiveProcessHead, process.AddressOf("ActiveProcessLinks"));
  }
  return process.address();
}

uint64_t Machine::AddThread(uint64_t process, const ThreadSpec& spec) {
  Structure thread = spec.address != 0 ? builder_.At("_ETHREAD", spec.address) : builder_.New("_ETHREAD");
  Structure owner = builder_.At("_EPROCESS", process);
  const uint64_t pid = builder_.Read64(owner.AddressOf("UniqueProcessId"));
  thread.Set("Tcb.State", spec.state)
      .Set("Tcb.WaitReason", spec.reason)
      .Set("Tcb.Priority", static_cast<uint64_t>(spec.priority))
      .Set("Tcb.BasePriority", static_cast<uint64_t>(spec.base_priority))
      .Set("Tcb.WaitTime", kNowTicks - spec.elapsed_ticks)
      .Set("Tcb.ContextSwitches", spec.context_switches)
      .Set("Tcb.UserTime", spec.user_ticks)
      .Set("Tcb.KernelTime", spec.kernel_ticks)
      .Set("Tcb.SuspendCount", spec.suspend_count)
      .Set("Tcb.NextProcessor", spec.processor.value_or(0))
      .Set("ActiveFaultCount", spec.active_faults)
      .Set("Tcb.Process", process)
      .Set("Cid.UniqueProcess", pid)
      .Set("Cid.UniqueThread", spec.tid)
      .EmptyList("Tcb.MutantListHead")
      .EmptyList("IrpList");
  if (spec.wait_object != 0) {
    thread.Set("Tcb.WaitBlockList", thread.AddressOf("Tcb.WaitBlock")).Set("Tcb.WaitBlockCount", 1);
    Structure block = builder_.At("_KWAIT_BLOCK", thread.AddressOf("Tcb.WaitBlock"));
    block.Set("Object", spec.wait_object).Set("Thread", thread.address());
    Structure header = builder_.At("_DISPATCHER_HEADER", spec.wait_object);
    builder_.InsertTail(header.AddressOf("WaitListHead"), block.AddressOf("WaitListEntry"));
  }
  builder_.InsertTail(owner.AddressOf("ThreadListHead"), thread.AddressOf("ThreadListEntry"));
  builder_.InsertTail(owner.AddressOf("Pcb.ThreadListHead"), thread.AddressOf("Tcb.ThreadListEntry"));
  owner.Set("ActiveThreads", (builder_.Read64(owner.AddressOf("ActiveThreads")) & 0xFFFFFFFF) + 1);
  if (spec.processor && spec.state == kRunning)
    builder_.At("_KPRCB", prcbs_[*spec.processor]).Set("CurrentThread", thread.address());
  if (spec.processor && spec.idle)
    builder_.At("_KPRCB", prcbs_[*spec.processor]).Set("IdleThread", thread.address());
  return thread.address();
}

void Machine::PutContext(uint64_t address, const Context& context) {
  kdump::ContextX64 record{};
  record.ContextFlags = kdump::kContextFullAmd64;
  record.SegCs = 0x10, record.SegSs = 0x18, record.EFlags = 0x246;
  record.MxCsr = record.FltSaveMxCsr = 0x1F80;
  record.Rip = context.rip, record.Rsp = context.rsp, record.Rbp = context.rbp;
  builder_.Put(address, record);
}

void Machine::SetContext(uint32_t processor, const Context& context) {
  PutContext(builder_.At("_KPRCB", prcbs_[processor]).AddressOf("ProcessorState.ContextFrame"), context);
}

void Machine::SetCrash(uint32_t processor, uint32_t code, std::vector<uint64_t> parameters,
                       const Context& context) {
  kdump::Header64& header = builder_.header();
  header.BugCheckCode = code;
  for (size_t i = 0; i < 4; ++i) header.BugCheckParameter[i] = i < parameters.size() ? parameters[i] : 0;
  SetContext(processor, context);
  std::memset(&header.ContextRecord, 0, sizeof header.ContextRecord);
  header.Context.ContextFlags = kdump::kContextFullAmd64;
  header.Context.SegCs = 0x10, header.Context.SegSs = 0x18, header.Context.EFlags = 0x246;
  header.Context.MxCsr = header.Context.FltSaveMxCsr = 0x1F80;
  header.Context.Rip = context.rip, header.Context.Rsp = context.rsp, header.Context.Rbp = context.rbp;
}

void Machine::TraceLock(uint32_t processor, unsigned slot, uint64_t lock, uint64_t caller, uint64_t thread,
                        bool spinning, uint64_t microseconds) {
  const std::string entry = "LockTrace[" + std::to_string(slot) + "].";
  builder_.At("_KPRCB", prcbs_[processor])
      .Set(entry + "Lock", lock)
      .Set(entry + "CallerAddress", caller)
      .Set(entry + "Thread", thread)
      .Set(entry + "StartTime", kCounterNow - microseconds * (kCounterFrequency / 1'000'000))
      .Set(entry + "Kind", spinning ? 2 : 1)
      .Set(entry + "Irql", 0);
}

Machine::Opened Machine::Open(bool driver_symbols) {
  const auto path =
      std::filesystem::temp_directory_path() / ("bugcheck_fabricated_" + std::to_string(getpid()) + ".dmp");
  const auto saved = builder_.Save(path);
  commands::DebugOptions options;
  options.dump = path;
  options.symbol_path = kDir + (driver_symbols ? ";" + kDir + "/drivers" : "");
  auto session = saved ? commands::OpenSession(options) : tl::make_unexpected(saved.error());
  std::filesystem::remove(path);  // stays mapped
  if (!session) {
    std::fprintf(stderr, "fabricated dump: %s\n", session.error().message.c_str());
    std::abort();
  }
  Opened opened;
  opened.session = std::move(*session);
  opened.interpreter = std::make_unique<commands::Interpreter>(*opened.session);
  return opened;
}

std::string Machine::Opened::Run(const std::string& line) {
  commands::Output out;
  interpreter->RunLine(line, out);
  return out.text();
}

namespace {

struct Row {
  uint64_t pid, address;
  std::string name;
  std::vector<int> counts;  // !! Rn Ry Bk Lc IO Er
};

// Rows of an expected !mex.tl -t.
std::vector<Row> ParseTable(const std::string& text) {
  std::vector<Row> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("0x")) continue;
    const auto words = commands::SplitWords(line);
    Row row{std::stoull(words[0], nullptr, 16), std::stoull(words[2], nullptr, 16), words[3], {}};
    for (size_t i = 4; i < words.size(); ++i) row.counts.push_back(words[i] == "." ? 0 : std::stoi(words[i]));
    rows.push_back(row);
  }
  return rows;
}

// "5m:49.515", "453ms" to clock ticks, rounded to the nearest.
uint64_t Ticks(const std::string& text) {
  double ms = 0;
  if (text.ends_with("ms")) {
    ms = std::stod(text);
  } else {
    const size_t minute = text.find("m:"), second = text.find("s.");
    if (minute != std::string::npos)
      ms = std::stod(text) * 60'000 + std::stod(text.substr(minute + 2)) * 1000;
    else if (second != std::string::npos)
      ms = std::stod(text) * 1000 + std::stod(text.substr(second + 2));
  }
  return static_cast<uint64_t>(ms / 15.625 + 0.5);
}

// The running threads by process id: what !mex.running is expected to show.
std::multimap<uint64_t, ThreadSpec> ParseRunning(const std::string& text) {
  std::multimap<uint64_t, ThreadSpec> threads;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const auto w = commands::SplitWords(line);
    if (w.size() != 13 || w[0] == "Process" || w[0][0] == '=') continue;
    ThreadSpec spec;
    spec.address = std::stoull(w[2], nullptr, 16);
    spec.tid = std::stoull(w[3], nullptr, 16);
    spec.priority = std::stoi(w[4]), spec.base_priority = std::stoi(w[5]);
    spec.processor = static_cast<uint32_t>(std::stoi(w[6]));
    spec.context_switches = std::stoull(w[7]);
    spec.user_ticks = Ticks(w[8]), spec.kernel_ticks = Ticks(w[9]);
    spec.state = kRunning;
    spec.elapsed_ticks = Ticks(w[11]);
    for (size_t reason = 0; reason < std::size(nt::kWaitReasons); ++reason) {
      if (w[12] == nt::kWaitReasons[reason]) spec.reason = static_cast<Reason>(reason);
    }
    spec.idle = w[0] == "Idle";
    threads.emplace(std::stoull(w[1], nullptr, 16), spec);
  }
  return threads;
}

// Turns a row's counts into threads: the running ones are given, the rest waits or is ready in various ways.
void Populate(Machine& machine, uint64_t process, const Row& row,
              std::multimap<uint64_t, ThreadSpec>& running, uint64_t& tid) {
  int attention = row.counts[0], runs = row.counts[1];
  std::map<uint32_t, bool> used;
  const auto [first, last] = running.equal_range(row.pid);
  for (auto it = first; it != last; ++it, --runs) {
    machine.AddThread(process, it->second);
    used[*it->second.processor] = true;
    if (it->second.elapsed_ticks > 640 && !it->second.idle) --attention;
  }
  auto add = [&](ThreadSpec spec) {
    spec.tid = tid += 4;
    return machine.AddThread(process, spec);
  };
  // Idle threads of processors that run something else: their state stays Running, they are not current.
  for (uint32_t cpu = 0; runs > 0; ++cpu) {
    if (used[cpu]) continue;
    const uint64_t thread = add({.state = kRunning, .reason = kExecutive});
    machine.builder().At("_KPRCB", machine.prcb(cpu)).Set("IdleThread", thread);
    --runs;
  }
  constexpr State kReadyish[] = {kReady, kStandby, kDeferredReady, kTransition};
  for (int i = 0; i < row.counts[2]; ++i) add({.state = kReadyish[i % 4]});
  constexpr Reason kLocks[] = {kWrPushLock, kWrMutex, kWrFastMutex, kWrGuardedMutex};
  for (int i = 0; i < row.counts[3]; ++i) {
    if (row.pid == 0x2100) {
      Structure mutant = machine.builder().New("_KMUTANT");
      mutant.Set("Header.Type", 2).EmptyList("Header.WaitListHead");
      add({.reason = kUserRequest, .wait_object = mutant.address()});
    } else {
      add({.reason = kLocks[(row.pid / 4 + static_cast<uint64_t>(i)) % 4]});
    }
  }
  for (int i = 0; i < row.counts[4]; ++i) add({.reason = kWrLpcReply});
  for (int i = 0; i < row.counts[5]; ++i)
    add(row.pid % 8 == 4 ? ThreadSpec{.reason = kWrPageIn}
                         : ThreadSpec{.reason = kExecutive, .active_faults = 1});
  for (int i = 0; i < row.counts[6]; ++i) add({.reason = kWrResource});
  for (int i = 0; i < attention; ++i)
    add(i % 2 == 0 ? ThreadSpec{.reason = kSuspended} : ThreadSpec{.reason = kWrQueue, .suspend_count = 1});
  add({.reason = kWrQueue, .elapsed_ticks = 5000});  // and one that nobody has to look at
}

// The stack of the spinning thread as the case study shows it.
void PutSpinningStack(DumpBuilder& b) {
  constexpr uint64_t kTop = 0xFFFFFB00'851EF600;
  b.Map(kTop - 0x6000, 0x6000);
  b.Put<uint64_t>(0xFFFFFB00851EF200 - 8, 0xFFFFF8023184056E);
  b.Put<uint64_t>(0xFFFFFB00851EF230 - 8, 0xFFFFF802516A1297);
  b.Put<uint64_t>(0xFFFFFB00851EF570 - 8, 0xFFFFF802319573D7);
  b.Put<uint64_t>(0xFFFFFB00851EF5C0 - 8, 0xFFFFF80231A1B8D4);
  b.Put<uint64_t>(0xFFFFFB00851EF600 - 8, 0);
}

}  // namespace

std::unique_ptr<Machine> CaseStudy() {
  auto machine = std::make_unique<Machine>(6);
  DumpBuilder& b = machine->builder();
  b.LoadImage(kDir + "/drivers/TestDriver.sys", "TestDriver.sys");
  b.LoadImage(kDir + "/drivers/hostfs.sys", "hostfs.sys");
  const std::string data = TEST_DATA_DIR;
  auto running = ParseRunning(ReadText(data + "/mex_running.txt"));
  uint64_t tid = 0x10000;
  for (const Row& row : ParseTable(ReadText(data + "/mex_tl_t.txt"))) {
    const bool wow64 = row.name.ends_with("*32");
    const uint64_t process =
        machine->AddProcess({row.pid == 0 ? kIdleProcess : row.address, row.pid,
                             wow64 ? row.name.substr(0, row.name.size() - 3) : row.name, wow64});
    Populate(*machine, process, row, running, tid);
  }
  for (uint64_t i = 0; i < 16; ++i)
    machine->AddProcess({.pid = 0x3000 + i * 4, .name = "ended.exe", .ended = true});
  PutSpinningStack(b);
  for (uint32_t cpu = 0; cpu < 6; ++cpu)
    machine->SetContext(cpu, {b.Symbol("KiSystemStartup"), b.Allocate(0x1000) + 0x800});
  machine->SetContext(1, {b.Symbol("KxWaitForSpinLockAndAcquire") + 0x1C, 0xFFFFFB00851EF1D0});
  machine->SetCrash(5, 0xD1, {0xFFFFF802364E5641, 2, 8, 0xFFFFF802364E5641},
                    {0xFFFFF802364E5641, b.Allocate(0x1000) + 0x800});
  return machine;
}

}  // namespace fabricated
