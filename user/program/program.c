/*
 * The program behind names of which there is no file. It waits, alertably, until somebody ends it; or does what the last word
 * of its command line says, for tests of drivers that watch programs and of the kernel itself.
 */
#include "../ntdll/nt_user.h"

static volatile ULONGLONG g_turns; /* how often it went round: for who looks */

static void Wait(void) {
  LARGE_INTEGER forever;
  forever.QuadPart = MINLONGLONG;
  for (;;) {
    NtDelayExecution(TRUE, &forever);
    ++g_turns;
  }
}

static void Spin(void) {
  for (;;) ++g_turns;
}

static void CallServices(void) {
  for (;; ++g_turns) NtTestAlert();
}

static void TouchNothing(void) {
  *(volatile int*)0x10 = 1;
}

static void TouchKernel(void) {
  *(volatile int*)0xFFFFF78000000000 = 1;
}

static void Break(void) {
  __debugbreak();
}

static void FailFast(void) {
  __asm__ volatile("movl $5, %%ecx\n\tint $0x29" ::: "ecx");
}

static void Privileged(void) {
  __asm__ volatile("cli");
}

static void Illegal(void) {
  __asm__ volatile("ud2");
}

static void Divide(void) {
  volatile int zero = 0;
  volatile int result = 7 / zero;
  (void)result;
}

static void BadStack(void) {
  __asm__ volatile("movq $0x20, %rsp\n\tud2");
}

static void NoAddress(void) {
  __asm__ volatile("movabsq $0x8000000000000000, %rax\n\tjmpq *%rax");
}

static void NoService(void) {
  NTSTATUS status;
  __asm__ volatile("syscall" : "=a"(status) : "a"(0xFFFFFFFF) : "rcx", "r11", "memory");
  NtTerminateProcess(USER_CURRENT_PROCESS, status);
}

/* Flags and a gs of its own, that the kernel must neither trust nor keep. */
static void Flags(void) {
  __asm__ volatile("pushfq\n\torl $0x44400, (%%rsp)\n\tpopfq" ::: "memory", "cc"); /* AC, NT, DF */
  for (;;) ++g_turns;
}

static void Finish(void) {
  NtTerminateProcess(USER_CURRENT_PROCESS, 42);
}

static const struct {
  const WCHAR* word;
  void (*routine)(void);
} kRoutines[] = {
    {L"spin", Spin},         {L"services", CallServices}, {L"fault", TouchNothing},   {L"kernel", TouchKernel},
    {L"break", Break},       {L"failfast", FailFast},     {L"privileged", Privileged}, {L"illegal", Illegal},
    {L"divide", Divide},     {L"badstack", BadStack},     {L"noaddress", NoAddress},  {L"noservice", NoService},
    {L"flags", Flags},       {L"exit", Finish},
};

static BOOLEAN EndsWith(const UNICODE_STRING* text, const WCHAR* word) {
  ULONG length = 0;
  while (word[length] != 0) ++length;
  const ULONG whole = text->Length / sizeof(WCHAR);
  if (whole <= length || text->Buffer[whole - length - 1] != L' ') return FALSE;
  for (ULONG i = 0; i < length; ++i) {
    if (text->Buffer[whole - length + i] != word[i]) return FALSE;
  }
  return TRUE;
}

NTSTATUS ProgramStart(PPEB peb) {
  const UNICODE_STRING* line = &peb->ProcessParameters->CommandLine;
  for (ULONG i = 0; i < sizeof(kRoutines) / sizeof(kRoutines[0]); ++i) {
    if (EndsWith(line, kRoutines[i].word)) kRoutines[i].routine();
  }
  Wait();
  return STATUS_SUCCESS;
}
