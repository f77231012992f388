// Persistent chains: `capacity` slots, each with a position, its own chain id (the slot number) and its own step count,
// which only grows, so that no noise is ever used twice (Tieleman 2008; Du and Mordatch 2019 for the restarts).
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ebmcuda/device.hpp"
#include "ebmcuda/export.hpp"
#include "ebmcuda/matrix.hpp"
#include "ebmcuda/mlp.hpp"
#include "ebmcuda/sampler.hpp"

namespace ebm {

struct EBMCUDA_API ReplayBufferOptions {
  std::int64_t capacity = 10000;  // 1 .. 2^31
  float reinit_prob = 0.05f;      // 0 .. 1: a drawn slot starts afresh with this probability
  void validate() const;          // throws ConfigError
};

class EBMCUDA_API ReplayBuffer {
 public:
  // Every slot at its uniform start (step 0), inside the sampler's clamp. Throws ConfigError.
  ReplayBuffer(const Mlp& model, ReplayBufferOptions options, std::uint64_t seed, const Sampler& sampler = Mala{});
  // A buffer as it was: `x` [capacity, D] in model space, `steps` [capacity].
  ReplayBuffer(ReplayBufferOptions options, std::uint64_t seed, Matrix x, std::vector<std::uint64_t> steps);

  // The slots that iteration `iteration` draws: `batch_size` distinct numbers in 0 .. capacity-1, a keyed bijection of
  // seed and iteration (purpose 3). Throws ConfigError when batch_size > capacity.
  std::vector<std::uint64_t> draw(std::int64_t iteration, std::int64_t batch_size) const;

  // Draws, restarts, runs n_steps of `sampler` and writes back. Returns the new positions of the drawn slots in draw
  // order, data units.
  Matrix run(const Mlp& model, const Sampler& sampler, std::int64_t iteration, std::int64_t batch_size,
             std::int64_t n_steps, const Device& device, ChainStats* stats = nullptr);

  const ReplayBufferOptions& options() const noexcept { return options_; }
  std::uint64_t seed() const noexcept { return seed_; }
  const Matrix& positions() const noexcept { return x_; }  // [capacity, D], model space
  // Root of the mean variance over dimensions, model space: 1 when the chains are spread like standardised data, near 0
  // when they have collapsed into one place.
  double spread() const;
  const std::vector<std::uint64_t>& steps() const noexcept { return steps_; }  // [capacity]

 private:
  ReplayBufferOptions options_;
  std::uint64_t seed_;
  Matrix x_;
  std::vector<std::uint64_t> steps_;
};

}  // namespace ebm
