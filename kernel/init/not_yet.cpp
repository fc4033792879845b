// Modules that are still on their way: the image links and boots without them, and says so. A definition
// elsewhere replaces the one here; the file goes when the last has arrived.
#include "kd/kd.h"
#include "nt/ntos.h"

#pragma comment(linker, "/alternatename:ExInitSystem=KiNotYetEx")
#pragma comment(linker, "/alternatename:CmInitSystem=KiNotYetCm")
#pragma comment(linker, "/alternatename:IoInitSystem=KiNotYetIo")
#pragma comment(linker, "/alternatename:SeInitSystem=KiNotYetSe")
#pragma comment(linker, "/alternatename:ExRaiseStatus=KiNotYetCalled")
#pragma comment(linker, "/alternatename:ExQueueWorkItem=KiNotYetCalled")
#pragma comment(linker, "/alternatename:IoCancelIrp=KiNotYetCalled")
#pragma comment(linker, "/alternatename:RtlMapGenericMask=KiNotYetCalled")

namespace {
NTSTATUS Missing(const char* module) {
  kd::Print("boot: %s is not in this kernel\n", module);
  return STATUS_SUCCESS;
}
}  // namespace

extern "C" {
NTSTATUS KiNotYetEx() {
  return Missing("ex");
}
NTSTATUS KiNotYetCm() {
  return Missing("cm");
}
NTSTATUS KiNotYetIo() {
  return Missing("io");
}
NTSTATUS KiNotYetSe() {
  return Missing("se");
}
VOID KiNotYetCalled() {
  KeBugCheckEx(0xDEADDEAD, reinterpret_cast<ULONG_PTR>(_ReturnAddress()), 0, 0, 0);
}
}
