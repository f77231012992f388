#include "ebmcuda/replay_buffer.hpp"

#include <algorithm>
#include <cmath>

#include "host/core/check.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"
#include "kernels/training/batch_rows.hpp"

namespace ebm {

void ReplayBufferOptions::validate() const {
  require(capacity >= 1 && capacity <= (std::int64_t{1} << 31), "buffer_size", capacity, "must be in 1 .. 2^31");
  require_probability("reinit_prob", reinit_prob);
}

ReplayBuffer::ReplayBuffer(const Mlp& model, ReplayBufferOptions options, std::uint64_t seed, const Sampler& sampler)
    : options_(options), seed_(seed) {
  options_.validate();
  x_ = uniform_start_in(model, resolve(sampler, model), options_.capacity, seed);
  steps_.assign(static_cast<std::size_t>(options_.capacity), 0);
}

ReplayBuffer::ReplayBuffer(ReplayBufferOptions options, std::uint64_t seed, Matrix x, std::vector<std::uint64_t> steps)
    : options_(options), seed_(seed), x_(std::move(x)), steps_(std::move(steps)) {
  options_.validate();
  const auto capacity = static_cast<std::size_t>(options_.capacity);
  require(x_.rows() == capacity, "x", x_.rows(), fmt::format("must hold buffer_size = {} rows", capacity));
  require(steps_.size() == capacity, "steps", steps_.size(),
          fmt::format("must hold buffer_size = {} values", capacity));
  require_points("x", x_, static_cast<int>(x_.cols()));
}

std::vector<std::uint64_t> ReplayBuffer::draw(std::int64_t iteration, std::int64_t batch_size) const {
  require(iteration >= 0, "iteration", iteration, "must be >= 0");
  require(batch_size >= 1 && batch_size <= options_.capacity, "batch_size", batch_size,
          fmt::format("must be in 1 .. buffer_size = {}", options_.capacity));
  const Permutation slot = slot_draw(seed_, iteration, static_cast<std::uint64_t>(options_.capacity));
  std::vector<std::uint64_t> slots(static_cast<std::size_t>(batch_size));
  for (std::size_t i = 0; i < slots.size(); ++i) slots[i] = slot(i);
  return slots;
}

Matrix ReplayBuffer::run(const Mlp& model, const Sampler& sampler, std::int64_t iteration, std::int64_t batch_size,
                         std::int64_t n_steps, const Device& device, ChainStats* stats) {
  const Transition transition = resolve(sampler, model);
  require(n_steps >= 0, "n_steps", n_steps, "must be >= 0");
  require(static_cast<int>(x_.cols()) == model.dim(), "model", model.dim(),
          fmt::format("the buffer holds points of D = {}", x_.cols()));
  const auto slots = draw(iteration, batch_size);
  const auto n = slots.size();
  const auto dim = x_.cols();

  const auto function = make_engine(device)->load(model);
  std::vector<std::uint64_t> steps(n);
  Matrix x(n, dim);
  std::vector<std::size_t> fresh;  // rows whose slot starts afresh
  for (std::size_t i = 0; i < n; ++i) {
    steps[i] = steps_[slots[i]];
    std::ranges::copy(x_.row(slots[i]), x.row(i).begin());
    if (starts_afresh(seed_, slots[i], steps[i], options_.reinit_prob)) fresh.push_back(i);
  }
  if (!fresh.empty()) {
    std::vector<std::uint64_t> fresh_ids, fresh_steps;
    for (const std::size_t i : fresh) {
      fresh_ids.push_back(slots[i]);
      fresh_steps.push_back(steps[i]);
    }
    const auto starts = function->chains(seed_, std::move(fresh_ids), std::move(fresh_steps));
    starts->start_uniform(transition);
    Matrix start(fresh.size(), dim);
    starts->positions(start.values());
    for (std::size_t k = 0; k < fresh.size(); ++k) std::ranges::copy(start.row(k), x.row(fresh[k]).begin());
  }

  const auto chains = function->chains(seed_, slots, steps);
  chains->set_positions(x.values());
  chains->run(transition, n_steps);
  ChainStats run = chains->stats();
  run.reinitialized = fresh.size();
  chains->positions(x.values());
  for (std::size_t i = 0; i < n; ++i) {
    std::ranges::copy(x.row(i), x_.row(slots[i]).begin());
    steps_[slots[i]] += static_cast<std::uint64_t>(n_steps * transition.evaluations);
  }
  if (stats != nullptr) *stats += run;
  return model.to_data_units(std::move(x));
}

double ReplayBuffer::spread() const {
  const auto n = static_cast<double>(x_.rows());
  double variance = 0;
  for (std::size_t d = 0; d < x_.cols(); ++d) {
    double sum = 0, square = 0;
    for (std::size_t i = 0; i < x_.rows(); ++i) sum += static_cast<double>(x_(i, d));
    for (std::size_t i = 0; i < x_.rows(); ++i) square += std::pow(static_cast<double>(x_(i, d)) - sum / n, 2);
    variance += square / n;
  }
  return std::sqrt(variance / static_cast<double>(x_.cols()));
}

}  // namespace ebm
