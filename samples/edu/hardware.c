/* Interrupts and DMA. One request at a time: EduStartIo begins it, the interrupt's DPC takes it further. */
#include "device.h"

static ULONG ReadRegister(EDU_DEVICE* Edu, ULONG Offset) {
  return READ_REGISTER_ULONG((PULONG)(Edu->Registers + Offset));
}
static VOID WriteRegister(EDU_DEVICE* Edu, ULONG Offset, ULONG Value) {
  WRITE_REGISTER_ULONG((PULONG)(Edu->Registers + Offset), Value);
}
static VOID WriteAddress(EDU_DEVICE* Edu, ULONG Offset, ULONG64 Value) {
  *(volatile ULONG64*)(Edu->Registers + Offset) = Value;
}

/* ---- Interrupts ---- */

static BOOLEAN Serve(EDU_DEVICE* Edu, BOOLEAN Message) {
  ULONG Status = ReadRegister(Edu, EDU_INTERRUPT_STATUS);

  if (Status == 0) return FALSE; /* somebody else on the line */
  WriteRegister(Edu, EDU_INTERRUPT_ACKNOWLEDGE, Status);
  ++Edu->Statistics.Interrupts;
  Edu->Statistics.Messages += Message;
  Edu->Statistics.Irql = KeGetCurrentIrql();
  Edu->Seen |= Status;
  IoRequestDpc(Edu->Self, Edu->Self->CurrentIrp, Edu);
  return TRUE;
}

static BOOLEAN NTAPI OnLine(PKINTERRUPT Interrupt, PVOID Context) {
  (void)Interrupt;
  return Serve(Context, FALSE);
}

static BOOLEAN NTAPI OnMessage(PKINTERRUPT Interrupt, PVOID Context, ULONG Message) {
  (void)Interrupt;
  (void)Message;
  return Serve(Context, TRUE);
}

/* Messages where plug and play gave us some, else the line. */
static NTSTATUS Connect(EDU_DEVICE* Edu) {
  IO_CONNECT_INTERRUPT_PARAMETERS Connect = {0};
  NTSTATUS Status;

  Connect.Version = CONNECT_MESSAGE_BASED;
  Connect.MessageBased.PhysicalDeviceObject = Edu->Pdo;
  Connect.MessageBased.ConnectionContext.Generic = &Edu->Interrupt.ConnectionContext.Generic;
  Connect.MessageBased.MessageServiceRoutine = OnMessage;
  Connect.MessageBased.FallBackServiceRoutine = OnLine;
  Connect.MessageBased.ServiceContext = Edu;
  Status = IoConnectInterruptEx(&Connect);
  if (!NT_SUCCESS(Status)) return Status;
  Edu->Interrupt.Version = Connect.Version;
  Edu->Synchronizer =
      Connect.Version == CONNECT_MESSAGE_BASED
          ? Edu->Interrupt.ConnectionContext.InterruptMessageTable->MessageInfo[0].InterruptObject
          : Edu->Interrupt.ConnectionContext.InterruptObject;
  return STATUS_SUCCESS;
}

/* What the service routine saw since the last call, if the request's step is done by it. */
typedef struct _STEP {
  EDU_DEVICE* Edu;
  ULONG Seen;
  BOOLEAN Done;
} STEP;

static BOOLEAN NTAPI TakeSeen(PVOID Context) {
  STEP* Step = Context;
  Step->Seen = Step->Edu->Seen;
  Step->Edu->Seen = 0;
  Step->Done = Step->Edu->Wanted != 0 && (Step->Seen & Step->Edu->Wanted) != 0;
  if (Step->Done) Step->Edu->Wanted = 0;
  return TRUE;
}

static BOOLEAN NTAPI GiveUp(PVOID Context) {
  STEP* Step = Context;
  Step->Edu->Gone = TRUE;
  Step->Done = Step->Edu->Wanted != 0;
  Step->Edu->Wanted = 0;
  return TRUE;
}

static BOOLEAN NTAPI SetWanted(PVOID Context) {
  STEP* Step = Context;
  if (!Step->Edu->Gone) Step->Edu->Wanted = Step->Seen;
  return !Step->Edu->Gone;
}

/* Before a step is begun that ends by an interrupt; FALSE: none will come. */
static BOOLEAN Expect(EDU_DEVICE* Edu, ULONG Status) {
  STEP Step = {Edu, Status, FALSE};
  return KeSynchronizeExecution(Edu->Synchronizer, SetWanted, &Step);
}

/* ---- The current request ---- */

static VOID FinishCurrent(EDU_DEVICE* Edu, PIRP Irp, NTSTATUS Status, ULONG_PTR Information) {
  IoStartNextPacket(Edu->Self, FALSE);
  EduFinish(Edu, Irp, Status, Information);
  ExReleaseRundownProtection(&Edu->Hardware);
}

static BOOLEAN IsWrite(PIRP Irp) {
  PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
  return Stack->MajorFunction == IRP_MJ_WRITE ||
         (Stack->MajorFunction == IRP_MJ_DEVICE_CONTROL &&
          Stack->Parameters.DeviceIoControl.IoControlCode == IOCTL_EDU_STORE);
}

static VOID PutList(EDU_DEVICE* Edu, PIRP Irp) {
  if (Edu->List == NULL) return;
  Edu->Adapter->DmaOperations->PutScatterGatherList(Edu->Adapter, Edu->List, IsWrite(Irp));
  Edu->List = NULL;
}

static VOID Abort(EDU_DEVICE* Edu, PIRP Irp) {
  PutList(Edu, Irp);
  FinishCurrent(Edu, Irp, STATUS_DELETE_PENDING, 0);
}

static VOID StartDma(EDU_DEVICE* Edu, PIRP Irp, ULONG64 Address, ULONG Offset, ULONG Length) {
  ULONG64 Device = EDU_MEMORY_ADDRESS + Offset;
  BOOLEAN Write = IsWrite(Irp);

  if (Address + Length - 1 > Edu->Statistics.HighestAddress)
    Edu->Statistics.HighestAddress = Address + Length - 1;
  WriteAddress(Edu, EDU_DMA_SOURCE, Write ? Address : Device);
  WriteAddress(Edu, EDU_DMA_DESTINATION, Write ? Device : Address);
  WriteAddress(Edu, EDU_DMA_COUNT, Length);
  if (!Expect(Edu, EDU_DMA_DONE)) {
    Abort(Edu, Irp);
    return;
  }
  WriteAddress(Edu, EDU_DMA_COMMAND, EDU_DMA_START | EDU_DMA_INTERRUPT | (Write ? 0 : EDU_DMA_FROM_DEVICE));
}

static VOID StartElement(EDU_DEVICE* Edu, PIRP Irp) {
  SCATTER_GATHER_ELEMENT* Element = &Edu->List->Elements[Edu->Element];
  StartDma(Edu, Irp, (ULONG64)Element->Address.QuadPart, Edu->DeviceOffset, Element->Length);
}

static VOID NTAPI OnList(PDEVICE_OBJECT Device, PIRP Irp, PSCATTER_GATHER_LIST List, PVOID Context) {
  EDU_DEVICE* Edu = Context;

  (void)Irp; /* CurrentIrp, which is ours */
  Edu->List = List;
  Edu->Element = 0;
  Edu->Statistics.Elements += List->NumberOfElements;
  StartElement(Edu, Device->CurrentIrp);
}

static VOID StartTransfer(EDU_DEVICE* Edu, PIRP Irp) {
  PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
  NTSTATUS Status;

  if (Stack->Parameters.Read.Length == 0) {
    FinishCurrent(Edu, Irp, STATUS_SUCCESS, 0);
    return;
  }
  Edu->DeviceOffset = (ULONG)Stack->Parameters.Read.ByteOffset.QuadPart;
  Status = Edu->Adapter->DmaOperations->GetScatterGatherList(
      Edu->Adapter, Edu->Self, Irp->MdlAddress, MmGetMdlVirtualAddress(Irp->MdlAddress),
      Stack->Parameters.Read.Length, OnList, Edu, IsWrite(Irp));
  if (!NT_SUCCESS(Status)) FinishCurrent(Edu, Irp, Status, 0);
}

static VOID StartCommon(EDU_DEVICE* Edu, PIRP Irp, ULONG Length) {
  if (Length == 0) {
    FinishCurrent(Edu, Irp, STATUS_SUCCESS, 0);
    return;
  }
  if (IsWrite(Irp)) RtlCopyMemory(Edu->Common, Irp->AssociatedIrp.SystemBuffer, Length);
  StartDma(Edu, Irp, (ULONG64)Edu->CommonAddress.QuadPart, 0, Length);
}

static VOID StartControl(EDU_DEVICE* Edu, PIRP Irp) {
  PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
  PULONG Value = Irp->AssociatedIrp.SystemBuffer;

  switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_EDU_IDENTIFY:
      *Value = ReadRegister(Edu, EDU_IDENTIFICATION);
      FinishCurrent(Edu, Irp, STATUS_SUCCESS, sizeof(ULONG));
      break;
    case IOCTL_EDU_LIVENESS:
      WriteRegister(Edu, EDU_LIVENESS, *Value);
      *Value = ReadRegister(Edu, EDU_LIVENESS);
      FinishCurrent(Edu, Irp, STATUS_SUCCESS, sizeof(ULONG));
      break;
    case IOCTL_EDU_FACTORIAL:
      if (!Expect(Edu, EDU_FACTORIAL_DONE)) {
        Abort(Edu, Irp);
        break;
      }
      WriteRegister(Edu, EDU_STATUS, EDU_STATUS_INTERRUPT);
      WriteRegister(Edu, EDU_FACTORIAL, *Value);
      break;
    case IOCTL_EDU_RAISE:
      if (Expect(Edu, *Value)) {
        WriteRegister(Edu, EDU_INTERRUPT_RAISE, *Value);
      } else {
        Abort(Edu, Irp);
      }
      break;
    case IOCTL_EDU_STORE:
      StartCommon(Edu, Irp, Stack->Parameters.DeviceIoControl.InputBufferLength);
      break;
    case IOCTL_EDU_FETCH:
      StartCommon(Edu, Irp, Stack->Parameters.DeviceIoControl.OutputBufferLength);
      break;
    default:
      RtlCopyMemory(Value, &Edu->Statistics, sizeof(Edu->Statistics));
      FinishCurrent(Edu, Irp, STATUS_SUCCESS, sizeof(Edu->Statistics));
      break;
  }
}

VOID NTAPI EduStartIo(PDEVICE_OBJECT Device, PIRP Irp) {
  EDU_DEVICE* Edu = Device->DeviceExtension;

  if (IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
    StartControl(Edu, Irp);
  } else {
    StartTransfer(Edu, Irp);
  }
}

static VOID FinishControl(EDU_DEVICE* Edu, PIRP Irp, ULONG Seen) {
  PIO_STACK_LOCATION Stack = IoGetCurrentIrpStackLocation(Irp);
  PULONG Value = Irp->AssociatedIrp.SystemBuffer;
  ULONG Length = 0;

  switch (Stack->Parameters.DeviceIoControl.IoControlCode) {
    case IOCTL_EDU_FACTORIAL:
      WriteRegister(Edu, EDU_STATUS, 0);
      *Value = ReadRegister(Edu, EDU_FACTORIAL);
      Length = sizeof(ULONG);
      break;
    case IOCTL_EDU_RAISE:
      Edu->Statistics.Raised = Seen;
      break;
    case IOCTL_EDU_FETCH:
      Length = Stack->Parameters.DeviceIoControl.OutputBufferLength;
      RtlCopyMemory(Value, Edu->Common, Length);
      break;
    default: /* stored: nothing comes back */
      break;
  }
  FinishCurrent(Edu, Irp, STATUS_SUCCESS, Length);
}

VOID NTAPI EduDpc(PKDPC Dpc, PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
  EDU_DEVICE* Edu = Context;
  STEP Step = {Edu, 0, FALSE};

  (void)Dpc;
  KeSynchronizeExecution(Edu->Synchronizer, TakeSeen, &Step);
  if (!Step.Done) return;
  Irp = Device->CurrentIrp;
  if (IoGetCurrentIrpStackLocation(Irp)->MajorFunction == IRP_MJ_DEVICE_CONTROL) {
    FinishControl(Edu, Irp, Step.Seen);
    return;
  }
  Edu->DeviceOffset += Edu->List->Elements[Edu->Element].Length;
  if (++Edu->Element < Edu->List->NumberOfElements) {
    StartElement(Edu, Irp);
    return;
  }
  PutList(Edu, Irp);
  FinishCurrent(Edu, Irp, STATUS_SUCCESS, IoGetCurrentIrpStackLocation(Irp)->Parameters.Read.Length);
}

/* ---- Start and stop ---- */

static NTSTATUS MapRegisters(EDU_DEVICE* Edu, PCM_RESOURCE_LIST Translated) {
  PCM_PARTIAL_RESOURCE_LIST List;
  ULONG i;

  if (Translated == NULL) return STATUS_DEVICE_CONFIGURATION_ERROR;
  List = &Translated->List[0].PartialResourceList;
  for (i = 0; i < List->Count; ++i) {
    PCM_PARTIAL_RESOURCE_DESCRIPTOR At = &List->PartialDescriptors[i];
    if (At->Type != CmResourceTypeMemory) continue;
    Edu->Length = At->u.Memory.Length;
    Edu->Registers = MmMapIoSpace(At->u.Memory.Start, Edu->Length, MmNonCached);
    return Edu->Registers != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
  }
  return STATUS_DEVICE_CONFIGURATION_ERROR;
}

static NTSTATUS PrepareDma(EDU_DEVICE* Edu) {
  DEVICE_DESCRIPTION Description = {0};

  Description.Version = DEVICE_DESCRIPTION_VERSION3;
  Description.Master = TRUE;
  Description.ScatterGather = TRUE;
  Description.Dma32BitAddresses = TRUE;
  Description.InterfaceType = PCIBus;
  Description.MaximumLength = EDU_MEMORY;
  Description.DmaAddressWidth = EDU_DMA_BITS;
  Edu->Adapter = IoGetDmaAdapter(Edu->Pdo, &Description, &Edu->MapRegisters);
  if (Edu->Adapter == NULL) return STATUS_INSUFFICIENT_RESOURCES;
  Edu->Statistics.MapRegisters = Edu->MapRegisters;
  Edu->Common =
      Edu->Adapter->DmaOperations->AllocateCommonBuffer(Edu->Adapter, PAGE_SIZE, &Edu->CommonAddress, TRUE);
  return Edu->Common != NULL ? STATUS_SUCCESS : STATUS_INSUFFICIENT_RESOURCES;
}

NTSTATUS EduStartHardware(EDU_DEVICE* Edu, PCM_RESOURCE_LIST Translated) {
  NTSTATUS Status = MapRegisters(Edu, Translated);

  Edu->Gone = FALSE;
  Edu->Wanted = Edu->Seen = 0;
  if (NT_SUCCESS(Status) && (ReadRegister(Edu, EDU_IDENTIFICATION) & 0xFFFF) != 0xED)
    Status = STATUS_DEVICE_CONFIGURATION_ERROR;
  if (NT_SUCCESS(Status)) Status = PrepareDma(Edu);
  if (NT_SUCCESS(Status)) Status = Connect(Edu);
  if (NT_SUCCESS(Status))
    DbgPrint("edu: started: %s interrupts, %u map registers\n",
             Edu->Interrupt.Version == CONNECT_MESSAGE_BASED ? "message" : "line", Edu->MapRegisters);
  return Status;
}

VOID EduDrain(EDU_DEVICE* Edu, BOOLEAN Gone) {
  STEP Step = {Edu, 0, FALSE};
  KIRQL OldIrql;

  if (Gone) {
    KeSynchronizeExecution(Edu->Synchronizer, GiveUp, &Step);
    KeRaiseIrql(DISPATCH_LEVEL, &OldIrql);
    if (Step.Done) Abort(Edu, Edu->Self->CurrentIrp);
    KeLowerIrql(OldIrql);
  }
  ExWaitForRundownProtectionRelease(&Edu->Hardware);
  KeFlushQueuedDpcs(); /* they use the interrupt, which goes next */
}

VOID EduStopHardware(EDU_DEVICE* Edu) {
  if (Edu->Interrupt.Version != 0) IoDisconnectInterruptEx(&Edu->Interrupt);
  if (Edu->Common != NULL)
    Edu->Adapter->DmaOperations->FreeCommonBuffer(Edu->Adapter, PAGE_SIZE, Edu->CommonAddress, Edu->Common,
                                                  TRUE);
  if (Edu->Adapter != NULL) Edu->Adapter->DmaOperations->PutDmaAdapter(Edu->Adapter);
  if (Edu->Registers != NULL) MmUnmapIoSpace(Edu->Registers, Edu->Length);
  Edu->Interrupt.Version = 0;
  Edu->Common = NULL;
  Edu->Adapter = NULL;
  Edu->Registers = NULL;
}
