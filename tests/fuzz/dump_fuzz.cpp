// The crash dump reader on hostile bytes: every page that it claims to hold can be read.
#include <cstddef>
#include <cstdint>

#include "formats/kdump/dump.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const base::Bytes bytes(reinterpret_cast<const std::byte*>(data), size);
  const auto dump = kdump::Dump::Parse(bytes);
  if (!dump) return 0;
  unsigned sum = 0;
  int left = 64;
  for (const auto& run : dump->PresentRuns()) {
    const auto page = dump->Page(run.BasePage);
    if (page) sum += static_cast<unsigned>((*page)[0]) + static_cast<unsigned>((*page)[4095]);
    (void)dump->Page(run.BasePage + run.PageCount);
    if (--left == 0) break;
  }
  for (const auto& block : dump->virtual_blocks()) sum += static_cast<unsigned>(block.address);
  (void)dump->Page(UINT64_MAX);
  (void)dump->triage_drivers();
  (void)dump->triage_debugger_data();
  (void)dump->type_name();
  volatile unsigned keep = sum;
  (void)keep;
  return 0;
}
