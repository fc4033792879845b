/* The part of the table whose exceptions the processor raises. v, p, a, d, r: code, number of parameters,
 * kind of access, address and instruction are right; y: the code is. */
#include "seh_events.h"

static int FaultFacts(LOG* log, PEXCEPTION_POINTERS pointers, ULONG_PTR access, ULONG_PTR address) {
  const EXCEPTION_RECORD* record = pointers->ExceptionRecord;
  E(log, record->ExceptionCode == STATUS_ACCESS_VIOLATION ? 'v' : 'V');
  E(log, record->NumberParameters == 2 ? 'p' : 'P');
  E(log, record->ExceptionInformation[0] == access ? 'a' : 'A');
  E(log, record->ExceptionInformation[1] == address ? 'd' : 'D');
  E(log, (ULONG_PTR)record->ExceptionAddress == pointers->ContextRecord->Rip ? 'r' : 'R');
  return EXCEPTION_EXECUTE_HANDLER;
}

void ReadFault(LOG* log) {
  __try {
    CALL(ReadFrom(0x1234));
  } __except (FaultFacts(log, POINTERS, 0, 0x1234)) {
    E(log, 'h');
  }
}

void WriteFault(LOG* log) {
  __try {
    CALL(WriteTo(0x4320));
  } __except (FaultFacts(log, POINTERS, 1, 0x4320)) {
    E(log, 'h');
  }
}

void ExecuteFault(LOG* log) {
  void (*volatile nowhere)(void) = NULL;
  __try {
    CALL(nowhere());
  } __except (FaultFacts(log, POINTERS, 8, 0)) {
    E(log, 'h');
  }
}

void NotCanonical(LOG* log) {
  __try {
    CALL(ReadFrom(0x8000000000000000ull));
  } __except (FaultFacts(log, POINTERS, 0, ~(ULONG_PTR)0)) {
    E(log, 'h');
  }
}

static int SkipInstruction(LOG* log, PEXCEPTION_POINTERS pointers, NTSTATUS code, int bytes) {
  E(log, pointers->ExceptionRecord->ExceptionCode == code ? 'y' : 'N');
  E(log, (ULONG64)pointers->ExceptionRecord->ExceptionAddress == pointers->ContextRecord->Rip ? 'r' : 'R');
  pointers->ContextRecord->Rip += (ULONG64)bytes;
  return EXCEPTION_CONTINUE_EXECUTION;
}

static NOINLINE void Breakpoint(void) {
  __asm__ volatile("int3");
}
void ContinueAfterBreakpoint(LOG* log) {
  __try {
    CALL(Breakpoint());
    E(log, 'c');
  } __except (SkipInstruction(log, POINTERS, CODE(0x80000003), 1)) {
    E(log, 'X');
  }
}

static NOINLINE void Assertion(void) {
  __asm__ volatile("int $0x2c");
}
void ContinueAfterAssertion(LOG* log) {
  __try {
    CALL(Assertion());
    E(log, 'c');
  } __except (SkipInstruction(log, POINTERS, CODE(0xC0000420), 2)) {
    E(log, 'X');
  }
}

/* going on is after the breakpoint that follows the debugger's service */
static NOINLINE void DebugService(void) {
  __asm__ volatile("movl $0x77, %%eax\n\tint $0x2d\n\tint3" ::: "rax");
}
void ContinueAfterDebugService(LOG* log) {
  __try {
    CALL(DebugService());
    E(log, 'c');
  } __except (SkipInstruction(log, POINTERS, CODE(0x80000003), 0)) {
    E(log, 'X');
  }
}

static NOINLINE ULONG64 LoadThrough(ULONG64 address) {
  ULONG64 value;
  __asm__ volatile("movq (%1), %0" : "=a"(value) : "c"(address));
  return value;
}
static ULONG64 spare_value = 0x1122334455667788ull;
static int GiveAddress(LOG* log, PEXCEPTION_POINTERS pointers) {
  E(log, 'f');
  pointers->ContextRecord->Rcx = (ULONG64)&spare_value;
  return EXCEPTION_CONTINUE_EXECUTION;
}
/* the filter repairs the register that the faulting instruction uses: it is executed again */
void RepairAndRetry(LOG* log) {
  __try {
    E(log, LoadThrough(0x10) == spare_value ? 'c' : 'X');
  } __except (GiveAddress(log, POINTERS)) {
    E(log, 'X');
  }
}

static NOINLINE int Divide(int a, int b) {
  int quotient;
  __asm__ volatile("cltd\n\tidivl %2" : "=a"(quotient) : "a"(a), "r"(b) : "edx");
  return quotient;
}
void DivideByZero(LOG* log) {
  __try {
    CALL(Divide(1, 0));
  } __except (CodeIs(log, _exception_code(), CODE(0xC0000094))) {
    E(log, 'h');
  }
}
void DivideOverflow(LOG* log) {
  __try {
    CALL(Divide((int)0x80000000, -1));
  } __except (CodeIs(log, _exception_code(), CODE(0xC0000095))) {
    E(log, 'h');
  }
}
static NOINLINE void DivideByMemory(const volatile USHORT* divisor) {
  __asm__ volatile("divw (%0)" ::"r"(divisor), "a"(0), "d"(9) : "cc");
}
void DivideOverflowInMemory(LOG* log) {
  const volatile USHORT divisor = 3;
  __try {
    CALL(DivideByMemory(&divisor));
  } __except (CodeIs(log, _exception_code(), CODE(0xC0000095))) {
    E(log, 'h');
  }
}

static NOINLINE void Illegal(void) {
  __asm__ volatile("ud2");
}
void IllegalInstruction(LOG* log) {
  __try {
    CALL(Illegal());
  } __except (CodeIs(log, _exception_code(), CODE(0xC000001D))) {
    E(log, 'h');
  }
}
static NOINLINE void SetNoSuchRegister(void) {
  __asm__ volatile("xsetbv" ::"a"(0), "d"(0), "c"(9));
}
void PrivilegedInstruction(LOG* log) {
  __try {
    CALL(SetNoSuchRegister());
  } __except (CodeIs(log, _exception_code(), CODE(0xC0000096))) {
    E(log, 'h');
  }
}
static NOINLINE void StepOnce(void) {
  __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop" ::: "memory", "cc");
}
void SingleStep(LOG* log) {
  __try {
    CALL(StepOnce());
  } __except (CodeIs(log, _exception_code(), CODE(0x80000004))) {
    E(log, 'h');
  }
}
static NOINLINE void IntegerOverflowTrap(void) {
  __asm__ volatile("int $4");
}
void OverflowTrap(LOG* log) {
  __try {
    CALL(IntegerOverflowTrap());
  } __except (CodeIs(log, _exception_code(), CODE(0xC0000095))) {
    E(log, 'h');
  }
}
