#include "tools/console.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "tools/ranks.hpp"
#include "tools/streams.hpp"

namespace ebm::tools {
namespace {

bool environment_set(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

std::size_t terminal_width() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
  return 80;
}

}  // namespace

Console::Console(bool quiet) : quiet_(quiet || !leads()), progress_(!quiet_ && isatty(STDERR_FILENO) == 1) {
  const char* term = std::getenv("TERM");
  colours_ = progress_ && !environment_set("NO_COLOR") && (term == nullptr || std::string_view(term) != "dumb");
}

void Console::print(const std::string& line) { say(line + "\n"); }

ProgressBar::ProgressBar(const Console& console, std::string label, std::int64_t total)
    : shown_(console.shows_progress()),
      colours_(console.colours()),
      label_(std::move(label)),
      total_(std::max<std::int64_t>(total, 1)),
      start_(Clock::now()) {}

ProgressBar::~ProgressBar() {
  // An exception is on its way: keep its message off the half-drawn line.
  if (shown_ && drawn_ && !ended_) say("\n");
}

void ProgressBar::update(std::int64_t done, std::string_view note) {
  done_ = std::clamp<std::int64_t>(done, 0, total_);
  if (first_ < 0) first_ = done_;
  if (!note.empty()) note_ = note;
  const auto now = Clock::now();
  if (!shown_ || ended_ || (drawn_ && now - last_draw_ < std::chrono::milliseconds(100))) return;
  draw(now);
}

void ProgressBar::finish() {
  if (ended_) return;
  if (shown_ && first_ >= 0) {
    draw(Clock::now());
    say("\n");
  }
  ended_ = true;
}

void ProgressBar::draw(Clock::time_point now) {
  constexpr std::int64_t kCells = 24;
  const std::int64_t filled = done_ * kCells / total_;
  const double seconds = std::chrono::duration<double>(now - start_).count();
  // The rate is of what was done here: a resumed run begins in the middle.
  const auto here = static_cast<double>(done_ - std::max<std::int64_t>(first_, 0));
  const std::string time = done_ >= total_ || here <= 0
                               ? duration_text(seconds)
                               : duration_text(seconds / here * static_cast<double>(total_ - done_)) + " left";
  const std::string bar =
      std::string(static_cast<std::size_t>(filled), '=') + std::string(static_cast<std::size_t>(kCells - filled), ' ');
  const std::string head = fmt::format("{} ", label_);
  std::string tail = fmt::format(" {}/{}  {}", done_, total_, time);
  if (!note_.empty()) tail += "  " + note_;
  const std::size_t width = terminal_width() - 1, used = head.size() + kCells + 2;
  if (used + tail.size() > width) tail.resize(width > used ? width - used : 0);
  const char* on = colours_ ? "\x1b[36m" : "";
  const char* off = colours_ ? "\x1b[0m" : "";
  // \x1b[K clears what a longer line left behind; a terminal without colours gets blanks instead.
  const std::string clear =
      colours_ ? "\x1b[K" : std::string(width > used + tail.size() ? width - used - tail.size() : 0, ' ');
  say(fmt::format("\r{}[{}{}{}]{}{}", head, on, bar, off, tail, clear));
  last_draw_ = now;
  drawn_ = true;
}

std::string duration_text(double seconds) {
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<long long>(std::llround(seconds));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  return fmt::format("{} h {:02} min", whole / 3600, whole % 3600 / 60);
}

double shortest(float value) { return std::stod(fmt::format("{}", value)); }

std::string si_text(double value) {
  constexpr const char* kPrefixes[] = {"", " k", " M", " G", " T"};
  std::size_t prefix = 0;
  while (std::fabs(value) >= 999.5 && prefix + 1 < std::size(kPrefixes)) {
    value /= 1000;
    ++prefix;
  }
  return fmt::format("{:.3g}{}", value, kPrefixes[prefix]);
}

}  // namespace ebm::tools
