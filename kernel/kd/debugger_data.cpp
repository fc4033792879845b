// KdDebuggerDataBlock (KDBG) and KdVersionBlock: where other tools start.
#include "kd/kd.h"

#include "ke/ke.h"

extern "C" {
alignas(16) UCHAR KdDebuggerDataBlock[0x380] = {};
alignas(16) DBGKD_GET_VERSION64 KdVersionBlock = {};
ULONG CmNtCSDVersion;  // no service pack; other tools read it through KDBG
CHAR NtBuildLab[] = "22621.1.bugcheck.amd64fre";
extern ULONG_PTR KiBugCheckData[5];
}

namespace kd {
namespace {

constexpr ULONG kSize = 0x380, kOwnerTag = 0x4742444B;  // 'KDBG'

// Variables of other modules, registered by init: (offset in KDBG, address).
struct Entry {
  USHORT offset;
  PVOID address;
};
Entry entries[64];
ULONG entry_count;

void Set64(ULONG offset, ULONG64 value) {
  *reinterpret_cast<ULONG64*>(KdDebuggerDataBlock + offset) = value;
}
void SetAddress(ULONG offset, const volatile void* address) {
  Set64(offset, reinterpret_cast<ULONG64>(address));
}
void Set16(ULONG offset, SIZE_T value) {
  *reinterpret_cast<USHORT*>(KdDebuggerDataBlock + offset) = static_cast<USHORT>(value);
}
void Set32(ULONG offset, SIZE_T value) {
  *reinterpret_cast<ULONG*>(KdDebuggerDataBlock + offset) = static_cast<ULONG>(value);
}

#define KTHREAD_AT(field) FIELD_OFFSET(KTHREAD, field)
#define PRCB_OFFSET(field) FIELD_OFFSET(KPRCB, field)

void FillThreadOffsets() {
  Set16(0x298, KTHREAD_AT(NextProcessor));
  Set16(0x29A, KTHREAD_AT(Teb));
  Set16(0x29C, KTHREAD_AT(KernelStack));
  Set16(0x29E, KTHREAD_AT(InitialStack));
  Set16(0x2A0, KTHREAD_AT(ApcState) + FIELD_OFFSET(KAPC_STATE, Process));
  Set16(0x2A2, KTHREAD_AT(State));
  Set16(0x2A8, sizeof(EPROCESS));
  Set16(0x2AA, FIELD_OFFSET(EPROCESS, Peb));
  Set16(0x2AC, FIELD_OFFSET(EPROCESS, InheritedFromUniqueProcessId));
  Set16(0x2AE, FIELD_OFFSET(KPROCESS, DirectoryTableBase));
  Set16(0x2C0, sizeof(ETHREAD));
  Set32(0x340, KTHREAD_AT(StackLimit));
  Set32(0x344, KTHREAD_AT(StackBase));
  Set32(0x348, KTHREAD_AT(QueueListEntry));
  Set32(0x34C, FIELD_OFFSET(ETHREAD, IrpList));
  Set16(0x35C, KTHREAD_AT(WaitReason));
}

void FillProcessorOffsets() {
  Set16(0x2B0, sizeof(KPRCB));
  Set16(0x2B2, PRCB_OFFSET(DpcRoutine));
  Set16(0x2B4, PRCB_OFFSET(CurrentThread));
  Set16(0x2B6, PRCB_OFFSET(MHz));
  Set16(0x2B8, PRCB_OFFSET(CpuType));
  Set16(0x2BA, PRCB_OFFSET(VendorString));
  Set16(0x2BC, PRCB_OFFSET(ProcessorState) + FIELD_OFFSET(KPROCESSOR_STATE, ContextFrame));
  Set16(0x2BE, PRCB_OFFSET(Number));
  Set16(0x2E0, sizeof(KPCR));
  Set16(0x2E2, FIELD_OFFSET(KPCR, Self));
  Set16(0x2E4, FIELD_OFFSET(KPCR, CurrentPrcb));
  Set16(0x2E6, FIELD_OFFSET(KPCR, Prcb));
  Set16(0x2F2, PRCB_OFFSET(ProcessorState));
  Set16(0x338, PRCB_OFFSET(Context));
  Set16(0x350, PRCB_OFFSET(IdleThread));
  Set16(0x354, PRCB_OFFSET(DpcStack));
  Set16(0x2F4,
        0x10);  // selectors: ring 0 code and data, ring 3 code and data, TSS, ring 3 compatibility code
  Set16(0x2F6, 0x18);
  Set16(0x2FA, 0x33);
  Set16(0x2FC, 0x2B);
  Set16(0x2FE, 0x53);
  Set16(0x302, 0x40);
  Set16(0x304, 0x23);
}

void FillVersionBlock() {
  KdVersionBlock.MajorVersion = 15;
  KdVersionBlock.MinorVersion = static_cast<USHORT>(KeLoaderBlock->build_number);
  KdVersionBlock.ProtocolVersion = 6;
  KdVersionBlock.KdSecondaryVersion = 2;
  KdVersionBlock.Flags = 0x0047;  // data block follows, 64-bit pointers, MP
  KdVersionBlock.MachineType = 0x8664;
  KdVersionBlock.KernBase = KeLoaderBlock->kernel_base;
  KdVersionBlock.PsLoadedModuleList = *reinterpret_cast<ULONG64*>(KdDebuggerDataBlock + 0x48);
  KdVersionBlock.DebuggerDataList = reinterpret_cast<ULONG64>(KdDebuggerDataBlock);
}

}  // namespace

void RegisterDebuggerVariable(USHORT offset, PVOID address) {
  if (entry_count < sizeof entries / sizeof entries[0]) entries[entry_count++] = {offset, address};
}

void UpdateDebuggerData() {
  Set64(0x00, reinterpret_cast<ULONG64>(KdDebuggerDataBlock));  // a list of one, linked to itself
  Set64(0x08, reinterpret_cast<ULONG64>(KdDebuggerDataBlock));
  Set32(0x10, kOwnerTag);
  Set32(0x14, kSize);
  Set64(0x18, KeLoaderBlock->kernel_base);
  Set16(0x36, 1);  // PAE
  SetAddress(0x88, KiBugCheckData);
  SetAddress(0x208, NtBuildLab);
  SetAddress(0x268, &CmNtCSDVersion);
  SetAddress(0x218, KiProcessorBlock);
  Set64(0x138, PAGE_SIZE);
  SetAddress(0x2D8, &KeLoaderBlock);
  Set64(0x360, boot::kPteBase);
  FillThreadOffsets();
  FillProcessorOffsets();
  for (ULONG i = 0; i < entry_count; ++i) SetAddress(entries[i].offset, entries[i].address);
  FillVersionBlock();
  for (ULONG i = 0; i < static_cast<ULONG>(KeNumberProcessors); ++i) {
    if (KiProcessorBlock[i] == nullptr) continue;
    PKPCR pcr = CONTAINING_RECORD(KiProcessorBlock[i], KPCR, Prcb);
    pcr->KdVersionBlock = &KdVersionBlock;
  }
}

}  // namespace kd
