#include "host/cpu/training_loops.hpp"

#include <algorithm>
#include <cmath>

#include "host/cpu/batch_gradient.hpp"
#include "host/cpu/chain_strips.hpp"
#include "host/cpu/shared_batch.hpp"
#include "host/engine/ladders.hpp"
#include "kernels/chains/replica_swap.hpp"
#include "kernels/math/normal.hpp"
#include "kernels/math/ordered_sum.hpp"
#include "kernels/training/batch_rows.hpp"

namespace ebm::cpu {
namespace {

// Every primitive is a parallel loop: over strips of data or chains, over rows of a layer (BatchGradient), over layers.
// Strips are of the rows of the batch that are this rank's (SharedBatch); parameters, moments and the buffer are the
// same on all ranks, which meet once an iteration, in conclude().
class TrainingLoops final : public TrainingPrimitives {
 public:
  TrainingLoops(TrainingPlan plan, TrainingState start, std::span<const float> data, std::span<const int> labels,
                std::shared_ptr<ThreadPool> pool, Communicator ranks)
      : plan_(std::move(plan)),
        state_(std::move(start)),
        data_(data.begin(), data.end()),
        labels_(labels.begin(), labels.end()),
        pool_(std::move(pool)),
        width_(strip_width()),
        dim_(static_cast<std::size_t>(plan_.shape.dim)),
        replicas_(static_cast<std::size_t>(plan_.replicas())),
        shared_(std::move(ranks), static_cast<std::size_t>(plan_.batch_size), state_.parameters.size(),
                plan_.chain_start == ChainStart::persistent ? replicas_ * dim_ : 0),
        rows_(shared_.rows().count),
        network_(plan_.shape, state_.parameters),
        scratch_(make_scratch(pool_->threads(), plan_.shape, tempered())),
        chains_(plan_.shape.dim, rows_ * replicas_, tempered()),
        batch_(plan_.shape, rows_, SharedBatch::kParts, *pool_),
        gradient_(state_.parameters.size()),
        strip_stats_(chains_.count()) {
    clock_.iteration = state_.iteration;
    clock_.step_size = state_.step_size;
    if (tempered()) chains_.set_inverse_temperatures(ladders(plan_, rows_));
  }

  // ------------------------------------------------------------------------------------------- parts of an iteration

  void gather_data() override {
    if (clock_.stopped != 0) return;
    pool_->run(batch_.strips_per_part(), [&](std::size_t s, int) { gather_strip(s); });
  }

  void run_chains() override {
    if (clock_.stopped != 0) return;
    StepParameters steps = step_parameters(plan_.transition, plan_.seed);
    steps.step_size = clock_.step_size;
    steps.difference_prob = plan_.transition.difference_prob;
    steps.data = data_.data();
    steps.n_data = data_.size() / dim_;
    const Permutation slots = drawn_slots();
    if (tempered()) {
      run_replicas(slots, steps);
      return;
    }
    pool_->run(chains_.count(), [&](std::size_t s, int thread) {
      const Scratch& scratch = scratch_[static_cast<std::size_t>(thread)];
      const std::uint64_t reinitialized = open_chains(s, slots, steps.start, scratch.points());
      strip_stats_[s] =
          run_strip(network_, plan_.transition.kind, steps, plan_.n_steps, chains_.strip(s), scratch.strip());
      strip_stats_[s].reinitialized = reinitialized;
      close_chains(s);
    });
  }

  void differentiate(const BatchLoss& loss) override {
    if (clock_.stopped != 0) return;
    batch_.set_loss(kData, loss.data);
    batch_.set_loss(kSamples, loss.samples);
    if (shared_.shared()) {
      batch_.run_nodes(network_, shared_.node_lengths(), shared_.node_sums());
    } else {
      batch_.run(network_, gradient_);
    }
  }

  void conclude(const StepRules& rules) override {
    if (clock_.stopped != 0) return;
    last_.chains = {};
    for (const ChainStats& s : strip_stats_) last_.chains += s;
    if (shared_.shared()) exchange(rules.learns);
    BatchSums sums;
    if (rules.learns) {
      sums.energy_data = sum(kEnergyData);
      sums.energy_samples = sum(kEnergySamples);
      if (!labels_.empty()) sums.cross_entropy = sum(kCrossEntropy);
      for (const float g : gradient_) sums.gradient_square += static_cast<double>(g) * static_cast<double>(g);
    }
    const MoveCount& own = last_.chains[Move::local];
    static_cast<IterationReport&>(last_) =
        ebm::conclude(rules, sums, plan_.batch_size, own.proposed, own.accepted, clock_);
  }

  void update_parameters() override {
    if (clock_.stopped != 0) return;
    const MlpShape& shape = plan_.shape;
    pool_->run(static_cast<std::size_t>(shape.layers()), [&](std::size_t l, int) {
      const int layer = static_cast<int>(l);
      const std::size_t weights = shape.weight_offset(layer), biases = shape.bias_offset(layer);
      update_range(true, weights, biases);
      update_range(false, biases, biases + static_cast<std::size_t>(shape.out(layer)));
    });
    network_.repack(state_.parameters);
  }

  // ------------------------------------------------------------------------------------------------------------- runs

  void record(std::function<void()> iteration) override { iteration_ = std::move(iteration); }

  std::vector<IterationStats> run(std::int64_t n) override {
    std::vector<IterationStats> stats;
    stats.reserve(static_cast<std::size_t>(n));
    for (std::int64_t i = 0; i < n; ++i) {
      iteration_();
      stats.push_back(last_);
      if (clock_.stopped != 0) break;
    }
    return stats;
  }

  std::int64_t iteration() const override { return clock_.iteration; }
  TrainingState state() const override {
    TrainingState state = state_;
    state.iteration = clock_.iteration;
    state.step_size = clock_.step_size;
    return state;
  }

 private:
  static constexpr std::size_t kData = 0, kSamples = 1;                                 // parts of the batch
  static constexpr std::size_t kEnergyData = 0, kEnergySamples = 1, kCrossEntropy = 2;  // sums over its rows

  bool persistent() const { return plan_.chain_start == ChainStart::persistent; }
  // By row of the whole batch.
  Permutation drawn_slots() const {
    if (!persistent()) return {};
    return slot_draw(plan_.seed, clock_.iteration, static_cast<std::uint64_t>(plan_.buffer_capacity));
  }
  // First strip of the samples in the batch.
  std::size_t samples() const { return batch_.strips_per_part(); }
  bool tempered() const { return !plan_.inverse_temperatures.empty(); }
  // Of lane `lane` of a strip of chains: which of this rank's chains it is or is a replica of, and which one.
  struct Place {
    std::size_t chain, replica;
  };
  Place place(std::size_t s, std::size_t lane) const {
    const std::size_t row = s * width_ + lane;
    return {row / replicas_, row % replicas_};
  }
  float* buffer_row(std::uint64_t slot, std::size_t replica) {
    const auto r = static_cast<std::int64_t>(replica);
    return state_.buffer_x.data() + static_cast<std::size_t>(slot_row(slot, plan_.replicas(), r)) * dim_;
  }
  // Of one of this rank's rows.
  std::uint64_t position(std::size_t row) const {
    return batch_position(clock_.iteration, plan_.batch_size, shared_.rows().first + row);
  }

  void gather_strip(std::size_t s) {
    DataOrder order(plan_.seed, data_.size() / dim_);
    float* const strip = batch_.x(s);
    for (std::size_t lane = 0; lane < std::min(width_, rows_ - s * width_); ++lane) {
      const std::uint64_t visit = position(s * width_ + lane);
      const auto row = static_cast<std::size_t>(order.row(visit));
      for (std::size_t d = 0; d < dim_; ++d) strip[d * width_ + lane] = data_[row * dim_ + d];
      if (!labels_.empty()) batch_.labels(s)[lane] = labels_[row];
      if (!plan_.dequantize.empty()) dequantize(visit, strip + lane);
      if (plan_.data_noise > 0) smooth(visit, strip + lane);
    }
  }

  void dequantize(std::uint64_t position, float* x) const {
    for (std::size_t d = 0; d < dim_; d += 4) {
      const PhiloxWords w = dequantization_words(plan_.seed, position, static_cast<std::uint32_t>(d / 4));
      const std::uint32_t words[4] = {w.r0, w.r1, w.r2, w.r3};
      for (std::size_t i = 0; i < std::min<std::size_t>(4, dim_ - d); ++i) {
        x[(d + i) * width_] += plan_.dequantize[d + i] * unit_float(words[i]);
      }
    }
  }

  void smooth(std::uint64_t position, float* x) const {
    for (std::size_t d = 0; d < dim_; d += 4) {
      const NormalBlock noise = normal_block(smoothing_words(plan_.seed, position, static_cast<std::uint32_t>(d / 4)));
      for (std::size_t i = 0; i < std::min<std::size_t>(4, dim_ - d); ++i) {
        x[(d + i) * width_] += plan_.data_noise * noise.n[i];
      }
    }
  }

  // Rounds of swaps fall between the same transitions for every slot: its chain has taken a whole number of iterations.
  void run_replicas(const Permutation& slots, const StepParameters& steps) {
    if (rows_ == 0) return;
    pool_->run(chains_.count(), [&](std::size_t s, int thread) {
      strip_stats_[s] = {};
      strip_stats_[s].reinitialized =
          open_chains(s, slots, steps.start, scratch_[static_cast<std::size_t>(thread)].points());
    });
    chains_.forget();
    const std::int64_t piece = transitions_between_swaps(plan_.n_steps, plan_.swap_every);
    ChainStats& stats = strip_stats_.front();
    for (std::int64_t done = 0; done < plan_.n_steps; done += piece) {
      stats += chains_.run(network_, plan_.transition.kind, steps, piece, scratch_, *pool_);
      stats.swaps += chains_.swap_replicas(plan_.seed, static_cast<int>(replicas_), plan_.transition.evaluations,
                                           swap_period(plan_.transition.evaluations, plan_.swap_every), *pool_);
    }
    pool_->run(chains_.count(), [&](std::size_t s, int) { close_chains(s); });
  }

  // Where the chains of strip s begin; returns how many slots start afresh. `fresh` [D][width] is working memory.
  std::uint64_t open_chains(std::size_t s, const Permutation& slots, const StartRegion& region, float* fresh) {
    const StripState state = chains_.strip(s);
    std::fill_n(state.restarted, width_, std::uint8_t{0});
    if (!persistent()) {
      for (std::size_t lane = 0; lane < width_; ++lane) {
        const auto [chain, replica] = place(s, lane);
        state.ids[lane] = replica_id(position(chain), replica);
        state.steps[lane] = 0;
      }
      if (plan_.chain_start == ChainStart::fresh) {
        uniform_start_strip(plan_.seed, plan_.shape.dim, region, state.ids, state.steps, state.x);
      } else if (replicas_ == 1) {
        std::copy_n(batch_.x(s), dim_ * width_, state.x);
      } else {
        for (std::size_t lane = 0; lane < state.valid; ++lane) {
          const std::size_t chain = place(s, lane).chain;
          copy_lane(batch_.x(chain / width_) + chain % width_, state.x + lane);
        }
      }
      return 0;
    }
    std::uint64_t reinitialized = 0;
    std::vector<std::size_t> afresh;
    for (std::size_t lane = 0; lane < state.valid; ++lane) {
      const auto [chain, replica] = place(s, lane);
      const std::uint64_t slot = slots(shared_.rows().first + chain);
      state.ids[lane] = replica_id(slot, replica);
      state.steps[lane] = state_.buffer_steps[slot];
      const float* const from = buffer_row(slot, replica);
      for (std::size_t d = 0; d < dim_; ++d) state.x[d * width_ + lane] = from[d];
      if (!starts_afresh(plan_.seed, slot, state.steps[lane], plan_.reinit_prob)) continue;
      afresh.push_back(lane);
      if (replica == 0) ++reinitialized;
    }
    if (afresh.empty()) return 0;
    uniform_start_strip(plan_.seed, plan_.shape.dim, region, state.ids, state.steps, fresh);
    for (const std::size_t lane : afresh) copy_lane(fresh + lane, state.x + lane);
    return reinitialized;
  }

  // Chains of strip s to the batch and back to their slots, which no other strip holds.
  void close_chains(std::size_t s) {
    const StripState state = chains_.strip(s);
    if (replicas_ == 1) {
      std::copy_n(state.x, dim_ * width_, batch_.x(samples() + s));
    } else {
      for (std::size_t lane = 0; lane < state.valid; ++lane) {
        const auto [chain, replica] = place(s, lane);
        if (replica == 0) copy_lane(state.x + lane, batch_.x(samples() + chain / width_) + chain % width_);
      }
    }
    if (!persistent()) return;
    for (std::size_t lane = 0; lane < state.valid; ++lane) {
      const std::size_t replica = place(s, lane).replica;
      const std::uint64_t slot = state.ids[lane] - replica_id(0, replica);
      if (replica == 0) state_.buffer_steps[slot] = state.steps[lane];
      float* const to = buffer_row(slot, replica);
      for (std::size_t d = 0; d < dim_; ++d) to[d] = state.x[d * width_ + lane];
    }
  }

  // D values, a strip's width apart.
  void copy_lane(const float* from, float* to) const {
    for (std::size_t d = 0; d < dim_; ++d) to[d * width_] = from[d * width_];
  }

  std::span<const float> rows_of(std::size_t sum) const {
    if (sum == kCrossEntropy) return batch_.cross_entropies(kData);
    return batch_.energies(sum == kEnergyData ? kData : kSamples);
  }
  static double sum(std::span<const float> rows) {
    return ordered_sum<double>(static_cast<std::int64_t>(rows.size()),
                               [&](std::int64_t i) { return rows[static_cast<std::size_t>(i)]; });
  }
  double sum(std::size_t which) const { return shared_.shared() ? shared_.sum(which) : sum(rows_of(which)); }

  // What each rank has done in this iteration, from everybody to everybody: statistics, gradient and slots of the
  // buffer are then those of the whole batch.
  void exchange(bool learns) {
    constexpr auto kRows = static_cast<std::size_t>(kChunkRows);
    shared_.stats() = last_.chains;
    for (std::size_t which = 0; which < SharedBatch::kSums; ++which) {
      const std::span<const float> rows = rows_of(which);
      const std::span<double> sums = shared_.chunk_sums(which);
      for (std::size_t c = 0; c < sums.size(); ++c) {
        sums[c] = sum(rows.subspan(c * kRows, std::min(kRows, rows.size() - c * kRows)));
      }
    }
    const Permutation slots = drawn_slots();
    const std::size_t slot_floats = replicas_ * dim_;
    for (std::size_t i = 0; persistent() && i < rows_; ++i) {
      const std::uint64_t slot = slots(shared_.rows().first + i);
      shared_.steps()[i] = state_.buffer_steps[slot];
      std::copy_n(buffer_row(slot, 0), slot_floats, shared_.kept().data() + i * slot_floats);
    }
    shared_.exchange(learns);
    last_.chains = shared_.all_stats();
    if (learns) shared_.gradient(*pool_, gradient_);
    if (!persistent()) return;
    shared_.for_others([&](std::size_t row, std::uint64_t step, std::span<const float> x) {
      const std::uint64_t slot = slots(row);
      state_.buffer_steps[slot] = step;
      std::ranges::copy(x, buffer_row(slot, 0));
    });
  }

  void update_range(bool decays, std::size_t begin, std::size_t end) {
    const AdamStep step = clock_.adam;
    const float scale = clock_.gradient_scale;
    const float* g = gradient_.data();
    float* theta = state_.parameters.data();
    float* m = state_.adam_m.data();
    float* v = state_.adam_v.data();
    for (std::size_t p = begin; p < end; ++p) adam_update(step, decays, scale * g[p], theta[p], m[p], v[p]);
    if (state_.ema.empty()) return;
    for (std::size_t p = begin; p < end; ++p) ema_update(step, theta[p], state_.ema[p]);
  }

  TrainingPlan plan_;
  TrainingState state_;  // its iteration and step size are the clock's
  TrainingClock clock_;
  std::vector<float> data_;  // [n, D], model space
  std::vector<int> labels_;
  std::shared_ptr<ThreadPool> pool_;
  std::size_t width_, dim_, replicas_;
  SharedBatch shared_;
  std::size_t rows_;  // of the batch, this rank's
  PackedNetwork network_;
  std::vector<Scratch> scratch_;
  ChainStrips chains_;   // [rows, replicas]
  BatchGradient batch_;  // data, then samples
  std::vector<float> gradient_;
  std::vector<ChainStats> strip_stats_;
  IterationStats last_;
  std::function<void()> iteration_;
};

}  // namespace

std::unique_ptr<TrainingPrimitives> make_training_loops(TrainingPlan plan, TrainingState start,
                                                        std::span<const float> data, std::span<const int> labels,
                                                        std::shared_ptr<ThreadPool> pool, Communicator ranks) {
  return std::make_unique<TrainingLoops>(std::move(plan), std::move(start), data, labels, std::move(pool),
                                         std::move(ranks));
}

}  // namespace ebm::cpu
