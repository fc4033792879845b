// Plug and play's requests to a PCI function.
#include "pci_internal.h"

namespace pci {
namespace {

// Identifiers as Windows forms them; a REG_MULTI_SZ when it is a list.
class Ids {
 public:
  explicit Ids(const PCI_COMMON_HEADER& header) : header_(header) {}

  Ids& Vendor() {
    name_.Append(L"PCI\\VEN_");
    return Hex(header_.VendorID, 4);
  }
  Ids& Device() { return Part(L"&DEV_").Hex(header_.DeviceID, 4); }
  Ids& Subsystem() {
    const auto& ids = header_.u.type0;
    return Part(L"&SUBSYS_").Hex(ids.SubSystemID, 4).Hex(ids.SubVendorID, 4);
  }
  Ids& Revision() { return Part(L"&REV_").Hex(header_.RevisionID, 2); }
  Ids& Class(const wchar_t* before) {
    return Part(before).Hex(header_.BaseClass, 2).Hex(header_.SubClass, 2);
  }
  Ids& Interface() { return Hex(header_.ProgIf, 2); }
  Ids& Next() {
    name_.Append(L"\0", sizeof(WCHAR));
    return *this;
  }
  // With the end of a text, or of a list.
  NTSTATUS Copy(ULONG_PTR* information) {
    if (!NT_SUCCESS(name_.Status())) return name_.Status();
    const PVOID copy = pnp::PagedCopy(name_.Get()->Buffer, name_.length(), sizeof(WCHAR));
    *information = reinterpret_cast<ULONG_PTR>(copy);
    return copy != nullptr ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
  }

 private:
  Ids& Part(const wchar_t* text) {
    name_.Append(text);
    return *this;
  }
  Ids& Hex(ULONG number, ULONG digits) {
    for (ULONG shift = digits * 4; shift != 0; shift -= 4) {
      const WCHAR digit = L"0123456789ABCDEF"[(number >> (shift - 4)) & 0xF];
      name_.Append(&digit, sizeof(digit));
    }
    return *this;
  }

  const PCI_COMMON_HEADER& header_;
  pnp::Name name_;
};

NTSTATUS AnswerId(const Function* function, BUS_QUERY_ID_TYPE type, ULONG_PTR* information,
                  NTSTATUS otherwise) {
  Ids ids(function->header);
  switch (type) {
    case BusQueryDeviceID:
      return ids.Vendor().Device().Subsystem().Revision().Copy(information);
    case BusQueryHardwareIDs:
      ids.Vendor().Device().Subsystem().Revision().Next();
      ids.Vendor().Device().Subsystem().Next();
      ids.Vendor().Device().Class(L"&CC_").Interface().Next();
      ids.Vendor().Device().Class(L"&CC_").Next();
      return ids.Copy(information);
    case BusQueryCompatibleIDs:
      ids.Vendor().Device().Revision().Next();
      ids.Vendor().Device().Next();
      ids.Vendor().Class(L"&CC_").Interface().Next();
      ids.Vendor().Class(L"&CC_").Next();
      ids.Vendor().Next();
      ids.Class(L"PCI\\CC_").Interface().Next();
      ids.Class(L"PCI\\CC_").Next();
      return ids.Copy(information);
    case BusQueryInstanceID: {
      pnp::Name name;
      name.AppendNumber(static_cast<ULONG>(function->device) << 3 | function->function, 16, 2);
      const PVOID copy = pnp::PagedCopy(name.Get()->Buffer, name.length(), sizeof(WCHAR));
      *information = reinterpret_cast<ULONG_PTR>(copy);
      return copy != nullptr ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
    }
    default:
      return otherwise;
  }
}

NTSTATUS AnswerText(const Function* function, DEVICE_TEXT_TYPE type, ULONG_PTR* information,
                    NTSTATUS otherwise) {
  pnp::Name name;
  if (type == DeviceTextDescription) {
    name.Append(L"PCI Device");
  } else if (type == DeviceTextLocationInformation) {
    name.Append(L"PCI bus 0, device ").AppendNumber(function->device, 10, 1);
    name.Append(L", function ").AppendNumber(function->function, 10, 1);
  } else {
    return otherwise;
  }
  if (!NT_SUCCESS(name.Status())) return name.Status();
  *information =
      reinterpret_cast<ULONG_PTR>(pnp::PagedCopy(name.Get()->Buffer, name.length(), sizeof(WCHAR)));
  return *information != 0 ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS AnswerCapabilities(const Function* function, PDEVICE_CAPABILITIES capabilities) {
  if (capabilities->Version != 1 || capabilities->Size < sizeof(*capabilities)) return STATUS_UNSUCCESSFUL;
  capabilities->Address = static_cast<ULONG>(function->device) << 16 | function->function;
  // The host bridge works without a driver.
  capabilities->RawDeviceOK =
      function->header.BaseClass == PCI_CLASS_BRIDGE_DEV && function->header.SubClass == PCI_SUBCLASS_BR_HOST;
  for (ULONG state = PowerSystemSleeping1; state < PowerSystemMaximum; ++state)
    capabilities->DeviceState[state] = PowerDeviceD3;
  capabilities->DeviceState[PowerSystemWorking] = PowerDeviceD0;
  return STATUS_SUCCESS;
}

NTSTATUS AnswerConfiguration(const Function* function, PIO_STACK_LOCATION stack, ULONG_PTR* information) {
  const auto& access = stack->Parameters.ReadWriteConfig;
  if (access.WhichSpace != PCI_WHICHSPACE_CONFIG) return STATUS_INVALID_PARAMETER;
  const bool read = stack->MinorFunction == IRP_MN_READ_CONFIG;
  *information = read ? ReadConfiguration(function, access.Offset, access.Buffer, access.Length)
                      : WriteConfiguration(function, access.Offset, access.Buffer, access.Length);
  return STATUS_SUCCESS;
}

NTSTATUS Answer(Function* function, PIRP irp, ULONG_PTR* information) {
  PIO_STACK_LOCATION stack = IoGetCurrentIrpStackLocation(irp);
  const NTSTATUS unchanged = irp->IoStatus.Status;
  switch (stack->MinorFunction) {
    case IRP_MN_START_DEVICE:
      return Start(function, stack->Parameters.StartDevice.AllocatedResources,
                   stack->Parameters.StartDevice.AllocatedResourcesTranslated);
    case IRP_MN_STOP_DEVICE:
    case IRP_MN_SURPRISE_REMOVAL:
    case IRP_MN_REMOVE_DEVICE:
      Stop(function);
      return STATUS_SUCCESS;
    case IRP_MN_QUERY_ID:
      return AnswerId(function, stack->Parameters.QueryId.IdType, information, unchanged);
    case IRP_MN_QUERY_DEVICE_TEXT:
      return AnswerText(function, stack->Parameters.QueryDeviceText.DeviceTextType, information, unchanged);
    case IRP_MN_QUERY_CAPABILITIES:
      return AnswerCapabilities(function, stack->Parameters.DeviceCapabilities.Capabilities);
    case IRP_MN_QUERY_BUS_INFORMATION:
      return pnp::AnswerBus({GUID_BUS_TYPE_PCI, PCIBus, 0}, information);
    case IRP_MN_QUERY_RESOURCE_REQUIREMENTS:
      *information = reinterpret_cast<ULONG_PTR>(Requirements(function));
      return STATUS_SUCCESS;
    case IRP_MN_QUERY_DEVICE_RELATIONS:
      if (stack->Parameters.QueryDeviceRelations.Type != TargetDeviceRelation) return unchanged;
      return pnp::AnswerTarget(function->self, information);
    case IRP_MN_QUERY_INTERFACE:
      return AnswerInterface(function, stack, unchanged);
    case IRP_MN_READ_CONFIG:
    case IRP_MN_WRITE_CONFIG:
      return AnswerConfiguration(function, stack, information);
    default:
      return pnp::IsAgreedTo(stack->MinorFunction) ? STATUS_SUCCESS : unchanged;
  }
}

}  // namespace

NTSTATUS FunctionPnp(PDEVICE_OBJECT device, PIRP irp) {
  Function* function = FunctionOf(device);
  const bool gone =
      IoGetCurrentIrpStackLocation(irp)->MinorFunction == IRP_MN_REMOVE_DEVICE && !function->present;
  ULONG_PTR information = irp->IoStatus.Information;
  const NTSTATUS status = Answer(function, irp, &information);
  irp->IoStatus.Status = status;
  irp->IoStatus.Information = information;
  if (gone) {
    RemoveEntryList(&function->link);
    IoDeleteDevice(device);
  }
  IofCompleteRequest(irp, IO_NO_INCREMENT);
  return status;
}

}  // namespace pci
