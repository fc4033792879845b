// What drivers run, and add to the dump, when the machine stops. All of it on the processor that crashed, at
// HIGH_LEVEL, with the others frozen and the dump described: a routine that faults ends the round, and the
// dump is written all the same. The routines without a reason run when it has been.
#include "ke/bugcheck.h"
#include "ke_internal.h"
#include "nt/export.h"
#include "nt/triage_dump.h"

extern "C" {
LIST_ENTRY KeBugCheckCallbackListHead = {&KeBugCheckCallbackListHead, &KeBugCheckCallbackListHead};
LIST_ENTRY KeBugCheckReasonCallbackListHead = {&KeBugCheckReasonCallbackListHead,
                                               &KeBugCheckReasonCallbackListHead};
}

namespace {

KSPIN_LOCK callbacks_lock;
constexpr ULONG kMostRecords = 256;  // a broken list ends somewhere
constexpr ULONG kInBuffer = 16 * PAGE_SIZE;
constexpr ULONG kMostRanges = 64;  // of one callback: pages, or parts of tagged data
constexpr ULONG kMostTriageData = 128 * 1024;
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

void AskForTriageData(ULONG64* bitmap, ULONG64 bits) {
  ForEach(KbCallbackTriageDumpData, [&](PKBUGCHECK_REASON_CALLBACK_RECORD record) {
    KBUGCHECK_TRIAGE_DUMP_DATA data = {nullptr,           KB_TRIAGE_DUMP_DATA_FLAG_BUGCHECK_ACTIVE,
                                       kMostTriageData,   static_cast<ULONG>(KiBugCheckData[0]),
                                       KiBugCheckData[1], KiBugCheckData[2],
                                       KiBugCheckData[3], KiBugCheckData[4]};
    record->CallbackRoutine(KbCallbackTriageDumpData, record, &data, sizeof(data));
    const KTRIAGE_DUMP_DATA_ARRAY* array = data.DataArray;
    ULONG64 left = data.MaxVirtMemSize < kMostTriageData ? data.MaxVirtMemSize : kMostTriageData;
    for (ULONG i = 0; array != nullptr && i < array->NumBlocksUsed && i < array->NumBlocksTotal; ++i) {
      const auto begin = reinterpret_cast<ULONG_PTR>(array->Blocks[i].Address);
      if (array->Blocks[i].Size > left) break;
      left -= array->Blocks[i].Size;
      const ULONG_PTR first = begin & ~ULONG_PTR{PAGE_SIZE - 1};
      const ULONG_PTR pages = (begin + array->Blocks[i].Size - first + PAGE_SIZE - 1) / PAGE_SIZE;
      MarkPages({nullptr, KB_ADD_PAGES_FLAG_VIRTUAL_ADDRESS, 0, first, pages}, bitmap, bits, true);
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

// The first part of the area is what callbacks may write to; the blocks grow behind it.
class TaggedData {
 public:
  TaggedData(UCHAR* area, ULONG64 size) : area_(area), size_(size) {}

  void AskOnce(PKBUGCHECK_REASON_CALLBACK_RECORD record) {
    KBUGCHECK_SECONDARY_DUMP_DATA_EX data = {};
    if (!Prepare(&data)) return;
    record->CallbackRoutine(KbCallbackSecondaryDumpData, record, &data,
                            sizeof(KBUGCHECK_SECONDARY_DUMP_DATA));
    Begin(data.Guid);
    Append(data);
    End();
  }

  // Parts of one tag that follow one another are one block: a debugger finds a tag's first block alone.
  void AskForParts(PKBUGCHECK_REASON_CALLBACK_RECORD record) {
    KBUGCHECK_SECONDARY_DUMP_DATA_EX data = {};
    data.DumpType = kBitmapKernelDump;
    data.BugCheckCode = static_cast<ULONG>(KiBugCheckData[0]);
    data.BugCheckParameter1 = KiBugCheckData[1];
    data.BugCheckParameter2 = KiBugCheckData[2];
    data.BugCheckParameter3 = KiBugCheckData[3];
    data.BugCheckParameter4 = KiBugCheckData[4];
    for (ULONG part = 0; part < kMostRanges && Prepare(&data); ++part) {
      data.Flags = 0;
      record->CallbackRoutine(KbCallbackSecondaryMultiPartDumpData, record, &data, sizeof(data));
      if (block_ == nullptr || !RtlEqualMemory(&block_->tag, &data.Guid, sizeof(GUID))) {
        End();
        Begin(data.Guid);
      }
      if (!Append(data) || (data.Flags & KB_SECONDARY_DATA_FLAG_ADDITIONAL_DATA) == 0) break;
    }
    End();
  }

  // Moves everything to the area's beginning.
  ULONG64 Finish() {
    if (used_ == kFirst) return 0;
    *reinterpret_cast<BlobFileHeader*>(area_ + kInBuffer) = {
        {0x706D7544, 0x626F6C42}, sizeof(BlobFileHeader), 0xF0000000 | *kBuildNumber};
    RtlMoveMemory(area_, area_ + kInBuffer, used_ - kInBuffer);
    return used_ - kInBuffer;
  }

 private:
  static constexpr ULONG64 kFirst = kInBuffer + sizeof(BlobFileHeader);
  static constexpr ULONG kBitmapKernelDump = 6;  // DUMP_TYPE_BITMAP_KERNEL

  // FALSE: there is no room for anything.
  bool Prepare(PKBUGCHECK_SECONDARY_DUMP_DATA_EX data) const {
    const ULONG64 header = block_ == nullptr ? sizeof(BlobHeader) : 0;
    if (used_ + header + 8 >= size_) return false;
    const auto left = static_cast<ULONG>(size_ - used_ - header - 8);  // 8: padding
    data->InBuffer = area_;
    data->InBufferLength = left < kInBuffer ? left : kInBuffer;
    data->MaximumAllowed = left;
    data->OutBuffer = nullptr;
    data->OutBufferLength = 0;
    return true;
  }
  void Begin(const GUID& tag) {
    block_ = reinterpret_cast<BlobHeader*>(area_ + used_);
    *block_ = {sizeof(BlobHeader), tag, 0, 0, 0};
    used_ += sizeof(BlobHeader);
  }
  // FALSE: the callback gave nothing that can be taken.
  bool Append(const KBUGCHECK_SECONDARY_DUMP_DATA_EX& data) {
    if (data.OutBuffer == nullptr || data.OutBufferLength == 0 || data.OutBufferLength > size_ - used_ - 8 ||
        !Readable(data.OutBuffer, data.OutBufferLength)) {
      return false;
    }
    RtlCopyMemory(area_ + used_, data.OutBuffer, data.OutBufferLength);
    block_->data_size += data.OutBufferLength;
    used_ += data.OutBufferLength;
    return true;
  }
  // Pads the block, or takes it back where it is empty.
  void End() {
    if (block_ == nullptr) return;
    if (block_->data_size == 0) {
      used_ -= sizeof(BlobHeader);
    } else {
      block_->post_pad = (8 - block_->data_size % 8) % 8;
      RtlZeroMemory(area_ + used_, block_->post_pad);
      used_ += block_->post_pad;
    }
    block_ = nullptr;
  }

  UCHAR* area_;
  ULONG64 size_;
  ULONG64 used_ = kFirst;
  BlobHeader* block_ = nullptr;  // the one that grows
};

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

BOOLEAN KiAnyBugCheckCallback() {
  return KeBugCheckCallbackListHead.Flink != &KeBugCheckCallbackListHead;
}

// Pages that drivers want in the dump, or not.
VOID KiRunPageCallbacks(ULONG64* bitmap, ULONG64 bits) {
  AskForPages(KbCallbackAddPages, bitmap, bits);
  AskForTriageData(bitmap, bits);
  AskForPages(KbCallbackRemovePages, bitmap, bits);
}

// Fills `area` with the tagged data of drivers; how many bytes it takes, 0 for none.
ULONG64 KiRunSecondaryDataCallbacks(UCHAR* area, ULONG64 size) {
  TaggedData tagged(area, size);
  ForEach(KbCallbackSecondaryDumpData,
          [&](PKBUGCHECK_REASON_CALLBACK_RECORD record) { tagged.AskOnce(record); });
  ForEach(KbCallbackSecondaryMultiPartDumpData,
          [&](PKBUGCHECK_REASON_CALLBACK_RECORD record) { tagged.AskForParts(record); });
  return tagged.Finish();
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

/// Registers a routine that is called when the machine stops, once the dump has been written. FALSE: the
/// record is registered already.
/// IRQL: any.
/// Differs from NT: none.
/// Source: WDK wdm/KeRegisterBugCheckCallback, wdm/KBUGCHECK_CALLBACK_ROUTINE.
NT_EXPORT(KeRegisterBugCheckCallback, nt::AnyIrql(), Full, "KeBugCheck.*");
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
/// written. FALSE: the record is registered already, or the reason is not known.
/// IRQL: any.
/// Differs from NT: none; how Windows lays out the parts of KbCallbackSecondaryMultiPartDumpData is not documented,
/// here they are one block a tag.
/// Source: WDK wdm/KeRegisterBugCheckReasonCallback.
NT_EXPORT(KeRegisterBugCheckReasonCallback, nt::AnyIrql(), Full, "KeBugCheck.*");
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
