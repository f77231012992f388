#include "host/cuda/training.hpp"

#include <algorithm>
#include <cmath>

#include "host/cuda/batch_gradient.hpp"
#include "host/cuda/graph.hpp"
#include "host/cuda/mma.hpp"
#include "host/cuda/network.hpp"
#include "host/cuda/transition.hpp"
#include "kernels/training/training.hpp"

namespace ebm {
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

TrainingClock clock_of(const TrainingState& state) {
  TrainingClock clock{};
  clock.iteration = state.iteration;
  clock.step_size = state.step_size;
  return clock;
}

class CudaTrainingSession final : public TrainingSession {
 public:
  CudaTrainingSession(std::shared_ptr<const Context> context, Precision precision, TrainingPlan plan,
                      const TrainingState& start, std::span<const float> data, std::span<const int> labels)
      : context_(std::move(context)),
        plan_(std::move(plan)),
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
        batch_x_(context_, static_cast<std::size_t>(2 * plan_.batch_size * plan_.shape.dim)),
        batch_labels_(context_, labels.empty() ? 0 : static_cast<std::size_t>(plan_.batch_size)),
        energy_(context_, static_cast<std::size_t>(2 * plan_.batch_size)),
        cross_entropy_(context_, batch_labels_.size()),
        chains_plan_(network_, {.proposal = plan_.transition.kind == SamplerKind::mala}, plan_.batch_size),
        gradient_(network_, 2, plan_.batch_size),
        ring_(context_, kRing),
        records_{PinnedArray<IterationRecord>(context_, kRing), PinnedArray<IterationRecord>(context_, kRing)},
        copied_{Event(context_), Event(context_)},
        iteration_(start.iteration) {
    const TrainingClock clock = clock_of(start);
    clock_ = DeviceArray<TrainingClock>(context_, std::span<const TrainingClock>(&clock, 1));
    if (mma_ != nullptr && !mma_->serves(plan_.transition.kind == SamplerKind::mala)) mma_.reset();
    if (mma_ != nullptr) mma_->prepare(step_view());  // a capture cannot hold a compilation
    graph_.emplace(context_, [this](cudaStream_t stream) { queue_iteration(stream); });
  }

  std::vector<IterationStats> run(std::int64_t n) override {
    const Context::Scope scope(*context_);
    std::vector<IterationStats> stats;
    stats.reserve(static_cast<std::size_t>(n));
    // One stretch of iterations is always queued ahead of the one whose records are read.
    std::int64_t queued = 0, read = 0;
    const std::int64_t first = iteration_;
    while (read < n) {
      for (; queued < n && queued < read + 2 * kRing; queued += stretch(queued, n)) queue_stretch(queued, n);
      if (!read_stretch(first, read, n, &stats)) break;
      read += stretch(read, n);
    }
    iteration_ = first + static_cast<std::int64_t>(stats.size());
    if (!stats.empty() && !std::isfinite(stats.back().gradient_norm)) --iteration_;
    return stats;
  }

  TrainingState state() const override {
    const Context::Scope scope(*context_);
    TrainingState state;
    TrainingClock clock{};
    clock_.download({&clock, 1});
    state.iteration = clock.iteration;
    state.step_size = clock.step_size;
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
    copied_[slot].wait();
    for (std::int64_t i = begin; i < begin + stretch(begin, n); ++i) {
      const IterationRecord& record = records_[slot][static_cast<std::size_t>((first + i) % kRing)];
      IterationStats s;
      s.iteration = record.iteration;
      s.energy_data = record.energy_data;
      s.energy_samples = record.energy_samples;
      s.gradient_norm = record.gradient_norm;
      s.cross_entropy = record.cross_entropy;
      s.step_size = record.step_size;
      s.chains = to_stats(record.chains, static_cast<std::uint64_t>(plan_.batch_size * plan_.n_steps));
      stats->push_back(s);
      if (!std::isfinite(s.gradient_norm)) return false;
    }
    return true;
  }

  void queue_iteration(cudaStream_t stream) {
    TrainingClock* const clock = clock_.data();
    context_->check(launch_gather(gather_view(), stream), "launching the data batch");
    if (mma_ != nullptr) {
      mma_->launch(chains_view(), step_view(), plan_.n_steps, &clock->counts, stream);
    } else {
      context_->check(launch_chains(chains_plan_.plan(), network_.view(), chains_view(), step_view(), plan_.n_steps,
                                    &clock->counts, stream),
                      "launching the chains");
    }
    gradient_.run(network_.view(), pass_view(), 2, stream);
    context_->check(launch_judge(judge_view(), stream), "launching the gradient's norm");
    UpdateView update{};
    update.clock = clock;
    update.net = network_.view();
    update.gradient = gradient_.gradient().data();
    update.parameters = parameters_.data();
    update.adam_m = adam_m_.data();
    update.adam_v = adam_v_.data();
    update.ema = ema_.data();
    update.image = network_.image();
    context_->check(launch_update(update, stream), "launching the parameter update");
    if (mma_ != nullptr) mma_->fill(parameters_.data(), &clock->stopped, stream);
  }

  GatherView gather_view() {
    GatherView view{};
    view.clock = clock_.data();
    view.n_data = n_data_;
    view.batch = plan_.batch_size;
    view.dim = plan_.shape.dim;
    view.data = data_.data();
    view.labels = labels_.data();
    view.width = width_.data();
    view.seed = plan_.seed;
    view.batch_x = batch_x_.data();
    view.batch_labels = batch_labels_.data();
    return view;
  }

  ChainsView chains_view() {
    ChainsView view{};
    view.source = source_of(plan_.chain_start);
    view.n = plan_.batch_size;
    view.x = buffer_x_.data();
    view.steps = buffer_steps_.data();
    view.seed = plan_.seed;
    view.iteration = &clock_.data()->iteration;
    view.stopped = &clock_.data()->stopped;
    view.capacity = static_cast<std::uint64_t>(plan_.buffer_capacity);
    view.reinit_prob = plan_.reinit_prob;
    view.batch = batch_x_.data();
    return view;
  }

  StepView step_view() {
    StepView view = transition_.view();
    view.adapted_step_size = &clock_.data()->step_size;
    view.difference_prob = plan_.transition.difference_prob;
    view.data = data_.data();
    view.n_data = static_cast<std::uint64_t>(n_data_);
    return view;
  }

  PassView pass_view() {
    PassView view{};
    view.n = 2 * plan_.batch_size;
    view.x = batch_x_.data();
    view.batch = plan_.batch_size;
    view.energy_factor = 2 * plan_.energy_reg / static_cast<float>(plan_.batch_size);
    view.labels = batch_labels_.data();
    view.energy = energy_.data();
    view.cross_entropy = cross_entropy_.data();
    view.stopped = &clock_.data()->stopped;
    return view;
  }

  JudgeView judge_view() {
    const Adam& adam = plan_.optimizer;
    JudgeView view{};
    view.clock = clock_.data();
    view.parameters = network_.view().parameters;
    view.gradient = gradient_.gradient().data();
    view.batch = plan_.batch_size;
    view.energy = energy_.data();
    view.cross_entropy = cross_entropy_.data();
    view.ring = ring_.data();
    view.ring_size = kRing;
    view.learning_rate = adam.learning_rate;
    view.beta1 = adam.beta1;
    view.beta2 = adam.beta2;
    view.epsilon = adam.epsilon;
    view.weight_decay = adam.weight_decay;
    view.grad_norm_clip = adam.grad_norm_clip;
    view.ema = plan_.ema;
    view.warmup = adam.warmup;
    view.iterations = plan_.iterations;
    view.decay = static_cast<int>(adam.decay);
    view.target_acceptance =
        plan_.target_acceptance && plan_.transition.kind == SamplerKind::mala ? *plan_.target_acceptance : -1.0f;
    return view;
  }

  std::shared_ptr<const Context> context_;
  TrainingPlan plan_;
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
  DeviceArray<TrainingClock> clock_;
  OwnedPlan chains_plan_;
  BatchGradient gradient_;
  DeviceArray<IterationRecord> ring_;
  PinnedArray<IterationRecord> records_[2];
  Event copied_[2];
  std::optional<Graph> graph_;
  std::int64_t iteration_;  // done, as far as the host knows
};

}  // namespace

std::unique_ptr<TrainingSession> make_cuda_training_session(std::shared_ptr<const Context> context, Precision precision,
                                                            TrainingPlan plan, TrainingState start,
                                                            std::span<const float> data, std::span<const int> labels) {
  check_half_range(plan.shape, start.parameters, precision);
  const Context::Scope scope(*context);
  return std::make_unique<CudaTrainingSession>(context, precision, std::move(plan), start, data, labels);
}

}  // namespace ebm
