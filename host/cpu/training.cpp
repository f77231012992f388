#include "host/cpu/training.hpp"

#include <algorithm>
#include <cmath>

#include "host/cpu/batch_gradient.hpp"
#include "host/cpu/chain_strips.hpp"
#include "kernels/math/adam.hpp"
#include "kernels/math/learning_rate.hpp"
#include "kernels/math/ordered_sum.hpp"
#include "kernels/math/permutation.hpp"

namespace ebm::cpu {
namespace {

// An iteration is three parallel loops:
//   1. over strips: take a strip of data and a strip of chains; run the chains n_steps and write them back
//   2. over strips, then rows: forward and backward pass of both, outer products (BatchGradient)
//   3. over parameters: Adam and the moving average
class CpuTrainingSession final : public TrainingSession {
 public:
  CpuTrainingSession(TrainingPlan plan, TrainingState start, std::span<const float> data, std::span<const int> labels,
                     std::shared_ptr<ThreadPool> pool)
      : plan_(std::move(plan)),
        state_(std::move(start)),
        data_(data.begin(), data.end()),
        labels_(labels.begin(), labels.end()),
        pool_(std::move(pool)),
        width_(strip_width()),
        dim_(static_cast<std::size_t>(plan_.shape.dim)),
        batch_size_(static_cast<std::size_t>(plan_.batch_size)),
        network_(plan_.shape, state_.parameters),
        scratch_(make_scratch(pool_->threads(), plan_.shape)),
        chains_(plan_.shape.dim, batch_size_),
        batch_(plan_.shape, batch_size_, 2, *pool_),  // data, then samples
        gradient_(state_.parameters.size()),
        strip_stats_(chains_.count()) {
    const float mean = 1.0f / static_cast<float>(plan_.batch_size);
    for (std::size_t s = 0; s < chains_.count(); ++s) {
      // mean E(data) - mean E(samples) + energy_reg (mean E(data)^2 + mean E(samples)^2)
      const std::size_t samples = chains_.count() + s;
      std::fill_n(batch_.weights(s), chains_.valid(s), mean);
      std::fill_n(batch_.weights(samples), chains_.valid(s), -mean);
    }
    batch_.set_energy_factor(0, 2 * plan_.energy_reg);
    batch_.set_energy_factor(1, -2 * plan_.energy_reg);
    batch_.use_labels(0, !labels_.empty());
  }

  std::vector<IterationStats> run(std::int64_t n) override {
    std::vector<IterationStats> stats;
    stats.reserve(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      stats.push_back(iterate());
      if (!std::isfinite(stats.back().gradient_norm)) break;
    }
    return stats;
  }

  TrainingState state() const override { return state_; }

 private:
  IterationStats iterate() {
    IterationStats stats;
    stats.iteration = state_.iteration;
    stats.step_size = static_cast<double>(state_.step_size);
    open_iteration();
    pool_->run(chains_.count(), [&](std::size_t s, int thread) {
      gather_data(s);
      gather_chains(s, scratch_[static_cast<std::size_t>(thread)].points());
      strip_stats_[s] += run_strip(network_, plan_.transition.kind, steps_, plan_.n_steps, chains_.strip(s),
                                   scratch_[static_cast<std::size_t>(thread)].strip());
      scatter_chains(s);
    });
    for (const ChainStats& s : strip_stats_) stats.chains += s;

    batch_.run(network_, gradient_);
    stats.energy_data = mean(batch_.energies(0));
    stats.energy_samples = mean(batch_.energies(1));
    if (!labels_.empty()) stats.cross_entropy = mean(batch_.cross_entropies(0));
    stats.gradient_norm = gradient_norm();
    if (!std::isfinite(stats.gradient_norm + stats.energy_data + stats.energy_samples)) {
      stats.gradient_norm = std::numeric_limits<double>::quiet_NaN();
      return stats;
    }
    update_parameters(stats.gradient_norm);
    adapt_step_size(stats.chains);
    ++state_.iteration;
    return stats;
  }

  // What every strip of this iteration reads.
  void open_iteration() {
    const auto iteration = static_cast<std::uint64_t>(state_.iteration);
    first_position_ = iteration * batch_size_;
    const std::uint64_t n = data_.size() / dim_;
    first_epoch_ = first_position_ / n;
    orders_.clear();
    for (std::uint64_t epoch = first_epoch_; epoch <= (first_position_ + batch_size_ - 1) / n; ++epoch) {
      orders_.push_back(Permutation::make(plan_.seed, Purpose::data_order, epoch, n));
    }
    if (plan_.chain_start == ChainStart::persistent) {
      slots_ = Permutation::make(plan_.seed, Purpose::replay_slot, iteration,
                                 static_cast<std::uint64_t>(plan_.buffer_capacity));
    }
    steps_ = step_parameters(plan_.transition, plan_.seed);
    steps_.step_size = state_.step_size;
    steps_.difference_prob = plan_.transition.difference_prob;
    steps_.data = data_.data();
    steps_.n_data = n;
    std::ranges::fill(strip_stats_, ChainStats{});
  }

  // The batch's data points of strip s, in a new order every epoch.
  void gather_data(std::size_t s) {
    const std::uint64_t n = data_.size() / dim_;
    float* const strip = batch_.x(s);
    for (std::size_t lane = 0; lane < chains_.valid(s); ++lane) {
      const std::uint64_t position = first_position_ + s * width_ + lane;
      const auto row = static_cast<std::size_t>(orders_[position / n - first_epoch_](position % n));
      for (std::size_t d = 0; d < dim_; ++d) strip[d * width_ + lane] = data_[row * dim_ + d];
      if (!labels_.empty()) batch_.labels(s)[lane] = labels_[row];
      if (!plan_.dequantize.empty()) dequantize(position, strip + lane);
    }
  }

  void dequantize(std::uint64_t position, float* x) const {
    for (std::size_t d = 0; d < dim_; d += 4) {
      const PhiloxWords w = philox(plan_.seed, Purpose::data_noise, position, 0, static_cast<std::uint32_t>(d / 4));
      const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
      for (std::size_t i = 0; i < std::min<std::size_t>(4, dim_ - d); ++i) {
        x[(d + i) * width_] += plan_.dequantize[d + i] * unit_float(words[i]);
      }
    }
  }

  // Where the chains of strip s begin. `start` [D][width] is working memory.
  void gather_chains(std::size_t s, float* start) {
    const StripState state = chains_.strip(s);
    std::fill_n(state.restarted, width_, std::uint8_t{0});
    if (plan_.chain_start != ChainStart::persistent) {
      for (std::size_t lane = 0; lane < width_; ++lane) {
        state.ids[lane] = first_position_ + s * width_ + lane;
        state.steps[lane] = 0;
      }
      if (plan_.chain_start == ChainStart::data) {
        std::copy_n(batch_.x(s), dim_ * width_, state.x);
      } else {
        uniform_start_strip(plan_.seed, plan_.shape.dim, steps_.start, state.ids, state.steps, state.x);
      }
      return;
    }
    std::vector<std::size_t> afresh;
    for (std::size_t lane = 0; lane < state.valid; ++lane) {
      const std::uint64_t slot = slots_(s * width_ + lane);
      state.ids[lane] = slot;
      state.steps[lane] = state_.buffer_steps[slot];
      const float* from = state_.buffer_x.data() + slot * dim_;
      for (std::size_t d = 0; d < dim_; ++d) state.x[d * width_ + lane] = from[d];
      const PhiloxWords w = philox(plan_.seed, Purpose::reinitialization, slot, state.steps[lane], 0);
      if (unit_float(w.r0) < plan_.reinit_prob) afresh.push_back(lane);
    }
    if (afresh.empty()) return;
    uniform_start_strip(plan_.seed, plan_.shape.dim, steps_.start, state.ids, state.steps, start);
    for (const std::size_t lane : afresh) {
      for (std::size_t d = 0; d < dim_; ++d) state.x[d * width_ + lane] = start[d * width_ + lane];
    }
    strip_stats_[s].reinitialized += afresh.size();
  }

  // Chains of strip s to the batch and back to their slots, which no other strip holds.
  void scatter_chains(std::size_t s) {
    const StripState state = chains_.strip(s);
    std::copy_n(state.x, dim_ * width_, batch_.x(chains_.count() + s));
    if (plan_.chain_start != ChainStart::persistent) return;
    for (std::size_t lane = 0; lane < state.valid; ++lane) {
      const std::uint64_t slot = state.ids[lane];
      state_.buffer_steps[slot] = state.steps[lane];
      float* const to = state_.buffer_x.data() + slot * dim_;
      for (std::size_t d = 0; d < dim_; ++d) to[d] = state.x[d * width_ + lane];
    }
  }

  static double mean(std::span<const float> values) {
    const auto n = static_cast<std::int64_t>(values.size());
    return ordered_sum<double>(n, [&](std::int64_t i) { return values[static_cast<std::size_t>(i)]; }) /
           static_cast<double>(n);
  }

  double gradient_norm() const {
    double square = 0;
    for (const float g : gradient_) square += static_cast<double>(g) * static_cast<double>(g);
    return std::sqrt(square);
  }

  void update_parameters(double norm) {
    const Adam& adam = plan_.optimizer;
    const double rate = learning_rate(static_cast<double>(adam.learning_rate), adam.warmup,
                                      static_cast<int>(adam.decay), state_.iteration, plan_.iterations);
    const auto t = static_cast<double>(state_.iteration + 1);
    AdamStep step{};
    step.rate = static_cast<float>(rate);
    step.beta1 = adam.beta1;
    step.beta2 = adam.beta2;
    step.epsilon = adam.epsilon;
    step.correction1 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(adam.beta1), t)));
    step.correction2 = static_cast<float>(1 / (1 - std::pow(static_cast<double>(adam.beta2), t)));
    step.decay = static_cast<float>(rate * static_cast<double>(adam.weight_decay));
    step.ema = static_cast<float>(ema_decay(static_cast<double>(plan_.ema), state_.iteration));
    const double limit = static_cast<double>(adam.grad_norm_clip);
    const float scale = limit > 0 && norm > limit ? static_cast<float>(limit / norm) : 1.0f;

    const MlpShape& shape = plan_.shape;
    pool_->run(static_cast<std::size_t>(shape.layers()), [&](std::size_t l, int) {
      const int layer = static_cast<int>(l);
      const std::size_t weights = shape.weight_offset(layer), biases = shape.bias_offset(layer);
      update_range(step, scale, true, weights, biases);
      update_range(step, scale, false, biases, biases + static_cast<std::size_t>(shape.out(layer)));
    });
    network_.repack(state_.parameters);
  }

  void update_range(const AdamStep& step, float scale, bool decays, std::size_t begin, std::size_t end) {
    const float* g = gradient_.data();
    float* theta = state_.parameters.data();
    float* m = state_.adam_m.data();
    float* v = state_.adam_v.data();
    for (std::size_t p = begin; p < end; ++p) adam_update(step, decays, scale * g[p], theta[p], m[p], v[p]);
    if (state_.ema.empty()) return;
    for (std::size_t p = begin; p < end; ++p) ema_update(step, theta[p], state_.ema[p]);
  }

  void adapt_step_size(const ChainStats& stats) {
    if (!plan_.target_acceptance || stats[Move::local].proposed == 0) return;
    const double log_step = std::log(static_cast<double>(state_.step_size)) +
                            kStepSizeGain * (stats.acceptance() - static_cast<double>(*plan_.target_acceptance));
    state_.step_size = static_cast<float>(std::clamp(std::exp(log_step), kSmallestStepSize, kLargestStepSize));
  }

  TrainingPlan plan_;
  TrainingState state_;
  std::vector<float> data_;  // [n, D], model space
  std::vector<int> labels_;
  std::shared_ptr<ThreadPool> pool_;
  std::size_t width_, dim_, batch_size_;
  PackedNetwork network_;
  std::vector<Scratch> scratch_;
  ChainStrips chains_;
  BatchGradient batch_;
  std::vector<float> gradient_;
  std::vector<ChainStats> strip_stats_;

  // Of the iteration under way.
  std::uint64_t first_position_ = 0, first_epoch_ = 0;
  std::vector<Permutation> orders_;  // from first_epoch_ on
  Permutation slots_{};
  StepParameters steps_;
};

}  // namespace

std::unique_ptr<TrainingSession> make_training_session(TrainingPlan plan, TrainingState start,
                                                       std::span<const float> data, std::span<const int> labels,
                                                       std::shared_ptr<ThreadPool> pool) {
  return std::make_unique<CpuTrainingSession>(std::move(plan), std::move(start), data, labels, std::move(pool));
}

}  // namespace ebm::cpu
