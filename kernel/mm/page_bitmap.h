// Which of a range's pages are free: a bit a page, set = free, with a next-fit hint. Used for physical pages
// and for ranges of system addresses. No locking, no allocation; also compiled and tested on the host.
#pragma once

#include <stdint.h>

namespace mm {

class PageBitmap {
 public:
  static constexpr uint64_t kNone = ~0ull;

  // Words that a bitmap of `bits` needs.
  static constexpr uint64_t WordsFor(uint64_t bits) { return (bits + 63) / 64; }

  // `words` holds WordsFor(bits) words; all bits become "in use".
  void Init(uint64_t* words, uint64_t bits);

  uint64_t bits() const { return bits_; }
  uint64_t free_count() const { return free_; }
  const uint64_t* words() const { return words_; }
  bool IsFree(uint64_t index) const { return index < bits_ && (words_[index / 64] >> (index % 64) & 1) != 0; }

  // The range lies inside the bitmap. False, and nothing is changed, where a bit already has that state.
  bool MarkFree(uint64_t first, uint64_t count);
  bool MarkUsed(uint64_t first, uint64_t count);

  // Takes the next free bit at or after the hint (wrapping round), kNone when there is none.
  uint64_t TakeOne();

  // Takes `count` neighbours that start at a multiple of `alignment` (a power of two), inside [low, high),
  // not crossing a multiple of `boundary` (a power of two, 0: none). kNone when there are none.
  uint64_t TakeRun(uint64_t count, uint64_t alignment, uint64_t low, uint64_t high, uint64_t boundary);
  uint64_t TakeRun(uint64_t count, uint64_t alignment = 1) { return TakeRunNextFit(count, alignment); }

  // First set bit at or after `from`, below `limit`; `limit` when there is none.
  uint64_t NextFree(uint64_t from, uint64_t limit) const;
  uint64_t NextUsed(uint64_t from, uint64_t limit) const;

 private:
  uint64_t TakeRunNextFit(uint64_t count, uint64_t alignment);
  uint64_t FindRun(uint64_t count, uint64_t alignment, uint64_t low, uint64_t high, uint64_t boundary) const;

  uint64_t* words_ = nullptr;
  uint64_t bits_ = 0;
  uint64_t free_ = 0;
  uint64_t hint_ = 0;
};

}  // namespace mm
