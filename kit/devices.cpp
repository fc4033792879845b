// Plug and play through the kit.
#include <fmt/format.h>

#include "bugcheck/machine.h"
#include "machine_core.h"
#include "run/fields.h"
#include "run/nt_status.h"

namespace bugcheck {
namespace {

constexpr Milliseconds kDeviceTimeout{60'000};
constexpr uint32_t kStarted = 0x308;  // DeviceNodeStarted

Result<void> Perform(detail::MachineCore& core, boot::Request request, const std::string& payload,
                     const std::string& what) {
  auto reply = core.Call(request, payload, kDeviceTimeout, what);
  if (!reply) return reply.error();
  const Status status(static_cast<uint32_t>(reply->status));
  if (reply->status < 0) return Error{fmt::format("cannot {}: {}", what, status.text()), status};
  return {};
}

Result<void> Change(detail::MachineCore& core, boot::DevnodeOperation operation, const std::string& instance,
                    const char* verb) {
  const auto payload = run::FieldWriter().String(instance).U32(static_cast<uint32_t>(operation)).payload();
  return Perform(core, boot::Request::kDevnodeChange, payload, fmt::format("{} {}", verb, instance));
}

}  // namespace

Result<void> Machine::InstallDriver(const std::string& hardware_id, const Driver& driver,
                                    const std::vector<DeviceParameter>& parameters) {
  run::FieldWriter writer;
  writer.String(hardware_id).String(driver.service()).U32(static_cast<uint32_t>(parameters.size()));
  for (const DeviceParameter& parameter : parameters) writer.String(parameter.name).U32(parameter.value);
  return Perform(*core_, boot::Request::kDevnodeMap, writer.payload(),
                 fmt::format("install {} for {}", driver.service(), hardware_id));
}

Result<std::vector<DeviceNode>> Machine::Devices() {
  auto reply = core_->Call(boot::Request::kDevnodeQuery, "", kDeviceTimeout, "list the devices");
  if (!reply) return reply.error();
  std::vector<DeviceNode> nodes;
  run::FieldReader reader(reply->payload);
  while (!reader.AtEnd()) {
    const auto instance = reader.String();
    const auto service = reader.String();
    reader.U32();  // depth
    const auto state = reader.U32();
    const auto problem = reader.U32();
    if (!problem) return Error{"the machine's list of devices is cut off"};
    nodes.push_back({*instance, *service, *state == kStarted, *problem});
  }
  return nodes;
}

Result<void> Machine::RestartDevice(const std::string& instance) {
  return Change(*core_, boot::DevnodeOperation::kStopAndRestart, instance, "restart");
}

Result<void> Machine::RemoveDevice(const std::string& instance) {
  return Change(*core_, boot::DevnodeOperation::kRemove, instance, "remove");
}

Result<void> Machine::SurpriseRemoveDevice(const std::string& instance) {
  return Change(*core_, boot::DevnodeOperation::kSurpriseRemove, instance, "surprise-remove");
}

}  // namespace bugcheck
