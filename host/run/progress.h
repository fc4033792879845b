// What a command is doing: one line that updates itself on a terminal, plain lines on stdout otherwise.
#pragma once

#include <chrono>
#include <string>

namespace run {

class Progress {
 public:
  enum class Mode { kSilent, kPlain, kTerminal };
  // kTerminal when stderr is a terminal, else kPlain.
  static Mode Detect();
  explicit Progress(Mode mode) : mode_(mode) {}
  ~Progress() { Clear(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // A new stage: "starting the machine".
  void Stage(const std::string& text);
  // Redraws the elapsed time; to be called now and then.
  void Tick();
  // Removes the line, before other output.
  void Clear();
  double Seconds() const;

 private:
  void Draw();
  Mode mode_;
  std::string text_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point last_draw_;
};

}  // namespace run
