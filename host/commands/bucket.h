// FAILURE_BUCKET_ID in Windows's form: crashes with the same one have the same cause.
#pragma once

#include <string>

#include "commands/analysis.h"

namespace commands {

// "AV_CODE_AV_PAGED_CODE_driver!F", "0x139_1d_INVALID_BALANCED_TREE_driver!F"; `culprit` is the blamed symbol
// without its displacement.
std::string FailureBucket(const Analysis& analysis, const std::string& culprit);

}  // namespace commands
