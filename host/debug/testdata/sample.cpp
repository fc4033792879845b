// The image that the tests of the formats and of the debugger read, map and run: NT-shaped types, and
// functions of every unwinding shape. Built as a Windows image with a PDB; its functions also run inside the
// tests, one instruction at a time.
#include <stddef.h>
#include <stdint.h>

extern "C" {

typedef struct _LIST_ENTRY {
  struct _LIST_ENTRY* Flink;
  struct _LIST_ENTRY* Blink;
} LIST_ENTRY;

typedef struct _UNICODE_STRING {
  uint16_t Length;
  uint16_t MaximumLength;
  wchar_t* Buffer;
} UNICODE_STRING;

typedef enum _KTHREAD_STATE {
  Initialized = 0,
  Ready = 1,
  Running = 2,
  Standby = 3,
  Terminated = 4,
  Waiting = 5,
  Broken = -1
} KTHREAD_STATE;

typedef struct _KLDR_DATA_TABLE_ENTRY {
  LIST_ENTRY InLoadOrderLinks;
  void* DllBase;
  void* EntryPoint;
  uint32_t SizeOfImage;
  UNICODE_STRING FullDllName;
  UNICODE_STRING BaseDllName;
  uint32_t CheckSum;
  uint32_t TimeDateStamp;
} KLDR_DATA_TABLE_ENTRY;

typedef struct _KWAIT_BLOCK {
  LIST_ENTRY WaitListEntry;
  void* Object;
} KWAIT_BLOCK;

typedef struct _KSWITCH_FRAME {
  uint64_t P1Home;
  uint64_t Rbp;
  uint64_t Return;
} KSWITCH_FRAME;

typedef struct _KTHREAD {
  uint64_t Header[3];
  void* KernelStack;
  void* StackBase;
  void* StackLimit;
  volatile uint8_t State;
  uint32_t Alertable : 1;
  uint32_t QuantumReset : 7;
  int32_t SignedBits : 4;
  union {
    uint64_t WaitTime64;
    struct {
      uint32_t WaitTime;
      uint32_t Spare;
    };
  };
  KWAIT_BLOCK WaitBlock[4];
  int16_t Matrix[2][3];
  KTHREAD_STATE StateEnum;
} KTHREAD;

typedef struct _ETHREAD {
  KTHREAD Tcb;
  LIST_ENTRY ThreadListEntry;
  uint64_t Cid[2];
} ETHREAD;

typedef struct _KPROCESS {
  uint64_t DirectoryTableBase;
} KPROCESS;

typedef struct _EPROCESS {
  KPROCESS Pcb;
  LIST_ENTRY ActiveProcessLinks;
  LIST_ENTRY ThreadListHead;
  void* UniqueProcessId;
  char ImageFileName[15];
} EPROCESS;

typedef struct _CONTEXT {
  uint8_t Bytes[0x4d0];
} CONTEXT;

typedef struct _KPRCB {
  KTHREAD* CurrentThread;
  KTHREAD* NextThread;
  KTHREAD* IdleThread;
  struct {
    uint64_t SpecialRegisters[4];
    CONTEXT ContextFrame;
  } ProcessorState;
} KPRCB;

typedef struct _MMPTE_TRANSITION {
  uint64_t Valid : 1;
  uint64_t Flags : 9;
  uint64_t Prototype : 1;
  uint64_t Transition : 1;
  uint64_t PageFrameNumber : 40;
  uint64_t Unused : 12;
} MMPTE_TRANSITION;
MMPTE_TRANSITION g_transition;

// What the tests fill in the image's memory.
LIST_ENTRY PsLoadedModuleList;
LIST_ENTRY PsActiveProcessHead;
EPROCESS* PsIdleProcess;
KPRCB* KiProcessorBlock[64];
uint8_t KdDebuggerDataBlock[0x380];
KLDR_DATA_TABLE_ENTRY SampleModules[2];
EPROCESS SampleProcesses[3];
ETHREAD SampleThreads[4];
KPRCB SamplePrcbs[2];
wchar_t SampleNames[4][32];
uint8_t SampleStack[4096];
static volatile int32_t PrivateCounter = 7;

typedef int64_t (*Callback)(int64_t);
void* volatile Sink;
void* volatile* Absolute = &Sink;  // a relocation

__attribute__((noinline)) int64_t Leaf(int64_t a) {
  return a * 3 + 1;
}

__attribute__((noinline)) int64_t Small(int64_t a) {
  PrivateCounter = PrivateCounter + 1;
  return Leaf(a) + Leaf(a + 1);
}

// All the non-volatile registers.
__attribute__((noinline)) int64_t Greedy(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e) {
  int64_t p = Small(a), q = Small(b), r = Small(c), s = Small(d), t = Small(e);
  for (int i = 0; i < 2; ++i)
    p += Leaf(q) ^ Leaf(r), q += Leaf(s) - Leaf(t), r ^= Leaf(a), s += b * c, t -= d + e;
  return p + q + r + s + t;
}

// A frame pointer: the size of the frame is known at run time only.
__attribute__((noinline)) int64_t Dynamic(int64_t n) {
  volatile char* room = static_cast<volatile char*>(__builtin_alloca(static_cast<size_t>(n * 16 + 32)));
  for (int64_t i = 0; i < n; ++i) room[i] = static_cast<char>(i);
  Sink = const_cast<char*>(room);
  return Small(n) + room[n - 1];
}

// Saved xmm registers.
__attribute__((noinline)) double Floating(double x, int64_t n) {
  double a = x, b = x * 2, c = x * 3;
  for (int64_t i = 0; i < n; ++i) {
    a += static_cast<double>(Leaf(i));
    b *= a;
    c -= static_cast<double>(Leaf(i + 1));
  }
  return a + b + c;
}

// A large frame.
__attribute__((noinline)) int64_t Large(int64_t n) {
  volatile char room[3000];
  room[n & 1023] = 1;
  Sink = const_cast<char*>(room);
  return Dynamic(n) + room[n & 1023];
}

__attribute__((noinline)) int64_t Recursive(int64_t n) {
  return n <= 0 ? Leaf(n) : Recursive(n - 1) * 2 + n;
}

static inline int64_t Inlined(int64_t a) {
  int64_t doubled = a * 2;
  if (doubled > 100) doubled += Leaf(a);
  return doubled;
}

__attribute__((noinline)) int64_t WithInline(int64_t a) {
  const int64_t first = Inlined(a);
  return first + Leaf(first);
}

int64_t MachineFrame(int64_t (*function)(int64_t), int64_t argument);  // shapes.S
int64_t PushedByHand(int64_t argument);

// What the compiler refers to when a program has floating point.
int _fltused = 1;

// The tests' way in: every shape below one root.
__attribute__((noinline)) int64_t RunAll(int64_t n) {
  int64_t sum = Greedy(n, n + 1, n + 2, n + 3, n + 4);
  sum += Large(n) + Recursive(4) + WithInline(n * 30);
  sum += static_cast<int64_t>(Floating(1.5, 2));
  sum += MachineFrame(Small, n);
  return sum + PushedByHand(n);
}

int64_t SampleEntry(void*, void*) {
  return RunAll(3);
}

// Gives the PDB the types that nothing above uses as a whole.
KSWITCH_FRAME g_switch_frame;
}  // extern "C"

namespace ke {
class Event {
 public:
  int Set(int value);

 private:
  int signal_ = 0;
};
__attribute__((noinline)) int Event::Set(int value) {
  return signal_ += value;
}
Event g_event;
extern "C" int UseEvent() {
  return g_event.Set(1);
}
}  // namespace ke
