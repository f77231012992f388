// How many transitions of a set of chains one launch takes. A launch that lasts for minutes is ended by the watchdog of
// a GPU with a display, and cannot be interrupted; how a run is split changes no bit.
#pragma once

#include <cstdint>
#include <memory>

#include "host/cuda/context.hpp"

namespace ebm::cuda {

class LaunchPace {
 public:
  static constexpr double kMostSeconds = 0.25;

  // Of `chains` chains. `guess`: seconds that an evaluation of all of them takes, rather too many than too few; it
  // holds until the first launch has been measured.
  LaunchPace(std::int64_t chains, double guess);
  // Transitions of the next launch, of `evaluations` each and of which `left` are wanted: at least one of them, half of
  // kMostSeconds by what is known, and fewer than 2^32 of all chains together, which is what its counters hold.
  std::int64_t next(std::int64_t left, std::int64_t evaluations) const;
  // What a launch was measured to take.
  void took(std::int64_t evaluations, double seconds);

 private:
  std::int64_t chains_;
  double seconds_;  // per evaluation
};

// A guess for a network of so many parameters on a device of so many multiprocessors: each of them evaluates at a
// thousandth of what today's do, and none in less than 20 microseconds.
double guess_of_evaluation(std::int64_t chains, std::uint64_t parameters, int multiprocessors);

// Measures launches on the context's stream by events; the host never waits for one. What is captured into a graph is
// not measured.
class LaunchTimer {
 public:
  LaunchTimer(std::shared_ptr<const Context> context, LaunchPace pace);
  // What it has measured so far goes into the answer.
  std::int64_t next(std::int64_t left, std::int64_t evaluations);
  // Around a launch of so many evaluations.
  void start();
  void stop(std::int64_t evaluations);

 private:
  bool captured() const;

  std::shared_ptr<const Context> context_;
  LaunchPace pace_;
  Event begin_, end_;
  std::int64_t measured_ = 0;  // evaluations between the two events; 0: they are free
  bool started_ = false;
};

}  // namespace ebm::cuda
