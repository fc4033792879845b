// !irp: an I/O request packet and its stack locations.
#include "commands/command.h"
#include "commands/nt_objects.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr uint64_t kIrpType = 6;  // IO_TYPE_IRP
constexpr uint64_t kMaxLocations = 64;

constexpr const char* kMajorNames[] = {"CREATE",
                                       "CREATE_NAMED_PIPE",
                                       "CLOSE",
                                       "READ",
                                       "WRITE",
                                       "QUERY_INFORMATION",
                                       "SET_INFORMATION",
                                       "QUERY_EA",
                                       "SET_EA",
                                       "FLUSH_BUFFERS",
                                       "QUERY_VOLUME_INFORMATION",
                                       "SET_VOLUME_INFORMATION",
                                       "DIRECTORY_CONTROL",
                                       "FILE_SYSTEM_CONTROL",
                                       "DEVICE_CONTROL",
                                       "INTERNAL_DEVICE_CONTROL",
                                       "SHUTDOWN",
                                       "LOCK_CONTROL",
                                       "CLEANUP",
                                       "CREATE_MAILSLOT",
                                       "QUERY_SECURITY",
                                       "SET_SECURITY",
                                       "POWER",
                                       "SYSTEM_CONTROL",
                                       "DEVICE_CHANGE",
                                       "QUERY_QUOTA",
                                       "SET_QUOTA",
                                       "PNP"};

std::string MajorName(uint64_t major) {
  return major < std::size(kMajorNames) ? kMajorNames[major] : fmt::format("{:x}", major);
}

std::string DriverOfDevice(Context& context, uint64_t device) {
  const auto object = context.session.symbols().ObjectAt("_DEVICE_OBJECT", device);
  const auto driver = object ? object->U64("DriverObject") : tl::make_unexpected(object.error());
  if (!driver || *driver == 0) return "";
  const auto facts = nt::ReadObject(context.kernel, *driver);
  return facts && !facts->name.empty() ? "\\Driver\\" + facts->name : "";
}

void PrintLocation(Context& context, const debug::Object& location, bool current) {
  const auto field = [&](const char* name) { return location.U64(name).value_or(0); };
  const uint64_t device = field("DeviceObject"), routine = field("CompletionRoutine");
  context.out.Line("{}[{}, {:x}] flags {:x} control {:x}  device {}  file {}{}", current ? '>' : ' ',
                   MajorName(field("MajorFunction")), field("MinorFunction"), field("Flags"),
                   field("Control"), Hex16(device), Hex16(field("FileObject")),
                   current ? "  <- current" : "");
  if (device != 0) context.out.Line("      {}", DriverOfDevice(context, device));
  if (routine != 0)
    context.out.Line("      completion routine {}, context {}", context.session.symbols().Describe(routine),
                     Hex16(field("Context")));
}

// What is wrong with it, in words.
void PrintFindings(Context& context, uint64_t current, uint64_t count, uint64_t cancel_routine) {
  if (current > count + 1)
    context.out.Line("It was completed: the current location is beyond the last.");
  else if (current == count + 1)
    context.out.Line("No location is current: it was completed, or has not been sent yet.");
  if (current == 0) context.out.Line("It has run out of stack locations.");
  if (cancel_routine != 0)
    context.out.Line("It can be cancelled: by {}.", context.session.symbols().Describe(cancel_routine));
}

base::Result<void> Run(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  if (words.empty()) return base::Fail("usage: !irp ADDRESS");
  const uint64_t address = TRY(AddressOr(context, words[0], 0));
  const debug::Object irp = TRY(context.session.symbols().ObjectAt("_IRP", address));
  const uint64_t type = TRY(irp.U64("Type"));
  if (type != kIrpType)
    return base::Fail(fmt::format("{}: no IRP: its type is {}, not {}", Hex16(address), type, kIrpType));
  const uint64_t count = irp.U64("StackCount").value_or(0) & 0xFF,
                 current = irp.U64("CurrentLocation").value_or(0) & 0xFF;
  const auto field = [&](const char* name) { return irp.U64(name).value_or(0); };
  Output& out = context.out;
  out.Line("Irp is at {}, {} stack locations, current is {}", Hex16(address), count, current);
  out.Line("  status {:08x}, information {:x}, flags {:x}, thread {}, MDL {}, system buffer {}",
           field("IoStatus.Status"), field("IoStatus.Information"), field("Flags"),
           Hex16(field("Tail.Overlay.Thread")), Hex16(field("MdlAddress")),
           Hex16(field("AssociatedIrp.SystemBuffer")));
  out.Line("  {}{}", field("PendingReturned") != 0 ? "pending, " : "",
           field("Cancel") != 0 ? "cancelled" : "not cancelled");
  PrintFindings(context, current, count, field("CancelRoutine"));
  const debug::Type& location = context.kernel.type("_IO_STACK_LOCATION");
  if (!location.valid()) return {};
  const uint64_t first = address + irp.type().size();
  for (uint64_t i = std::min(count, kMaxLocations); i-- > 0;) {
    PrintLocation(context, context.session.symbols().ObjectAt(location, first + i * location.size()),
                  i + 1 == current);
  }
  return {};
}

const Registration kRegistration({
    {"!irp"},
    "!irp ADDRESS",
    "an I/O request packet: where it is, and each stack location",
    "> marks the current location. Per location: major and minor function, flags, control, device and its "
    "driver, the\n"
    "completion routine. Says when it was completed, has no location left, or can be cancelled.",
    {"!irp @rsp"},
    [](Context& context, const Call& call) { return SayWhyNot(context, Run(context, call)); },
});

}  // namespace

}  // namespace commands
