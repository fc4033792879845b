// bugcheck exports: the table of the kernel's exports.
#include <cstdio>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/mapped_file.h"
#include "bin/options.h"
#include "run/paths.h"

namespace bin {
namespace {

std::string Text(const nlohmann::json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array()) return value.is_null() ? "" : value.dump();
  std::string text;
  for (const auto& part : value) text += (text.empty() ? "" : " ") + Text(part);
  return text;
}

}  // namespace

int ExportsMain(const Arguments& arguments) {
  bool as_json = false;
  CLI::App app("The kernel's exports: name, IRQL where the call is allowed, how faithful, tests",
               "bugcheck exports");
  app.add_flag("--json", as_json, "as JSON");
  if (auto status = Parse(app, arguments)) return *status;
  auto guest = run::GuestFolder();
  if (!guest) return ReportError(guest.error().message);
  auto file = base::ReadWholeFile(*guest + "/exports.json");
  if (!file) return ReportError("cannot read the table of exports: " + file.error().message);
  if (as_json) {
    std::fwrite(file->data(), 1, file->size(), stdout);
    return kClean;
  }
  const auto json = nlohmann::json::parse(*file, nullptr, false);
  if (!json.is_object() || !json.contains("exports") || !json["exports"].is_array()) {
    return ReportError(fmt::format("cannot read the table of exports: {}/exports.json is damaged", *guest));
  }
  fmt::print("{:<44} {:<28} {:<8} {}\n", "Export", "IRQL", "Fidelity", "Tests");
  for (const auto& record : json["exports"]) {
    if (!record.is_object()) continue;
    fmt::print("{:<44} {:<28} {:<8} {}\n", Text(record.value("name", nlohmann::json())),
               Text(record.value("irql", nlohmann::json())), Text(record.value("fidelity", nlohmann::json())),
               Text(record.value("tests", nlohmann::json())));
  }
  return kClean;
}

}  // namespace bin
