// !drvobj, !devobj: drivers and their devices.
#include "commands/command.h"
#include "commands/nt_objects.h"
#include "commands/text.h"

namespace commands {

namespace {

constexpr uint64_t kDeviceType = 3, kDriverType = 4;  // IO_TYPE_*
constexpr size_t kMaxDevices = 1024;

base::Result<debug::Object> IoObject(Context& context, const char* record, uint64_t address, uint64_t type) {
  const debug::Object object = TRY(context.session.symbols().ObjectAt(record, address));
  const uint64_t found = TRY(object.U64("Type"));
  if (found != type)
    return base::Fail(fmt::format("{}: no {}: its type is {}, not {}", Hex16(address), record, found, type));
  return object;
}

std::string NameOf(Context& context, uint64_t address) {
  const auto facts = nt::ReadObject(context.kernel, address);
  return facts ? facts->name : "";
}

void PrintDispatch(Context& context, const debug::Object& driver) {
  const debug::Symbols& symbols = context.session.symbols();
  const auto routine = [&](const char* name) {
    const uint64_t address = driver.U64(name).value_or(0);
    context.out.Line("{:<20} {}", std::string(name) + ":", address == 0 ? "none" : symbols.Describe(address));
  };
  for (const char* name : {"DriverInit", "DriverStartIo", "DriverUnload"}) routine(name);
  if (const auto extension = driver.U64("DriverExtension"); extension && *extension != 0) {
    if (const auto object = symbols.ObjectAt("_DRIVER_EXTENSION", *extension)) {
      const uint64_t add_device = object->U64("AddDevice").value_or(0);
      if (add_device != 0) context.out.Line("{:<20} {}", "AddDevice:", symbols.Describe(add_device));
    }
  }
  context.out.Line("Dispatch routines:");
  for (uint64_t i = 0; i < 28; ++i) {
    const uint64_t address = driver.U64(fmt::format("MajorFunction[{}]", i)).value_or(0);
    if (address != 0) context.out.Line("[{:02x}] {}", i, symbols.Describe(address));
  }
}

// A driver object's address, or its name (without \Driver\) in the loaded modules.
base::Result<void> RunDriver(Context& context, const Call& call) {
  const auto words = SplitWords(call.arguments);
  if (words.empty()) return base::Fail("usage: !drvobj ADDRESS [FLAGS]");
  const uint64_t address = TRY(AddressOr(context, words[0], 0));
  const uint64_t flags = words.size() > 1 ? TRY(AddressOr(context, words[1], 0)) : 3;
  const debug::Object driver = TRY(IoObject(context, "_DRIVER_OBJECT", address, kDriverType));
  const uint64_t start = driver.U64("DriverStart").value_or(0);
  context.out.Line("Driver object ({}) is for: {}", Hex16(address),
                   driver.UnicodeString("DriverName").value_or("?"));
  context.out.Line("Image: {} at {}, {:#x} bytes", context.session.symbols().Describe(start), Hex16(start),
                   driver.U64("DriverSize").value_or(0));
  std::string devices;
  uint64_t device = driver.U64("DeviceObject").value_or(0);
  for (size_t i = 0; device != 0 && i < kMaxDevices; ++i) {
    devices += " " + Hex16(device);
    const auto object = IoObject(context, "_DEVICE_OBJECT", device, kDeviceType);
    device = object ? object->U64("NextDevice").value_or(0) : 0;
  }
  context.out.Line("Device objects:{}", devices.empty() ? " none" : devices);
  if ((flags & 2) != 0) PrintDispatch(context, driver);
  return {};
}

base::Result<void> RunDevice(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: !devobj ADDRESS");
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const debug::Object device = TRY(IoObject(context, "_DEVICE_OBJECT", address, kDeviceType));
  const auto field = [&](const char* name) { return device.U64(name).value_or(0); };
  const std::string name = NameOf(context, address);
  Output& out = context.out;
  out.Line("Device object ({}) is for: {}", Hex16(address), name.empty() ? "(no name)" : name);
  const auto driver = context.session.symbols().ObjectAt("_DRIVER_OBJECT", field("DriverObject"));
  out.Line("  Driver: {} ({})", Hex16(field("DriverObject")),
           driver ? driver->UnicodeString("DriverName").value_or("?") : "?");
  out.Line("  Type {:08x}  Flags {:08x}  Characteristics {:08x}  RefCount {}  StackSize {}",
           field("DeviceType"), field("Flags"), field("Characteristics"), field("ReferenceCount"),
           field("StackSize") & 0xFF);
  out.Line("  Extension {}  AttachedDevice (upper) {}  CurrentIrp {}", Hex16(field("DeviceExtension")),
           Hex16(field("AttachedDevice")), Hex16(field("CurrentIrp")));
  return {};
}

const Registration kDriver({
    {"!drvobj"},
    "!drvobj ADDRESS [FLAGS]",
    "a driver object: image, devices, dispatch routines",
    "FLAGS: 2 (the default with 1) also entry points and dispatch routines.",
    {"!drvobj @rsp"},
    [](Context& context, const Call& call) { return SayWhyNot(context, RunDriver(context, call)); },
});

const Registration kDevice({
    {"!devobj"},
    "!devobj ADDRESS",
    "a device object: name, driver, flags, what is attached above it",
    "",
    {"!devobj @rsp"},
    [](Context& context, const Call& call) { return SayWhyNot(context, RunDevice(context, call)); },
});

}  // namespace

}  // namespace commands
