#include "host/cpu/chain_strips.hpp"

#include <algorithm>
#include <utility>

#include "kernels/chains/replica_swap.hpp"

namespace ebm::cpu {

PackedBase::PackedBase(const GaussianBase& base, int dim)
    : mean(base.mean.begin(), base.mean.end()), root(dim, dim), root_transposed(dim, dim) {
  root.pack(base.root);
  root_transposed.pack_transposed(base.root);
}

ChainStrips::ChainStrips(int dim, std::size_t n, bool keeps)
    : dim_(dim), n_(n), width_(strip_width()), n_strips_((n + width_ - 1) / width_) {
  x_.resize(n_strips_ * strip_floats());
  ids_.resize(padded());
  steps_.resize(padded());
  restarted_.resize(padded());
  if (keeps) {
    kept_energy_.resize(2 * padded());
    kept_gradient_.resize(2 * x_.size());
  }
}

std::size_t ChainStrips::valid(std::size_t s) const { return std::min(width_, n_ - s * width_); }

StripState ChainStrips::strip(std::size_t s) {
  StripState state{};
  const std::size_t first = s * width_;
  state.x = x(s);
  state.ids = ids_.data() + first;
  state.steps = steps_.data() + first;
  state.restarted = restarted_.data() + first;
  state.valid = valid(s);
  if (!fixed_.empty()) state.fixed = fixed_.data() + s * strip_floats();
  if (!kept_energy_.empty()) {
    state.energy = kept_energy_.data() + first;
    state.base_energy = state.energy + padded();
    state.gradient = kept_gradient_.data() + 2 * s * strip_floats();
    state.base_gradient = state.gradient + strip_floats();
    state.known = known_;
    if (!beta_.empty()) state.beta = beta_.data() + first;
  }
  return state;
}

void ChainStrips::set_ids(std::span<const std::uint64_t> ids) { std::ranges::copy(ids, ids_.begin()); }
void ChainStrips::set_steps(std::span<const std::uint64_t> steps) { std::ranges::copy(steps, steps_.begin()); }
void ChainStrips::load(std::span<const float> x) {
  for (std::size_t s = 0; s < n_strips_; ++s) {
    load_strip(x.data() + s * width_ * static_cast<std::size_t>(dim_), valid(s), dim_, this->x(s));
  }
  known_ = false;
}

void ChainStrips::store(std::span<float> x) const {
  for (std::size_t s = 0; s < n_strips_; ++s) {
    store_strip(this->x(s), valid(s), dim_, x.data() + s * width_ * static_cast<std::size_t>(dim_));
  }
}

void ChainStrips::start_uniform(std::uint64_t seed, const StartRegion& region, ThreadPool& pool) {
  pool.run(n_strips_, [&](std::size_t s, int) {
    const StripState state = strip(s);
    if (state.fixed == nullptr) {
      uniform_start_strip(seed, dim_, region, state.ids, state.steps, state.x);
      return;
    }
    AlignedVector<float> start(strip_floats());
    uniform_start_strip(seed, dim_, region, state.ids, state.steps, start.data());
    for (std::size_t i = 0; i < start.size(); ++i) {
      if (state.fixed[i] == 0) state.x[i] = start[i];
    }
  });
  known_ = false;
}

void ChainStrips::fix(std::span<const std::uint8_t> fixed) {
  fixed_.assign(x_.size(), 0.0f);
  const auto dim = static_cast<std::size_t>(dim_);
  for (std::size_t i = 0; i < n_; ++i) {
    float* const lane = fixed_.data() + i / width_ * strip_floats() + i % width_;
    for (std::size_t k = 0; k < dim; ++k) lane[k * width_] = fixed[i * dim + k] != 0 ? 1.0f : 0.0f;
  }
}

void ChainStrips::set_inverse_temperatures(std::span<const float> beta) {
  beta_.resize(padded());
  std::ranges::fill(beta_, 1.0f);
  std::ranges::copy(beta, beta_.begin());
  from_hot_.assign(n_, 0);
}

// Everything of the chains' states but what belongs to their places: ids, steps, temperatures, flags.
void ChainStrips::swap_states(std::size_t a, std::size_t b) {
  const std::size_t strip_a = a / width_ * strip_floats() + a % width_;
  const std::size_t strip_b = b / width_ * strip_floats() + b % width_;
  const std::size_t kept_a = strip_a + a / width_ * strip_floats(), kept_b = strip_b + b / width_ * strip_floats();
  for (std::size_t k = 0; k < strip_floats(); k += width_) {
    std::swap(x_[strip_a + k], x_[strip_b + k]);
    std::swap(kept_gradient_[kept_a + k], kept_gradient_[kept_b + k]);
  }
  std::swap(kept_energy_[a], kept_energy_[b]);
  std::swap(from_hot_[a], from_hot_[b]);
}

MoveCount ChainStrips::swap_replicas(std::uint64_t seed, int replicas, std::int64_t evaluations, std::uint64_t period,
                                     ThreadPool& pool) {
  const auto r_count = static_cast<std::size_t>(replicas);
  constexpr std::size_t kChunk = 64;  // chains of a task
  const std::size_t n_chains = n_ / r_count, tasks = (n_chains + kChunk - 1) / kChunk;
  std::vector<ReplicaStats> counts(tasks);
  pool.run(tasks, [&](std::size_t task, int) {
    ReplicaStats& count = counts[task];
    count.swaps.resize(r_count - 1);
    for (std::size_t c = task * kChunk; c < std::min(n_chains, (task + 1) * kChunk); ++c) {
      const std::size_t first = c * r_count;
      if (steps_[first] % period >= static_cast<std::uint64_t>(evaluations)) continue;
      for (std::size_t r = steps_[first] / period % 2; r + 1 < r_count; r += 2) {
        const std::size_t a = first + r, b = a + 1;
        const PhiloxWords w =
            philox(seed, Purpose::replica_swap, ids_[first], steps_[first], static_cast<std::uint32_t>(r / 4));
        const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
        ++count.swaps[r].proposed;
        if (!swaps(words[r % 4], beta_[a], beta_[b], kept_energy_[a], kept_energy_[b])) continue;
        ++count.swaps[r].accepted;
        swap_states(a, b);
      }
      from_hot_[first + r_count - 1] = 1;
      count.round_trips += from_hot_[first];
      from_hot_[first] = 0;
    }
  });
  replica_stats_.swaps.resize(r_count - 1);
  MoveCount all;
  for (const ReplicaStats& count : counts) {
    for (std::size_t r = 0; r + 1 < r_count; ++r) {
      replica_stats_.swaps[r] += count.swaps[r];
      all += count.swaps[r];
    }
    replica_stats_.round_trips += count.round_trips;
  }
  return all;
}

ChainStats ChainStrips::run(const PackedNetwork& network, SamplerKind kind, const StepParameters& parameters,
                            std::int64_t n, std::vector<Scratch>& scratch, ThreadPool& pool) {
  std::vector<ChainStats> counts(scratch.size());
  pool.run(n_strips_, [&](std::size_t s, int thread) {
    const auto t = static_cast<std::size_t>(thread);
    counts[t] += run_strip(network, kind, parameters, n, strip(s), scratch[t].strip());
  });
  known_ = !kept_energy_.empty();
  ChainStats stats;
  for (const ChainStats& c : counts) stats += c;
  return stats;
}

ChainStats run_strip(const PackedNetwork& network, SamplerKind kind, const StepParameters& parameters, std::int64_t n,
                     const StripState& state, const StripScratch& scratch) {
  ChainStats stats;  // on this thread's stack: no cache line is shared with another's
  stats.steps = static_cast<std::uint64_t>(n * parameters.evaluations) * state.valid;
  run_strip(kind, network, parameters, n, state, scratch, &stats);
  return stats;
}

StartRegion start_region(const Transition& transition) {
  if (transition.start_lo.empty()) return {};
  return {transition.start_lo.data(), transition.start_hi.data()};
}

StepParameters step_parameters(const Transition& transition, std::uint64_t seed) {
  StepParameters p;
  p.seed = seed;
  p.step_size = transition.step_size;
  p.evaluations = transition.evaluations;
  std::ranges::copy(transition.own, p.own);
  p.grad_clip = transition.grad_clip;
  if (!transition.clamp_lo.empty()) {
    p.clamp_lo = transition.clamp_lo.data();
    p.clamp_hi = transition.clamp_hi.data();
  }
  p.start = start_region(transition);
  p.jump_prob = transition.jump_prob;
  return p;
}

}  // namespace ebm::cpu
