// Addresses for the device: of the memory itself where it can reach it, else of bounce pages.
#include "dma_internal.h"
#include "mm/mm.h"

namespace dma {
namespace {

// Calls `visit(physical, bytes)` for each page's share of a part; false from it ends the walk. Returns the
// bytes visited: less than the part's when the chain ends before.
template <typename Visit>
ULONG VisitPages(const Part& part, Visit visit) {
  PMDL mdl = part.mdl;
  ULONG64 skip = part.offset;
  for (; mdl != nullptr && skip >= MmGetMdlByteCount(mdl); mdl = mdl->Next) skip -= MmGetMdlByteCount(mdl);
  ULONG done = 0;
  for (; mdl != nullptr && done != part.length; mdl = mdl->Next, skip = 0) {
    const PFN_NUMBER* pages = MmGetMdlPfnArray(mdl);
    for (ULONG64 at = skip; at < MmGetMdlByteCount(mdl) && done != part.length;) {
      const ULONG64 place = MmGetMdlByteOffset(mdl) + at;
      ULONG64 bytes = PAGE_SIZE - place % PAGE_SIZE;
      if (bytes > MmGetMdlByteCount(mdl) - at) bytes = MmGetMdlByteCount(mdl) - at;
      if (bytes > part.length - done) bytes = part.length - done;
      const ULONG64 physical = static_cast<ULONG64>(pages[place / PAGE_SIZE]) * PAGE_SIZE + place % PAGE_SIZE;
      if (!visit(physical, static_cast<ULONG>(bytes))) return done;
      at += bytes;
      done += static_cast<ULONG>(bytes);
    }
  }
  return done;
}

void CopyPart(const Part& part, PUCHAR memory, bool to_memory) {
  VisitPages(part, [&](ULONG64 physical, ULONG bytes) {
    PVOID page = MmPhysicalToVirtual(physical);
    RtlCopyMemory(to_memory ? memory : page, to_memory ? page : memory, bytes);
    memory += bytes;
    return true;
  });
}

// The part's first bytes that lie in one piece and are alike in whether the device reaches them.
struct Piece {
  ULONG64 start;
  ULONG bytes;
  bool reachable;
};

Piece FirstPiece(const Adapter* adapter, const Part& part) {
  Piece piece = {};
  VisitPages(part, [&](ULONG64 physical, ULONG bytes) {
    const bool reachable = physical + bytes - 1 <= adapter->highest;
    if (piece.bytes == 0) {
      piece = {physical, bytes, reachable};
      return true;
    }
    if (reachable != piece.reachable || physical != piece.start + piece.bytes) return false;
    piece.bytes += bytes;
    return true;
  });
  return piece;
}

// Bytes from a part's beginning that the device does not reach.
ULONG Unreachable(const Adapter* adapter, const Part& part) {
  return VisitPages(part,
                    [&](ULONG64 physical, ULONG bytes) { return physical + bytes - 1 > adapter->highest; });
}

// Whether the first bytes are bounced, how many, and where they lie.
bool Bounces(const Adapter* adapter, const Part& part, Piece* piece) {
  *piece = FirstPiece(adapter, part);
  if (piece->bytes == 0) return false;
  if (adapter->scatter) {
    if (piece->reachable) return false;
    piece->bytes = Unreachable(adapter, part);
    return true;
  }
  if (piece->reachable && piece->bytes == part.length) return false;
  piece->bytes = part.length;
  return true;
}

ULONG PagesOf(ULONG64 start, ULONG bytes) {
  return static_cast<ULONG>((start % PAGE_SIZE + bytes + PAGE_SIZE - 1) / PAGE_SIZE);
}

}  // namespace

ULONG64 Map(Adapter* adapter, Register* group, Part* part, bool write) {
  Piece piece;
  if (!Bounces(adapter, *part, &piece)) {
    part->length = piece.bytes;
    return piece.start;
  }
  const ULONG left = group != nullptr ? group->count - group->used : 0;
  const ULONG in_page = static_cast<ULONG>(piece.start % PAGE_SIZE);
  if (left == 0) {
    part->length = 0;
    return 0;
  }
  if (piece.bytes > left * PAGE_SIZE - in_page) piece.bytes = left * PAGE_SIZE - in_page;
  part->length = piece.bytes;
  Register* first = group + group->used;
  const auto index = static_cast<ULONG64>(first - adapter->registers);
  first->part = *part;
  group->used += PagesOf(piece.start, piece.bytes);
  if (write) CopyPart(*part, adapter->bounce + index * PAGE_SIZE + in_page, true);
  return adapter->bounce_physical + index * PAGE_SIZE + in_page;
}

void Flush(Adapter* adapter, Register* group, const Part& part, bool write) {
  if (group == nullptr) return;
  bool left = false;
  for (Register* at = group; at < group + group->used; ++at) {
    const Part bounced = at->part;
    if (bounced.length == 0) continue;
    const ULONG64 first = bounced.offset > part.offset ? bounced.offset : part.offset;
    const ULONG64 end = bounced.offset + bounced.length, part_end = part.offset + part.length;
    const ULONG64 last = end < part_end ? end : part_end;
    if (bounced.mdl != part.mdl || first >= last) {
      left = true;
      continue;
    }
    const Piece piece = FirstPiece(adapter, bounced);
    const auto index = static_cast<ULONG64>(at - adapter->registers);
    PUCHAR memory = adapter->bounce + index * PAGE_SIZE + piece.start % PAGE_SIZE + (first - bounced.offset);
    if (!write) CopyPart({part.mdl, first, static_cast<ULONG>(last - first)}, memory, false);
    at->part.length = 0;
  }
  if (!left) group->used = 0;
}

bool Measure(const Adapter* adapter, const Part& part, ULONG* elements, ULONG* registers) {
  *elements = *registers = 0;
  Part rest = part;
  while (rest.length != 0) {
    Piece piece;
    const bool bounces = Bounces(adapter, rest, &piece);
    if (piece.bytes == 0) return false;
    ++*elements;
    if (bounces) *registers += PagesOf(piece.start, piece.bytes);
    rest.offset += piece.bytes;
    rest.length -= piece.bytes;
  }
  return true;
}

}  // namespace dma
