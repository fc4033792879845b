// What a function needs, and its start with what it was given.
#include "ke/ke.h"
#include "pci_internal.h"

namespace pci {
namespace {

ULONG g_first_line;

// In the private descriptor behind that of a base address register, so that its index is known at the start.
constexpr ULONG kBarMark = ' RAB';

// Bus drivers ask for messages only when the device's INF said so.
bool WantsMessages(const Function* function) {
  if (function->message_capability == 0) return false;
  pnp::Key parameters, key;
  pnp::Value wanted;
  UNICODE_STRING path = ob::String(L"Interrupt Management\\MessageSignaledInterruptProperties");
  if (!NT_SUCCESS(
          IoOpenDeviceRegistryKey(function->self, PLUGPLAY_REGKEY_DEVICE, KEY_READ, parameters.put())))
    return false;
  if (!NT_SUCCESS(key.Open(parameters.get(), &path, KEY_READ)) ||
      !NT_SUCCESS(wanted.Read(key.get(), L"MSISupported")))
    return false;
  return wanted.type() == REG_DWORD && wanted.size() == sizeof(ULONG) &&
         *reinterpret_cast<const ULONG*>(wanted.data()) != 0;
}

// The line of the I/O APIC that a function's pin leads to; -1: it has no pin.
LONG LineOf(const Function* function) {
  const ULONG pin = function->header.u.type0.InterruptPin;
  if (pin == 0 || pin > 4) return -1;
  return static_cast<LONG>(g_first_line + (function->device + pin - 1) % 4);
}

// Writes the descriptors one after the other; with none to write to it counts.
class Writer {
 public:
  explicit Writer(IO_RESOURCE_DESCRIPTOR* at) : at_(at) {}
  void Add(const IO_RESOURCE_DESCRIPTOR& descriptor) {
    if (at_ != nullptr) at_[count_] = descriptor;
    ++count_;
  }
  ULONG count() const { return count_; }

 private:
  IO_RESOURCE_DESCRIPTOR* at_;
  ULONG count_ = 0;
};

// The bus has no window of ports: such registers, which all devices since 2004 have only beside others, stay
// off.
void AddBars(const Function* function, Writer& writer) {
  const Bus* bus = function->common.bus;
  for (ULONG i = 0; i < PCI_TYPE0_ADDRESSES; ++i) {
    const Bar& bar = function->bars[i];
    if (bar.size == 0 || !bar.memory) continue;
    IO_RESOURCE_DESCRIPTOR want = {};
    want.Type = CmResourceTypeMemory;
    want.ShareDisposition = CmResourceShareDeviceExclusive;
    want.Flags = CM_RESOURCE_MEMORY_READ_WRITE | (bar.prefetchable ? CM_RESOURCE_MEMORY_PREFETCHABLE : 0);
    // What does not fit into a descriptor does not fit into the window either.
    const ULONG length = bar.size > MAXULONG ? MAXULONG : static_cast<ULONG>(bar.size);
    want.u.Memory.Length = want.u.Memory.Alignment = length;
    want.u.Memory.MinimumAddress.QuadPart = static_cast<LONGLONG>(bus->window_first);
    want.u.Memory.MaximumAddress.QuadPart = static_cast<LONGLONG>(bus->window_last);
    writer.Add(want);
    IO_RESOURCE_DESCRIPTOR mark = {};
    mark.Type = CmResourceTypeDevicePrivate;
    mark.u.DevicePrivate.Data[0] = kBarMark;
    mark.u.DevicePrivate.Data[1] = i;
    writer.Add(mark);
  }
}

void AddInterrupts(const Function* function, bool messages, Writer& writer) {
  IO_RESOURCE_DESCRIPTOR want = {};
  want.Type = CmResourceTypeInterrupt;
  if (messages) {
    want.ShareDisposition = CmResourceShareDeviceExclusive;
    want.Flags = CM_RESOURCE_INTERRUPT_LATCHED | CM_RESOURCE_INTERRUPT_MESSAGE;
    want.u.Interrupt.MinimumVector = want.u.Interrupt.MaximumVector = CM_RESOURCE_INTERRUPT_MESSAGE_TOKEN;
    writer.Add(want);
  }
  const LONG line = LineOf(function);
  if (line < 0) return;
  want.Option = messages ? IO_RESOURCE_ALTERNATIVE : 0;
  want.ShareDisposition = CmResourceShareShared;
  want.Flags = CM_RESOURCE_INTERRUPT_LEVEL_SENSITIVE;
  want.u.Interrupt.MinimumVector = want.u.Interrupt.MaximumVector = static_cast<ULONG>(line);
  writer.Add(want);
}

// Calls `visit(translated, raw)` for each descriptor that was assigned.
template <typename Visit>
void VisitAssigned(const CM_RESOURCE_LIST* raw, const CM_RESOURCE_LIST* translated, Visit visit) {
  if (raw == nullptr || translated == nullptr) return;
  const auto& first = raw->List[0].PartialResourceList;
  const auto& second = translated->List[0].PartialResourceList;
  for (ULONG i = 0; i < first.Count && i < second.Count; ++i)
    visit(second.PartialDescriptors[i], first.PartialDescriptors[i]);
}

}  // namespace

void SetFirstLine(ULONG line) {
  g_first_line = line;
}

PIO_RESOURCE_REQUIREMENTS_LIST Requirements(const Function* function) {
  const bool messages = WantsMessages(function);
  Writer counter(nullptr);
  AddBars(function, counter);
  AddInterrupts(function, messages, counter);
  if (counter.count() == 0) return nullptr;
  const ULONG size = FIELD_OFFSET(IO_RESOURCE_REQUIREMENTS_LIST, List[0].Descriptors) +
                     counter.count() * sizeof(IO_RESOURCE_DESCRIPTOR);
  auto* list = static_cast<PIO_RESOURCE_REQUIREMENTS_LIST>(ExAllocatePoolWithTag(PagedPool, size, kTag));
  if (list == nullptr) return nullptr;
  RtlZeroMemory(list, size);
  list->ListSize = size;
  list->InterfaceType = PCIBus;
  list->SlotNumber = function->device | static_cast<ULONG>(function->function) << 5;
  list->AlternativeLists = 1;
  list->List[0].Version = list->List[0].Revision = 1;
  list->List[0].Count = counter.count();
  Writer writer(list->List[0].Descriptors);
  AddBars(function, writer);
  AddInterrupts(function, messages, writer);
  return list;
}

NTSTATUS Start(const Function* function, const CM_RESOURCE_LIST* raw, const CM_RESOURCE_LIST* translated) {
  NTSTATUS status = STATUS_SUCCESS;
  ULONG64 address = 0;
  bool memory = false, message = false;
  USHORT command = PCI_ENABLE_BUS_MASTER;
  Stop(function);
  VisitAssigned(raw, translated, [&](const auto& given, const auto& asked) {
    if (given.Type == CmResourceTypeMemory) {
      address = static_cast<ULONG64>(asked.u.Memory.Start.QuadPart);
      memory = true;
    } else if (given.Type == CmResourceTypeDevicePrivate && memory &&
               given.u.DevicePrivate.Data[0] == kBarMark) {
      const ULONG index = given.u.DevicePrivate.Data[1];
      const bool known = index < PCI_TYPE0_ADDRESSES && function->bars[index].size != 0;
      if (!known || address % function->bars[index].size != 0) {
        status = STATUS_DEVICE_CONFIGURATION_ERROR;  // a filter changed what it must not
        return;
      }
      SetBar(function, index, address);
      command |= PCI_ENABLE_MEMORY_SPACE;
      memory = false;
    } else if (given.Type == CmResourceTypeInterrupt && (given.Flags & CM_RESOURCE_INTERRUPT_MESSAGE)) {
      ULONG data;
      ULONG64 target;
      KeDescribeMessage(static_cast<UCHAR>(given.u.MessageInterrupt.Translated.Vector), &target, &data);
      SetMessage(function, true, target, static_cast<USHORT>(data));
      message = true;
    } else if (given.Type == CmResourceTypeInterrupt) {
      const auto line = static_cast<UCHAR>(asked.u.Interrupt.Vector);
      WriteConfiguration(function, kInterruptLine, &line, sizeof(line));
    }
  });
  if (!NT_SUCCESS(status)) return status;
  USHORT old;
  ReadConfiguration(function, kCommand, &old, sizeof(old));
  command |= old & static_cast<USHORT>(~PCI_DISABLE_LEVEL_INTERRUPT);
  if (message) command |= PCI_DISABLE_LEVEL_INTERRUPT;
  WriteConfiguration(function, kCommand, &command, sizeof(command));
  return STATUS_SUCCESS;
}

}  // namespace pci
