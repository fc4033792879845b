/* Structured exceptions as a C driver writes them. The letters of an expected order: what each case's
 * comments say, and everywhere t = in __try, f = filter, n = __finally, h = handler, e = end. */
#include "seh_events.h"

static void RaiseCaught(LOG* log) {
  __try {
    E(log, 't');
    CALL(Raise(STATUS_UNSUCCESSFUL));
    E(log, 'X');
  } __except (Filter(log, 'f', EXCEPTION_EXECUTE_HANDLER)) {
    E(log, 'h');
  }
  E(log, 'e');
}

static void FaultInTheTryItself(LOG* log) {
  __try {
    E(log, 't');
    *(volatile int*)16 = 1;
    E(log, 'X');
  } __except (Filter(log, 'f', EXCEPTION_EXECUTE_HANDLER)) {
    E(log, 'h');
  }
  E(log, 'e');
}

/* 1, 2: inner and outer filter */
static void SearchGoesOut(LOG* log) {
  __try {
    __try {
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __except (Filter(log, '1', EXCEPTION_CONTINUE_SEARCH)) {
      E(log, 'X');
    }
  } __except (Filter(log, '2', EXCEPTION_EXECUTE_HANDLER)) {
    E(log, 'h');
  }
  E(log, 'e');
}

static NOINLINE void Inner3(LOG* log) {
  __try {
    __try {
      __try {
        CALL(Raise(STATUS_UNSUCCESSFUL));
      } __except (Filter(log, '1', 0)) {
        E(log, 'X');
      }
    } __except (Filter(log, '2', 0)) {
      E(log, 'X');
    }
  } __except (Filter(log, '3', 0)) {
    E(log, 'X');
  }
}
static void SearchGoesOutOfTheFunction(LOG* log) {
  __try {
    CALL(Inner3(log));
    E(log, 'X');
  } __except (Filter(log, '4', 1)) {
    E(log, 'h');
  }
}

static void FinallyWithoutException(LOG* log) {
  __try {
    E(log, 't');
  } __finally {
    E(log, _abnormal_termination() ? 'A' : 'n');
  }
  E(log, 'e');
}

/* every filter runs before any __finally */
static void FilterBeforeFinally(LOG* log) {
  __try {
    __try {
      E(log, 't');
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __finally {
      E(log, _abnormal_termination() ? 'n' : 'N');
    }
    E(log, 'X');
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
  E(log, 'e');
}

static void FinallyInsideOut(LOG* log) {
  __try {
    __try {
      __try {
        CALL(WriteTo(8));
      } __finally {
        E(log, '1');
      }
    } __finally {
      E(log, '2');
    }
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
}

static NOINLINE void Frame3(LOG* log) {
  __try {
    CALL(WriteTo(8));
  } __finally {
    E(log, '3');
  }
}
static NOINLINE void Frame2(LOG* log) {
  volatile char filler[300];
  filler[0] = 1;
  CALL(Frame3(log));
  E(log, (char)('X' + filler[0]));
}
static NOINLINE void Frame1(LOG* log) {
  __try {
    CALL(Frame2(log));
  } __finally {
    E(log, '1');
  }
}
static void FinallyInCallers(LOG* log) {
  __try {
    CALL(Frame1(log));
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
}

static void LeaveIsNotAbnormal(LOG* log) {
  __try {
    E(log, 't');
    if (log->length != 0) __leave;
    E(log, 'X');
  } __finally {
    E(log, _abnormal_termination() ? 'A' : 'n');
  }
  E(log, 'e');
}

static NOINLINE int ReturnsFromTry(LOG* log) {
  __try {
    E(log, 't');
    return 7;
  } __finally {
    E(log, 'n');
  }
}
static void ReturnRunsFinally(LOG* log) {
  E(log, ReturnsFromTry(log) == 7 ? '7' : 'X');
}

static void TryInALoop(LOG* log) {
  for (volatile int i = 0; i < 4; ++i) {
    __try {
      if (i == 1) continue;
      if (i == 3) break;
      CALL(WriteTo(8));
    } __except (Filter(log, (char)('a' + i), 1)) {
      E(log, 'h');
    }
    E(log, '.');
  }
  E(log, 'e');
}

static void ContinueAfterRaise(LOG* log) {
  __try {
    E(log, 't');
    CALL(RaiseContinuable(STATUS_UNSUCCESSFUL));
    E(log, 'c');
  } __except (Filter(log, 'f', EXCEPTION_CONTINUE_EXECUTION)) {
    E(log, 'X');
  }
  E(log, 'e');
}

/* continuing what cannot be continued is an exception of its own, with the first one in it */
static int ContinueOnce(LOG* log, ULONG code) {
  E(log, code == (ULONG)STATUS_NONCONTINUABLE_EXCEPTION ? '2' : '1');
  return code == (ULONG)STATUS_NONCONTINUABLE_EXCEPTION ? EXCEPTION_CONTINUE_SEARCH
                                                        : EXCEPTION_CONTINUE_EXECUTION;
}
static int SecondFacts(LOG* log, PEXCEPTION_POINTERS pointers) {
  const EXCEPTION_RECORD* record = pointers->ExceptionRecord;
  E(log, record->ExceptionCode == STATUS_NONCONTINUABLE_EXCEPTION ? 'y' : 'N');
  E(log, record->ExceptionRecord != NULL && record->ExceptionRecord->ExceptionCode == STATUS_UNSUCCESSFUL
             ? 'i'
             : 'I');
  return 1;
}
static void ContinueNoncontinuable(LOG* log) {
  __try {
    __try {
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __except (ContinueOnce(log, _exception_code())) {
      E(log, 'X');
    }
  } __except (SecondFacts(log, POINTERS)) {
    E(log, 'h');
  }
}

/* the search for the second exception comes by the same frame, and asks the same filter again */
static int FaultingFilter(LOG* log) {
  E(log, '1');
  if (log->length == 1) CALL(WriteTo(8));
  return 0;
}
static void ExceptionInFilter(LOG* log) {
  __try {
    __try {
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __except (FaultingFilter(log)) {
      E(log, 'X');
    }
  } __except (CodeIs(log, _exception_code(), STATUS_ACCESS_VIOLATION)) {
    E(log, 'h');
  }
}

static int CarefulFilter(LOG* log) {
  __try {
    E(log, '1');
    CALL(WriteTo(8));
  } __except (Filter(log, '2', 1)) {
    E(log, '3');
  }
  return 1;
}
static void TryInsideFilter(LOG* log) {
  __try {
    CALL(Raise(STATUS_UNSUCCESSFUL));
  } __except (CarefulFilter(log)) {
    E(log, 'h');
  }
}

/* a collided unwind: the second exception leaves the __finally of the first one's unwind */
static void ExceptionInFinally(LOG* log) {
  __try {
    __try {
      __try {
        CALL(Raise(STATUS_UNSUCCESSFUL));
      } __finally {
        E(log, '1');
        CALL(WriteTo(8));
        E(log, 'X');
      }
    } __except (Filter(log, '2', _exception_code() == (ULONG)STATUS_ACCESS_VIOLATION ? 0 : 1)) {
      E(log, 'X');
    }
  } __except (CodeIs(log, _exception_code(), STATUS_ACCESS_VIOLATION)) {
    E(log, 'h');
  }
  E(log, 'e');
}

static NOINLINE void RaisingFinally(LOG* log) {
  __try {
    __try {
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __finally {
      E(log, '1');
      CALL(WriteTo(8));
    }
  } __finally {
    E(log, '2');
  }
}
/* the outer __finally of the frame where the first unwind had arrived runs once, in the second unwind */
static void CollidedInAnotherFrame(LOG* log) {
  __try {
    CALL(RaisingFinally(log));
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
  E(log, 'e');
}

static void CaughtInsideFinally(LOG* log) {
  __try {
    __try {
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __finally {
      __try {
        E(log, '1');
        CALL(WriteTo(8));
      } __except (Filter(log, '2', 1)) {
        E(log, '3');
      }
      E(log, 'n');
    }
  } __except (CodeIs(log, _exception_code(), STATUS_UNSUCCESSFUL)) {
    E(log, 'h');
  }
}

static void ExceptionInHandler(LOG* log) {
  __try {
    __try {
      CALL(Raise(STATUS_UNSUCCESSFUL));
    } __except (Filter(log, '1', 1)) {
      E(log, '2');
      CALL(WriteTo(8));
      E(log, 'X');
    }
  } __except (CodeIs(log, _exception_code(), STATUS_ACCESS_VIOLATION)) {
    E(log, 'h');
  }
}

static void RaisedAgain(LOG* log) {
  __try {
    __try {
      __try {
        CALL(WriteTo(8));
      } __except (Filter(log, '1', 1)) {
        CALL(Raise((NTSTATUS)_exception_code()));
      }
    } __finally {
      E(log, 'n');
    }
  } __except (CodeIs(log, _exception_code(), STATUS_ACCESS_VIOLATION)) {
    E(log, 'h');
  }
}

static void FinallyRaisesWithoutUnwind(LOG* log) {
  __try {
    __try {
      E(log, 't');
    } __finally {
      E(log, 'n');
      CALL(Raise(STATUS_UNSUCCESSFUL));
    }
    E(log, 'X');
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
}

static volatile LONG depth_sum;
static NOINLINE void Recurse(int depth, volatile LONG* finallys) {
  __try {
    if (depth == 0) CALL(Raise(STATUS_UNSUCCESSFUL));
    CALL(Recurse(depth - 1, finallys));
  } __finally {
    ++*finallys;
  }
}
static void FortyFrames(LOG* log) {
  volatile LONG finallys = 0;
  __try {
    CALL(Recurse(39, &finallys));
  } __except (Filter(log, 'f', 1)) {
    E(log, finallys == 40 ? 'y' : 'N');
  }
  depth_sum += finallys;
}

/* rbx, rsi, rdi, r12..r15, xmm6 of the function with the handler survive what was done to them below it */
static NOINLINE void Spoil(void) {
  __asm__ volatile(
      "mov $1, %%rbx\n\tmov $2, %%rsi\n\tmov $3, %%rdi\n\tmov $4, %%r12\n\tmov $5, %%r13\n\tmov $6, %%r14\n\t"
      "mov $7, %%r15\n\tpxor %%xmm6, %%xmm6\n\tpxor %%xmm15, %%xmm15" ::
          : "rbx", "rsi", "rdi", "r12", "r13", "r14", "r15", "xmm6", "xmm15");
  CALL(WriteTo(8));
  __asm__ volatile("nop" ::: "rbx", "rsi", "rdi", "r12", "r13", "r14", "r15", "xmm6", "xmm15");
}
static NOINLINE void CatchSpoil(LOG* log) {
  __try {
    CALL(Spoil());
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
}
static void RegistersSurvive(LOG* log) {
  ULONG64 sum, high;
  void (*function)(LOG*) = CatchSpoil;
  __asm__ volatile(
      "mov $0x10, %%rbx\n\tmov $0x20, %%rsi\n\tmov $0x40, %%r12\n\tmov $0x80, %%r13\n\tmov $0x100, %%r14\n\t"
      "mov $0x200, %%r15\n\tmov $0x400, %%rdi\n\tmov $0x800, %%rax\n\tmovq %%rax, %%xmm6\n\tmov $0x1000, "
      "%%rax\n\t"
      "movq %%rax, %%xmm15\n\tmov %2, %%rcx\n\tmov %3, %%rax\n\tsub $0x20, %%rsp\n\tcall *%%rax\n\t"
      "add $0x20, %%rsp\n\t"
      "movq %%xmm6, %%rax\n\tmovq %%xmm15, %%rcx\n\tadd %%rcx, %%rax\n\tmov %%rax, %1\n\t"
      "lea (%%rbx, %%rsi), %%rax\n\tadd %%r12, %%rax\n\tadd %%r13, %%rax\n\tadd %%r14, %%rax\n\tadd %%r15, "
      "%%rax\n\t"
      "add %%rdi, %%rax\n\tmov %%rax, %0"
      : "=m"(sum), "=m"(high)
      : "m"(log), "m"(function)
      : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
        "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm15");
  E(log, sum == 0x7F0 ? 'y' : 'N');
  E(log, high == 0x1800 ? 'y' : 'N');
}

static NOINLINE void WithAlloca(LOG* log, unsigned bytes) {
  volatile char* area = (volatile char*)__builtin_alloca(bytes);
  area[0] = 'a';
  __try {
    CALL(WriteTo(8));
  } __except (Filter(log, area[0], 1)) {
    E(log, area[0]);
  }
}
static void DynamicFrame(LOG* log) {
  WithAlloca(log, 100 + log->length);
  WithAlloca(log, 1000 + log->length);
}

static void LocalsOfTheFrame(LOG* log) {
  volatile int x = 3, y = 4;
  __try {
    x = 5;
    __try {
      y = 6;
      CALL(WriteTo(8));
    } __finally {
      E(log, x == 5 && y == 6 ? 'n' : 'N');
      x = 7;
    }
  } __except (Filter(log, x == 5 ? 'f' : 'F', 1)) {
    E(log, x == 7 && y == 6 ? 'h' : 'H');
  }
}

static RTL_GENERIC_COMPARE_RESULTS NTAPI RaisingCompare(PRTL_GENERIC_TABLE table, PVOID a, PVOID b) {
  (void)a, (void)b;
  E((LOG*)table->TableContext, 'c');
  CALL(Raise(STATUS_UNSUCCESSFUL));
  return GenericEqual;
}
static PVOID NTAPI TableAllocate(PRTL_GENERIC_TABLE table, CLONG size) {
  (void)table;
  return ExAllocatePoolWithTag(NonPagedPool, size, 'heST');
}
static VOID NTAPI TableFree(PRTL_GENERIC_TABLE table, PVOID memory) {
  (void)table;
  ExFreePoolWithTag(memory, 'heST');
}
/* through a frame of the kernel: a driver's callback raises, the driver catches */
static void ThroughTheKernel(LOG* log) {
  RTL_GENERIC_TABLE table;
  int element = 1;
  BOOLEAN is_new;
  RtlInitializeGenericTable(&table, RaisingCompare, TableAllocate, TableFree, log);
  CALL(RtlInsertElementGenericTable(&table, &element, sizeof element, &is_new));
  __try {
    CALL(RtlInsertElementGenericTable(&table, &element, sizeof element, &is_new));
  } __except (Filter(log, 'f', 1)) {
    E(log, 'h');
  }
  while (table.TableRoot != NULL) {
    PVOID node = table.TableRoot;
    table.TableRoot = NULL;
    ExFreePoolWithTag(node, 'heST');
  }
}

static void RaisedByExRoutines(LOG* log) {
  __try {
    CALL(ExRaiseAccessViolation());
  } __except (CodeIs(log, _exception_code(), STATUS_ACCESS_VIOLATION)) {
    E(log, '1');
  }
  __try {
    CALL(ExRaiseDatatypeMisalignment());
  } __except (CodeIs(log, _exception_code(), STATUS_DATATYPE_MISALIGNMENT)) {
    E(log, '2');
  }
}

/* an exception that is raised, not a fault, may be caught at any IRQL; the IRQL stays what it was */
static void RaisedAtDispatch(LOG* log) {
  KIRQL irql;
  KeRaiseIrql(DISPATCH_LEVEL, &irql);
  __try {
    CALL(RaiseContinuable(STATUS_UNSUCCESSFUL));
  } __except (Filter(log, KeGetCurrentIrql() == DISPATCH_LEVEL ? 'f' : 'F', 1)) {
    E(log, KeGetCurrentIrql() == DISPATCH_LEVEL ? 'h' : 'H');
  }
  KeLowerIrql(irql);
}

static void LockReleasedByFinally(LOG* log) {
  KSPIN_LOCK lock;
  KIRQL irql;
  KeInitializeSpinLock(&lock);
  __try {
    KeAcquireSpinLock(&lock, &irql);
    __try {
      CALL(RaiseContinuable(STATUS_UNSUCCESSFUL));
    } __finally {
      KeReleaseSpinLock(&lock, irql);
      E(log, 'n');
    }
  } __except (Filter(log, 'f', 1)) {
    E(log, KeGetCurrentIrql() == PASSIVE_LEVEL && lock == 0 ? 'h' : 'H');
  }
}

static int IsStatus(LOG* log, ULONG code, NTSTATUS wanted, char c) {
  E(log, c);
  return code == (ULONG)wanted;
}
/* of several handlers the one that wants this code */
static void HandlerByCode(LOG* log) {
  static const NTSTATUS codes[] = {CODE(0xC0000001), CODE(0xC0000002), CODE(0xC0000005)};
  for (volatile int i = 0; i < 3; ++i) {
    __try {
      __try {
        __try {
          CALL(Raise(codes[i]));
        } __except (IsStatus(log, _exception_code(), codes[0], 'a')) {
          E(log, '1');
        }
      } __except (IsStatus(log, _exception_code(), codes[1], 'b')) {
        E(log, '2');
      }
    } __except (IsStatus(log, _exception_code(), codes[2], 'c')) {
      E(log, '3');
    }
  }
}

const struct SehCase kSehCases[] = {
    {"RaiseCaught", RaiseCaught, "tfhe"},
    {"FaultInTheTryItself", FaultInTheTryItself, "tfhe"},
    {"ReadFault", ReadFault, "vpadrh"},
    {"WriteFault", WriteFault, "vpadrh"},
    {"ExecuteFault", ExecuteFault, "vpadrh"},
    {"NotCanonical", NotCanonical, "vpadrh"},
    {"SearchGoesOut", SearchGoesOut, "12he"},
    {"SearchGoesOutOfTheFunction", SearchGoesOutOfTheFunction, "1234h"},
    {"FinallyWithoutException", FinallyWithoutException, "tne"},
    {"FilterBeforeFinally", FilterBeforeFinally, "tfnhe"},
    {"FinallyInsideOut", FinallyInsideOut, "f12h"},
    {"FinallyInCallers", FinallyInCallers, "f31h"},
    {"LeaveIsNotAbnormal", LeaveIsNotAbnormal, "tne"},
    {"ReturnRunsFinally", ReturnRunsFinally, "tn7"},
    {"TryInALoop", TryInALoop, "ah.ch.e"},
    {"ContinueAfterRaise", ContinueAfterRaise, "tfce"},
    {"ContinueAfterBreakpoint", ContinueAfterBreakpoint, "yrc"},
    {"ContinueAfterAssertion", ContinueAfterAssertion, "yrc"},
    {"ContinueAfterDebugService", ContinueAfterDebugService, "yRc"},
    {"RepairAndRetry", RepairAndRetry, "fc"},
    {"ContinueNoncontinuable", ContinueNoncontinuable, "12yih"},
    {"ExceptionInFilter", ExceptionInFilter, "11yh"},
    {"TryInsideFilter", TryInsideFilter, "123h"},
    {"ExceptionInFinally", ExceptionInFinally,
     "21"
     "2yhe"},
    {"CollidedInAnotherFrame", CollidedInAnotherFrame, "f1f2he"},
    {"CaughtInsideFinally", CaughtInsideFinally, "y123nh"},
    {"ExceptionInHandler", ExceptionInHandler, "12yh"},
    {"RaisedAgain", RaisedAgain, "1ynh"},
    {"FinallyRaisesWithoutUnwind", FinallyRaisesWithoutUnwind, "tnfh"},
    {"FortyFrames", FortyFrames, "fy"},
    {"DivideByZero", DivideByZero, "yh"},
    {"DivideOverflow", DivideOverflow, "yh"},
    {"DivideOverflowInMemory", DivideOverflowInMemory, "yh"},
    {"IllegalInstruction", IllegalInstruction, "yh"},
    {"PrivilegedInstruction", PrivilegedInstruction, "yh"},
    {"SingleStep", SingleStep, "yh"},
    {"OverflowTrap", OverflowTrap, "yh"},
    {"RegistersSurvive", RegistersSurvive, "fhyy"},
    {"DynamicFrame", DynamicFrame, "aaaa"},
    {"LocalsOfTheFrame", LocalsOfTheFrame, "fnh"},
    {"ThroughTheKernel", ThroughTheKernel, "cfh"},
    {"RaisedByExRoutines", RaisedByExRoutines, "y1y2"},
    {"RaisedAtDispatch", RaisedAtDispatch, "fh"},
    {"LockReleasedByFinally", LockReleasedByFinally, "fnh"},
    {"HandlerByCode", HandlerByCode, "a1ab2abc3"},
};
const unsigned kSehCaseCount = sizeof kSehCases / sizeof kSehCases[0];
