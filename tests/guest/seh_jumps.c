/* Long jumps, local unwinds, stack probes. */
#include "seh_events.h"

typedef struct __attribute__((aligned(16))) {
  ULONG64 part[32];
} JUMP;
PVOID RtlLookupFunctionEntry(ULONG64, PULONG64, PVOID);
PVOID RtlVirtualUnwind(ULONG, ULONG64, ULONG64, PVOID, PCONTEXT, PVOID*, PULONG64, PVOID);
VOID RtlUnwind(PVOID, PVOID, PEXCEPTION_RECORD, PVOID);

static VOID (*volatile long_jump)(JUMP*, int);
extern int KiSetJumpEx(JUMP*, PVOID) __asm__("_setjmpex") __attribute__((returns_twice));
extern VOID KiLongJump(JUMP*, int) __asm__("longjmp");
extern int KiSetJump(JUMP*, PVOID) __asm__("_setjmp") __attribute__((returns_twice));

static NOINLINE void JumpFrom(JUMP* buffer, int value) {
  long_jump(buffer, value);
}
/* The frame of the function that this is expanded in, as handlers get it. */
static NOINLINE ULONG64 FrameOf(CONTEXT* context) {
  ULONG64 base, establisher = 0;
  PVOID data;
  PVOID function = RtlLookupFunctionEntry(context->Rip, &base, NULL);
  RtlVirtualUnwind(0, base, context->Rip, function, context, &data, &establisher, NULL);
  return establisher;
}
static NOINLINE void JumpThroughFinally(LOG* log, JUMP* buffer) {
  __try {
    E(log, 'j');
    CALL(JumpFrom(buffer, 9));
  } __finally {
    E(log, 'n');
  }
}
/* s, j, 7: a plain jump; j, n, 9: one that unwinds */
NOINLINE void SehLongJumpOver(LOG* log) {
  JUMP buffer;
  CONTEXT context;
  volatile int round = 0;
  long_jump = KiLongJump;
  int value = KiSetJump(&buffer, NULL);
  if (value == 0) {
    E(log, 's');
    E(log, 'j');
    JumpFrom(&buffer, 7);
  }
  E(log, (char)('0' + value));
  RtlCaptureContext(&context);
  PVOID frame = (PVOID)FrameOf(&context);
  value = KiSetJumpEx(&buffer, frame);
  if (value == 0 && round++ == 0) JumpThroughFinally(log, &buffer);
  E(log, (char)('0' + value));
  E(log, 'e');
}

extern VOID KiLocalUnwind(PVOID, PVOID) __asm__("_local_unwind");
static NOINLINE void UnwindFromHere(LOG* log, PVOID frame, PVOID target) {
  __try {
    E(log, 't');
    CALL(KiLocalUnwind(frame, target));
  } __finally {
    E(log, 'n');
  }
}
NOINLINE void SehLocalUnwind(LOG* log) {
  CONTEXT context, here;
  volatile int round = 0;
  LOG* volatile kept = log;
  RtlCaptureContext(&context);
  if (round++ == 0) {
    here = context;
    PVOID frame = (PVOID)FrameOf(&here);
    UnwindFromHere(kept, frame, (PVOID)context.Rip);
  }
  E(kept, 'x');
}

/* the compiler asks __chkstk for a frame of this size */
NOINLINE __attribute__((no_stack_protector)) int SehTouchBigFrame(unsigned value) {
  extern VOID KiCheckStack(VOID) __asm__("__chkstk");
  int result;
  __asm__ volatile(
      "mov $9000, %%eax\n\tcall *%1\n\tcmp $9000, %%eax\n\tsete %%al\n\tmovzbl %%al, %%eax\n\tmovl %%eax, %0"
      : "=r"(result)
      : "r"(KiCheckStack)
      : "rax", "r10", "r11", "cc", "memory");
  return result ? (int)value : 0;
}
