// n chains in strips, and the loop that runs them: shared by ChainSet and training.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "host/cpu/scratch.hpp"
#include "host/cpu/thread_pool.hpp"
#include "host/engine/engine.hpp"

namespace ebm::cpu {

// GaussianBase in the kernels' order.
struct PackedBase {
  AlignedVector<float> mean;
  PackedMatrix root, root_transposed;

  PackedBase(const GaussianBase& base, int dim);
  BaseView view() const { return {mean.data(), &root, &root_transposed}; }
};

// Memory per chain: D floats and two 64-bit numbers and a flag; 2 D + 2 floats more where E and its gradient are kept,
// D more with fixed coordinates.
class ChainStrips {
 public:
  ChainStrips(int dim, std::size_t n, bool keeps = false);

  std::size_t size() const noexcept { return n_; }
  std::size_t count() const noexcept { return n_strips_; }
  StripState strip(std::size_t s);
  const float* x(std::size_t s) const { return x_.data() + s * strip_floats(); }
  float* x(std::size_t s) { return x_.data() + s * strip_floats(); }
  std::size_t valid(std::size_t s) const;
  float energy(std::size_t i) const { return kept_energy_[i]; }
  float base_energy(std::size_t i) const { return kept_energy_[padded() + i]; }

  // One for each chain; the padding is filled in.
  void set_ids(std::span<const std::uint64_t> ids);
  void set_steps(std::span<const std::uint64_t> steps);
  std::uint64_t step(std::size_t i) const { return steps_[i]; }
  // ChainSet::fix.
  void fix(std::span<const std::uint8_t> fixed);
  // One for each chain, which must keep E and its gradient.
  void set_inverse_temperatures(std::span<const float> beta);
  void load(std::span<const float> x);
  void store(std::span<float> x) const;
  std::span<const std::uint8_t> restarted() const { return {restarted_.data(), n_}; }
  void start_uniform(std::uint64_t seed, const StartRegion& region, ThreadPool& pool);

  // Whether energies and gradients of the current positions are kept from call to call.
  bool known() const noexcept { return known_; }
  void forget() noexcept { known_ = false; }

  // ChainSet::swap_replicas; returns what it counted.
  MoveCount swap_replicas(std::uint64_t seed, int replicas, std::int64_t evaluations, std::uint64_t period,
                          ThreadPool& pool);
  const ReplicaStats& replica_stats() const noexcept { return replica_stats_; }

  // n transitions of every chain; one scratch for each thread of the pool.
  ChainStats run(const PackedNetwork& network, SamplerKind kind, const StepParameters& parameters, std::int64_t n,
                 std::vector<Scratch>& scratch, ThreadPool& pool);

 private:
  void swap_states(std::size_t a, std::size_t b);
  std::size_t strip_floats() const { return static_cast<std::size_t>(dim_) * width_; }
  std::size_t padded() const { return n_strips_ * width_; }

  int dim_;
  std::size_t n_, width_, n_strips_;
  AlignedVector<float> x_;
  std::vector<std::uint64_t> ids_, steps_;
  std::vector<std::uint8_t> restarted_;
  AlignedVector<float> kept_energy_;    // with a base: E, then E0
  AlignedVector<float> kept_gradient_;  // with a base: per strip grad E, then grad E0
  bool known_ = false;
  AlignedVector<float> fixed_;          // with fixed coordinates
  AlignedVector<float> beta_;           // with inverse temperatures
  std::vector<std::uint8_t> from_hot_;  // with inverse temperatures: the state was in the last replica since the first
  ReplicaStats replica_stats_;
};

// n transitions of one strip, with their count of steps.
ChainStats run_strip(const PackedNetwork& network, SamplerKind kind, const StepParameters& parameters, std::int64_t n,
                     const StripState& state, const StripScratch& scratch);

StartRegion start_region(const Transition& transition);
// Everything of `transition` that a strip needs; its vectors must outlive the result.
StepParameters step_parameters(const Transition& transition, std::uint64_t seed);

}  // namespace ebm::cpu
