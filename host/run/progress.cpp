#include "run/progress.h"

#include <cstdio>

#include <unistd.h>

#include <fmt/format.h>

namespace run {
namespace {

constexpr auto kRedraw = std::chrono::milliseconds(100);

}  // namespace

Progress::Mode Progress::Detect() {
  return isatty(STDERR_FILENO) != 0 ? Mode::kTerminal : Mode::kPlain;
}

double Progress::Seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin_).count();
}

void Progress::Stage(const std::string& text) {
  text_ = text;
  if (mode_ == Mode::kPlain) {
    fmt::print("[{:7.3f}] {}\n", Seconds(), text);
    std::fflush(stdout);
  }
  if (mode_ == Mode::kTerminal) Draw();
}

void Progress::Tick() {
  if (mode_ == Mode::kTerminal && drawn_ && std::chrono::steady_clock::now() - last_draw_ >= kRedraw) Draw();
}

void Progress::Draw() {
  fmt::print(stderr, "\r\x1b[K[{:6.1f} s] {}", Seconds(), text_);
  std::fflush(stderr);
  drawn_ = true;
  last_draw_ = std::chrono::steady_clock::now();
}

void Progress::Clear() {
  if (drawn_) fmt::print(stderr, "\r\x1b[K");
  drawn_ = false;
}

}  // namespace run
