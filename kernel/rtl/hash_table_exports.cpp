// Hash tables that grow with their entries' number. The caller's entries are linked into chains, sorted by
// nothing; entries of one signature lie in one chain.
//
// One array of chains is doubled by RtlExpandHashTable, step by step: Pivot is the next chain to be split.
#include "rtl/rtl.h"

namespace {

constexpr ULONG kTag = 'hTtR';
constexpr ULONG kFirstSize = 128, kLargest = 1u << 20;
constexpr ULONG kAllocated = 1;  // in Flags: the table itself is ours

PLIST_ENTRY Chains(PRTL_DYNAMIC_HASH_TABLE table) {
  return static_cast<PLIST_ENTRY>(table->Directory);
}

PRTL_DYNAMIC_HASH_TABLE_ENTRY EntryOf(PLIST_ENTRY link) {
  return CONTAINING_RECORD(link, RTL_DYNAMIC_HASH_TABLE_ENTRY, Linkage);
}

ULONG Hash(const RTL_DYNAMIC_HASH_TABLE* table, ULONG_PTR signature) {
  return static_cast<ULONG>((signature >> table->Shift) * 0x9E3779B97F4A7C15ull >> 32);
}

// Chains below Pivot are split already: one more bit of the hash tells which half.
PLIST_ENTRY ChainOf(PRTL_DYNAMIC_HASH_TABLE table, ULONG_PTR signature) {
  const ULONG hash = Hash(table, signature);
  ULONG index = hash & table->DivisorMask;
  if (index < table->Pivot) index = hash & (table->DivisorMask << 1 | 1);
  return Chains(table) + index;
}

PLIST_ENTRY AllocateChains(ULONG count) {
  return static_cast<PLIST_ENTRY>(ExAllocatePoolWithTag(NonPagedPoolNx, count * sizeof(LIST_ENTRY), kTag));
}

// Entries of enumerators, with signature 0, lie in the chains too; they are no one's.
bool IsEnumerator(PLIST_ENTRY link) {
  return EntryOf(link)->Signature == 0;
}

PRTL_DYNAMIC_HASH_TABLE_ENTRY FirstOf(PLIST_ENTRY head, PLIST_ENTRY after, ULONG_PTR signature,
                                      PLIST_ENTRY* before) {
  for (PLIST_ENTRY link = after->Flink; link != head; after = link, link = link->Flink) {
    if (IsEnumerator(link) || EntryOf(link)->Signature != signature) continue;
    *before = after;
    return EntryOf(link);
  }
  return nullptr;
}

void MoveList(PLIST_ENTRY to, PLIST_ENTRY from) {
  InitializeListHead(to);
  while (!IsListEmpty(from)) InsertTailList(to, RemoveHeadList(from));
}

// The array of twice the size; what the chains hold moves along.
bool Double(PRTL_DYNAMIC_HASH_TABLE table) {
  const ULONG size = table->DivisorMask + 1;
  PLIST_ENTRY chains = size * 2 <= kLargest ? AllocateChains(size * 2) : nullptr;
  if (chains == nullptr) return false;
  for (ULONG i = 0; i < size; ++i) MoveList(chains + i, Chains(table) + i);
  for (ULONG i = size; i < size * 2; ++i) InitializeListHead(chains + i);
  ExFreePoolWithTag(table->Directory, kTag);
  table->Directory = chains;
  return true;
}

}  // namespace

extern "C" {

/// Creates a hash table, in the caller's memory or in a block of its own. The lowest Shift bits of signatures
/// are not looked at.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlCreateHashTable.
NT_EXPORT(RtlCreateHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
BOOLEAN NTAPI RtlCreateHashTable(PRTL_DYNAMIC_HASH_TABLE* HashTable, ULONG Shift, ULONG Flags) {
  if (Flags != 0) return FALSE;
  PLIST_ENTRY chains = AllocateChains(kFirstSize);
  if (chains == nullptr) return FALSE;
  PRTL_DYNAMIC_HASH_TABLE table = *HashTable;
  const bool own = table == nullptr;
  if (own) {
    table = static_cast<PRTL_DYNAMIC_HASH_TABLE>(ExAllocatePoolWithTag(NonPagedPoolNx, sizeof(*table), kTag));
    if (table == nullptr) {
      ExFreePoolWithTag(chains, kTag);
      return FALSE;
    }
  }
  for (ULONG i = 0; i < kFirstSize; ++i) InitializeListHead(chains + i);
  *table = {};
  table->Flags = own ? kAllocated : 0;
  table->Shift = Shift;
  table->TableSize = kFirstSize;
  table->DivisorMask = kFirstSize - 1;
  table->Directory = chains;
  *HashTable = table;
  return TRUE;
}

/// Deletes an empty hash table.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlDeleteHashTable.
NT_EXPORT(RtlDeleteHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
VOID NTAPI RtlDeleteHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable) {
  const bool own = (HashTable->Flags & kAllocated) != 0;
  ExFreePoolWithTag(HashTable->Directory, kTag);
  HashTable->Directory = nullptr;
  if (own) ExFreePoolWithTag(HashTable, kTag);
}

/// Enters an entry. Signature 0 is the tables' own; an entry with it gets 1.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInsertEntryHashTable.
NT_EXPORT(RtlInsertEntryHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
BOOLEAN NTAPI RtlInsertEntryHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable, PRTL_DYNAMIC_HASH_TABLE_ENTRY Entry,
                                      ULONG_PTR Signature, PRTL_DYNAMIC_HASH_TABLE_CONTEXT Context) {
  if (Signature == 0) Signature = 1;
  Entry->Signature = Signature;
  PLIST_ENTRY chain = ChainOf(HashTable, Signature);
  if (IsListEmpty(chain)) ++HashTable->NonEmptyBuckets;
  ++HashTable->NumEntries;
  InsertHeadList(chain, &Entry->Linkage);
  if (Context != nullptr) *Context = {chain, chain, Signature};
  return TRUE;
}

/// Takes an entry out.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlRemoveEntryHashTable.
NT_EXPORT(RtlRemoveEntryHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
BOOLEAN NTAPI RtlRemoveEntryHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable, PRTL_DYNAMIC_HASH_TABLE_ENTRY Entry,
                                      PRTL_DYNAMIC_HASH_TABLE_CONTEXT Context) {
  PLIST_ENTRY before = Entry->Linkage.Blink;
  RemoveEntryList(&Entry->Linkage);
  PLIST_ENTRY chain = ChainOf(HashTable, Entry->Signature);
  --HashTable->NumEntries;
  if (IsListEmpty(chain)) --HashTable->NonEmptyBuckets;
  if (Context != nullptr) *Context = {chain, before, Entry->Signature};
  return TRUE;
}

/// Finds the first entry of a signature, and where to look for the next; 0 if there is none.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlLookupEntryHashTable.
NT_EXPORT(RtlLookupEntryHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
PRTL_DYNAMIC_HASH_TABLE_ENTRY NTAPI RtlLookupEntryHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable,
                                                            ULONG_PTR Signature,
                                                            PRTL_DYNAMIC_HASH_TABLE_CONTEXT Context) {
  if (Signature == 0) Signature = 1;
  PLIST_ENTRY chain = ChainOf(HashTable, Signature), before = chain;
  PRTL_DYNAMIC_HASH_TABLE_ENTRY found = FirstOf(chain, chain, Signature, &before);
  if (Context != nullptr) *Context = {chain, before, Signature};
  return found;
}

/// Finds the next entry of the signature that a look-up was for.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlGetNextEntryHashTable.
NT_EXPORT(RtlGetNextEntryHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
PRTL_DYNAMIC_HASH_TABLE_ENTRY NTAPI RtlGetNextEntryHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable,
                                                             PRTL_DYNAMIC_HASH_TABLE_CONTEXT Context) {
  PLIST_ENTRY at = Context->PrevLinkage->Flink;
  if (at == Context->ChainHead) return nullptr;
  PLIST_ENTRY before = at;
  PRTL_DYNAMIC_HASH_TABLE_ENTRY found = FirstOf(Context->ChainHead, at, Context->Signature, &before);
  if (found != nullptr) Context->PrevLinkage = before;
  return found;
}

/// Begins an enumeration: entries may come and go during it.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlInitEnumerationHashTable.
NT_EXPORT(RtlInitEnumerationHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
BOOLEAN NTAPI RtlInitEnumerationHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable,
                                          PRTL_DYNAMIC_HASH_TABLE_ENUMERATOR Enumerator) {
  PLIST_ENTRY chain = Chains(HashTable);
  if (IsListEmpty(chain)) ++HashTable->NonEmptyBuckets;
  ++HashTable->NumEnumerators;
  Enumerator->HashEntry.Signature = 0;
  Enumerator->BucketIndex = 0;
  Enumerator->ChainHead = chain;
  InsertHeadList(chain, &Enumerator->HashEntry.Linkage);
  return TRUE;
}

/// The next entry of an enumeration; 0 at its end.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEnumerateEntryHashTable.
NT_EXPORT(RtlEnumerateEntryHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
PRTL_DYNAMIC_HASH_TABLE_ENTRY NTAPI
RtlEnumerateEntryHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable, PRTL_DYNAMIC_HASH_TABLE_ENUMERATOR Enumerator) {
  PLIST_ENTRY own = &Enumerator->HashEntry.Linkage;
  for (ULONG index = Enumerator->BucketIndex; index < HashTable->TableSize; ++index) {
    PLIST_ENTRY chain = Chains(HashTable) + index;
    PLIST_ENTRY link = index == Enumerator->BucketIndex ? own->Flink : chain->Flink;
    while (link != chain && IsEnumerator(link)) link = link->Flink;
    if (link == chain) continue;
    RemoveEntryList(own);
    if (IsListEmpty(Enumerator->ChainHead)) --HashTable->NonEmptyBuckets;
    InsertHeadList(link, own);  // behind the entry
    Enumerator->BucketIndex = index;
    Enumerator->ChainHead = chain;
    return EntryOf(link);
  }
  return nullptr;
}

/// Ends an enumeration.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlEndEnumerationHashTable.
NT_EXPORT(RtlEndEnumerationHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
VOID NTAPI RtlEndEnumerationHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable,
                                      PRTL_DYNAMIC_HASH_TABLE_ENUMERATOR Enumerator) {
  RemoveEntryList(&Enumerator->HashEntry.Linkage);
  if (IsListEmpty(Enumerator->ChainHead)) --HashTable->NonEmptyBuckets;
  --HashTable->NumEnumerators;
}

/// Adds one chain: splits the one whose turn it is. FALSE while the table is enumerated, or without memory.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntddk/RtlExpandHashTable.
NT_EXPORT(RtlExpandHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
BOOLEAN NTAPI RtlExpandHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable) {
  if (HashTable->NumEnumerators != 0) return FALSE;
  if (HashTable->Pivot == 0 && !Double(HashTable)) return FALSE;
  PLIST_ENTRY from = Chains(HashTable) + HashTable->Pivot;
  PLIST_ENTRY added = Chains(HashTable) + HashTable->TableSize;
  const bool was_used = !IsListEmpty(from);
  LIST_ENTRY all;
  MoveList(&all, from);
  ++HashTable->Pivot;
  ++HashTable->TableSize;
  while (!IsListEmpty(&all)) {
    PLIST_ENTRY link = RemoveHeadList(&all);
    InsertTailList(ChainOf(HashTable, EntryOf(link)->Signature), link);
  }
  const ULONG used = (IsListEmpty(from) ? 0 : 1) + (IsListEmpty(added) ? 0 : 1);
  HashTable->NonEmptyBuckets = HashTable->NonEmptyBuckets + used - (was_used ? 1 : 0);
  if (HashTable->Pivot == HashTable->DivisorMask + 1) {
    HashTable->DivisorMask = HashTable->DivisorMask << 1 | 1;
    HashTable->Pivot = 0;
  }
  return TRUE;
}

/// Takes the last chain away: what it holds goes to the one it was split from. FALSE while the table is
/// enumerated, or at its first size.
/// IRQL: <= DISPATCH_LEVEL.
/// Differs from NT: memory is not given back.
/// Source: WDK ntddk/RtlContractHashTable.
NT_EXPORT(RtlContractHashTable, nt::AtMost(DISPATCH_LEVEL), Full, "RtlHashTable.*");
BOOLEAN NTAPI RtlContractHashTable(PRTL_DYNAMIC_HASH_TABLE HashTable) {
  if (HashTable->NumEnumerators != 0 || HashTable->TableSize == kFirstSize) return FALSE;
  const bool at_boundary = HashTable->Pivot == 0;
  if (at_boundary) {
    HashTable->DivisorMask >>= 1;
    HashTable->Pivot = HashTable->DivisorMask + 1;
  }
  PLIST_ENTRY last = Chains(HashTable) + --HashTable->TableSize;
  PLIST_ENTRY to = Chains(HashTable) + --HashTable->Pivot;
  if (!IsListEmpty(last) && !IsListEmpty(to)) --HashTable->NonEmptyBuckets;
  while (!IsListEmpty(last)) InsertTailList(to, RemoveHeadList(last));
  return TRUE;
}

}  // extern "C"
