// Filters of debug messages and routines that hear them.
#include "nt_test.h"

namespace {

struct Heard {
  volatile LONG count;
  ULONG component;
  ULONG level;
  char text[64];
  SIZE_T length;
  KIRQL irql;
};
Heard heard;

// Keeps what begins with the mark, and prints itself, which it must not hear.
VOID Listen(PSTRING output, ULONG component, ULONG level) {
  if (output->Length < 5 || strncmp(output->Buffer, "mark:", 5) != 0) return;
  heard.component = component;
  heard.level = level;
  heard.irql = KeGetCurrentIrql();
  heard.length = output->Length < sizeof(heard.text) ? output->Length : sizeof(heard.text);
  memcpy(heard.text, output->Buffer, heard.length);
  InterlockedIncrement(&heard.count);
  DbgPrint("mark: from the callback\n");
}

}  // namespace

NT_TEST(KdFilter, CallbackHearsWhatIsPrinted) {
  heard = {};
  NT_ASSERT_SUCCESS(DbgSetDebugPrintCallback(Listen, TRUE));
  DbgPrintEx(DPFLTR_IHVDRIVER_ID, DPFLTR_WARNING_LEVEL, "mark: %d\n", 42);
  NT_EXPECT_EQ(heard.count, 1);
  NT_EXPECT_EQ(heard.component, (ULONG)DPFLTR_IHVDRIVER_ID);
  NT_EXPECT_EQ(heard.level, (ULONG)DPFLTR_WARNING_LEVEL);
  NT_EXPECT_EQ(heard.length, 9u);
  NT_EXPECT_EQ(memcmp(heard.text, "mark: 42\n", 9), 0);
  NT_EXPECT_EQ(heard.irql, DISPATCH_LEVEL);
  DbgPrint("mark: plain\n");
  NT_EXPECT_EQ(heard.count, 2);
  NT_EXPECT_EQ(heard.component, (ULONG)DPFLTR_DEFAULT_ID);
  NT_EXPECT_EQ(heard.level, (ULONG)DPFLTR_INFO_LEVEL);
  NT_EXPECT_SUCCESS(DbgSetDebugPrintCallback(Listen, FALSE));
  DbgPrint("mark: nobody hears this\n");
  NT_EXPECT_EQ(heard.count, 2);
  NT_EXPECT_TRUE(!NT_SUCCESS(DbgSetDebugPrintCallback(Listen, FALSE)));
}

NT_TEST(KdFilter, FiltersByComponentAndLevel) {
  heard = {};
  NT_ASSERT_SUCCESS(DbgSetDebugPrintCallback(Listen, TRUE));
  NT_EXPECT_SUCCESS(DbgSetDebugFilterState(DPFLTR_IHVVIDEO_ID, DPFLTR_TRACE_LEVEL, FALSE));
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVVIDEO_ID, DPFLTR_TRACE_LEVEL), FALSE);
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVVIDEO_ID, DPFLTR_ERROR_LEVEL), TRUE);
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVAUDIO_ID, DPFLTR_TRACE_LEVEL), TRUE);
  DbgPrintEx(DPFLTR_IHVVIDEO_ID, DPFLTR_TRACE_LEVEL, "mark: filtered out\n");
  NT_EXPECT_EQ(heard.count, 0);
  DbgPrintEx(DPFLTR_IHVVIDEO_ID, DPFLTR_ERROR_LEVEL, "mark: another level\n");
  NT_EXPECT_EQ(heard.count, 1);
  DbgPrintEx(DPFLTR_IHVAUDIO_ID, DPFLTR_TRACE_LEVEL, "mark: another component\n");
  NT_EXPECT_EQ(heard.count, 2);
  NT_EXPECT_SUCCESS(DbgSetDebugFilterState(DPFLTR_IHVVIDEO_ID, DPFLTR_TRACE_LEVEL, TRUE));
  DbgPrintEx(DPFLTR_IHVVIDEO_ID, DPFLTR_TRACE_LEVEL, "mark: on again\n");
  NT_EXPECT_EQ(heard.count, 3);
  NT_EXPECT_SUCCESS(DbgSetDebugPrintCallback(Listen, FALSE));
}

NT_TEST(KdFilter, ALevelAboveThirtyOneIsAMask) {
  NT_EXPECT_SUCCESS(DbgSetDebugFilterState(DPFLTR_IHVBUS_ID, 0x80000006, FALSE));
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVBUS_ID, 1), FALSE);
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVBUS_ID, 2), FALSE);
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVBUS_ID, 31), FALSE);
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVBUS_ID, 3), TRUE);
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVBUS_ID, 0x8000000E), TRUE);
  NT_EXPECT_SUCCESS(DbgSetDebugFilterState(DPFLTR_IHVBUS_ID, 0x80000006, TRUE));
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_IHVBUS_ID, 2), TRUE);
}

NT_TEST(KdFilter, RefusesUnknownComponents) {
  NT_EXPECT_EQ(DbgQueryDebugFilterState(DPFLTR_ENDOFTABLE_ID, 0), STATUS_INVALID_PARAMETER_1);
  NT_EXPECT_EQ(DbgSetDebugFilterState(0xFFFFFF, 0, TRUE), STATUS_INVALID_PARAMETER_1);
  NT_EXPECT_EQ(DbgSetDebugPrintCallback(nullptr, TRUE), STATUS_INVALID_PARAMETER);
}
