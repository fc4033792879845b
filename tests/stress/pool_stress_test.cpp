// The pools under many processors, with an oracle: contents, statistics by tag, pages.
#include "nt_stress.h"

extern "C" {
NTSTATUS NTAPI ZwQuerySystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length,
                                        PULONG ReturnLength);
NTSTATUS NTAPI ZwSetSystemInformation(ULONG SystemInformationClass, PVOID SystemInformation, ULONG Length);
}

namespace {

constexpr ULONG kPerformance = 2, kPoolTags = 22, kMemoryList = 80;

struct Tag {
  ULONG tag;
  ULONG paged_allocations;
  ULONG paged_frees;
  SIZE_T paged_bytes;
  ULONG allocations;
  ULONG frees;
  SIZE_T bytes;
};
struct Tags {
  ULONG count;
  Tag tags[2048];
};
Tags g_tags;

// What the pools say of a tag; zeroes if they never saw it.
Tag ReadTag(ULONG tag) {
  ULONG length = 0;
  NT_EXPECT_SUCCESS(ZwQuerySystemInformation(kPoolTags, &g_tags, sizeof(g_tags), &length));
  for (ULONG i = 0; i < g_tags.count; ++i) {
    if (g_tags.tags[i].tag == tag) return g_tags.tags[i];
  }
  return {};
}

struct Pages {
  ULONG paged;
  ULONG nonpaged;
};

// Pages of both pools when nothing is kept for later.
Pages ReadPages() {
  static UCHAR information[0x158];
  ULONG command = 4, length = 0;
  NT_EXPECT_SUCCESS(ZwSetSystemInformation(kMemoryList, &command, sizeof(command)));
  NT_EXPECT_SUCCESS(ZwQuerySystemInformation(kPerformance, information, sizeof(information), &length));
  return {*reinterpret_cast<ULONG*>(information + 124), *reinterpret_cast<ULONG*>(information + 128)};
}

struct Block {
  UCHAR* address;
  ULONG bytes;
  UCHAR fill;
  POOL_TYPE type;
};

constexpr ULONG kLive = 64;
struct Mixed {
  ULONG tag;
  POOL_TYPE types[3];
  ULONG type_count;
  ULONG largest;
  volatile LONG64 allocations;
  volatile LONG damaged;
  volatile LONG failed;
};

ULONG RandomSize(nt_stress::Random& random, ULONG largest) {
  switch (random.Below(8)) {
    case 0:
      return 1 + random.Below(largest);
    case 1:
      return 1 + random.Below(4080);
    default:
      return 1 + random.Below(512);
  }
}

void FreeChecked(Mixed* mixed, Block& block) {
  ULONG wrong = 0;
  for (ULONG i = 0; i < block.bytes; i += i < 64 ? 1 : 61) wrong += block.address[i] != block.fill;
  if (block.address[block.bytes - 1] != block.fill) ++wrong;
  if (wrong != 0) InterlockedIncrement(&mixed->damaged);
  ExFreePoolWithTag(block.address, mixed->tag);
  block.address = nullptr;
}

void AllocateOne(Mixed* mixed, nt_stress::Random& random, Block& block) {
  block.type = mixed->types[random.Below(mixed->type_count)];
  block.bytes = RandomSize(random, mixed->largest);
  block.fill = static_cast<UCHAR>(random.Next());
  block.address = static_cast<UCHAR*>(ExAllocatePoolWithTag(block.type, block.bytes, mixed->tag));
  if (block.address == nullptr) {
    InterlockedIncrement(&mixed->failed);
    return;
  }
  RtlFillMemory(block.address, block.bytes, block.fill);
  InterlockedIncrement64(&mixed->allocations);
}

// Keeps up to kLive blocks of random sizes; each must hold what was written when its time comes.
void MixedWorker(nt_stress::Worker& worker) {
  auto* mixed = static_cast<Mixed*>(worker.context);
  auto* blocks = static_cast<Block*>(ExAllocatePoolWithTag(NonPagedPoolNx, kLive * sizeof(Block), 'kroW'));
  if (blocks == nullptr) return;
  RtlZeroMemory(blocks, kLive * sizeof(Block));
  while (StressGoesOn()) {
    Block& block = blocks[worker.random.Below(kLive)];
    if (block.address != nullptr) {
      FreeChecked(mixed, block);
    } else {
      AllocateOne(mixed, worker.random, block);
    }
    ++worker.count;
  }
  for (ULONG i = 0; i < kLive; ++i) {
    if (blocks[i].address != nullptr) FreeChecked(mixed, blocks[i]);
  }
  ExFreePoolWithTag(blocks, 'kroW');
}

void RunMixed(Mixed& mixed) {
  const Tag before = ReadTag(mixed.tag);
  nt_stress::Workers workers(nt_stress::Processors() * 2, MixedWorker, &mixed);
  workers.Join();
  NT_EXPECT_EQ(mixed.damaged, 0);
  NT_EXPECT_EQ(mixed.failed, 0);
  NT_EXPECT_TRUE(mixed.allocations > 0);
  const Tag after = ReadTag(mixed.tag);
  const auto allocations = static_cast<ULONG>(mixed.allocations);
  NT_EXPECT_EQ(
      (after.allocations - before.allocations) + (after.paged_allocations - before.paged_allocations),
      allocations);
  NT_EXPECT_EQ((after.frees - before.frees) + (after.paged_frees - before.paged_frees), allocations);
  NT_EXPECT_EQ(after.bytes, before.bytes);
  NT_EXPECT_EQ(after.paged_bytes, before.paged_bytes);
}

}  // namespace

NT_TEST(StressPool, NonpagedBlocksKeepTheirContentsAndCountsAreExact) {
  Mixed mixed = {'1xiM', {NonPagedPoolNx, NonPagedPool}, 2, 20000, 0, 0, 0};
  RunMixed(mixed);
}

NT_TEST(StressPool, PagedBlocksKeepTheirContentsAndCountsAreExact) {
  Mixed mixed = {'2xiM', {PagedPool}, 1, 20000, 0, 0, 0};
  RunMixed(mixed);
}

NT_TEST(StressPool, AllPoolsAtOnce) {
  Mixed mixed = {'3xiM', {NonPagedPoolNx, PagedPool, NonPagedPool}, 3, 9000, 0, 0, 0};
  RunMixed(mixed);
}

namespace {

// Blocks are freed by another processor than the one that allocated them.
struct Relay {
  PVOID volatile slots[256];
  volatile LONG64 allocations;
  volatile LONG64 frees;
  volatile LONG damaged;
};
constexpr ULONG kRelayTag = 'yaeR';

void FreeRelayed(Relay* relay, PVOID block) {
  auto* words = static_cast<ULONG64*>(block);
  if (words[1] != (words[0] ^ 0x5555555555555555)) InterlockedIncrement(&relay->damaged);
  ExFreePoolWithTag(block, kRelayTag);
  InterlockedIncrement64(&relay->frees);
}

void RelayWorker(nt_stress::Worker& worker) {
  auto* relay = static_cast<Relay*>(worker.context);
  while (StressGoesOn()) {
    auto* words = static_cast<ULONG64*>(
        ExAllocatePoolWithTag(NonPagedPoolNx, 16 + worker.random.Below(500), kRelayTag));
    if (words == nullptr) continue;
    InterlockedIncrement64(&relay->allocations);
    words[0] = worker.random.Next();
    words[1] = words[0] ^ 0x5555555555555555;
    PVOID other = InterlockedExchangePointer(&relay->slots[worker.random.Below(256)], words);
    if (other != nullptr) FreeRelayed(relay, other);
    ++worker.count;
  }
}

}  // namespace

NT_TEST(StressPool, BlocksFreedByOtherProcessorsAreAllCounted) {
  static Relay relay;
  RtlZeroMemory(&relay, sizeof(relay));
  const Tag before = ReadTag(kRelayTag);
  {
    nt_stress::Workers workers(nt_stress::Processors(), RelayWorker, &relay);
  }
  for (PVOID volatile& slot : relay.slots) {
    if (slot != nullptr) FreeRelayed(&relay, slot);
  }
  NT_EXPECT_EQ(relay.damaged, 0);
  NT_EXPECT_EQ(relay.allocations, relay.frees);
  const Tag after = ReadTag(kRelayTag);
  NT_EXPECT_EQ(after.allocations - before.allocations, static_cast<ULONG>(relay.allocations));
  NT_EXPECT_EQ(after.frees - before.frees, static_cast<ULONG>(relay.frees));
  NT_EXPECT_EQ(after.bytes, before.bytes);
}

namespace {

// The same threads in every round: one that ends gives its own blocks back some time later.
struct Rounds {
  Mixed mixed;
  LONG workers;
  volatile LONG done, released;
  Pages pages[3];
};

void RunRounds(nt_stress::Worker& worker) {
  auto* rounds = static_cast<Rounds*>(worker.context);
  for (LONG round = 0; round < 3; ++round) {
    Block block = {};
    for (ULONG i = 0; i < 2000; ++i) {
      AllocateOne(&rounds->mixed, worker.random, block);
      if (block.address != nullptr) FreeChecked(&rounds->mixed, block);
    }
    InterlockedIncrement(&rounds->done);
    LARGE_INTEGER moment;
    moment.QuadPart = -10'000;
    if (worker.index == 0) {
      while (rounds->done < (round + 1) * rounds->workers) {
        KeDelayExecutionThread(KernelMode, FALSE, &moment);
      }
      rounds->pages[round] = ReadPages();
      rounds->released = round + 1;
    }
    while (rounds->released <= round) KeDelayExecutionThread(KernelMode, FALSE, &moment);
  }
}

}  // namespace

NT_TEST(StressPool, PagesReturnToTheStart) {
  // The first round loads what a machine loads once.
  Rounds rounds = {};
  rounds.mixed = {'4xiM', {NonPagedPoolNx, PagedPool, NonPagedPool}, 3, 9000, 0, 0, 0};
  rounds.workers = static_cast<LONG>(nt_stress::Processors());
  {
    nt_stress::Workers workers(nt_stress::Processors(), RunRounds, &rounds);
  }
  NT_EXPECT_TRUE(rounds.pages[2].paged <= rounds.pages[1].paged);
  NT_EXPECT_TRUE(rounds.pages[2].nonpaged <= rounds.pages[1].nonpaged);
}

NT_TEST(StressPool, FragmentationIsBounded) {
  // Every second block of many is freed; what is left may not hold more than a few times its size in pages.
  constexpr ULONG kBlocks = 8192;
  static PVOID blocks[kBlocks];
  nt_stress::Random random(StressSeed());
  const Pages before = ReadPages();
  SIZE_T left = 0;
  for (ULONG i = 0; i < kBlocks; ++i) {
    const ULONG bytes = 16 + random.Below(480);
    blocks[i] = ExAllocatePoolWithTag(NonPagedPoolNx, bytes, 'garF');
    NT_ASSERT_TRUE(blocks[i] != nullptr);
    if (i % 2 != 0) left += bytes + 16;
  }
  for (ULONG i = 0; i < kBlocks; i += 2) ExFreePoolWithTag(blocks[i], 'garF');
  // The holes serve what comes next: as many new blocks of the same sizes need few new pages.
  const Pages holes = ReadPages();
  for (ULONG i = 0; i < kBlocks; i += 2) {
    blocks[i] = ExAllocatePoolWithTag(NonPagedPoolNx, 16 + random.Below(480), 'garF');
    NT_ASSERT_TRUE(blocks[i] != nullptr);
  }
  const Pages full = ReadPages();
  NT_EXPECT_TRUE((holes.nonpaged - before.nonpaged) * static_cast<SIZE_T>(PAGE_SIZE) <= 3 * left);
  NT_EXPECT_TRUE(full.nonpaged - holes.nonpaged <= (holes.nonpaged - before.nonpaged) / 2);
  for (ULONG i = 0; i < kBlocks; ++i) ExFreePoolWithTag(blocks[i], 'garF');
  const Pages after = ReadPages();
  NT_EXPECT_TRUE(after.nonpaged <= before.nonpaged + 2);
}
