/*
 * The program behind names of which there is no file. It waits, alertably, until somebody ends it; or does
 * what the last word of its command line says, for tests of drivers that watch programs and of the kernel
 * itself.
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

/*
 * Registers of its own, which nothing that interrupts it may change: vector registers, x87, and general ones.
 * Each thread has other values. A change ends the program with STATUS_DATA_ERROR.
 */
static void Registers(void) {
  const ULONGLONG mark = __readgsqword(0x48) * 0x9E3779B97F4A7C15ull; /* the thread's id */
  for (;; ++g_turns) {
    ULONGLONG changed = 0, number = 0;
    __asm__ volatile(
        "movq %[mark], %%xmm0\n\tmovq %[mark], %%xmm5\n\tmovq %[mark], %%xmm6\n\tmovq %[mark], %%xmm15\n\t"
        "movq %[mark], %%r12\n\tmovq %[mark], %%r15\n\tmovq %[mark], %%r11\n\tmovq %[mark], "
        "%[number]\n\tshrq $2, %[number]\n\t"
        "pushq %[number]\n\tfninit\n\tfildq (%%rsp)\n\tmovl $20000, %%ecx\n"
        "1:\tpause\n\tdecl %%ecx\n\tjnz 1b\n\t"
        "movq %%xmm0, %%rax\n\txorq %[mark], %%rax\n\torq %%rax, %[changed]\n\t"
        "movq %%xmm5, %%rax\n\txorq %[mark], %%rax\n\torq %%rax, %[changed]\n\t"
        "movq %%xmm6, %%rax\n\txorq %[mark], %%rax\n\torq %%rax, %[changed]\n\t"
        "movq %%xmm15, %%rax\n\txorq %[mark], %%rax\n\torq %%rax, %[changed]\n\t"
        "xorq %[mark], %%r12\n\torq %%r12, %[changed]\n\txorq %[mark], %%r15\n\torq %%r15, %[changed]\n\t"
        "xorq %[mark], %%r11\n\torq %%r11, %[changed]\n\t"
        "fistpq (%%rsp)\n\tpopq %%rax\n\txorq %[number], %%rax\n\torq %%rax, %[changed]"
        : [changed] "+&r"(changed), [number] "+&r"(number)
        : [mark] "r"(mark)
        : "rax", "rcx", "r11", "r12", "r15", "memory", "cc");
    if (changed != 0) NtTerminateProcess(USER_CURRENT_PROCESS, STATUS_DATA_ERROR);
  }
}

/* Asks the driver behind \\.\Driver for something. */
static void Ask(void) {
  static WCHAR path[] = L"\\??\\Driver";
  UNICODE_STRING name = {sizeof(path) - sizeof(WCHAR), sizeof(path), path};
  OBJECT_ATTRIBUTES attributes;
  IO_STATUS_BLOCK iosb;
  HANDLE file;
  NTSTATUS status;
  InitializeObjectAttributes(&attributes, &name, OBJ_CASE_INSENSITIVE, NULL, NULL);
  status = NtOpenFile(&file, SYNCHRONIZE, &attributes, &iosb, 0, FILE_SYNCHRONOUS_IO_NONALERT);
  if (NT_SUCCESS(status))
    status = NtDeviceIoControlFile(file, NULL, NULL, NULL, &iosb, 0x222000, NULL, 0, NULL, 0);
  NtTerminateProcess(USER_CURRENT_PROCESS, status);
}

static void Finish(void) {
  NtTerminateProcess(USER_CURRENT_PROCESS, 42);
}

static const struct {
  const WCHAR* word;
  void (*routine)(void);
} kRoutines[] = {
    {L"spin", Spin},     {L"services", CallServices}, {L"fault", TouchNothing},    {L"kernel", TouchKernel},
    {L"break", Break},   {L"failfast", FailFast},     {L"privileged", Privileged}, {L"illegal", Illegal},
    {L"divide", Divide}, {L"badstack", BadStack},     {L"noaddress", NoAddress},   {L"noservice", NoService},
    {L"flags", Flags},   {L"exit", Finish},           {L"registers", Registers},   {L"ask", Ask},
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
