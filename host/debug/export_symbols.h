// A symbol source made of an image's export directory, for images without symbols.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/pe/image.h"
#include "formats/symbols/source.h"

namespace debug {

std::shared_ptr<symbols::Source> MakeExportSource(std::vector<pe::Export> exports, std::string name);

}  // namespace debug
