// Tunnel caches: what is known of names that have just gone (deleted, renamed), so that a file that takes the
// name soon after gets the other name and the times of the old one. Entries live for kLife; the newest
// kMaximum are kept.
#include "fsrtl_internal.h"

namespace {

constexpr ULONG64 kLife = 15ull * 10'000'000;  // 15 s in 100 ns
constexpr USHORT kMaximum = 256;

// In TUNNEL.TimerQueue, the oldest first. The names and the data follow it.
struct TunnelEntry {
  LIST_ENTRY link;
  ULONG64 made;  // interrupt time
  ULONGLONG directory;
  bool by_short_name;
  UNICODE_STRING short_name;
  UNICODE_STRING long_name;
  ULONG data_length;
  PVOID data;
};

PCUNICODE_STRING KeyOf(const TunnelEntry* entry) {
  return entry->by_short_name ? &entry->short_name : &entry->long_name;
}

void Remove(PTUNNEL cache, TunnelEntry* entry) {
  RemoveEntryList(&entry->link);
  --cache->NumEntries;
  ExFreePoolWithTag(entry, 'nuTF');
}

TunnelEntry* Oldest(PTUNNEL cache) {
  return IsListEmpty(&cache->TimerQueue) ? nullptr
                                         : CONTAINING_RECORD(cache->TimerQueue.Flink, TunnelEntry, link);
}

void Expire(PTUNNEL cache) {
  const ULONG64 now = KeQueryInterruptTime();
  for (TunnelEntry* entry = Oldest(cache); entry != nullptr; entry = Oldest(cache)) {
    if (cache->NumEntries <= kMaximum && now - entry->made < kLife) return;
    Remove(cache, entry);
  }
}

TunnelEntry* Find(PTUNNEL cache, ULONGLONG directory, PCUNICODE_STRING name) {
  for (LIST_ENTRY* link = cache->TimerQueue.Blink; link != &cache->TimerQueue; link = link->Blink) {
    auto* entry = CONTAINING_RECORD(link, TunnelEntry, link);
    if (entry->directory == directory && RtlEqualUnicodeString(const_cast<PUNICODE_STRING>(KeyOf(entry)),
                                                               const_cast<PUNICODE_STRING>(name), TRUE))
      return entry;
  }
  return nullptr;
}

void Copy(UNICODE_STRING* to, PCUNICODE_STRING from, PUCHAR* room) {
  to->Length = to->MaximumLength = from->Length;
  to->Buffer = reinterpret_cast<PWCH>(*room);
  RtlCopyMemory(to->Buffer, from->Buffer, from->Length);
  *room += from->Length;
}

// Into the caller's buffer; a longer one is allocated where that does not do (the caller frees it).
bool Give(PUNICODE_STRING to, const UNICODE_STRING& from) {
  if (to->MaximumLength < from.Length) {
    auto* longer = static_cast<PWCH>(ExAllocatePoolWithTag(PagedPool, from.Length, 'nuTF'));
    if (longer == nullptr) return false;
    to->Buffer = longer;
    to->MaximumLength = from.Length;
  }
  RtlCopyMemory(to->Buffer, from.Buffer, from.Length);
  to->Length = from.Length;
  return true;
}

}  // namespace

/// Makes an empty tunnel cache.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlInitializeTunnelCache.
NT_EXPORT(FsRtlInitializeTunnelCache, nt::AtMost(APC_LEVEL), Full, "FsRtlTunnel.*");
extern "C" VOID NTAPI FsRtlInitializeTunnelCache(PTUNNEL Cache) {
  ExInitializeFastMutex(&Cache->Mutex);
  Cache->Cache = nullptr;
  InitializeListHead(&Cache->TimerQueue);
  Cache->NumEntries = 0;
}

/// Remembers a name that goes from a directory, with its other name and data of the file system's. Without
/// memory nothing is remembered.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: the registry's MaximumTunnelEntries and MaximumTunnelEntryAgeInSeconds are not read: 256
/// entries, 15 seconds.
/// Source: WDK ntifs/FsRtlAddToTunnelCache.
NT_EXPORT(FsRtlAddToTunnelCache, nt::AtMost(APC_LEVEL), Full, "FsRtlTunnel.*");
extern "C" VOID NTAPI FsRtlAddToTunnelCache(PTUNNEL Cache, ULONGLONG DirectoryKey, PUNICODE_STRING ShortName,
                                            PUNICODE_STRING LongName, BOOLEAN KeyByShortName,
                                            ULONG DataLength, PVOID Data) {
  const SIZE_T size = sizeof(TunnelEntry) + DataLength + ShortName->Length + LongName->Length;
  auto* entry = static_cast<TunnelEntry*>(ExAllocatePoolWithTag(PagedPool, size, 'nuTF'));
  if (entry == nullptr) return;
  entry->directory = DirectoryKey;
  entry->by_short_name = KeyByShortName != FALSE;
  entry->data_length = DataLength;
  entry->data = entry + 1;
  RtlCopyMemory(entry->data, Data, DataLength);
  auto* room = reinterpret_cast<PUCHAR>(entry + 1) + DataLength;
  Copy(&entry->short_name, ShortName, &room);
  Copy(&entry->long_name, LongName, &room);
  fsrtl::FastMutexGuard guard(&Cache->Mutex);
  if (TunnelEntry* old = Find(Cache, DirectoryKey, KeyOf(entry)); old != nullptr) Remove(Cache, old);
  entry->made = KeQueryInterruptTime();
  InsertTailList(&Cache->TimerQueue, &entry->link);
  ++Cache->NumEntries;
  Expire(Cache);
}

/// What is remembered of a name: both names (a longer buffer is allocated where the caller's is too short)
/// and the data, if DataLength bytes hold it.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlFindInTunnelCache.
NT_EXPORT(FsRtlFindInTunnelCache, nt::AtMost(APC_LEVEL), Full, "FsRtlTunnel.*");
extern "C" BOOLEAN NTAPI FsRtlFindInTunnelCache(PTUNNEL Cache, ULONGLONG DirectoryKey, PUNICODE_STRING Name,
                                                PUNICODE_STRING ShortName, PUNICODE_STRING LongName,
                                                PULONG DataLength, PVOID Data) {
  fsrtl::FastMutexGuard guard(&Cache->Mutex);
  Expire(Cache);
  const TunnelEntry* entry = Find(Cache, DirectoryKey, Name);
  if (entry == nullptr || entry->data_length > *DataLength) return FALSE;
  if (ShortName->MaximumLength < entry->short_name.Length || !Give(LongName, entry->long_name)) return FALSE;
  Give(ShortName, entry->short_name);
  RtlCopyMemory(Data, entry->data, entry->data_length);
  *DataLength = entry->data_length;
  return TRUE;
}

/// Forgets everything of a directory, which goes itself.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDeleteKeyFromTunnelCache.
NT_EXPORT(FsRtlDeleteKeyFromTunnelCache, nt::AtMost(APC_LEVEL), Full, "FsRtlTunnel.*");
extern "C" VOID NTAPI FsRtlDeleteKeyFromTunnelCache(PTUNNEL Cache, ULONGLONG DirectoryKey) {
  fsrtl::FastMutexGuard guard(&Cache->Mutex);
  for (LIST_ENTRY* link = Cache->TimerQueue.Flink; link != &Cache->TimerQueue;) {
    auto* entry = CONTAINING_RECORD(link, TunnelEntry, link);
    link = link->Flink;
    if (entry->directory == DirectoryKey) Remove(Cache, entry);
  }
  Expire(Cache);
}

/// Forgets everything.
/// IRQL: <= APC_LEVEL.
/// Differs from NT: none.
/// Source: WDK ntifs/FsRtlDeleteTunnelCache.
NT_EXPORT(FsRtlDeleteTunnelCache, nt::AtMost(APC_LEVEL), Full, "FsRtlTunnel.*");
extern "C" VOID NTAPI FsRtlDeleteTunnelCache(PTUNNEL Cache) {
  fsrtl::FastMutexGuard guard(&Cache->Mutex);
  while (TunnelEntry* entry = Oldest(Cache)) Remove(Cache, entry);
}
