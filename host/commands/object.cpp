// !object: an object's header.
#include "commands/command.h"
#include "commands/nt_objects.h"
#include "commands/text.h"

namespace commands {

namespace {

base::Result<void> Run(Context& context, const Call& call) {
  if (call.arguments.empty()) return base::Fail("usage: !object ADDRESS");
  const uint64_t address = TRY(AddressOr(context, call.arguments, 0));
  const nt::ObjectFacts object = TRY(nt::ReadObject(context.kernel, address));
  Output& out = context.out;
  out.Line("Object: {}  Type: ({}) {}", Hex16(object.address), Hex16(object.type), object.type_name);
  out.Line("    ObjectHeader: {}", Hex16(object.header));
  out.Line("    HandleCount: {}  PointerCount: {}", object.handle_count, object.pointer_count);
  if (!object.name.empty()) {
    out.Line("    Directory Object: {}  Name: {}", Hex16(object.directory), object.name);
  }
  if (object.pointer_count <= 0)
    out.Line("    The last reference is gone: the object is being deleted, or is freed memory.");
  out.Fact("Type", object.type_name);
  out.Fact("Name", object.name);
  return {};
}

const Registration kRegistration({
    {"!object"},
    "!object ADDRESS",
    "an object of the object manager: type, name, counts",
    "ADDRESS is the object's body, as drivers have it. An address that begins no object is said to be none.",
    {"!object @$proc", "!object @$thread"},
    [](Context& context, const Call& call) { return SayWhyNot(context, Run(context, call)); },
});

}  // namespace

}  // namespace commands
