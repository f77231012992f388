// The CUDA engine behind host/engine/engine.hpp: a Context per engine, everything of one network on its stream.
#include "host/engine/engine.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "host/core/check.hpp"
#include "host/cuda/batch_gradient.hpp"
#include "host/cuda/devices.hpp"
#include "host/cuda/launch_pace.hpp"
#include "host/cuda/layered.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/network.hpp"
#include "host/cuda/recorded_training.hpp"
#include "host/cuda/transition.hpp"
#include "kernels/chains/chains.hpp"
#include "kernels/chains/replica_swap.hpp"
#include "kernels/energy/evaluate.hpp"

namespace ebm::cuda {
namespace {

class CudaChainSet final : public ChainSet {
 public:
  CudaChainSet(std::shared_ptr<const Network> network, std::shared_ptr<MmaNetwork> mma,
               std::shared_ptr<const LayeredNetwork> layered, std::uint64_t seed, std::span<const std::uint64_t> ids,
               std::span<const std::uint64_t> steps, const std::optional<GaussianBase>& base,
               std::span<const float> inverse_temperatures)
      : network_(std::move(network)),
        mma_(base ? nullptr : std::move(mma)),  // annealed chains run in fp32
        layered_(std::move(layered)),
        context_(network_->context()),
        scope_(std::in_place, *context_),
        seed_(seed),
        n_(static_cast<std::int64_t>(ids.size())),
        x_(context_, ids.size() * static_cast<std::size_t>(network_->view().dim)),
        ids_(context_, ids),
        steps_(context_, steps),
        restarted_(context_, ids.size()),
        counts_(context_, 1),
        beta_(context_, inverse_temperatures),
        from_hot_(context_, inverse_temperatures.size()) {
    restarted_.fill_zero();
    counts_.fill_zero();
    from_hot_.fill_zero();
    // A path to the base weighs E and E0 anew at every piece, and replicas swap E, so they are kept from piece to
    // piece.
    if (base || !inverse_temperatures.empty()) kept_.emplace(context_, ids.size(), x_.size());
    if (base) base_.emplace(context_, *base, network_->view().dim);
    scope_.reset();
  }

  void set_positions(std::span<const float> x) override {
    const Context::Scope scope(*context_);
    x_.upload(x);
    known_ = false;
  }
  void positions(std::span<float> x) const override {
    const Context::Scope scope(*context_);
    x_.download(x);
  }
  void start_uniform(const Transition& transition) override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    const DeviceTransition step(context_, transition);
    context_->check(launch_uniform_start(chains(), step.view(), network_->view().dim, context_->stream()),
                    "launching the uniform start");
    context_->synchronize();
    known_ = false;
  }
  void fix(std::span<const std::uint8_t> fixed) override {
    const Context::Scope scope(*context_);
    const auto dim = static_cast<std::size_t>(network_->view().dim);
    const auto words = static_cast<std::size_t>(fixed_words(network_->view().dim));
    std::vector<std::uint32_t> bits(static_cast<std::size_t>(n_) * words);
    for (std::size_t i = 0; i < fixed.size(); ++i) {
      if (fixed[i] != 0) bits[i / dim * words + i % dim / 32] |= std::uint32_t{1} << (i % dim % 32);
    }
    fixed_ = DeviceArray<std::uint32_t>(context_, bits);
    context_->synchronize();
  }

  void run(const Transition& transition, std::int64_t n, float beta) override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    // A box goes to the device when it is new, and the host waits for that copy alone.
    if (!step_ || transition != transition_) {
      step_.emplace(context_, transition);
      transition_ = transition;
    }
    StepView view = step_->view();
    view.beta = beta;
    if (base_) base_->apply(&view);
    if (layered_ != nullptr && !served_by_mma(view.kind)) {
      // Its launches are an evaluation's parts, none of which takes long.
      layered().run(chains(), view, n, counts_.data(), context_->stream());
      launched(view, n);
      gradient_kept_ = known_;
      return;
    }
    if (!timer_) {
      const LaunchPace pace(n_,
                            guess_of_evaluation(n_, network_->view().parameters, network_->limits().multiprocessors));
      timer_.emplace(context_, pace);
    }
    std::int64_t done = 0;
    do {
      const std::int64_t part = timer_->next(n - done, transition.evaluations);
      launch(view, part);
      done += part;
    } while (done < n);
  }
  ChainStats stats() const override {
    const Context::Scope scope(*context_);
    ChainCounts counts{};
    counts_.download({&counts, 1});
    return to_stats(counts, static_cast<std::uint64_t>(n_) * (advanced_ - cleared_));
  }
  void clear_stats() override {
    const Context::Scope scope(*context_);
    counts_.fill_zero();
    cleared_ = advanced_;
  }

  void energies(std::span<float> energy, std::span<float> base_energy) const override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    if (known_) {
      kept_->energy.download(energy);
      kept_->base_energy.download(base_energy);
      return;
    }
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
    if (layered_ != nullptr) {
      layered().evaluate(view, network_->view().half_confinement, context_->stream());
    } else {
      const OwnedPlan plan(*network_, {.base = base_.has_value()}, n_);
      context_->check(launch_evaluate(plan.plan(), network_->view(), view, context_->stream()),
                      "launching the energies");
    }
    values.download(energy);
    base_values.download(base_energy);
  }

  void swap_replicas(int replicas, std::int64_t evaluations, std::uint64_t period) override {
    const Context::Scope scope(*context_);
    if (n_ == 0) return;
    const std::size_t counts = 2 * static_cast<std::size_t>(replicas) - 1;
    if (swap_counts_.size() != counts) {
      DeviceArray<unsigned long long> zeros(context_, counts);
      zeros.fill_zero();
      swap_counts_ = std::move(zeros);
    }
    ReplicaView view{};
    view.n_chains = n_ / replicas;
    view.replicas = replicas;
    view.dim = network_->view().dim;
    view.evaluations = evaluations;
    view.period = period;
    view.seed = seed_;
    view.ids = ids_.data();
    view.steps = steps_.data();
    view.beta = beta_.data();
    view.x = x_.data();
    view.energy = kept_->energy.data();
    view.gradient = gradient_kept_ ? kept_->gradient.data() : nullptr;
    view.from_hot = from_hot_.data();
    view.counts = swap_counts_.data();
    view.total = counts_.data()->swaps;
    context_->check(launch_swap_replicas(view, context_->stream()), "launching the swaps of replicas");
  }
  ReplicaStats replica_stats() const override {
    const Context::Scope scope(*context_);
    ReplicaStats stats;
    if (swap_counts_.size() == 0) return stats;
    const std::vector<unsigned long long> counts = swap_counts_.to_host();
    stats.round_trips = counts[0];
    for (std::size_t i = 1; i < counts.size(); i += 2) stats.swaps.push_back({counts[i], counts[i + 1]});
    return stats;
  }

  void forget() override { known_ = false; }
  float* device_positions() override { return x_.data(); }
  void restarted(std::span<std::uint8_t> flags) const override {
    const Context::Scope scope(*context_);
    restarted_.download(flags);
  }
  std::vector<std::uint64_t> steps() const override {
    const Context::Scope scope(*context_);
    return steps_.to_host();
  }
  std::uint64_t advanced() const override { return advanced_; }

 private:
  // E, E0 and their gradients at the current positions, on the device.
  struct Kept {
    Kept(const std::shared_ptr<const Context>& context, std::size_t chains, std::size_t values)
        : energy(context, chains),
          base_energy(context, chains),
          gradient(context, values),
          base_gradient(context, values) {}
    DeviceArray<float> energy, base_energy, gradient, base_gradient;
  };

  void launch(const StepView& step, std::int64_t n) {
    const ChainsView view = chains();
    const bool tempered = view.beta != nullptr, fixes = view.fixed != nullptr;
    if (served_by_mma(step.kind)) {
      mma_->prepare(step, tempered, fixes);  // before the clock runs: it may compile
      timer_->start();
      mma_->launch(view, step, n, counts_.data(), context_->stream());
      launched(step, n);
      gradient_kept_ = false;  // these kernels look again where they begin
      timer_->stop(n * step.evaluations);
      return;
    }
    const TilePlan& plan = plan_for(rows_of(step.kind));
    timer_->start();
    context_->check(launch_chains(plan, network_->view(), view, step, n, counts_.data(), context_->stream()),
                    "launching the chains");
    launched(step, n);
    gradient_kept_ = kept_.has_value();
    timer_->stop(n * step.evaluations);
  }

  // Before anything else can fail: the device will make these n transitions.
  void launched(const StepView& step, std::int64_t n) {
    known_ = kept_.has_value() && is_metropolis(step.kind);
    advanced_ += static_cast<std::uint64_t>(n * step.evaluations);
  }

  bool served_by_mma(SamplerKind kind) const {
    return mma_ != nullptr && mma_->serves(kind, beta_.size() > 0, fixed_.size() > 0);
  }
  LayeredWork& layered() const {
    if (!layered_work_) layered_work_.emplace(layered_, base_.has_value());
    return *layered_work_;
  }

  // The last one is kept: most sets run one sampler.
  const TilePlan& plan_for(int rows) {
    if (!plan_ || rows != plan_rows_) {
      plan_.emplace(*network_, TileNeeds{.rows = rows, .base = base_.has_value(), .keeps = kept_.has_value()}, n_);
      plan_rows_ = rows;
    }
    return plan_->plan();
  }

  ChainsView chains() {
    ChainsView view{};
    view.source = ChainSource::set;
    view.n = n_;
    view.x = x_.data();
    view.steps = steps_.data();
    view.ids = ids_.data();
    view.restarted = restarted_.data();
    view.seed = seed_;
    if (kept_) {
      view.known = known_;
      view.energy = kept_->energy.data();
      view.base_energy = kept_->base_energy.data();
      view.gradient = kept_->gradient.data();
      view.base_gradient = kept_->base_gradient.data();
    }
    if (beta_.size() > 0) view.beta = beta_.data();
    if (fixed_.size() > 0) view.fixed = fixed_.data();
    return view;
  }

  std::shared_ptr<const Network> network_;
  std::shared_ptr<MmaNetwork> mma_;                // null: fp32
  std::shared_ptr<const LayeredNetwork> layered_;  // null: what mma_ does not serve runs in the fused kernel
  std::shared_ptr<const Context> context_;
  std::optional<Context::Scope> scope_;  // during construction only
  std::uint64_t seed_;
  std::int64_t n_;
  DeviceArray<float> x_;
  DeviceArray<std::uint64_t> ids_, steps_;
  DeviceArray<std::uint8_t> restarted_;
  DeviceArray<std::uint32_t> fixed_;  // with fixed coordinates: ChainsView's
  DeviceArray<ChainCounts> counts_;   // of every run since they were cleared,
  std::uint64_t cleared_ = 0;         // when advanced_ was this
  std::uint64_t advanced_ = 0;        // of every chain's step number, since the set was made
  Transition transition_;             // what step_ was made of
  std::optional<DeviceTransition> step_;
  std::optional<LaunchTimer> timer_;
  mutable std::optional<LayeredWork> layered_work_;
  std::optional<OwnedPlan> plan_;
  int plan_rows_ = 0;
  std::optional<DeviceBase> base_;
  std::optional<Kept> kept_;
  bool known_ = false;  // whether `kept_` is up to date
  // With inverse temperatures:
  DeviceArray<float> beta_;
  DeviceArray<std::uint8_t> from_hot_;  // 1: the state was in the last replica since it was in the first
  DeviceArray<unsigned long long> swap_counts_;
  bool gradient_kept_ = false;
};

class CudaEnergyFunction final : public EnergyFunction, private DeviceQueue {
 public:
  CudaEnergyFunction(std::shared_ptr<const Context> context, const Mlp& model, Precision precision)
      : context_(std::move(context)), precision_(precision), shape_(model.shape()) {
    check_half_range(model.shape(), model.parameters(), precision);
    const Context::Scope scope(*context_);
    const DeviceArray<float> parameters(context_, model.parameters());
    network_ = std::make_shared<Network>(context_, model.shape(), parameters.data());
    mma_ = MmaNetwork::make(*network_, model.shape(), precision, parameters.data());
    layered_ = choose_layered(*network_);
    context_->synchronize();
  }

  std::string path() const override {
    if (mma_ != nullptr) return mma_->describe();
    std::string fp32 = layered_.network != nullptr ? layered_.network->describe() : fused();
    std::vector<std::string> why;
    if (precision_ != Precision::fp32) why.push_back(why_no_mma(shape_, precision_));
    if (!layered_.why_not.empty()) why.push_back(layered_.why_not);
    return why.empty() ? fp32 : fmt::format("{} ({})", fp32, fmt::join(why, "; "));
  }

  void set_parameters(std::span<const float> parameters) override {
    check_half_range(shape_, parameters, precision_);
    const Context::Scope scope(*context_);
    const DeviceArray<float> values(context_, parameters);
    network_->fill(values.data());
    if (mma_ != nullptr) mma_->fill(values.data(), nullptr, context_->stream());
  }

  void evaluate(std::span<const float> x, std::span<float> energy, std::span<float> gradient) const override {
    in_chunks(energy.size(), [&](std::size_t first, std::size_t count) {
      const auto dim = static_cast<std::size_t>(network_->view().dim);
      float* const points = points_.upload(context_, x.subspan(first * dim, count * dim));
      float* const energies = values_.of(context_, count);
      float* const gradients = gradient.empty() ? nullptr : gradients_.of(context_, count * dim);
      queue_evaluate(points, static_cast<std::int64_t>(count), energies, gradients);
      values_.download(energy.subspan(first, count));
      if (!gradient.empty()) gradients_.download(gradient.subspan(first * dim, count * dim));
    });
  }

  void outputs(std::span<const float> x, std::span<float> f) const override {
    const auto dim = static_cast<std::size_t>(network_->view().dim);
    const auto width = static_cast<std::size_t>(network_->view().outputs);
    in_chunks(f.size() / width, [&](std::size_t first, std::size_t count) {
      float* const points = points_.upload(context_, x.subspan(first * dim, count * dim));
      queue_outputs(points, static_cast<std::int64_t>(count), values_.of(context_, count * width));
      values_.download(f.subspan(first * width, count * width));
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
                                   std::optional<GaussianBase> base,
                                   std::vector<float> inverse_temperatures) const override {
    return std::make_unique<CudaChainSet>(network_, mma_, layered_.network, seed, ids, steps, base,
                                          inverse_temperatures);
  }

 private:
  // Memory that is kept from call to call and grows to what the largest of them needs.
  class KeptArray {
   public:
    float* of(const std::shared_ptr<const Context>& context, std::size_t size) {
      if (array_.size() < size) {
        array_ = {};
        array_ = DeviceArray<float>(context, size);
      }
      return array_.data();
    }
    float* upload(const std::shared_ptr<const Context>& context, std::span<const float> values) {
      float* const data = of(context, values.size());
      array_.upload(values);
      return data;
    }
    void download(std::span<float> values) const { array_.download(values); }

   private:
    DeviceArray<float> array_;
  };

  std::string fused() const {
    const TileLayout layout = tile_layout(network_->view(), {.rows = MalaTraits::kRows});
    constexpr std::int64_t kMany = 1 << 30;
    return describe(choose_policy(network_->view(), layout, network_->limits(), kMany));
  }

  const DeviceQueue* queue() const override { return this; }
  void follow(void* stream) const override {
    const Context::Scope scope(*context_);
    context_->order(static_cast<cudaStream_t>(stream), context_->stream());
  }
  void precede(void* stream) const override {
    const Context::Scope scope(*context_);
    context_->order(context_->stream(), static_cast<cudaStream_t>(stream));
  }
  void wait() const override {
    const Context::Scope scope(*context_);
    context_->synchronize();
  }
  void queue_evaluate(const float* x, std::int64_t n, float* energy, float* gradient) const override {
    EvaluateView view{};
    view.n = n;
    view.x = x;
    view.energy = energy;
    view.gradient = gradient;
    launch(network_->view(), view);
  }
  void queue_outputs(const float* x, std::int64_t n, float* f) const override {
    NetworkView net = network_->view();
    net.half_confinement = 0.0f;  // a scalar head's E is then f itself
    EvaluateView view{};
    view.n = n;
    view.x = x;
    (net.logits ? view.outputs : view.energy) = f;
    launch(net, view);
  }

  // task(first, count) over n points, few enough at a time to bound the memory.
  template <class Task>
  void in_chunks(std::size_t n, const Task& task) const {
    const Context::Scope scope(*context_);
    const auto widest = static_cast<std::size_t>(std::max(network_->view().dim, network_->view().outputs));
    const std::size_t chunk = std::max<std::size_t>((std::size_t{1} << 24) / widest, 1);
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
    if (view.n == 0) return;
    const Context::Scope scope(*context_);
    if (layered_.network != nullptr) {
      if (!layered_work_) layered_work_.emplace(layered_.network, false);
      layered_work_->evaluate(view, net.half_confinement, context_->stream());
      return;
    }
    if (!plan_ || planned_ != view.n) {
      plan_.emplace(*network_, TileNeeds{}, view.n);
      planned_ = view.n;
    }
    context_->check(launch_evaluate(plan_->plan(), net, view, context_->stream()), "launching the energies");
  }

  std::shared_ptr<const Context> context_;
  Precision precision_;
  MlpShape shape_;
  std::shared_ptr<Network> network_;
  std::shared_ptr<MmaNetwork> mma_;  // null: chains run in fp32
  LayeredChoice layered_;            // its network null: fp32 is the fused kernel's
  mutable std::optional<LayeredWork> layered_work_;
  mutable KeptArray points_, values_, gradients_;
  mutable std::optional<OwnedPlan> plan_;  // for planned_ points
  mutable std::int64_t planned_ = 0;
};

class CudaEngine final : public Engine {
 public:
  CudaEngine(int ordinal, Precision precision, void* stream, Communicator ranks)
      : context_(std::make_shared<Context>(ordinal, stream)), precision_(precision), ranks_(std::move(ranks)) {}
  std::string description() const override {
    return fmt::format("cuda:{} {}, {}", context_->ordinal(), context_->properties().name, name_of(precision_));
  }
  std::string arithmetic() const override {
    const cudaDeviceProp& device = context_->properties();
    return fmt::format("cuda {}, compute capability {}.{}, {}", device.name, device.major, device.minor,
                       name_of(precision_));
  }
  std::unique_ptr<EnergyFunction> load(const Mlp& model) const override {
    return std::make_unique<CudaEnergyFunction>(context_, model, precision_);
  }
  std::unique_ptr<TrainingPrimitives> training(TrainingPlan plan, TrainingState start, std::span<const float> data,
                                               std::span<const int> labels) const override {
    if (ranks_.size() > 1 && gpu_ranks_ == nullptr) gpu_ranks_ = std::make_shared<GpuRanks>(context_, ranks_);
    return make_recorded_training(context_, precision_, std::move(plan), std::move(start), data, labels, gpu_ranks_);
  }

 private:
  std::shared_ptr<const Context> context_;
  Precision precision_;
  Communicator ranks_;
  mutable std::shared_ptr<GpuRanks> gpu_ranks_;  // once something is trained over several
};

}  // namespace

std::unique_ptr<Engine> make_engine(int ordinal, Precision precision, void* stream, Communicator ranks) {
  if (ranks.size() > 1) require_own_gpus(ranks, ordinal);
  return std::make_unique<CudaEngine>(ordinal, precision, stream, std::move(ranks));
}

}  // namespace ebm::cuda
