#include "mm/page_bitmap.h"

namespace mm {
namespace {

// The bits [first, first + count) that lie in word `word`.
uint64_t MaskIn(uint64_t word, uint64_t first, uint64_t count) {
  const uint64_t start = word * 64;
  const uint64_t low = first > start ? first - start : 0;
  const uint64_t end = first + count - start;
  const uint64_t high = end < 64 ? end : 64;
  const uint64_t upper = high == 64 ? ~0ull : (1ull << high) - 1;
  return upper & ~((1ull << low) - 1);
}

}  // namespace

void PageBitmap::Init(uint64_t* words, uint64_t bits) {
  words_ = words;
  bits_ = bits;
  free_ = 0;
  hint_ = 0;
  for (uint64_t i = 0; i < WordsFor(bits); ++i) words[i] = 0;
}

bool PageBitmap::MarkFree(uint64_t first, uint64_t count) {
  if (first > bits_ || count > bits_ - first) return false;
  if (NextFree(first, first + count) != first + count) return false;
  for (uint64_t word = first / 64; word * 64 < first + count; ++word)
    words_[word] |= MaskIn(word, first, count);
  free_ += count;
  return true;
}

bool PageBitmap::MarkUsed(uint64_t first, uint64_t count) {
  if (first > bits_ || count > bits_ - first) return false;
  if (NextUsed(first, first + count) != first + count) return false;
  for (uint64_t word = first / 64; word * 64 < first + count; ++word)
    words_[word] &= ~MaskIn(word, first, count);
  free_ -= count;
  return true;
}

uint64_t PageBitmap::NextFree(uint64_t from, uint64_t limit) const {
  while (from < limit) {
    const uint64_t rest = words_[from / 64] >> (from % 64);
    if (rest != 0) {
      const uint64_t found = from + static_cast<uint64_t>(__builtin_ctzll(rest));
      return found < limit ? found : limit;
    }
    from = (from / 64 + 1) * 64;
  }
  return limit;
}

uint64_t PageBitmap::NextUsed(uint64_t from, uint64_t limit) const {
  while (from < limit) {
    const uint64_t rest = ~words_[from / 64] >> (from % 64);
    if (rest != 0) {
      const uint64_t found = from + static_cast<uint64_t>(__builtin_ctzll(rest));
      return found < limit ? found : limit;
    }
    from = (from / 64 + 1) * 64;
  }
  return limit;
}

uint64_t PageBitmap::TakeOne() {
  if (free_ == 0) return kNone;
  uint64_t index = NextFree(hint_, bits_);
  if (index == bits_) index = NextFree(0, bits_);
  if (index == bits_) return kNone;
  words_[index / 64] &= ~(1ull << (index % 64));
  --free_;
  hint_ = index + 1 < bits_ ? index + 1 : 0;
  return index;
}

uint64_t PageBitmap::FindRun(uint64_t count, uint64_t alignment, uint64_t low, uint64_t high,
                             uint64_t boundary) const {
  uint64_t first = low;
  for (;;) {
    first = NextFree(first, high);
    first = (first + alignment - 1) & ~(alignment - 1);
    if (first >= high || count > high - first) return kNone;
    if (boundary != 0 && (first & ~(boundary - 1)) != ((first + count - 1) & ~(boundary - 1))) {
      if (count > boundary) return kNone;
      first = (first + boundary - 1) & ~(boundary - 1);
      if (first >= high || count > high - first) return kNone;
    }
    const uint64_t end = NextUsed(first, first + count);
    if (end == first + count) return first;
    first = end;
  }
}

uint64_t PageBitmap::TakeRun(uint64_t count, uint64_t alignment, uint64_t low, uint64_t high,
                             uint64_t boundary) {
  if (high > bits_) high = bits_;
  if (count == 0 || count > free_) return kNone;
  const uint64_t first = FindRun(count, alignment, low, high, boundary);
  if (first != kNone) MarkUsed(first, count);
  return first;
}

uint64_t PageBitmap::TakeRunNextFit(uint64_t count, uint64_t alignment) {
  if (count == 0 || count > free_) return kNone;
  uint64_t first = FindRun(count, alignment, hint_, bits_, 0);
  if (first == kNone && hint_ != 0) first = FindRun(count, alignment, 0, bits_, 0);
  if (first == kNone) return kNone;
  MarkUsed(first, count);
  hint_ = first + count < bits_ ? first + count : 0;
  return first;
}

}  // namespace mm
