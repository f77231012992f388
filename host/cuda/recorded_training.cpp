#include "host/cuda/recorded_training.hpp"

#include <algorithm>
#include <cmath>

#include "host/cuda/batch_gradient.hpp"
#include "host/cuda/graph.hpp"
#include "host/cuda/layered.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/network.hpp"
#include "host/cuda/shared_iteration.hpp"
#include "host/cuda/training_replicas.hpp"
#include "host/cuda/transition.hpp"
#include "kernels/training/iteration_kernels.hpp"

namespace ebm::cuda {
namespace {

constexpr std::int64_t kRing = 64;  // iterations per copy of statistics

ChainSource source_of(ChainStart start) {
  switch (start) {
    case ChainStart::persistent:
      return ChainSource::persistent;
    case ChainStart::data:
      return ChainSource::data;
    case ChainStart::fresh:
      return ChainSource::fresh;
  }
  return ChainSource::persistent;
}

DeviceClock clock_of(const TrainingState& state) {
  DeviceClock device{};
  device.clock.iteration = state.iteration;
  device.clock.step_size = state.step_size;
  return device;
}

class RecordedTraining final : public TrainingPrimitives {
 public:
  RecordedTraining(std::shared_ptr<const Context> context, Precision precision, TrainingPlan plan,
                   const TrainingState& start, std::span<const float> data, std::span<const int> labels,
                   std::shared_ptr<GpuRanks> ranks)
      : context_(std::move(context)),
        plan_(std::move(plan)),
        share_(share_of_batch(plan_, ranks.get()).rows),
        rows_(static_cast<std::int64_t>(share_.count)),
        n_data_(static_cast<std::int64_t>(data.size()) / plan_.shape.dim),
        parameters_(context_, std::span<const float>(start.parameters)),
        network_(context_, plan_.shape, parameters_.data()),
        mma_(MmaNetwork::make(network_, plan_.shape, precision, parameters_.data())),
        transition_(context_, plan_.transition),
        data_(context_, data),
        labels_(context_, labels),
        width_(context_, std::span<const float>(plan_.dequantize)),
        adam_m_(context_, std::span<const float>(start.adam_m)),
        adam_v_(context_, std::span<const float>(start.adam_v)),
        ema_(context_, std::span<const float>(start.ema)),
        buffer_x_(context_, std::span<const float>(start.buffer_x)),
        buffer_steps_(context_, std::span<const std::uint64_t>(start.buffer_steps)),
        batch_x_(context_, static_cast<std::size_t>(2 * rows_ * plan_.shape.dim)),
        batch_labels_(context_, labels.empty() ? 0 : share_.count),
        energy_(context_, static_cast<std::size_t>(2 * rows_)),
        cross_entropy_(context_, batch_labels_.size()),
        gradient_(network_, 2, rows_),
        squares_(context_, norm_blocks(network_.view().parameters)),
        ring_(context_, kRing),
        records_{PinnedArray<IterationRecord>(context_, kRing), PinnedArray<IterationRecord>(context_, kRing)},
        copied_{Event(context_), Event(context_)},
        iteration_(start.iteration) {
    const DeviceClock clock = clock_of(start);
    clock_ = DeviceArray<DeviceClock>(context_, std::span<const DeviceClock>(&clock, 1));
    const bool tempered = !plan_.inverse_temperatures.empty();
    if (mma_ != nullptr && !mma_->serves(plan_.transition.kind, tempered)) mma_.reset();
    if (mma_ != nullptr) mma_->prepare(step_view(), tempered);  // a capture cannot hold a compilation
    auto layered = mma_ == nullptr ? choose_layered(network_).network : nullptr;
    if (tempered || layered != nullptr) {
      replicas_.emplace(context_, network_, plan_, rows_, std::move(layered));
    } else {
      chains_plan_.emplace(network_, TileNeeds{.rows = rows_of(plan_.transition.kind)}, rows_);
    }
    if (ranks != nullptr) {
      shared_.emplace(context_, std::move(ranks), plan_, !labels.empty(), network_.view().parameters);
    }
  }

  // ------------------------------------------------------------------------------------------- parts of an iteration

  // A rank may have no row of a small batch: then there is nothing to launch.

  void gather_data() override {
    if (rows_ == 0) return;
    GatherView view{};
    view.clock = clock();
    view.n_data = n_data_;
    view.batch = rows_;
    view.first = static_cast<std::int64_t>(share_.first);
    view.batch_rows = plan_.batch_size;
    view.dim = plan_.shape.dim;
    view.data = data_.data();
    view.labels = labels_.data();
    view.width = width_.data();
    view.data_noise = plan_.data_noise;
    view.seed = plan_.seed;
    view.batch_x = batch_x_.data();
    view.batch_labels = batch_labels_.data();
    context_->check(launch_gather(view, recording_), "launching the data batch");
  }

  void run_chains() override {
    if (rows_ == 0) return;
    ChainCounts* const counts = &clock_.data()->counts;
    if (replicas_) {
      replicas_->run(chains_view(), step_view(), mma_.get(), counts, recording_);
    } else if (mma_ != nullptr) {
      mma_->launch(chains_view(), step_view(), plan_.n_steps, counts, recording_);
    } else {
      context_->check(launch_chains(chains_plan_->plan(), network_.view(), chains_view(), step_view(), plan_.n_steps,
                                    counts, recording_),
                      "launching the chains");
    }
  }

  void differentiate(const BatchLoss& loss) override {
    if (rows_ == 0) return;
    PassView view{};
    view.n = 2 * rows_;
    view.x = batch_x_.data();
    view.batch = rows_;
    view.loss = loss;
    view.labels = batch_labels_.data();
    view.energy = energy_.data();
    view.cross_entropy = cross_entropy_.data();
    view.stopped = &clock()->stopped;
    if (shared_) {
      gradient_.run_nodes(network_.view(), view, 2, shared_->nodes(), shared_->node_sums(), recording_);
    } else {
      gradient_.run(network_.view(), view, 2, recording_);
    }
  }

  void conclude(const StepRules& rules) override {
    if (shared_) shared_->exchange(own_memory(), rules.learns, recording_);
    ConcludeView view{};
    view.device = clock_.data();
    view.rules = rules;
    view.batch = plan_.batch_size;
    view.energy = shared_ ? shared_->energy() : energy_.data();
    view.cross_entropy = shared_ ? shared_->cross_entropy() : cross_entropy_.data();
    view.gradient = gradient_.gradient().data();
    view.parameters = network_.view().parameters;
    view.squares = squares_.data();
    view.ring = ring_.data();
    view.ring_size = kRing;
    context_->check(launch_conclude(view, recording_), "launching the iteration's conclusion");
  }

  void update_parameters() override {
    UpdateView update{};
    update.clock = clock();
    update.net = network_.view();
    update.gradient = gradient_.gradient().data();
    update.parameters = parameters_.data();
    update.adam_m = adam_m_.data();
    update.adam_v = adam_v_.data();
    update.ema = ema_.data();
    update.image = network_.image();
    context_->check(launch_update(update, recording_), "launching the parameter update");
    if (mma_ != nullptr) mma_->fill(parameters_.data(), &clock()->stopped, recording_);
  }

  // ------------------------------------------------------------------------------------------------------------- runs

  void record(std::function<void()> iteration) override {
    const Context::Scope scope(*context_);
    graph_.emplace(context_, [&](cudaStream_t stream) {
      recording_ = stream;
      iteration();
    });
  }

  std::vector<IterationStats> run(std::int64_t n) override {
    const Context::Scope scope(*context_);
    const std::int64_t first = iteration();
    unsure_ = true;  // until all that is queued is known to be
    std::vector<IterationStats> stats;
    stats.reserve(static_cast<std::size_t>(n));
    // One stretch of iterations is always queued ahead of the one whose records are read.
    std::int64_t queued = 0, read = 0;
    while (read < n) {
      for (; queued < n && queued < read + 2 * kRing; queued += stretch(queued, n)) queue_stretch(queued, n);
      if (!read_stretch(first, read, n, &stats)) break;
      read += stretch(read, n);
    }
    // Where the run has stopped more is queued, which no call of CUDA must wait for.
    if (shared_ && queued > static_cast<std::int64_t>(stats.size())) {
      copied_[0].record();
      shared_->wait(copied_[0]);
    }
    iteration_ = first + static_cast<std::int64_t>(stats.size());
    if (!stats.empty() && !std::isfinite(stats.back().gradient_norm)) --iteration_;
    unsure_ = false;
    return stats;
  }
  std::int64_t iteration() const override {
    if (unsure_) {
      const Context::Scope scope(*context_);
      DeviceClock device{};
      clock_.download({&device, 1});
      iteration_ = device.clock.iteration;
      unsure_ = false;
    }
    return iteration_;
  }

  TrainingState state() const override {
    const Context::Scope scope(*context_);
    TrainingState state;
    DeviceClock device{};
    clock_.download({&device, 1});
    state.iteration = device.clock.iteration;
    state.step_size = device.clock.step_size;
    state.parameters = parameters_.to_host();
    state.adam_m = adam_m_.to_host();
    state.adam_v = adam_v_.to_host();
    state.ema = ema_.to_host();
    state.buffer_x = buffer_x_.to_host();
    state.buffer_steps = buffer_steps_.to_host();
    return state;
  }

 private:
  // Iterations in the stretch that begins at the i-th of n.
  static std::int64_t stretch(std::int64_t i, std::int64_t n) { return std::min(kRing, n - i); }

  void queue_stretch(std::int64_t begin, std::int64_t n) {
    const auto slot = static_cast<std::size_t>(begin / kRing % 2);
    for (std::int64_t i = 0; i < stretch(begin, n); ++i) graph_->launch();
    context_->check(cudaMemcpyAsync(records_[slot].data(), ring_.data(), kRing * sizeof(IterationRecord),
                                    cudaMemcpyDeviceToHost, context_->stream()),
                    "copying statistics");
    copied_[slot].record();
  }

  // False when the run has stopped in this stretch.
  bool read_stretch(std::int64_t first, std::int64_t begin, std::int64_t n, std::vector<IterationStats>* stats) {
    const auto slot = static_cast<std::size_t>(begin / kRing % 2);
    shared_ ? shared_->wait(copied_[slot]) : copied_[slot].wait();
    for (std::int64_t i = begin; i < begin + stretch(begin, n); ++i) {
      const IterationRecord& record = records_[slot][static_cast<std::size_t>((first + i) % kRing)];
      IterationStats s;
      static_cast<IterationReport&>(s) = record.report;
      s.chains = to_stats(record.chains, static_cast<std::uint64_t>(plan_.batch_size * plan_.replicas() *
                                                                    plan_.n_steps * plan_.transition.evaluations));
      stats->push_back(s);
      if (!std::isfinite(s.gradient_norm)) return false;
    }
    return true;
  }

  TrainingClock* clock() { return &clock_.data()->clock; }

  ChainsView chains_view() {
    ChainsView view{};
    view.source = source_of(plan_.chain_start);
    view.n = rows_;
    view.first = static_cast<std::int64_t>(share_.first);
    view.batch_rows = plan_.batch_size;
    view.x = buffer_x_.data();
    view.steps = buffer_steps_.data();
    view.seed = plan_.seed;
    view.iteration = &clock()->iteration;
    view.stopped = &clock()->stopped;
    view.capacity = static_cast<std::uint64_t>(plan_.buffer_capacity);
    view.reinit_prob = plan_.reinit_prob;
    view.batch = batch_x_.data();
    return view;
  }

  SharedIteration::Memory own_memory() {
    return {clock_.data(),    energy_.data(),       cross_entropy_.data(),
            buffer_x_.data(), buffer_steps_.data(), gradient_.gradient().data()};
  }

  StepView step_view() {
    StepView view = transition_.view();
    view.adapted_step_size = &clock()->step_size;
    view.difference_prob = plan_.transition.difference_prob;
    view.data = data_.data();
    view.n_data = static_cast<std::uint64_t>(n_data_);
    return view;
  }

  std::shared_ptr<const Context> context_;
  TrainingPlan plan_;
  Share share_;  // of the batch's rows, this rank's: what follows of a batch is of these
  std::int64_t rows_;
  std::int64_t n_data_;
  DeviceArray<float> parameters_;
  Network network_;
  std::shared_ptr<MmaNetwork> mma_;  // null: chains run in fp32
  DeviceTransition transition_;
  DeviceArray<float> data_;
  DeviceArray<int> labels_;
  DeviceArray<float> width_, adam_m_, adam_v_, ema_, buffer_x_;
  DeviceArray<std::uint64_t> buffer_steps_;
  DeviceArray<float> batch_x_;
  DeviceArray<int> batch_labels_;
  DeviceArray<float> energy_, cross_entropy_;
  DeviceArray<DeviceClock> clock_;
  // One or the other:
  std::optional<OwnedPlan> chains_plan_;
  std::optional<TrainingReplicas> replicas_;
  BatchGradient gradient_;
  std::optional<SharedIteration> shared_;  // with other ranks
  DeviceArray<double> squares_;
  DeviceArray<IterationRecord> ring_;
  PinnedArray<IterationRecord> records_[2];
  Event copied_[2];
  std::optional<Graph> graph_;
  cudaStream_t recording_ = nullptr;  // where the parts of the iteration go while it is captured
  mutable std::int64_t iteration_;    // done, as far as the host knows, which
  mutable bool unsure_ = false;       // after a failure is not all
};

}  // namespace

std::unique_ptr<TrainingPrimitives> make_recorded_training(std::shared_ptr<const Context> context, Precision precision,
                                                           TrainingPlan plan, TrainingState start,
                                                           std::span<const float> data, std::span<const int> labels,
                                                           std::shared_ptr<GpuRanks> ranks) {
  check_half_range(plan.shape, start.parameters, precision);
  const Context::Scope scope(*context);
  return std::make_unique<RecordedTraining>(context, precision, std::move(plan), start, data, labels, std::move(ranks));
}

}  // namespace ebm::cuda
