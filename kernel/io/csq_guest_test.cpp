// Cancel-safe queues through the ABI. Oracle: the WDK pages of IoCsq*; not yet run on a real NT.
#include "nt_test.h"
#include "threads.h"

namespace {

struct Queue {
  IO_CSQ csq;  // first: the callbacks get its address
  KSPIN_LOCK lock;
  LIST_ENTRY irps;
  volatile LONG cancelled;
  bool refuse;
};

Queue* QueueOf(PIO_CSQ csq) {
  return CONTAINING_RECORD(csq, Queue, csq);
}
VOID NTAPI InsertIrp(PIO_CSQ csq, PIRP irp) {
  InsertTailList(&QueueOf(csq)->irps, &irp->Tail.Overlay.ListEntry);
}
NTSTATUS NTAPI InsertIrpEx(PIO_CSQ csq, PIRP irp, PVOID context) {
  if (QueueOf(csq)->refuse) return STATUS_DEVICE_BUSY;
  *static_cast<ULONG*>(context) += 1;
  InsertIrp(csq, irp);
  return STATUS_PENDING;
}
VOID NTAPI RemoveIrp(PIO_CSQ, PIRP irp) {
  RemoveEntryList(&irp->Tail.Overlay.ListEntry);
}
// A null context matches every IRP, another one the IRPs whose UserBuffer it is.
PIRP NTAPI PeekNextIrp(PIO_CSQ csq, PIRP irp, PVOID context) {
  PLIST_ENTRY head = &QueueOf(csq)->irps;
  PLIST_ENTRY at = irp == nullptr ? head->Flink : irp->Tail.Overlay.ListEntry.Flink;
  for (; at != head; at = at->Flink) {
    PIRP next = CONTAINING_RECORD(at, IRP, Tail.Overlay.ListEntry);
    if (context == nullptr || next->UserBuffer == context) return next;
  }
  return nullptr;
}
VOID NTAPI AcquireLock(PIO_CSQ csq, PKIRQL irql) {
  KeAcquireSpinLock(&QueueOf(csq)->lock, irql);
}
VOID NTAPI ReleaseLock(PIO_CSQ csq, KIRQL irql) {
  KeReleaseSpinLock(&QueueOf(csq)->lock, irql);
}
VOID NTAPI CompleteCanceledIrp(PIO_CSQ csq, PIRP irp) {
  irp->IoStatus.Status = STATUS_CANCELLED;
  InterlockedIncrement(&QueueOf(csq)->cancelled);
}

void Prepare(Queue* queue) {
  RtlZeroMemory(queue, sizeof *queue);
  KeInitializeSpinLock(&queue->lock);
  InitializeListHead(&queue->irps);
  NT_EXPECT_SUCCESS(IoCsqInitialize(&queue->csq, InsertIrp, RemoveIrp, PeekNextIrp, AcquireLock, ReleaseLock,
                                    CompleteCanceledIrp));
}

// An IRP as a dispatch routine sees it: with a current stack location.
PIRP NewIrp() {
  PIRP irp = IoAllocateIrp(1, FALSE);
  if (irp != nullptr) IoSetNextIrpStackLocation(irp);
  return irp;
}

}  // namespace

NT_TEST(IoCsq, IrpsComeOutInOrderAndByContext) {
  Queue queue;
  Prepare(&queue);
  IO_CSQ_IRP_CONTEXT context;
  PIRP irps[3];
  for (PIRP& irp : irps) NT_ASSERT_TRUE((irp = NewIrp()) != nullptr);
  irps[2]->UserBuffer = &queue;
  IoCsqInsertIrp(&queue.csq, irps[0], nullptr);
  IoCsqInsertIrp(&queue.csq, irps[1], &context);
  IoCsqInsertIrp(&queue.csq, irps[2], nullptr);
  NT_EXPECT_TRUE((IoGetCurrentIrpStackLocation(irps[0])->Control & SL_PENDING_RETURNED) != 0);
  NT_EXPECT_EQ(IoCsqRemoveNextIrp(&queue.csq, &queue), irps[2]);
  NT_EXPECT_EQ(IoCsqRemoveIrp(&queue.csq, &context), irps[1]);
  NT_EXPECT_EQ(IoCsqRemoveIrp(&queue.csq, &context), static_cast<PIRP>(nullptr));
  NT_EXPECT_EQ(IoCsqRemoveNextIrp(&queue.csq, nullptr), irps[0]);
  NT_EXPECT_EQ(IoCsqRemoveNextIrp(&queue.csq, nullptr), static_cast<PIRP>(nullptr));
  for (PIRP irp : irps) {
    NT_EXPECT_TRUE(irp->CancelRoutine == nullptr);
    IoFreeIrp(irp);
  }
}

NT_TEST(IoCsq, CancelledIrpsAreCompletedOnce) {
  Queue queue;
  Prepare(&queue);
  IO_CSQ_IRP_CONTEXT context;
  PIRP early = NewIrp(), late = NewIrp();
  NT_ASSERT_TRUE(early != nullptr && late != nullptr);
  NT_EXPECT_EQ(IoCancelIrp(early), FALSE);  // no routine yet: only marked
  IoCsqInsertIrp(&queue.csq, early, nullptr);
  NT_EXPECT_EQ(queue.cancelled, 1);
  IoCsqInsertIrp(&queue.csq, late, &context);
  NT_EXPECT_EQ(IoCancelIrp(late), TRUE);
  NT_EXPECT_EQ(queue.cancelled, 2);
  NT_EXPECT_EQ(IoCsqRemoveIrp(&queue.csq, &context), static_cast<PIRP>(nullptr));
  NT_EXPECT_TRUE(IsListEmpty(&queue.irps));
  NT_EXPECT_EQ(late->IoStatus.Status, STATUS_CANCELLED);
  IoFreeIrp(early);
  IoFreeIrp(late);
}

NT_TEST(IoCsq, ExtendedInsertionMayRefuse) {
  Queue queue;
  Prepare(&queue);
  NT_EXPECT_SUCCESS(IoCsqInitializeEx(&queue.csq, InsertIrpEx, RemoveIrp, PeekNextIrp, AcquireLock,
                                      ReleaseLock, CompleteCanceledIrp));
  PIRP irp = NewIrp();
  NT_ASSERT_TRUE(irp != nullptr);
  ULONG inserted = 0;
  queue.refuse = true;
  NT_EXPECT_EQ(IoCsqInsertIrpEx(&queue.csq, irp, nullptr, &inserted), STATUS_DEVICE_BUSY);
  NT_EXPECT_TRUE(irp->CancelRoutine == nullptr);
  NT_EXPECT_EQ(IoGetCurrentIrpStackLocation(irp)->Control & SL_PENDING_RETURNED, 0);
  queue.refuse = false;
  NT_EXPECT_EQ(IoCsqInsertIrpEx(&queue.csq, irp, nullptr, &inserted), STATUS_PENDING);
  NT_EXPECT_EQ(inserted, 1u);
  NT_EXPECT_EQ(IoCsqRemoveNextIrp(&queue.csq, nullptr), irp);
  IoFreeIrp(irp);
}

namespace {

constexpr LONG kRaces = 500;

struct Race {
  Queue queue;
  PIRP irp;
  volatile LONG turn;  // odd: an IRP is queued, both sides go for it
  volatile LONG removed;
  volatile LONG ready;
};

// Lets another thread of this processor run.
void Pause() {
  LARGE_INTEGER shortest;
  shortest.QuadPart = -1;
  KeDelayExecutionThread(KernelMode, FALSE, &shortest);
}

// Takes whatever is queued, while the test's own thread cancels it.
VOID NTAPI Remover(PVOID context) {
  auto* race = static_cast<Race*>(context);
  for (LONG turn = 1; turn < 2 * kRaces; turn += 2) {
    while (race->turn != turn) Pause();
    if (IoCsqRemoveNextIrp(&race->queue.csq, nullptr) != nullptr) InterlockedIncrement(&race->removed);
    InterlockedIncrement(&race->ready);
  }
  PsTerminateSystemThread(STATUS_SUCCESS);
}

}  // namespace

NT_TEST(IoCsq, RemovalAndCancellationAreDecidedOnce) {
  static Race race;
  RtlZeroMemory(&race, sizeof race);
  Prepare(&race.queue);
  nt_test::Thread remover(Remover, &race);
  NT_ASSERT_TRUE(remover.started());
  LONG cancelled = 0;
  for (LONG i = 0; i < kRaces; ++i) {
    race.irp = NewIrp();
    NT_ASSERT_TRUE(race.irp != nullptr);
    IoCsqInsertIrp(&race.queue.csq, race.irp, nullptr);
    InterlockedIncrement(&race.turn);
    if (IoCancelIrp(race.irp)) ++cancelled;
    while (race.ready != i + 1) Pause();
    NT_ASSERT_TRUE(IsListEmpty(&race.queue.irps));
    IoFreeIrp(race.irp);
    InterlockedIncrement(&race.turn);
  }
  remover.Join();
  NT_EXPECT_EQ(race.removed + race.queue.cancelled, kRaces);
  NT_EXPECT_EQ(race.queue.cancelled, cancelled);
}
