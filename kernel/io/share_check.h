// The rules of file sharing, without NT types: also built and tested on the host.
#pragma once

#include <stdint.h>

namespace io {

struct ShareState {
  uint32_t open_count;
  uint32_t readers;
  uint32_t writers;
  uint32_t deleters;
  uint32_t shared_read;
  uint32_t shared_write;
  uint32_t shared_delete;
};

struct ShareRequest {
  bool read, write, del;                       // what the opener wants to do
  bool share_read, share_write, share_delete;  // what it lets others do
  bool Accesses() const { return read || write || del; }
};

// Whether `request` conflicts with who has the file open: it wants what an opener does not share, or an
// opener does what it does not share. An open without read, write or delete access conflicts with nobody.
inline bool ShareConflicts(const ShareState& state, const ShareRequest& request) {
  if (!request.Accesses()) return false;
  return (request.read && state.shared_read < state.open_count) ||
         (request.write && state.shared_write < state.open_count) ||
         (request.del && state.shared_delete < state.open_count) ||
         (state.readers != 0 && !request.share_read) || (state.writers != 0 && !request.share_write) ||
         (state.deleters != 0 && !request.share_delete);
}

inline void ShareAdd(ShareState* state, const ShareRequest& request) {
  if (!request.Accesses()) return;
  ++state->open_count;
  state->readers += request.read;
  state->writers += request.write;
  state->deleters += request.del;
  state->shared_read += request.share_read;
  state->shared_write += request.share_write;
  state->shared_delete += request.share_delete;
}

inline void ShareRemove(ShareState* state, const ShareRequest& request) {
  if (!request.Accesses()) return;
  --state->open_count;
  state->readers -= request.read;
  state->writers -= request.write;
  state->deleters -= request.del;
  state->shared_read -= request.share_read;
  state->shared_write -= request.share_write;
  state->shared_delete -= request.share_delete;
}

}  // namespace io
