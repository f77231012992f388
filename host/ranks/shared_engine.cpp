#include "host/ranks/shared_engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "host/ranks/counts.hpp"
#include "host/ranks/same.hpp"
#include "host/ranks/shares.hpp"
#include "kernels/math/ordered_sum.hpp"

namespace ebm {
namespace {

// Rows or chains per rank from which on they are shared out.
constexpr std::size_t kFewest = 32;

class Ranks {
 public:
  explicit Ranks(Communicator communicator) : all(std::move(communicator)) {}

  bool shares(std::size_t n) const { return n >= kFewest * static_cast<std::size_t>(all.size()); }
  Share of(std::size_t n, int rank) const { return share_of(n, rank, all.size()); }
  Share mine(std::size_t n) const { return of(n, all.rank()); }

  // This rank has filled its share of the rows of `values`, `per_row` each; the others' are filled in.
  template <class T>
  void complete(std::string_view operation, std::span<T> values, std::size_t rows, std::size_t per_row) const {
    const auto part = [&](int rank) {
      const Share share = of(rows, rank);
      return values.subspan(share.first * per_row, share.count * per_row);
    };
    all.exchange(operation, std::as_bytes(part(all.rank())), Communicator::kEverybody,
                 [&](int from, std::size_t) { return std::as_writable_bytes(part(from)); });
  }

  Communicator all;
};

class SharedChains final : public ChainSet {
 public:
  // `set` holds this rank's share of n chains, each of which is `rows` rows of the set.
  SharedChains(Ranks ranks, std::unique_ptr<ChainSet> set, std::size_t n, std::size_t rows, std::size_t dim)
      : ranks_(std::move(ranks)), set_(std::move(set)), n_(n), rows_(rows), dim_(dim) {}

  void set_positions(std::span<const float> x) override { set_->set_positions(mine(x, dim_)); }
  void positions(std::span<float> x) const override {
    set_->positions(mine(x, dim_));
    ranks_.complete("positions", x, n_, rows_ * dim_);
  }
  void start_uniform(const Transition& transition) override { set_->start_uniform(transition); }
  void fix(std::span<const std::uint8_t> fixed) override { set_->fix(mine(fixed, dim_)); }
  void run(const Transition& transition, std::int64_t n, float beta) override {
    ranks_.all.alive();
    set_->run(transition, n, beta);
  }
  ChainStats stats() const override { return sum_over(ranks_.all, set_->stats()); }
  void clear_stats() override { set_->clear_stats(); }
  void energies(std::span<float> energy, std::span<float> base_energy) const override {
    set_->energies(mine(energy, 1), base_energy.empty() ? base_energy : mine(base_energy, 1));
    ranks_.complete("energies of chains", energy, n_, rows_);
    if (!base_energy.empty()) ranks_.complete("base energies of chains", base_energy, n_, rows_);
  }
  void swap_replicas(int replicas, std::int64_t evaluations, std::uint64_t period) override {
    set_->swap_replicas(replicas, evaluations, period);
  }
  ReplicaStats replica_stats() const override { return sum_over(ranks_.all, set_->replica_stats()); }
  void restarted(std::span<std::uint8_t> flags) const override {
    set_->restarted(mine(flags, 1));
    ranks_.complete("restarts", flags, n_, rows_);
  }
  std::vector<std::uint64_t> steps() const override {
    const std::vector<std::uint64_t> own = set_->steps();
    std::vector<std::uint64_t> all;
    for (const auto& part : ranks_.all.gather("steps of chains", std::span<const std::uint64_t>(own))) {
      all.insert(all.end(), part.begin(), part.end());
    }
    return all;
  }
  std::uint64_t advanced() const override { return set_->advanced(); }
  void forget() override { set_->forget(); }

 private:
  template <class T>
  std::span<T> mine(std::span<T> values, std::size_t per_row) const {
    const Share share = ranks_.mine(n_);
    return values.subspan(share.first * rows_ * per_row, share.count * rows_ * per_row);
  }

  Ranks ranks_;
  std::unique_ptr<ChainSet> set_;
  std::size_t n_, rows_, dim_;
};

class SharedFunction final : public EnergyFunction {
 public:
  SharedFunction(Ranks ranks, std::unique_ptr<EnergyFunction> function, const MlpShape& shape)
      : ranks_(std::move(ranks)),
        function_(std::move(function)),
        dim_(static_cast<std::size_t>(shape.dim)),
        outputs_(static_cast<std::size_t>(shape.outputs)) {}

  std::string path() const override { return function_->path(); }
  void set_parameters(std::span<const float> parameters) override {
    SameFields same;
    same.add_values("parameters", parameters);
    same.require(ranks_.all);
    function_->set_parameters(parameters);
  }

  void evaluate(std::span<const float> x, std::span<float> energy, std::span<float> gradient) const override {
    const std::size_t n = energy.size();
    if (!ranks_.shares(n)) return function_->evaluate(x, energy, gradient);
    const Share mine = ranks_.mine(n);
    function_->evaluate(x.subspan(mine.first * dim_, mine.count * dim_), energy.subspan(mine.first, mine.count),
                        gradient.empty() ? gradient : gradient.subspan(mine.first * dim_, mine.count * dim_));
    ranks_.complete("energies", energy, n, 1);
    if (!gradient.empty()) ranks_.complete("gradients", gradient, n, dim_);
  }

  void outputs(std::span<const float> x, std::span<float> f) const override {
    const std::size_t n = f.size() / outputs_;
    if (!ranks_.shares(n)) return function_->outputs(x, f);
    const Share mine = ranks_.mine(n);
    function_->outputs(x.subspan(mine.first * dim_, mine.count * dim_),
                       f.subspan(mine.first * outputs_, mine.count * outputs_));
    ranks_.complete("outputs", f, n, outputs_);
  }

  // Each rank's share is a few nodes of the tree over the chunks, each the gradient of its rows.
  void parameter_gradient(std::span<const float> x, std::span<const float> weights,
                          std::span<float> gradient) const override {
    const std::size_t n = weights.size(), parameters = gradient.size();
    if (!ranks_.shares(n)) return function_->parameter_gradient(x, weights, gradient);
    const auto chunks = static_cast<std::size_t>(chunks_of(static_cast<std::int64_t>(n)));
    std::vector<Share> nodes;
    std::size_t first_of_mine = 0, mine = 0;
    for (int r = 0; r < ranks_.all.size(); ++r) {
      const std::vector<Share> part = nodes_of(ranks_.of(chunks, r), chunks);
      if (r == ranks_.all.rank()) {
        first_of_mine = nodes.size();
        mine = part.size();
      }
      nodes.insert(nodes.end(), part.begin(), part.end());
    }
    std::vector<float> sums(nodes.size() * parameters);
    const auto sum_of = [&](std::size_t node) { return std::span(sums).subspan(node * parameters, parameters); };
    for (std::size_t k = first_of_mine; k < first_of_mine + mine; ++k) {
      const std::size_t first = nodes[k].first * kRows, rows = std::min(nodes[k].end() * kRows, n) - first;
      function_->parameter_gradient(x.subspan(first * dim_, rows * dim_), weights.subspan(first, rows), sum_of(k));
    }
    std::size_t arrived = 0;
    const auto place = [&](int from, std::size_t bytes) {
      arrived = 0;
      for (int r = 0; r < from; ++r) arrived += nodes_of(ranks_.of(chunks, r), chunks).size();
      return std::as_writable_bytes(std::span(sums).subspan(arrived * parameters, bytes / sizeof(float)));
    };
    ranks_.all.exchange("parameter gradient",
                        std::as_bytes(std::span(sums).subspan(first_of_mine * parameters, mine * parameters)),
                        Communicator::kEverybody, place);
    for (const auto& [to, from] : additions(nodes, chunks)) {
      const std::span<float> sum = sum_of(to), part = sum_of(from);
      for (std::size_t p = 0; p < parameters; ++p) sum[p] += part[p];
    }
    std::ranges::copy(sum_of(0), gradient.begin());
  }

  void parameter_gradient_chunks(std::span<const float> x, std::span<const float> weights,
                                 std::span<float> sums) const override {
    function_->parameter_gradient_chunks(x, weights, sums);
  }

  std::unique_ptr<ChainSet> chains(std::uint64_t seed, std::vector<std::uint64_t> ids, std::vector<std::uint64_t> steps,
                                   std::optional<GaussianBase> base,
                                   std::vector<float> inverse_temperatures) const override {
    // Replicas of a chain stay together: a ladder begins at 1 and falls.
    std::size_t rows = 1;
    if (!inverse_temperatures.empty()) {
      while (rows < inverse_temperatures.size() && inverse_temperatures[rows] != 1.0f) ++rows;
    }
    const std::size_t n = ids.size() / rows;
    if (!ranks_.shares(n)) {
      return function_->chains(seed, std::move(ids), std::move(steps), std::move(base),
                               std::move(inverse_temperatures));
    }
    SameFields same;
    same.add("seed", seed);
    same.add_values<std::uint64_t>("first_chain", ids);
    same.add_values<std::uint64_t>("first_step", steps);
    same.require(ranks_.all);
    const Share mine = ranks_.mine(n);
    keep(mine, rows, &ids);
    keep(mine, rows, &steps);
    if (!inverse_temperatures.empty()) keep(mine, rows, &inverse_temperatures);
    auto set =
        function_->chains(seed, std::move(ids), std::move(steps), std::move(base), std::move(inverse_temperatures));
    return std::make_unique<SharedChains>(ranks_, std::move(set), n, rows, dim_);
  }

 private:
  static constexpr auto kRows = static_cast<std::size_t>(kChunkRows);

  template <class T>
  static void keep(Share share, std::size_t rows, std::vector<T>* values) {
    const auto at = [&](std::size_t chain) { return values->begin() + static_cast<std::ptrdiff_t>(chain * rows); };
    *values = std::vector<T>(at(share.first), at(share.end()));
  }

  Ranks ranks_;
  std::unique_ptr<EnergyFunction> function_;
  std::size_t dim_, outputs_;
};

class SharedEngine final : public Engine {
 public:
  SharedEngine(std::unique_ptr<Engine> engine, Ranks ranks) : engine_(std::move(engine)), ranks_(std::move(ranks)) {
    ranks_.all.require_same("device", engine_->arithmetic());
  }

  std::string arithmetic() const override { return engine_->arithmetic(); }
  std::string description() const override {
    return fmt::format("{} on each of {} ranks", engine_->description(), ranks_.all.size());
  }

  std::unique_ptr<EnergyFunction> load(const Mlp& model) const override {
    SameFields same;
    same.add_model(model);
    same.require(ranks_.all);
    return std::make_unique<SharedFunction>(ranks_, engine_->load(model), model.shape());
  }

  std::unique_ptr<TrainingPrimitives> training(TrainingPlan plan, TrainingState start, std::span<const float> data,
                                               std::span<const int> labels) const override {
    require_same(plan, start, data, labels);
    return engine_->training(std::move(plan), std::move(start), data, labels);
  }

 private:
  void require_same(const TrainingPlan& plan, const TrainingState& start, std::span<const float> data,
                    std::span<const int> labels) const {
    const auto& [shape, iterations, batch_size, chain_start, transition, n_steps, energy_reg, target_acceptance,
                 buffer_capacity, inverse_temperatures, swap_every, reinit_prob, optimizer, ema, dequantize, data_noise,
                 seed] = plan;
    SameFields same;
    same.add_values("data", data);
    same.add_values("labels", labels);
    same.add_shape(shape);
    same.add("iterations", iterations);
    same.add("batch_size", batch_size);
    same.add("chain_start", static_cast<int>(chain_start));
    same.add("sampler", static_cast<int>(transition.kind));
    same.add("evaluations", transition.evaluations);
    same.add("step_size", transition.step_size);
    same.add("sampler", fmt::format("{}", fmt::join(transition.own, ",")));
    same.add("grad_clip", transition.grad_clip);
    same.add_values<float>("clamp", transition.clamp_lo);
    same.add_values<float>("clamp", transition.clamp_hi);
    same.add_values<float>("clamp", transition.start_lo);
    same.add_values<float>("clamp", transition.start_hi);
    same.add("jump_prob", transition.jump_prob);
    same.add("difference_prob", transition.difference_prob);
    same.add("n_steps", n_steps);
    same.add("energy_reg", energy_reg);
    same.add("target_acceptance", target_acceptance.value_or(0.0f));
    same.add("capacity", buffer_capacity);
    same.add_values<float>("inverse_temperatures", inverse_temperatures);
    same.add("swap_every", swap_every);
    same.add("reinit_prob", reinit_prob);
    const auto& [learning_rate, beta1, beta2, epsilon, weight_decay, grad_norm_clip, warmup, decay] = optimizer;
    same.add("learning_rate", learning_rate);
    same.add("beta1", beta1);
    same.add("beta2", beta2);
    same.add("epsilon", epsilon);
    same.add("weight_decay", weight_decay);
    same.add("grad_norm_clip", grad_norm_clip);
    same.add("warmup", warmup);
    same.add("decay", static_cast<int>(decay));
    same.add("ema", ema);
    same.add_values<float>("dequantize", dequantize);
    same.add("data_noise", data_noise);
    same.add("seed", seed);
    const auto& [iteration, parameters, adam_m, adam_v, average, step_size, buffer_x, buffer_steps] = start;
    same.add("checkpoint", iteration);
    same.add_values<float>("model", parameters);
    same.add_values<float>("checkpoint", adam_m);
    same.add_values<float>("checkpoint", adam_v);
    same.add_values<float>("checkpoint", average);
    same.add("step_size", step_size);
    same.add_values<float>("checkpoint", buffer_x);
    same.add_values<std::uint64_t>("checkpoint", buffer_steps);
    same.require(ranks_.all);
  }

  std::unique_ptr<Engine> engine_;
  Ranks ranks_;
};

}  // namespace

std::unique_ptr<Engine> shared_engine(std::unique_ptr<Engine> engine, Communicator ranks) {
  return std::make_unique<SharedEngine>(std::move(engine), Ranks(std::move(ranks)));
}

}  // namespace ebm
