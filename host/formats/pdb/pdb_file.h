// Microsoft PDB files (MSF 7.00), as MSVC, clang and lld write them. Own bounded reader: any bytes are safe
// input.
#pragma once

#include <memory>
#include <string>

#include "base/mapped_file.h"
#include "base/result.h"
#include "base/span_reader.h"
#include "formats/symbols/source.h"

namespace pdb {

// Reads only the identity: GUID of the info stream, age of the DBI stream.
base::Result<formats::DebugId> ReadId(base::Bytes file);

// The whole PDB as a symbol source. Opening reads the directory and a few headers; the rest is read on
// demand. Decorated names of publics are reduced to the bare name ("?Set@Event@ke@@..." -> "ke::Event::Set").
base::Result<std::unique_ptr<symbols::Source>> Open(const std::string& path);

// The same over bytes that the caller keeps alive. `name` is for messages.
base::Result<std::unique_ptr<symbols::Source>> OpenBytes(base::Bytes file, std::string name);

}  // namespace pdb
