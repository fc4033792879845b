// Tables with columns that grow with their content: header, a line of '=', rows.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "commands/output.h"

namespace commands {

enum class Align : uint8_t { kLeft, kRight };

struct Column {
  std::string header;
  Align align = Align::kLeft;
  size_t minimum = 0;  // width
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // Missing cells count as empty, surplus ones are dropped.
  void Row(std::vector<std::string> cells);
  size_t rows() const { return rows_.size(); }

  enum class Rule : uint8_t { kNone, kBelowHeader };
  // Prints header, rule and rows, each line behind `indent`, and hands the table to --json.
  void Print(Output& out, Rule rule = Rule::kBelowHeader, std::string_view indent = "") const;
  // The header again at the foot, rule first (as !mex.tl does).
  void PrintFoot(Output& out) const;
  void PrintRule(Output& out, std::string_view indent = "") const;

 private:
  std::vector<size_t> Widths() const;
  std::string Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const;
  std::vector<std::string> Headers() const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace commands
