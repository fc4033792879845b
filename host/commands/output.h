// What a command produces: text for the terminal, and the same facts as data for --json.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace commands {

// A table as data: one string a cell, as printed, without padding.
struct TableData {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

class Output {
 public:
  using Sink = std::function<void(std::string_view)>;

  Output() = default;
  // Text goes to `sink` as it is produced (a terminal); without a sink it is kept for text().
  explicit Output(Sink sink) : sink_(std::move(sink)) {}

  void Write(std::string_view text);
  template <typename... Args>
  void Print(fmt::format_string<Args...> format, Args&&... args) {
    Write(fmt::format(format, std::forward<Args>(args)...));
  }
  // One line; blanks at its end are dropped.
  template <typename... Args>
  void Line(fmt::format_string<Args...> format, Args&&... args) {
    WriteLine(fmt::format(format, std::forward<Args>(args)...));
  }
  void WriteLine(std::string_view text);
  void Blank() { Write("\n"); }

  // For --json: a named fact, and a table.
  void Fact(std::string name, std::string value) { facts_.emplace_back(std::move(name), std::move(value)); }
  void Table(TableData table) { tables_.push_back(std::move(table)); }

  const std::string& text() const { return text_; }
  const std::vector<std::pair<std::string, std::string>>& facts() const { return facts_; }
  const std::vector<TableData>& tables() const { return tables_; }
  void Clear();

 private:
  Sink sink_;
  std::string text_;
  std::vector<std::pair<std::string, std::string>> facts_;
  std::vector<TableData> tables_;
};

// `text` as a JSON string literal with its quotes; bytes that are not UTF-8 become U+FFFD.
std::string JsonString(std::string_view text);

}  // namespace commands
