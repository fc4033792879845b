// Variables of the kernel that drivers read. Oracle: what the WDK and the debuggers tell of them.
#include "ddi_security.h"
#include "nt_test.h"

extern "C" {
// As with the WDK, a driver names the import slot.
extern PULONG NtBuildNumber;
extern PULONG InitSafeBootMode;
extern PULONG_PTR KiBugCheckData;
extern PLIST_ENTRY PsLoadedModuleList;
extern PERESOURCE PsLoadedModuleResource;
BOOLEAN NTAPI PsIsDiskCountersEnabled(VOID);
VOID NTAPI PsUpdateDiskCounters(PEPROCESS Process, ULONG64 BytesRead, ULONG64 BytesWritten,
                                ULONG ReadOperationCount, ULONG WriteOperationCount,
                                ULONG FlushOperationCount);
}

NT_TEST(PsData, TheKernelsVariablesHoldWhatTheySay) {
  ULONG major, minor, build;
  PsGetVersion(&major, &minor, &build, nullptr);
  NT_EXPECT_EQ(*NtBuildNumber & 0xFFFF, build);
  NT_EXPECT_EQ(*NtBuildNumber >> 28, 0xFu);
  NT_EXPECT_EQ(*InitSafeBootMode, 0u);
  for (int i = 0; i < 5; ++i) NT_EXPECT_EQ(KiBugCheckData[i], 0u);
}

NT_TEST(PsData, TheLoadedImagesCanBeWalked) {
  KeEnterCriticalRegion();
  NT_EXPECT_TRUE(ExAcquireResourceSharedLite(PsLoadedModuleResource, TRUE));
  ULONG images = 0;
  bool own = false;
  for (PLIST_ENTRY at = PsLoadedModuleList->Flink; at != PsLoadedModuleList; at = at->Flink) {
    ++images;
    own |= static_cast<PVOID>(at) == nt_test::driver->DriverSection;
  }
  ExReleaseResourceLite(PsLoadedModuleResource);
  KeLeaveCriticalRegion();
  NT_EXPECT_TRUE(images >= 3);  // the kernel, hostfs, these tests
  NT_EXPECT_TRUE(own);
}

NT_TEST(PsData, DiskCountersAreTaken) {
  NT_EXPECT_TRUE(PsIsDiskCountersEnabled());
  PsUpdateDiskCounters(PsInitialSystemProcess, 4096, 512, 1, 1, 0);
}
