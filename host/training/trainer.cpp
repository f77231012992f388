#include "ebmcuda/trainer.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <limits>

#include "ebmcuda/checkpoint.hpp"
#include "host/core/check.hpp"
#include "host/core/fingerprint.hpp"
#include "host/engine/engine.hpp"
#include "host/files/safetensors.hpp"
#include "host/sampling/transition.hpp"
#include "host/training/checkpoint.hpp"
#include "host/training/checkpoint_archive.hpp"
#include "host/training/held_out.hpp"
#include "host/training/initial_chains.hpp"
#include "host/training/iteration.hpp"
#include "host/training/training_rows.hpp"
#include "kernels/math/learning_rate.hpp"

namespace ebm {
namespace {

// Tells a resumed run that its data has changed.
std::uint64_t fingerprint_of(MatrixView data, std::span<const int> labels) {
  Fingerprint print;
  print.add(data.rows);
  print.add(data.cols);
  for (const float v : data.values()) print.add(std::bit_cast<std::uint32_t>(v));
  for (const int label : labels) print.add(static_cast<std::uint64_t>(label));
  return print.value();
}

void check_labels(const MlpShape& shape, std::span<const int> labels, std::size_t n_data) {
  if (labels.empty()) return;
  require(shape.head == Head::logits, "labels", "given", "a scalar head takes no labels; use head = logits");
  require(labels.size() == n_data, "labels", labels.size(),
          fmt::format("must hold one label for each of the {} points", n_data));
  for (std::size_t i = 0; i < labels.size(); ++i) {
    require(labels[i] >= 0 && labels[i] < shape.outputs, "labels", labels[i],
            fmt::format("must be in 0 .. {} (row {})", shape.outputs - 1, i));
  }
}

// A model has no density outside its box, so data that all lie there can't be learnt.
void require_data_inside(const Sampler& sampler, MatrixView data) {
  const std::optional<Box> box = std::visit([](const auto& s) { return s.clamp; }, sampler);
  if (!box) return;
  const auto side = [](const std::vector<float>& values, std::size_t d) { return values[values.size() == 1 ? 0 : d]; };
  for (std::size_t i = 0; i < data.rows; ++i) {
    const auto row = data.row(i);
    std::size_t d = 0;
    while (d < row.size() && row[d] >= side(box->lo, d) && row[d] <= side(box->hi, d)) ++d;
    if (d == row.size()) return;
  }
  reject("clamp", fmt::format("{},{}", fmt::join(box->lo, ","), fmt::join(box->hi, ",")),
         fmt::format("the box holds none of the {} points", data.rows));
}

TrainingPlan make_plan(const Mlp& model, const TrainerOptions& options, int rollbacks) {
  TrainingPlan plan;
  plan.shape = model.shape();
  plan.iterations = options.iterations;
  plan.batch_size = options.batch_size;
  plan.chain_start = options.objective.chain_start;
  plan.transition = resolve(options.objective.sampler, model);
  plan.transition.difference_prob = options.objective.difference_prob;
  plan.n_steps = options.objective.n_steps;
  plan.energy_reg = options.objective.energy_reg;
  if (is_metropolis(plan.transition.kind)) plan.target_acceptance = options.objective.target_acceptance;
  if (const auto& tempering = options.objective.tempering) {
    plan.inverse_temperatures = tempering->inverse_temperatures.value_or(tempering->geometric_ladder());
    plan.swap_every = tempering->swap_every;
  }
  if (plan.chain_start == ChainStart::persistent) {
    plan.buffer_capacity = options.objective.buffer.capacity;
    plan.reinit_prob = options.objective.buffer.reinit_prob;
  }
  plan.optimizer = options.optimizer;
  plan.optimizer.learning_rate = std::ldexp(plan.optimizer.learning_rate, -2 * rollbacks);
  plan.ema = options.ema;
  plan.data_noise = options.data_noise;
  plan.seed = options.seed;
  return plan;
}

TrainingState initial_state(const Mlp& model, const TrainerOptions& options, MatrixView data) {
  TrainingState state;
  state.parameters.assign(model.parameters().begin(), model.parameters().end());
  state.adam_m.assign(state.parameters.size(), 0.0f);
  state.adam_v.assign(state.parameters.size(), 0.0f);
  if (options.ema > 0) state.ema = state.parameters;
  state.step_size = step_size_of(options.objective.sampler);
  if (options.objective.chain_start == ChainStart::persistent) {
    state.buffer_steps.assign(static_cast<std::size_t>(options.objective.buffer.capacity), 0);
    state.buffer_x = initial_chains(model, options, data);
  }
  return state;
}

// Of replica 0, [capacity, D].
Matrix chain_positions(const TrainingState& state, std::size_t dim) {
  const std::size_t capacity = state.buffer_steps.size();
  const std::size_t stride = capacity == 0 ? 0 : state.buffer_x.size() / capacity;
  Matrix x(capacity, dim);
  for (std::size_t c = 0; c < capacity; ++c) std::copy_n(&state.buffer_x[c * stride], dim, x.row(c).begin());
  return x;
}

Mlp with_parameters(const Mlp& shape_of, std::span<const float> parameters) {
  Mlp model = shape_of;
  std::ranges::copy(parameters, model.parameters().begin());
  return model;
}

// What Trainer::model() is: the average where there is one, and what there is to know about the run.
Mlp trained_model(const Mlp& shape_of, const TrainerOptions& options, const TrainingState& state,
                  const std::string& diverged, const HeldOutState& held_out) {
  const bool best = held_out.best_iteration > 0 && options.held_out.keep == KeptModel::best;
  Mlp model = best ? with_parameters(shape_of, held_out.best_parameters)
                   : with_parameters(shape_of, state.ema.empty() ? state.parameters : state.ema);
  auto& notes = model.notes();
  note_sampler(with_step_size(options.objective.sampler, state.step_size), &notes);
  notes["iterations"] = fmt::format("{}", best ? held_out.best_iteration : state.iteration);
  notes.erase("unfinished");
  if (state.iteration < options.iterations && !held_out.out_of_patience(options.held_out)) {
    notes["unfinished"] = fmt::format("iteration {} of {}", state.iteration, options.iterations);
  }
  notes.erase("diverged");
  if (!diverged.empty()) notes["diverged"] = diverged;
  return model;
}

// Root of the mean variance over dimensions, of rows of D values.
double spread_of(std::span<const float> x, std::size_t dim) {
  const std::size_t n = x.size() / dim;
  std::vector<double> sum(dim, 0.0), square(dim, 0.0);
  for (std::size_t i = 0; i < x.size(); ++i) sum[i % dim] += static_cast<double>(x[i]);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double delta = static_cast<double>(x[i]) - sum[i % dim] / static_cast<double>(n);
    square[i % dim] += delta * delta;
  }
  double variance = 0;
  for (const double s : square) variance += s / static_cast<double>(n);
  return std::sqrt(variance / static_cast<double>(dim));
}

std::string joined(const std::vector<DivergenceSign>& signs) {
  std::string text;
  for (const DivergenceSign& sign : signs) text += (text.empty() ? "" : "; ") + sign.what;
  return text;
}

}  // namespace

void ContrastiveDivergence::validate(int dim) const {
  ebm::validate(sampler, dim);
  require(n_steps >= 1, "langevin_steps", n_steps, "must be >= 1");
  require_non_negative("energy_reg", energy_reg);
  require_probability("difference_prob", difference_prob);
  require(difference_prob == 0 || is_metropolis(kind_of(sampler)), "difference_prob", difference_prob,
          fmt::format("difference moves need a Metropolis-adjusted sampler: {}", metropolis_names()));
  if (target_acceptance) {
    require(*target_acceptance > 0 && *target_acceptance < 1, "target_acceptance", *target_acceptance,
            "must be in (0, 1)");
  }
  if (chain_start == ChainStart::persistent) {
    buffer.validate();
    require(to_string(buffer_start) != "?", "buffer_start", static_cast<int>(buffer_start), "is not a BufferStart");
  }
  if (!tempering) return;
  tempering->validate();
  require(is_metropolis(kind_of(sampler)), "tempering", to_string(kind_of(sampler)),
          fmt::format("replicas move by a Metropolis-adjusted sampler: {}", metropolis_names()));
}

void Adam::validate() const {
  require_positive("learning_rate", learning_rate);
  require(beta1 >= 0 && beta1 < 1, "beta1", beta1, "must be in [0, 1)");
  require(beta2 >= 0 && beta2 < 1, "beta2", beta2, "must be in [0, 1)");
  require_positive("epsilon", epsilon);
  require_non_negative("weight_decay", weight_decay);
  require_non_negative("grad_norm_clip", grad_norm_clip);
  require(warmup >= 0, "warmup", warmup, "must be >= 0");
}

double Adam::rate(std::int64_t t, std::int64_t n) const {
  return ebm::learning_rate(learning_rate, warmup, static_cast<int>(decay), t, n);
}

void TrainerOptions::validate(int dim, std::size_t n_data) const {
  require(iterations >= 1, "iterations", iterations, "must be >= 1");
  require(batch_size >= 1 && batch_size <= (1 << 24), "batch_size", batch_size, "must be in 1 .. 2^24");
  objective.validate(dim);
  if (objective.chain_start == ChainStart::persistent) {
    require(batch_size <= objective.buffer.capacity, "batch_size", batch_size,
            fmt::format("must be <= buffer_size = {}", objective.buffer.capacity));
  }
  optimizer.validate();
  require(ema >= 0 && ema < 1, "ema", ema, "must be in [0, 1)");
  require_non_negative("dequantize", dequantize);
  require_non_negative("data_noise", data_noise);
  require(log_every >= 1, "log_every", log_every, "must be >= 1");
  held_out.validate();
  require(n_data >= 1 && n_data < (std::size_t{1} << 32), "data", n_data, "must hold 1 .. 2^32 - 1 points");
}

void HeldOutOptions::validate() const {
  require(checks >= 1 && checks <= 1'000'000, "checks", checks, "must be in 1 .. 10^6");
  require(to_string(keep) != "?", "keep", static_cast<int>(keep), "is not a KeptModel");
  require(patience >= 0, "patience", patience, "must be >= 0");
}

struct Trainer::State {
  Mlp model;  // shape, standardisation and notes; its parameters are the initial ones
  TrainerOptions options;
  std::uint64_t fingerprint = 0;
  Communicator ranks;
  std::unique_ptr<Engine> engine;
  // One or the other: a session, or where the next one begins, which for want of memory could not be opened.
  std::optional<TrainingSession> session;
  std::optional<TrainingState> unopened;
  std::int64_t iteration = 0;
  bool unsure = false;  // of `iteration`: a device failed in the middle of a run
  ChainStats since_log;
  IterationStats last;
  double data_spread = 0;  // model space
  int rollbacks = 0;
  std::string diverged;  // the signs of the last report
  // Where a divergence returns to, and what it takes to begin again from there; unless the policy is to warn.
  TrainingState good;
  TrainingRows rows;
  std::optional<HeldOut> held_out;

  State(Mlp m, TrainerOptions o) : model(std::move(m)), options(std::move(o)) {}

  bool returns() const { return options.on_divergence != OnDivergence::warn; }

  void open(MatrixView data, std::span<const int> labels, const Device& device, TrainingState start,
            std::optional<TrainingState> last_good = {}) {
    iteration = start.iteration;
    ranks = device.ranks();
    engine = make_engine(device);
    rows = training_rows(model, options, data, labels);
    data_spread = spread_of(rows.points.values(), rows.points.cols());
    if (returns()) good = last_good ? std::move(*last_good) : start;
    begin(std::move(start));
    if (!returns()) rows = {};
  }
  void begin(TrainingState start) {
    iteration = start.iteration;
    unsure = false;
    unopened = std::move(start);
    session.reset();  // its memory, before the next one's
    TrainingPlan plan = make_plan(model, options, rollbacks);
    plan.dequantize = rows.noise;
    session.emplace(*engine, std::move(plan), *unopened, rows.points.values(), rows.labels);
    unopened.reset();
  }
  TrainingState now() const { return session ? session->state() : *unopened; }
  std::int64_t iterations_done() const { return unsure ? session->iteration() : iteration; }
  // Makes good what a failed call left.
  void recover() {
    if (!session) begin(TrainingState(*unopened));
    iteration = iterations_done();
    unsure = false;
  }
  std::vector<IterationStats> run(std::int64_t n) {
    unsure = true;
    std::vector<IterationStats> stats = session->run(n);
    unsure = false;
    return stats;
  }

  // In spreads of the data; NaN where there is nothing to compare.
  double chains_spread() const {
    if (options.objective.chain_start != ChainStart::persistent || !(data_spread > 0)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
    const Matrix x = chain_positions(now(), static_cast<std::size_t>(model.dim()));
    return spread_of(x.values(), x.cols()) / data_spread;
  }

  std::vector<DivergenceSign> signs(const TrainProgress& report) const {
    Vitals vitals;
    vitals.dim = model.dim();
    vitals.progress = static_cast<double>(report.iteration) / static_cast<double>(report.iterations);
    vitals.proposed = report.stats[Move::local].proposed;
    vitals.accepted = report.stats[Move::local].accepted;
    vitals.target_acceptance = static_cast<double>(options.objective.target_acceptance.value_or(1.0f));
    vitals.energy_data = report.energy_data;
    vitals.energy_samples = report.energy_samples;
    vitals.restarts = report.stats.restarts;
    const std::int64_t since = (report.iteration - 1) % options.log_every + 1;
    vitals.chains = static_cast<std::uint64_t>(since * options.batch_size * options.objective.replicas());
    vitals.spread = report.spread;
    return divergence_signs(vitals);
  }

  // Back to the last good state; with a quarter of the learning rate when `report` is to go on from there. Throws
  // DivergenceError when it is not.
  void roll_back(TrainProgress* report) {
    const std::string why = joined(report->signs);
    const bool goes_on = options.on_divergence == OnDivergence::rollback && rollbacks < kMaxRollbacks;
    if (goes_on) ++rollbacks;
    since_log = {};  // good states stand at reports
    diverged = goes_on ? "" : why;
    begin(good);
    if (!goes_on) {
      throw DivergenceError(report->iteration,
                            fmt::format("{}; back at iteration {}{}", why, iteration,
                                        rollbacks > 0 ? fmt::format(" after {} rollbacks", rollbacks) : ""));
    }
    report->rollbacks = rollbacks;
    report->rolled_back_to = iteration;
  }

  void judge_by(MatrixView data, MatrixView held_out_data, const Device& device, HeldOutState start) {
    if (held_out_data.rows == 0) return;
    held_out.emplace(model, options, data, held_out_data, device, std::move(start));
  }

  // What is saved and judged: the moving average where there is one.
  Mlp averaged(const TrainingState& now) const {
    return with_parameters(model, now.ema.empty() ? now.parameters : now.ema);
  }
};

Trainer::Trainer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Trainer::Trainer(Trainer&&) noexcept = default;
Trainer& Trainer::operator=(Trainer&&) noexcept = default;
Trainer::~Trainer() = default;

Trainer::Trainer(Mlp model, MatrixView data, TrainerOptions options, const Device& device, std::span<const int> labels,
                 MatrixView held_out)
    : state_(std::make_unique<State>(std::move(model), std::move(options))) {
  State& s = *state_;
  s.options.validate(s.model.dim(), data.rows);
  require_points("data", data, s.model.dim());
  require_data_inside(s.options.objective.sampler, data);
  check_labels(s.model.shape(), labels, data.rows);
  if (held_out.rows > 0) require_points("held_out", held_out, s.model.dim());
  s.fingerprint = fingerprint_of(data, labels);
  s.open(data, labels, device, initial_state(s.model, s.options, data));
  s.judge_by(data, held_out, device, {.fingerprint = fingerprint_of(held_out, {})});
}

Trainer Trainer::resume(const std::filesystem::path& checkpoint_path, MatrixView data, const Device& device,
                        std::span<const int> labels, std::optional<std::int64_t> iterations, MatrixView held_out) {
  Checkpoint checkpoint = read_checkpoint(checkpoint_path);
  if (iterations && *iterations != checkpoint.options.iterations) {
    require(*iterations > checkpoint.options.iterations && checkpoint.state.iteration == checkpoint.options.iterations,
            "iterations", *iterations,
            fmt::format("the checkpoint is at iteration {} of {}; a finished run goes on to more, no other",
                        checkpoint.state.iteration, checkpoint.options.iterations));
    checkpoint.options.iterations = *iterations;
  }
  auto state = std::make_unique<State>(std::move(checkpoint.model), std::move(checkpoint.options));
  state->options.validate(state->model.dim(), data.rows);
  require_points("data", data, state->model.dim());
  check_labels(state->model.shape(), labels, data.rows);
  state->fingerprint = fingerprint_of(data, labels);
  require(
      state->fingerprint == checkpoint.fingerprint, "data", fmt::format("fingerprint {:016x}", state->fingerprint),
      fmt::format("the checkpoint was made with other data or labels (fingerprint {:016x})", checkpoint.fingerprint));
  if (held_out.rows > 0) require_points("held_out", held_out, state->model.dim());
  const std::uint64_t print = held_out.rows > 0 ? fingerprint_of(held_out, {}) : 0;
  require(print == checkpoint.held_out.fingerprint, "held_out",
          held_out.rows > 0 ? fmt::format("fingerprint {:016x}", print) : "none",
          checkpoint.held_out.fingerprint == 0
              ? "the checkpoint was made without held-out data"
              : fmt::format("the checkpoint was made with held-out data of fingerprint {:016x}",
                            checkpoint.held_out.fingerprint));
  state->since_log = checkpoint.since_log;
  state->rollbacks = checkpoint.rollbacks;
  state->diverged = std::move(checkpoint.diverged);
  state->open(data, labels, device, std::move(checkpoint.state), std::move(checkpoint.good));
  state->judge_by(data, held_out, device, std::move(checkpoint.held_out));
  return Trainer(std::move(state));
}

void Trainer::fit(const std::function<bool(const TrainProgress&)>& progress, std::int64_t max_iterations) {
  State& s = *state_;
  s.recover();
  std::int64_t end = s.options.iterations;
  if (max_iterations >= 0) end = std::min(end, s.iteration + std::min(max_iterations, end - s.iteration));
  const auto clock_seconds = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  const double start = clock_seconds();
  double last_report = start;
  std::uint64_t steps_here = 0;  // since the last report, in this call: what the clock saw
  while (s.iteration < end && !out_of_patience()) {
    // Stop at multiples of log_every whatever the iteration began at, so that a resumed run logs the same lines.
    const std::int64_t stop = std::min((s.iteration / s.options.log_every + 1) * s.options.log_every, end);
    TrainProgress report;
    report.iterations = s.options.iterations;
    for (const IterationStats& stats : s.run(stop - s.iteration)) {
      if (!std::isfinite(stats.gradient_norm) || !std::isfinite(stats.energy_data) ||
          !std::isfinite(stats.energy_samples)) {
        const std::string what = fmt::format("energy of data {}, of samples {}, gradient norm {}", stats.energy_data,
                                             stats.energy_samples, stats.gradient_norm);
        if (!s.returns()) throw DivergenceError(stats.iteration, what);
        report.iteration = stats.iteration;
        report.signs = {{DivergenceSign::Kind::not_finite, what, "a smaller learning_rate, or grad_norm_clip"}};
        break;
      }
      s.since_log += stats.chains;
      steps_here += stats.chains.steps;
      s.last = stats;
      s.iteration = stats.iteration + 1;
    }
    const bool finite = report.signs.empty();
    if (finite && s.iteration % s.options.log_every != 0 && s.iteration != s.options.iterations) continue;
    if (finite) {
      report.iteration = s.iteration;
      report.spread = s.chains_spread();
    }
    report.energy_data = s.last.energy_data;
    report.energy_samples = s.last.energy_samples;
    report.gradient_norm = s.last.gradient_norm;
    report.cross_entropy = s.last.cross_entropy;
    report.step_size = s.last.step_size;
    report.stats = s.since_log;
    report.rollbacks = s.rollbacks;
    if (finite) report.signs = s.signs(report);
    if (s.held_out && finite) report.held_out = s.held_out->look(s.averaged(s.now()), s.iteration);
    const double now = clock_seconds();
    report.seconds = now - start;
    report.chain_steps_per_second = static_cast<double>(steps_here) / std::max(now - last_report, 1e-9);
    s.since_log = {};
    steps_here = 0;
    last_report = now;
    s.diverged = joined(report.signs);
    if (s.returns()) {
      if (report.signs.empty()) {
        s.good = s.now();
      } else {
        s.roll_back(&report);
      }
    }
    if (progress && !progress(report)) return;
  }
}

std::int64_t Trainer::iteration() const { return state_->iterations_done(); }
const TrainerOptions& Trainer::options() const { return state_->options; }
double Trainer::step_size() const { return state_->now().step_size; }

Mlp Trainer::raw_model() const { return with_parameters(state_->model, state_->now().parameters); }

Mlp Trainer::model() const {
  const State& s = *state_;
  return trained_model(s.model, s.options, s.now(), s.diverged, s.held_out ? s.held_out->state() : HeldOutState{});
}

std::optional<HeldOutSummary> Trainer::held_out() const {
  if (!state_->held_out || state_->held_out->state().best_iteration == 0) return std::nullopt;
  const HeldOutState& h = state_->held_out->state();
  return HeldOutSummary{h.best_iteration, h.best_log_likelihood, h.last_log_likelihood};
}

bool Trainer::out_of_patience() const { return state_->held_out && state_->held_out->out_of_patience(); }

ReplayBuffer Trainer::buffer() const {
  const State& s = *state_;
  require(s.options.objective.chain_start == ChainStart::persistent, "chain_start",
          to_string(s.options.objective.chain_start), "only persistent chains have a replay buffer");
  TrainingState now = s.now();
  Matrix x = chain_positions(now, static_cast<std::size_t>(s.model.dim()));
  return ReplayBuffer(s.options.objective.buffer, s.options.seed, std::move(x), std::move(now.buffer_steps));
}

void Trainer::save_checkpoint(const std::filesystem::path& path) const {
  const State& s = *state_;
  TrainingState now = s.now();
  std::optional<TrainingState> good;
  if (s.returns() && s.good.iteration != now.iteration) good = s.good;
  s.ranks.on_first("checkpoint", [&] {
    write_checkpoint(path, {s.model, s.options, std::move(now), s.since_log, s.fingerprint, s.rollbacks, s.diverged,
                            std::move(good), s.held_out ? s.held_out->state() : HeldOutState{}});
  });
}

bool is_checkpoint(const std::filesystem::path& path) {
  try {
    const SafetensorsReader file{InputFile(path)};
    const auto format = file.metadata().find("format");
    return format != file.metadata().end() && format->second == kCheckpointFormat;
  } catch (const FormatError&) {
    return false;
  }
}

TrainingRun read_run(const std::filesystem::path& path) {
  Checkpoint checkpoint = read_checkpoint(path);
  Mlp model =
      trained_model(checkpoint.model, checkpoint.options, checkpoint.state, checkpoint.diverged, checkpoint.held_out);
  return {std::move(checkpoint.options), checkpoint.state.iteration, std::move(model)};
}

}  // namespace ebm
