// S-lists under pressure: no entry is lost or given to two, whatever the others do to the header meanwhile
// (ABA), and a pop survives that the entry it reads is unmapped by another.
#include "nt_stress.h"

namespace {

constexpr ULONG kTag = 'lsSN';

struct alignas(16) Item {
  SLIST_ENTRY entry;
  volatile LONG owners;
};

constexpr ULONG kItems = 5;  // few: the same entry comes back to the head all the time

struct alignas(16) Lists {
  SLIST_HEADER heads[2];
  Item items[kItems];
  volatile LONG broken;
};

void Own(Lists* lists, Item* item) {
  if (InterlockedIncrement(&item->owners) != 1) InterlockedIncrement(&lists->broken);
}
void Disown(Lists* lists, Item* item) {
  if (InterlockedDecrement(&item->owners) != 0) InterlockedIncrement(&lists->broken);
}

Item* Pop(Lists* lists, PSLIST_HEADER head) {
  PSLIST_ENTRY entry = ExpInterlockedPopEntrySList(head);
  if (entry == nullptr) return nullptr;
  Item* item = CONTAINING_RECORD(entry, Item, entry);
  Own(lists, item);
  return item;
}
void Push(Lists* lists, PSLIST_HEADER head, Item* item) {
  Disown(lists, item);
  ExpInterlockedPushEntrySList(head, &item->entry);
}

// Pops two and pushes them back the other way round: the head is the old one again with another link. That is
// what a pop without a sequence number falls for.
void TurnOver(Lists* lists, PSLIST_HEADER head) {
  Item* first = Pop(lists, head);
  Item* second = Pop(lists, head);
  if (first != nullptr) Push(lists, head, first);
  if (second != nullptr) Push(lists, head, second);
}

void FlushAndPush(Lists* lists, PSLIST_HEADER from, PSLIST_HEADER to) {
  PSLIST_ENTRY entry = ExpInterlockedFlushSList(from);
  while (entry != nullptr) {
    Item* item = CONTAINING_RECORD(entry, Item, entry);
    entry = entry->Next;
    Own(lists, item);
    Push(lists, to, item);
  }
}

void Churn(nt_stress::Worker& worker) {
  auto* lists = static_cast<Lists*>(worker.context);
  while (StressGoesOn()) {
    PSLIST_HEADER from = &lists->heads[worker.random.Below(2)];
    PSLIST_HEADER to = &lists->heads[worker.random.Below(2)];
    switch (worker.random.Below(8)) {
      case 0:
        FlushAndPush(lists, from, to);
        break;
      case 1:
      case 2:
      case 3:
        TurnOver(lists, from);
        break;
      default:
        Item* item = Pop(lists, from);
        if (item != nullptr) Push(lists, to, item);
        break;
    }
    ++worker.count;
  }
}

}  // namespace

NT_TEST(StressSList, NoEntryIsLostOrGivenToTwo) {
  static Lists lists;
  RtlZeroMemory(&lists, sizeof lists);
  for (SLIST_HEADER& head : lists.heads) ExInitializeSListHead(&head);
  for (Item& item : lists.items) ExpInterlockedPushEntrySList(&lists.heads[0], &item.entry);
  nt_stress::Workers workers(nt_stress::Processors() * 2, Churn, &lists);
  workers.Join();
  const ULONG depth = ExQueryDepthSList(&lists.heads[0]) + ExQueryDepthSList(&lists.heads[1]);
  ULONG count = 0;
  for (SLIST_HEADER& head : lists.heads) {
    while (Pop(&lists, &head) != nullptr) ++count;
  }
  ULONG owned = 0;
  for (Item& item : lists.items) owned += item.owners == 1 ? 1 : 0;
  NT_EXPECT_EQ(lists.broken, 0);
  NT_EXPECT_EQ(depth, kItems);
  NT_EXPECT_EQ(count, kItems);
  NT_EXPECT_EQ(owned, kItems);
}

namespace {

// An entry in a mapping of its own, which whoever pops it removes.
struct Mapped {
  SLIST_ENTRY entry;
  PMDL pages;
  ULONG64 check;
};
constexpr ULONG64 kCheck = 0x5A5A1234ABCD9876;

struct alignas(16) MappedList {
  SLIST_HEADER head;
  PMDL pages[64];
  volatile LONG broken;
};

// Each pushes one before it pops one, so there always is one to pop.
void MapPushPopUnmap(nt_stress::Worker& worker) {
  auto* list = static_cast<MappedList*>(worker.context);
  PMDL pages = list->pages[worker.index];
  while (StressGoesOn()) {
    auto* mapped = static_cast<Mapped*>(
        MmMapLockedPagesSpecifyCache(pages, KernelMode, MmCached, nullptr, FALSE, NormalPagePriority));
    if (mapped == nullptr) {
      InterlockedIncrement(&list->broken);
      return;
    }
    mapped->pages = pages;
    mapped->check = kCheck;
    ExpInterlockedPushEntrySList(&list->head, &mapped->entry);
    PSLIST_ENTRY entry = ExpInterlockedPopEntrySList(&list->head);
    if (entry == nullptr) {
      InterlockedIncrement(&list->broken);
      return;
    }
    mapped = CONTAINING_RECORD(entry, Mapped, entry);
    if (mapped->check != kCheck) InterlockedIncrement(&list->broken);
    pages = mapped->pages;
    MmUnmapLockedPages(mapped, pages);
    ++worker.count;
  }
}

PMDL AllocatePage() {
  PHYSICAL_ADDRESS low = {}, high, skip = {};
  high.QuadPart = -1;
  return MmAllocatePagesForMdl(low, high, skip, PAGE_SIZE);
}

}  // namespace

NT_TEST(StressSList, PopSurvivesAnEntryThatIsUnmapped) {
  const ULONG count = nt_stress::Processors();
  auto* list = static_cast<MappedList*>(ExAllocatePoolWithTag(NonPagedPool, sizeof(MappedList), kTag));
  NT_ASSERT_TRUE(list != nullptr);
  RtlZeroMemory(list, sizeof *list);
  ExInitializeSListHead(&list->head);
  bool whole = true;
  for (ULONG i = 0; i < count; ++i) {
    list->pages[i] = AllocatePage();
    whole = whole && list->pages[i] != nullptr;
  }
  if (whole) {
    nt_stress::Workers workers(count, MapPushPopUnmap, list);
    workers.Join();
    NT_EXPECT_EQ(list->broken, 0);
    NT_EXPECT_EQ(ExQueryDepthSList(&list->head), 0);
    NT_EXPECT_TRUE(workers.Total() != 0);
  }
  NT_EXPECT_TRUE(whole);
  for (ULONG i = 0; i < count; ++i) {
    if (list->pages[i] == nullptr) continue;
    MmFreePagesFromMdl(list->pages[i]);
    ExFreePool(list->pages[i]);
  }
  ExFreePoolWithTag(list, kTag);
}
