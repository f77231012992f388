#include "host/cuda/launch_pace.hpp"

#include <algorithm>
#include <limits>

namespace ebm::cuda {

LaunchPace::LaunchPace(std::int64_t chains, double guess)
    : chains_(std::max<std::int64_t>(chains, 1)), seconds_(guess) {}

std::int64_t LaunchPace::next(std::int64_t left, std::int64_t evaluations) const {
  // No thread counts more than the transitions of all chains.
  const std::int64_t countable = std::numeric_limits<std::uint32_t>::max() / chains_;
  // Half: clocks fall, and other work shares the device.
  const double timely = kMostSeconds / 2 / (seconds_ * static_cast<double>(evaluations));
  const auto whole = static_cast<std::int64_t>(std::min(timely, static_cast<double>(countable)));
  return std::min(left, std::max<std::int64_t>(whole, 1));
}

void LaunchPace::took(std::int64_t evaluations, double seconds) {
  // A launch is never free; events count in half microseconds.
  seconds_ = std::max(seconds, 1e-6) / static_cast<double>(evaluations);
}

double guess_of_evaluation(std::int64_t chains, std::uint64_t parameters, int multiprocessors) {
  constexpr double kRate = 1e9, kLeast = 2e-5;  // multiplications and additions of a multiprocessor a second; seconds
  const auto shared = static_cast<double>((chains + multiprocessors - 1) / multiprocessors);
  return kLeast + 4.0 * static_cast<double>(parameters) * shared / kRate;
}

LaunchTimer::LaunchTimer(std::shared_ptr<const Context> context, LaunchPace pace)
    : context_(std::move(context)),
      pace_(pace),
      begin_(context_, Event::Kind::timed),
      end_(context_, Event::Kind::timed) {}

std::int64_t LaunchTimer::next(std::int64_t left, std::int64_t evaluations) {
  if (measured_ > 0 && !captured()) {
    if (const auto seconds = end_.seconds_since(begin_)) {
      pace_.took(measured_, *seconds);
      measured_ = 0;
    }
  }
  return pace_.next(left, evaluations);
}

bool LaunchTimer::captured() const {
  cudaStreamCaptureStatus status{};
  context_->check(cudaStreamIsCapturing(context_->stream(), &status), "asking for a capture");
  return status != cudaStreamCaptureStatusNone;
}

void LaunchTimer::start() {
  started_ = measured_ == 0 && !captured();  // not 0: the events are still on their way
  if (started_) begin_.record();
}

void LaunchTimer::stop(std::int64_t evaluations) {
  if (!started_) return;
  end_.record();
  measured_ = evaluations;
}

}  // namespace ebm::cuda
