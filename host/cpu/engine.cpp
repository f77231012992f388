// The CPU engine: strips of chains on SIMD lanes, strips spread over threads.
#include "host/engine/engine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/cpu/batch_gradient.hpp"
#include "host/cpu/chain_strips.hpp"
#include "host/cpu/training_loops.hpp"
#include "kernels/math/ordered_sum.hpp"

namespace ebm::cpu {
namespace {

class CpuChainSet final : public ChainSet {
 public:
  CpuChainSet(std::shared_ptr<const PackedNetwork> network, std::shared_ptr<ThreadPool> pool, std::uint64_t seed,
              std::span<const std::uint64_t> ids, std::span<const std::uint64_t> steps,
              const std::optional<GaussianBase>& base, std::span<const float> inverse_temperatures)
      : network_(std::move(network)),
        pool_(std::move(pool)),
        seed_(seed),
        chains_(network_->shape.dim, ids.size(), base.has_value() || !inverse_temperatures.empty()),
        scratch_(make_scratch(pool_->threads(), network_->shape, base.has_value() || !inverse_temperatures.empty())) {
    chains_.set_ids(ids);
    chains_.set_steps(steps);
    if (base) base_.emplace(*base, network_->shape.dim);
    if (!inverse_temperatures.empty()) chains_.set_inverse_temperatures(inverse_temperatures);
  }

  void set_positions(std::span<const float> x) override { chains_.load(x); }
  void positions(std::span<float> x) const override { chains_.store(x); }
  void start_uniform(const Transition& transition) override {
    chains_.start_uniform(seed_, start_region(transition), *pool_);
  }
  void fix(std::span<const std::uint8_t> fixed) override { chains_.fix(fixed); }

  void run(const Transition& transition, std::int64_t n, float beta) override {
    StepParameters parameters = step_parameters(transition, seed_);
    const BaseView view = base_ ? base_->view() : BaseView{};
    if (base_) {
      parameters.base = &view;
      parameters.beta = beta;
    }
    stats_ += chains_.run(*network_, transition.kind, parameters, n, scratch_, *pool_);
    advanced_ += static_cast<std::uint64_t>(n * transition.evaluations);
  }
  ChainStats stats() const override { return stats_; }
  void clear_stats() override { stats_ = {}; }

  void energies(std::span<float> energy, std::span<float> base_energy) const override {
    if (chains_.known()) {
      for (std::size_t i = 0; i < chains_.size(); ++i) {
        energy[i] = chains_.energy(i);
        if (!base_energy.empty()) base_energy[i] = chains_.base_energy(i);
      }
      return;
    }
    const int dim = network_->shape.dim;
    const std::size_t width = strip_width();
    pool_->run(chains_.count(), [&](std::size_t s, int thread) {
      const Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
      evaluate_strip(*network_, chains_.x(s), scratch.strip().buffers, scratch.energy(), nullptr);
      std::copy_n(scratch.energy(), chains_.valid(s), energy.data() + s * width);
      if (base_energy.empty()) return;
      base_energy_strip(base_->view(), dim, chains_.x(s), scratch.strip().base_work, scratch.energy(),
                        scratch.strip().base_gradient);
      std::copy_n(scratch.energy(), chains_.valid(s), base_energy.data() + s * width);
    });
  }

  void swap_replicas(int replicas, std::int64_t evaluations, std::uint64_t period) override {
    stats_.swaps += chains_.swap_replicas(seed_, replicas, evaluations, period, *pool_);
  }
  ReplicaStats replica_stats() const override { return chains_.replica_stats(); }

  void forget() override { chains_.forget(); }
  void restarted(std::span<std::uint8_t> flags) const override {
    std::ranges::copy(chains_.restarted(), flags.begin());
  }

  std::vector<std::uint64_t> steps() const override {
    std::vector<std::uint64_t> steps(chains_.size());
    for (std::size_t i = 0; i < steps.size(); ++i) steps[i] = chains_.step(i);
    return steps;
  }
  std::uint64_t advanced() const override { return advanced_; }

 private:
  std::shared_ptr<const PackedNetwork> network_;
  std::shared_ptr<ThreadPool> pool_;
  std::uint64_t seed_;
  ChainStrips chains_;
  ChainStats stats_;
  std::uint64_t advanced_ = 0;
  std::optional<PackedBase> base_;
  std::vector<Scratch> scratch_;
};

class CpuEnergyFunction final : public EnergyFunction {
 public:
  CpuEnergyFunction(const Mlp& model, std::shared_ptr<ThreadPool> pool)
      : network_(std::make_shared<PackedNetwork>(model.shape(), model.parameters())), pool_(std::move(pool)) {}

  std::string path() const override { return fmt::format("strips of {} chains", strip_width()); }

  void set_parameters(std::span<const float> parameters) override { network_->repack(parameters); }

  void evaluate(std::span<const float> x, std::span<float> energy, std::span<float> gradient) const override {
    const int dim = network_->shape.dim;
    for_strips(x, energy.size(), [&](const Scratch& scratch, std::size_t first, std::size_t count) {
      float* const g = gradient.empty() ? nullptr : scratch.strip().rows[1];
      evaluate_strip(*network_, scratch.points(), scratch.strip().buffers, scratch.energy(), g);
      std::copy_n(scratch.energy(), count, energy.data() + first);
      if (g != nullptr) store_strip(g, count, dim, gradient.data() + first * static_cast<std::size_t>(dim));
    });
  }

  void outputs(std::span<const float> x, std::span<float> f) const override {
    const int n_outputs = network_->shape.outputs;
    for_strips(x, f.size() / static_cast<std::size_t>(n_outputs),
               [&](const Scratch& scratch, std::size_t first, std::size_t count) {
                 outputs_strip(*network_, scratch.points(), scratch.strip().buffers, scratch.outputs());
                 store_strip(scratch.outputs(), count, n_outputs,
                             f.data() + first * static_cast<std::size_t>(n_outputs));
               });
  }

  void parameter_gradient(std::span<const float> x, std::span<const float> weights,
                          std::span<float> gradient) const override {
    std::ranges::fill(gradient, 0.0f);
    const auto passes = static_cast<std::int64_t>((weights.size() + kPassRows - 1) / kPassRows);
    std::vector<std::vector<float>> slots(static_cast<std::size_t>(OrderedTree::slots_for(passes)));
    OrderedTree tree;
    const auto add = [&](int to, int from) {
      add_arrays(slots[static_cast<std::size_t>(to)].data(), slots[static_cast<std::size_t>(from)].data(),
                 gradient.size());
    };
    in_passes(x, weights, [&](BatchGradient& batch, std::size_t) {
      auto& slot = slots[static_cast<std::size_t>(tree.slot())];
      slot.resize(gradient.size());
      batch.run(*network_, slot);
      tree.added(add);
    });
    tree.finish(add);
    if (passes > 0) std::ranges::copy(slots[0], gradient.begin());
  }

  void parameter_gradient_chunks(std::span<const float> x, std::span<const float> weights,
                                 std::span<float> sums) const override {
    const std::size_t parameters = network_->shape.parameter_count();
    in_passes(x, weights, [&](BatchGradient& batch, std::size_t first) {
      const std::vector<std::size_t> alone(batch.chunks_per_part(), 1);
      batch.run_nodes(
          *network_, alone,
          sums.subspan(first / static_cast<std::size_t>(kChunkRows) * parameters, alone.size() * parameters));
    });
  }

  std::unique_ptr<ChainSet> chains(std::uint64_t seed, std::vector<std::uint64_t> ids, std::vector<std::uint64_t> steps,
                                   std::optional<GaussianBase> base,
                                   std::vector<float> inverse_temperatures) const override {
    return std::make_unique<CpuChainSet>(network_, pool_, seed, ids, steps, base, inverse_temperatures);
  }

 private:
  // Passes bound the memory of activations. A power of two of chunks, so that a pass is a node of the tree.
  static constexpr std::size_t kPassRows = 32 * static_cast<std::size_t>(kChunkRows);

  // task(batch, first) for each pass of rows first ..
  template <class Task>
  void in_passes(std::span<const float> x, std::span<const float> weights, const Task& task) const {
    const auto dim = static_cast<std::size_t>(network_->shape.dim);
    const std::size_t n = weights.size();
    BatchGradient batch(network_->shape, std::min(n, kPassRows), 1, *pool_);
    for (std::size_t first = 0; first < n; first += kPassRows) {
      batch.resize(std::min(kPassRows, n - first));
      for (std::size_t s = 0; s < batch.strips(); ++s) {
        const std::size_t row = first + s * strip_width(), here = batch.valid(s);
        load_strip(x.data() + row * dim, here, static_cast<int>(dim), batch.x(s));
        load_strip(weights.data() + row, here, 1, batch.weights(s));
      }
      task(batch, first);
    }
  }

  // task(scratch, first, count) for each strip of the n points, which are in scratch.points().
  template <class Task>
  void for_strips(std::span<const float> x, std::size_t n, const Task& task) const {
    const std::size_t width = strip_width();
    const int dim = network_->shape.dim;
    const std::size_t strips = (n + width - 1) / width;
    if (scratch_.empty()) scratch_ = make_scratch(pool_->threads(), network_->shape);
    pool_->run(strips, [&](std::size_t s, int thread) {
      const Scratch& mine = scratch_[static_cast<std::size_t>(thread)];
      const std::size_t first = s * width, count = std::min(width, n - first);
      load_strip(x.data() + first * static_cast<std::size_t>(dim), count, dim, mine.points());
      task(mine, first, count);
    });
  }

  std::shared_ptr<PackedNetwork> network_;
  std::shared_ptr<ThreadPool> pool_;      // takes one caller at a time, so that these too need no lock
  mutable std::vector<Scratch> scratch_;  // kept from the first call on: new pages cost as much as small evaluations
};

class CpuEngine final : public Engine {
 public:
  CpuEngine(int threads, Communicator ranks) : pool_(std::make_shared<ThreadPool>(threads)), ranks_(std::move(ranks)) {}
  std::string arithmetic() const override { return fmt::format("cpu {}", instruction_set()); }
  std::string description() const override {
    const int threads = pool_->threads();
    return fmt::format("cpu {}, {} thread{}", instruction_set(), threads, threads == 1 ? "" : "s");
  }
  std::unique_ptr<EnergyFunction> load(const Mlp& model) const override {
    return std::make_unique<CpuEnergyFunction>(model, pool_);
  }
  std::unique_ptr<TrainingPrimitives> training(TrainingPlan plan, TrainingState start, std::span<const float> data,
                                               std::span<const int> labels) const override {
    return make_training_loops(std::move(plan), std::move(start), data, labels, pool_, ranks_);
  }

 private:
  std::shared_ptr<ThreadPool> pool_;
  Communicator ranks_;
};

}  // namespace

std::unique_ptr<Engine> make_engine(int threads, Communicator ranks) {
  return std::make_unique<CpuEngine>(threads, std::move(ranks));
}

}  // namespace ebm::cpu
