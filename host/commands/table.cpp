#include "commands/table.h"

#include <algorithm>
#include <utility>

namespace commands {

void Table::Row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::vector<size_t> Table::Widths() const {
  std::vector<size_t> widths;
  for (const Column& column : columns_) widths.push_back(std::max(column.header.size(), column.minimum));
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  return widths;
}

std::string Table::Line(const std::vector<std::string>& cells, const std::vector<size_t>& widths) const {
  std::string line;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (i != 0) line += ' ';
    const std::string pad(widths[i] - cells[i].size(), ' ');
    line += columns_[i].align == Align::kLeft ? cells[i] + pad : pad + cells[i];
  }
  return line;
}

std::vector<std::string> Table::Headers() const {
  std::vector<std::string> headers;
  for (const Column& column : columns_) headers.push_back(column.header);
  return headers;
}

void Table::PrintRule(Output& out, std::string_view indent) const {
  std::vector<std::string> rules;
  const std::vector<size_t> widths = Widths();
  for (size_t width : widths) rules.emplace_back(width, '=');
  out.WriteLine(std::string(indent) + Line(rules, widths));
}

void Table::Print(Output& out, Rule rule, std::string_view indent) const {
  const std::vector<size_t> widths = Widths();
  out.WriteLine(std::string(indent) + Line(Headers(), widths));
  if (rule == Rule::kBelowHeader) PrintRule(out, indent);
  for (const auto& row : rows_) out.WriteLine(std::string(indent) + Line(row, widths));
  out.Table({Headers(), rows_});
}

void Table::PrintFoot(Output& out) const {
  PrintRule(out);
  out.WriteLine(Line(Headers(), Widths()));
}

}  // namespace commands
