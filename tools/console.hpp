// What a person reads: messages and a progress bar, all on stderr. Data goes to stdout and never through here.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace ebm::tools {

// With `quiet`, and on ranks other than the first, only errors are printed (main prints those).
class Console {
 public:
  explicit Console(bool quiet);

  template <class... Args>
  void info(fmt::format_string<Args...> format, Args&&... args) const {
    if (!quiet_) print(fmt::format(format, std::forward<Args>(args)...));
  }
  template <class... Args>
  void warn(fmt::format_string<Args...> format, Args&&... args) const {
    if (!quiet_) print("warning: " + fmt::format(format, std::forward<Args>(args)...));
  }

  bool shows_progress() const noexcept { return progress_; }  // stderr is a terminal and not quiet
  bool colours() const noexcept { return colours_; }          // NO_COLOR (no-color.org) and TERM=dumb are respected

 private:
  static void print(const std::string& line);
  bool quiet_, progress_, colours_;
};

// One line that is redrawn in place, at most ten times a second, and left standing when done. Silent unless
// console.shows_progress().
class ProgressBar {
 public:
  ProgressBar(const Console& console, std::string label, std::int64_t total);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void update(std::int64_t done, std::string_view note = {});
  // Draws the last state and ends the line, if there ever was an update. Later calls do nothing.
  void finish();

 private:
  using Clock = std::chrono::steady_clock;
  void draw(Clock::time_point now);

  bool shown_, colours_, ended_ = false, drawn_ = false;
  std::string label_, note_;
  std::int64_t total_, done_ = 0, first_ = -1;
  Clock::time_point start_, last_draw_;
};

// "12 s", "3 min 20 s", "2 h 05 min".
std::string duration_text(double seconds);
// "1.23 M", "540": three significant digits with an SI prefix.
std::string si_text(double value);

// The double whose shortest decimal is the float's: JSON then says 0.1 and not 0.10000000149.
double shortest(float value);

}  // namespace ebm::tools
