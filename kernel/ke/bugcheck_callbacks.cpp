// What drivers run, and add to the dump, when the machine stops. All of it on the processor that crashed, at
// HIGH_LEVEL, with the others frozen and the dump described: a routine that faults ends the round, and the
// dump is written all the same.
#include "ke/bugcheck.h"
#include "ke_internal.h"
#include "nt/export.h"

extern "C" {
LIST_ENTRY KeBugCheckCallbackListHead = {&KeBugCheckCallbackListHead, &KeBugCheckCallbackListHead};
LIST_ENTRY KeBugCheckReasonCallbackListHead = {&KeBugCheckReasonCallbackListHead,
                                               &KeBugCheckReasonCallbackListHead};
}

namespace {

KSPIN_LOCK callbacks_lock;
constexpr ULONG kMostRecords = 256;  // a broken list ends somewhere
constexpr ULONG kInBuffer = 16 * PAGE_SIZE;
constexpr ULONG kMostRanges = 64;
// KUSER_SHARED_DATA.NtBuildNumber
const volatile ULONG* const kBuildNumber = reinterpret_cast<const volatile ULONG*>(0xFFFFF78000000260);

class CallbackGuard {
 public:
  CallbackGuard() : irql_(KfRaiseIrql(HIGH_LEVEL)) { KeAcquireSpinLockAtDpcLevel(&callbacks_lock); }
  ~CallbackGuard() {
    KeReleaseSpinLockFromDpcLevel(&callbacks_lock);
    KeLowerIrql(irql_);
  }

 private:
  KIRQL irql_;
};

ULONG_PTR Checksum(const KBUGCHECK_CALLBACK_RECORD* record) {
  return reinterpret_cast<ULONG_PTR>(record->CallbackRoutine) + reinterpret_cast<ULONG_PTR>(record->Buffer) +
         record->Length + reinterpret_cast<ULONG_PTR>(record->Component);
}
ULONG_PTR Checksum(const KBUGCHECK_REASON_CALLBACK_RECORD* record) {
  return reinterpret_cast<ULONG_PTR>(record->CallbackRoutine) +
         reinterpret_cast<ULONG_PTR>(record->Component) + record->Reason;
}

// A record that is filled in becomes the last of its list. Lock held.
template <typename Record>
void Insert(Record* record, LIST_ENTRY* head) {
  record->Checksum = Checksum(record);
  record->State = BufferInserted;
  InsertTailList(head, &record->Entry);
}
// FALSE: it was not registered.
template <typename Record>
BOOLEAN Remove(Record* record) {
  CallbackGuard guard;
  if (record->State != BufferInserted) return FALSE;
  record->State = BufferEmpty;
  RemoveEntryList(&record->Entry);
  return TRUE;
}

// Calls visit(record) for each sound record of one reason.
template <typename Visit>
void ForEach(KBUGCHECK_CALLBACK_REASON reason, Visit visit) {
  ULONG limit = kMostRecords;
  for (LIST_ENTRY* link = KeBugCheckReasonCallbackListHead.Flink;
       link != &KeBugCheckReasonCallbackListHead && limit > 0; link = link->Flink, --limit) {
    auto* record = CONTAINING_RECORD(link, KBUGCHECK_REASON_CALLBACK_RECORD, Entry);
    if (record->Reason != reason || record->State != BufferInserted || record->Checksum != Checksum(record)) {
      continue;
    }
    visit(record);
  }
}

void MarkPages(const KBUGCHECK_ADD_PAGES& pages, ULONG64* bitmap, ULONG64 bits, bool present) {
  for (ULONG_PTR i = 0; i < pages.Count; ++i) {
    ULONG64 physical = pages.Address + i * PAGE_SIZE;
    if ((pages.Flags & KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS) != 0) {
      auto* address = reinterpret_cast<PVOID>(pages.Address + i * PAGE_SIZE);
      if (!MmIsAddressValid(address)) continue;
      physical = static_cast<ULONG64>(MmGetPhysicalAddress(address).QuadPart);
    } else if ((pages.Flags & KB_ADD_PAGES_FLAG_PHYSICAL_ADDRESS) == 0) {
      return;
    }
    const ULONG64 page = physical / PAGE_SIZE;
    if (page >= bits) continue;
    if (present) {
      bitmap[page / 64] |= 1ull << (page % 64);
    } else {
      bitmap[page / 64] &= ~(1ull << (page % 64));
    }
  }
}

void AskForPages(KBUGCHECK_CALLBACK_REASON reason, ULONG64* bitmap, ULONG64 bits) {
  ForEach(reason, [&](PKBUGCHECK_REASON_CALLBACK_RECORD record) {
    KBUGCHECK_ADD_PAGES pages = {};
    pages.BugCheckCode = static_cast<ULONG>(KiBugCheckData[0]);
    for (ULONG i = 0; i < kMostRanges; ++i) {
      pages.Flags = 0;
      record->CallbackRoutine(reason, record, &pages, sizeof(pages));
      MarkPages(pages, bitmap, bits, reason == KbCallbackAddPages);
      if ((pages.Flags & KB_ADD_PAGES_FLAG_ADDITIONAL_RANGES_EXIST) == 0) break;
    }
  });
}

// The dump's tagged data: a file header, then blocks of header and data.
struct BlobFileHeader {
  ULONG signature[2];  // "Dump" "Blob"
  ULONG header_size;
  ULONG build;
};
struct BlobHeader {
  ULONG header_size;
  GUID tag;
  ULONG data_size;
  ULONG pre_pad;
  ULONG post_pad;
};
static_assert(sizeof(BlobFileHeader) == 0x10 && sizeof(BlobHeader) == 0x20);

// Is all of it there to be read?
bool Readable(const void* data, ULONG length) {
  const auto begin = reinterpret_cast<ULONG64>(data) & ~ULONG64{PAGE_SIZE - 1};
  const ULONG64 end = reinterpret_cast<ULONG64>(data) + length;
  for (ULONG64 page = begin; page < end; page += PAGE_SIZE) {
    if (!MmIsAddressValid(reinterpret_cast<PVOID>(page))) return false;
  }
  return true;
}

}  // namespace

extern "C" {

VOID KiRunBugCheckCallbacks() {
  ULONG limit = kMostRecords;
  for (LIST_ENTRY* link = KeBugCheckCallbackListHead.Flink; link != &KeBugCheckCallbackListHead && limit > 0;
       link = link->Flink, --limit) {
    auto* record = CONTAINING_RECORD(link, KBUGCHECK_CALLBACK_RECORD, Entry);
    if (record->State != BufferInserted || record->Checksum != Checksum(record)) continue;
    record->State = BufferStarted;
    record->CallbackRoutine(record->Buffer, record->Length);
    record->State = BufferFinished;
  }
}

// Pages that drivers want in the dump, or not.
VOID KiRunPageCallbacks(ULONG64* bitmap, ULONG64 bits) {
  AskForPages(KbCallbackAddPages, bitmap, bits);
  AskForPages(KbCallbackRemovePages, bitmap, bits);
}

// Fills `area` with the tagged data of drivers; how many bytes it takes, 0 for none.
ULONG64 KiRunSecondaryDataCallbacks(UCHAR* area, ULONG64 size) {
  const ULONG64 data_at = kInBuffer;  // the first part of the area is what callbacks may write to
  ULONG64 used = data_at + sizeof(BlobFileHeader);
  ForEach(KbCallbackSecondaryDumpData, [&](PKBUGCHECK_REASON_CALLBACK_RECORD record) {
    if (used + sizeof(BlobHeader) >= size) return;
    const ULONG64 left = size - used - sizeof(BlobHeader);
    KBUGCHECK_SECONDARY_DUMP_DATA data = {};
    data.InBuffer = area;
    data.InBufferLength = left < kInBuffer ? static_cast<ULONG>(left) : kInBuffer;
    data.MaximumAllowed = static_cast<ULONG>(left);
    record->CallbackRoutine(KbCallbackSecondaryDumpData, record, &data, sizeof(data));
    if (data.OutBuffer == nullptr || data.OutBufferLength == 0 || data.OutBufferLength > left ||
        !Readable(data.OutBuffer, data.OutBufferLength)) {
      return;
    }
    auto* header = reinterpret_cast<BlobHeader*>(area + used);
    *header = {sizeof(BlobHeader), data.Guid, data.OutBufferLength, 0, (8 - data.OutBufferLength % 8) % 8};
    RtlCopyMemory(header + 1, data.OutBuffer, data.OutBufferLength);
    RtlZeroMemory(area + used + sizeof(BlobHeader) + data.OutBufferLength, header->post_pad);
    used += sizeof(BlobHeader) + data.OutBufferLength + header->post_pad;
  });
  if (used == data_at + sizeof(BlobFileHeader)) return 0;
  *reinterpret_cast<BlobFileHeader*>(area + data_at) = {
      {0x706D7544, 0x626F6C42}, sizeof(BlobFileHeader), 0xF0000000 | *kBuildNumber};
  RtlMoveMemory(area, area + data_at, used - data_at);
  return used - data_at;
}

// Tells drivers what goes into the dump, piece by piece.
VOID KiRunDumpIoCallbacks(KBUGCHECK_DUMP_IO_TYPE type, PVOID buffer, ULONG length) {
  ForEach(KbCallbackDumpIo, [&](PKBUGCHECK_REASON_CALLBACK_RECORD record) {
    KBUGCHECK_DUMP_IO io = {~0ull, buffer, length, type};
    record->CallbackRoutine(KbCallbackDumpIo, record, &io, sizeof(io));
  });
}

BOOLEAN KiAnyDumpIoCallback() {
  BOOLEAN any = FALSE;
  ForEach(KbCallbackDumpIo, [&](PKBUGCHECK_REASON_CALLBACK_RECORD) { any = TRUE; });
  return any;
}

/// Registers a routine that is called when the machine stops. FALSE: the record is registered already.
/// IRQL: any.
/// Differs from NT: the host writes the dump afterwards: what the routine changes is in it.
/// Source: WDK wdm/KeRegisterBugCheckCallback.
NT_EXPORT(KeRegisterBugCheckCallback, nt::AnyIrql(), Partial, "KeBugCheck.*");
BOOLEAN NTAPI KeRegisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord,
                                         PKBUGCHECK_CALLBACK_ROUTINE CallbackRoutine, PVOID Buffer,
                                         ULONG Length, PUCHAR Component) {
  CallbackGuard guard;
  if (CallbackRecord->State != BufferEmpty) return FALSE;
  CallbackRecord->CallbackRoutine = CallbackRoutine;
  CallbackRecord->Buffer = Buffer;
  CallbackRecord->Length = Length;
  CallbackRecord->Component = Component;
  Insert(CallbackRecord, &KeBugCheckCallbackListHead);
  return TRUE;
}

/// Takes a registration back. FALSE: it was not registered.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeDeregisterBugCheckCallback.
NT_EXPORT(KeDeregisterBugCheckCallback, nt::AnyIrql(), Full, "KeBugCheck.*");
BOOLEAN NTAPI KeDeregisterBugCheckCallback(PKBUGCHECK_CALLBACK_RECORD CallbackRecord) {
  return Remove(CallbackRecord);
}

/// Registers a routine for one step of a crash: tagged data for the dump, pages to add or remove, what is
/// written. FALSE: the record is registered already, or the reason is not known. IRQL: any. Differs from NT:
/// KbCallbackSecondaryMultiPartDumpData and KbCallbackTriageDumpData are accepted and not called (a kernel
/// dump has the pages anyway); KbCallbackDumpIo sees the dump in the order in which the host writes it,
/// before it does. Source: WDK wdm/KeRegisterBugCheckReasonCallback.
NT_EXPORT(KeRegisterBugCheckReasonCallback, nt::AnyIrql(), Partial, "KeBugCheck.*");
BOOLEAN NTAPI KeRegisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD CallbackRecord,
                                               PKBUGCHECK_REASON_CALLBACK_ROUTINE CallbackRoutine,
                                               KBUGCHECK_CALLBACK_REASON Reason, PUCHAR Component) {
  if (Reason < KbCallbackSecondaryDumpData || Reason > KbCallbackTriageDumpData) return FALSE;
  CallbackGuard guard;
  if (CallbackRecord->State != BufferEmpty) return FALSE;
  CallbackRecord->CallbackRoutine = CallbackRoutine;
  CallbackRecord->Component = Component;
  CallbackRecord->Reason = Reason;
  Insert(CallbackRecord, &KeBugCheckReasonCallbackListHead);
  return TRUE;
}

/// Takes a registration back. FALSE: it was not registered.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeDeregisterBugCheckReasonCallback.
NT_EXPORT(KeDeregisterBugCheckReasonCallback, nt::AnyIrql(), Full, "KeBugCheck.*");
BOOLEAN NTAPI KeDeregisterBugCheckReasonCallback(PKBUGCHECK_REASON_CALLBACK_RECORD CallbackRecord) {
  return Remove(CallbackRecord);
}

}  // extern "C"
