// bugcheck symbols --isf FILE.pdb: symbols and types for other tools.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "bin/options.h"
#include "formats/isf/isf.h"
#include "formats/pdb/pdb_file.h"

namespace bin {

int SymbolsMain(const Arguments& arguments) {
  std::string pdb;
  std::string output;
  CLI::App app("Writes a PDB's symbols and types as Volatility's ISF JSON", "bugcheck symbols");
  app.add_option("--isf", pdb, "the PDB to read")->required();
  app.add_option("-o,--output", output, "the file to write (default: stdout)");
  if (auto status = Parse(app, arguments)) return *status;
  auto source = pdb::Open(pdb);
  if (!source) return ReportError(source.error().message);
  auto json = isf::Write(**source, std::filesystem::path(pdb).filename().string());
  if (!json) return ReportError(fmt::format("cannot convert {}: {}", pdb, json.error().message));
  if (output.empty()) {
    const bool whole =
        std::fwrite(json->data(), 1, json->size(), stdout) == json->size() && std::fflush(stdout) == 0;
    return whole ? kClean : ReportError("cannot write to stdout");
  }
  std::ofstream file(output, std::ios::binary | std::ios::trunc);
  file << *json;
  file.close();
  return file.fail() ? ReportError(fmt::format("cannot write {}", output)) : kClean;
}

}  // namespace bin
