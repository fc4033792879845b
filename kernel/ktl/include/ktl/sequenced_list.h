// The S-list: a lock-free stack whose 16-byte header has a sequence number, so that a header that was read
// before others pushed and popped does not compare equal again (no ABA). Layout of NT's SLIST_HEADER.
//
//   low:  depth in bits 0..15, sequence above. Each change adds 1 to the sequence.
//   high: the first entry; its low four bits are not part of the address.
#pragma once

#include <stdint.h>

namespace ktl {

struct SequencedEntry {
  SequencedEntry* volatile next;
};

struct alignas(16) SequencedHeader {
  volatile uint64_t low;
  volatile uint64_t high;
};

template <typename Policy>
struct SequencedList {
  static constexpr uint64_t kDepthMask = 0xFFFF, kSequenceOne = 0x10000, kNotAddress = 15;

  static SequencedEntry* First(const SequencedHeader* header) { return EntryOf(header->high); }
  static uint16_t Depth(const SequencedHeader* header) { return static_cast<uint16_t>(header->low); }

  // Puts entries first..last, `count` of them and linked, in front. Returns what was first.
  static SequencedEntry* PushList(SequencedHeader* header, SequencedEntry* first, SequencedEntry* last,
                                  uint16_t count) {
    Value seen = Read(header);
    for (;;) {
      SequencedEntry* before = EntryOf(seen.high);
      last->next = before;
      if (Replace(header, &seen, Changed(seen.low, (seen.low + count) & kDepthMask), first)) return before;
    }
  }
  static SequencedEntry* Push(SequencedHeader* header, SequencedEntry* entry) {
    return PushList(header, entry, entry, 1);
  }

  // Reads the first entry's link, which another may have taken off the list and freed meanwhile: its memory
  // must stay readable, or the caller must survive the fault (the kernel's own pop is in arch/x64/slist.S and
  // does).
  static SequencedEntry* Pop(SequencedHeader* header) {
    Value seen = Read(header);
    for (;;) {
      SequencedEntry* first = EntryOf(seen.high);
      if (first == nullptr) return nullptr;
      Policy::Step();
      SequencedEntry* next = first->next;
      if (Replace(header, &seen, Changed(seen.low, (seen.low - 1) & kDepthMask), next)) return first;
    }
  }

  // Takes all entries.
  static SequencedEntry* Flush(SequencedHeader* header) {
    Value seen = Read(header);
    for (;;) {
      SequencedEntry* first = EntryOf(seen.high);
      if (first == nullptr) return nullptr;
      if (Replace(header, &seen, Changed(seen.low, 0), nullptr)) return first;
    }
  }

 private:
  struct Value {
    uint64_t low, high;
  };
  static SequencedEntry* EntryOf(uint64_t high) {
    return reinterpret_cast<SequencedEntry*>(high & ~kNotAddress);
  }
  static uint64_t Changed(uint64_t low, uint64_t depth) { return (low & ~kDepthMask) + kSequenceOne + depth; }
  // The halves may be of different moments: then Replace fails. The sequence is read first.
  static Value Read(const SequencedHeader* header) {
    Value value;
    value.low = header->low;
    Policy::Step();
    value.high = header->high;
    return value;
  }
  static bool Replace(SequencedHeader* header, Value* seen, uint64_t low, SequencedEntry* first) {
    bool done;
    Policy::Step();
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(done), "+m"(*header), "+a"(seen->low), "+d"(seen->high)
                     : "b"(low), "c"(first)
                     : "memory");
    return done;
  }
};

}  // namespace ktl
