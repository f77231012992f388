// The CUDA engine behind host/engine/engine.hpp: a Context per engine, everything of one network on its stream.
#include "host/engine/engine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "host/cuda/batch_gradient.hpp"
#include "host/cuda/devices.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/network.hpp"
#include "host/cuda/recorded_training.hpp"
#include "host/cuda/transition.hpp"
#include "kernels/chains/chains.hpp"
#include "kernels/energy/evaluate.hpp"

namespace ebm {
namespace {

class CudaChainSet final : public ChainSet {
 public:
  CudaChainSet(std::shared_ptr<const Network> network, std::shared_ptr<MmaNetwork> mma, std::uint64_t seed,
               std::span<const std::uint64_t> ids, std::span<const std::uint64_t> steps,
               const std::optional<GaussianBase>& base)
      : network_(std::move(network)),
        mma_(base ? nullptr : std::move(mma)),  // annealed chains run in fp32
        context_(network_->context()),
        scope_(std::in_place, *context_),
        seed_(seed),
        n_(static_cast<std::int64_t>(ids.size())),
        x_(context_, ids.size() * static_cast<std::size_t>(network_->view().dim)),
        ids_(context_, ids),
        steps_(context_, steps),
        restarted_(context_, ids.size()),
        counts_(context_, 1),
        plan_(*network_, {.proposal = true, .base = base.has_value()}, n_) {
    restarted_.fill_zero();
    counts_.fill_zero();
    if (base) base_.emplace(context_, *base, network_->view().dim);
    scope_.reset();
  }

  void set_positions(std::span<const float> x) override {
    const Context::Scope scope(*context_);
    x_.upload(x);
  }
  void positions(std::span<float> x) const override {
    const Context::Scope scope(*context_);
    x_.download(x);
  }
  void start_uniform(const Transition&) override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    context_->check(launch_uniform_start(chains(), network_->view().dim, context_->stream()),
                    "launching the uniform start");
    context_->synchronize();
  }

  void run(const Transition& transition, std::int64_t n_steps, float beta) override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    // A box goes to the device when it is new, and the host waits for that copy alone.
    if (!step_ || transition != transition_) {
      step_.emplace(context_, transition);
      transition_ = transition;
    }
    StepView view = step_->view();
    view.beta = beta;
    if (base_ && view.mala) base_->apply(&view);
    if (mma_ != nullptr && mma_->serves(view.mala)) {
      mma_->launch(chains(), view, n_steps, counts_.data(), context_->stream());
    } else {
      context_->check(
          launch_chains(plan_.plan(), network_->view(), chains(), view, n_steps, counts_.data(), context_->stream()),
          "launching the chains");
    }
    chain_steps_ += static_cast<std::uint64_t>(n_) * static_cast<std::uint64_t>(n_steps * transition.evaluations);
  }
  ChainStats stats() const override {
    const Context::Scope scope(*context_);
    ChainCounts counts{};
    counts_.download({&counts, 1});
    return to_stats(counts, chain_steps_);
  }
  void clear_stats() override {
    const Context::Scope scope(*context_);
    counts_.fill_zero();
    chain_steps_ = 0;
  }

  void energies(std::span<float> energy, std::span<float> base_energy) const override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    DeviceArray<float> values(context_, energy.size()), base_values(context_, base_energy.size());
    EvaluateView view{};
    view.n = n_;
    view.x = x_.data();
    view.energy = values.data();
    if (!base_energy.empty()) {
      view.base_energy = base_values.data();
      view.base = base_->view();
      view.base_layer = base_->layer();
    }
    context_->check(launch_evaluate(plan_.plan(), network_->view(), view, context_->stream()),
                    "launching the energies");
    values.download(energy);
    base_values.download(base_energy);
  }

  void restarted(std::span<std::uint8_t> flags) const override {
    const Context::Scope scope(*context_);
    restarted_.download(flags);
  }
  std::vector<std::uint64_t> steps() const override {
    const Context::Scope scope(*context_);
    return steps_.to_host();
  }

 private:
  ChainsView chains() {
    ChainsView view{};
    view.source = ChainSource::set;
    view.n = n_;
    view.x = x_.data();
    view.steps = steps_.data();
    view.ids = ids_.data();
    view.restarted = restarted_.data();
    view.seed = seed_;
    return view;
  }

  std::shared_ptr<const Network> network_;
  std::shared_ptr<MmaNetwork> mma_;  // null: fp32
  std::shared_ptr<const Context> context_;
  std::optional<Context::Scope> scope_;  // during construction only
  std::uint64_t seed_;
  std::int64_t n_;
  DeviceArray<float> x_;
  DeviceArray<std::uint64_t> ids_, steps_;
  DeviceArray<std::uint8_t> restarted_;
  DeviceArray<ChainCounts> counts_;  // of every run since they were cleared
  std::uint64_t chain_steps_ = 0;    // of the same runs
  Transition transition_;            // what step_ was made of
  std::optional<DeviceTransition> step_;
  OwnedPlan plan_;
  std::optional<DeviceBase> base_;
};

class CudaEnergyFunction final : public EnergyFunction {
 public:
  CudaEnergyFunction(std::shared_ptr<const Context> context, const Mlp& model, Precision precision)
      : context_(std::move(context)), precision_(precision), shape_(model.shape()) {
    check_half_range(model.shape(), model.parameters(), precision);
    const Context::Scope scope(*context_);
    const DeviceArray<float> parameters(context_, model.parameters());
    network_ = std::make_shared<Network>(context_, model.shape(), parameters.data());
    mma_ = MmaNetwork::make(*network_, model.shape(), precision, parameters.data());
    context_->synchronize();
  }

  std::string path() const override {
    if (mma_ != nullptr) return mma_->describe();
    const TileLayout layout = tile_layout(network_->view(), {.proposal = true, .base = false});
    constexpr std::int64_t kMany = 1 << 30;
    const std::string fp32 = describe(choose_policy(network_->view(), layout, network_->limits(), kMany));
    if (precision_ == Precision::fp32) return fp32;
    return fmt::format("{} ({})", fp32, why_no_mma(shape_, precision_));
  }

  void evaluate(std::span<const float> x, std::span<float> energy, std::span<float> gradient) const override {
    in_chunks(energy.size(), [&](std::size_t first, std::size_t count) {
      const auto dim = static_cast<std::size_t>(network_->view().dim);
      const DeviceArray<float> points(context_, x.subspan(first * dim, count * dim));
      DeviceArray<float> energies(context_, count), gradients(context_, gradient.empty() ? 0 : count * dim);
      EvaluateView view{};
      view.n = static_cast<std::int64_t>(count);
      view.x = points.data();
      view.energy = energies.data();
      view.gradient = gradients.data();
      launch(network_->view(), view);
      energies.download(energy.subspan(first, count));
      if (!gradient.empty()) gradients.download(gradient.subspan(first * dim, count * dim));
    });
  }

  void outputs(std::span<const float> x, std::span<float> f) const override {
    NetworkView net = network_->view();
    const auto dim = static_cast<std::size_t>(net.dim), width = static_cast<std::size_t>(net.outputs);
    net.half_confinement = 0.0f;  // a scalar head's E is then f itself
    in_chunks(f.size() / width, [&](std::size_t first, std::size_t count) {
      const DeviceArray<float> points(context_, x.subspan(first * dim, count * dim));
      DeviceArray<float> values(context_, count * width);
      EvaluateView view{};
      view.n = static_cast<std::int64_t>(count);
      view.x = points.data();
      (net.logits ? view.outputs : view.energy) = values.data();
      launch(net, view);
      values.download(f.subspan(first * width, count * width));
    });
  }

  void parameter_gradient(std::span<const float> x, std::span<const float> weights,
                          std::span<float> gradient) const override {
    const Context::Scope scope(*context_);
    if (weights.empty()) {
      std::ranges::fill(gradient, 0.0f);
      return;
    }
    with_batch(x, weights, [&](BatchGradient& batch, const PassView& view) {
      batch.run(network_->view(), view, 1, context_->stream());
      batch.gradient().download(gradient);
    });
  }

  void parameter_gradient_chunks(std::span<const float> x, std::span<const float> weights,
                                 std::span<float> sums) const override {
    const Context::Scope scope(*context_);
    if (weights.empty()) return;
    with_batch(x, weights, [&](BatchGradient& batch, const PassView& view) {
      batch.run_chunks(network_->view(), view, sums, context_->stream());
    });
  }

  std::unique_ptr<ChainSet> chains(std::uint64_t seed, std::vector<std::uint64_t> ids, std::vector<std::uint64_t> steps,
                                   std::optional<GaussianBase> base) const override {
    return std::make_unique<CudaChainSet>(network_, mma_, seed, ids, steps, base);
  }

 private:
  // task(first, count) over n points, few enough at a time to bound the memory.
  template <class Task>
  void in_chunks(std::size_t n, const Task& task) const {
    const Context::Scope scope(*context_);
    const auto widest = static_cast<std::size_t>(std::max(network_->view().dim, network_->view().outputs));
    const std::size_t chunk = std::max<std::size_t>((std::size_t{1} << 26) / widest, 1);
    for (std::size_t first = 0; first < n; first += chunk) task(first, std::min(chunk, n - first));
  }
  template <class Task>
  void with_batch(std::span<const float> x, std::span<const float> weights, const Task& task) const {
    const DeviceArray<float> points(context_, x), factors(context_, weights);
    BatchGradient batch(*network_, 1, static_cast<std::int64_t>(weights.size()));
    PassView view{};
    view.n = static_cast<std::int64_t>(weights.size());
    view.x = points.data();
    view.weights = factors.data();
    task(batch, view);
  }
  void launch(const NetworkView& net, const EvaluateView& view) const {
    const OwnedPlan plan(*network_, {}, view.n);
    context_->check(launch_evaluate(plan.plan(), net, view, context_->stream()), "launching the energies");
  }

  std::shared_ptr<const Context> context_;
  Precision precision_;
  MlpShape shape_;
  std::shared_ptr<const Network> network_;
  std::shared_ptr<MmaNetwork> mma_;  // null: chains run in fp32
};

class CudaEngine final : public Engine {
 public:
  CudaEngine(int ordinal, Precision precision, void* stream)
      : context_(std::make_shared<Context>(ordinal, stream)), precision_(precision) {}
  std::string description() const override {
    return fmt::format("cuda:{} {}, {}", context_->ordinal(), context_->properties().name, name_of(precision_));
  }
  std::unique_ptr<EnergyFunction> load(const Mlp& model) const override {
    return std::make_unique<CudaEnergyFunction>(context_, model, precision_);
  }
  std::unique_ptr<TrainingPrimitives> training(TrainingPlan plan, TrainingState start, std::span<const float> data,
                                               std::span<const int> labels) const override {
    return make_recorded_training(context_, precision_, std::move(plan), std::move(start), data, labels);
  }

 private:
  std::shared_ptr<const Context> context_;
  Precision precision_;
};

}  // namespace

std::unique_ptr<Engine> make_cuda_engine(int ordinal, Precision precision, void* stream) {
  return std::make_unique<CudaEngine>(ordinal, precision, stream);
}

}  // namespace ebm
