// Which accelerator runs ring-0 code fast here? Measured, never guessed from /dev/kvm: there are hosts where
// KVM starts and then runs a kernel a hundred times slower than TCG.
#pragma once

#include <string>

#include "base/result.h"
#include "boot/loader_block.h"

namespace qemu {

struct AcceleratorChoice {
  boot::Accelerator accelerator = boot::Accelerator::kTcg;
  std::string reason;  // "asked for", "probe: tcg 61 ms, kvm over 200 ms", ...
};

const char* AcceleratorName(boot::Accelerator accelerator);

// `request`: "auto", "tcg", "kvm" or "icount". For "auto" the probe's answer is remembered for this boot of
// the host under `cache_folder` ("" = do not remember).
base::Result<AcceleratorChoice> ChooseAccelerator(const std::string& request, const std::string& qemu_program,
                                                  const std::string& probe_image,
                                                  const std::string& cache_folder);

}  // namespace qemu
