// Volatility's Intermediate Symbol Format (JSON, schema 6): read as a symbol source, and written from one.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "base/span_reader.h"
#include "formats/symbols/source.h"

namespace isf {

// FILE.json or FILE.json.xz, told apart by content. At most 512 MiB of JSON.
base::Result<std::unique_ptr<symbols::Source>> Open(const std::string& path);
base::Result<std::unique_ptr<symbols::Source>> OpenBytes(base::Bytes json_or_xz, std::string name);

// The ISF JSON of a source: metadata.windows.pdb (GUID, age, `database` = the PDB's name, machine type), base
// and user types, enums, and symbols with RVA addresses. What volatility3 loads as
// symbols/windows/NAME/GUID-AGE.json.
base::Result<std::string> Write(const symbols::Source& source, const std::string& database);

}  // namespace isf
