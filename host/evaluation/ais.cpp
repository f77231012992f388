#include <algorithm>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <numeric>
#include <utility>

#include "ebmcuda/log_z.hpp"
#include "host/core/check.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/engine/engine.hpp"
#include "host/evaluation/ais_path.hpp"
#include "host/sampling/transition.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// The runs have chains of their own, far from the ids that sampling uses, so that no noise is shared.
constexpr std::uint64_t kForwardChains = std::uint64_t{1} << 52;
constexpr std::uint64_t kPilotChains = std::uint64_t{2} << 52;
constexpr std::uint64_t kReverseChains = std::uint64_t{3} << 52;
constexpr std::uint64_t kBaseChains = std::uint64_t{4} << 52;
constexpr std::uint64_t kSettlingChains = std::uint64_t{5} << 52;
constexpr std::uint32_t kResamplingBlock = 0xFFFE;
constexpr std::int64_t kMostPilotChains = 512;
// Chains whose ends shape the base: a covariance in D dimensions wants a few times D of them.
constexpr std::int64_t kFewestBaseChains = 512, kMostBaseChains = 2048;
// They run on the model for this many times the steps of the ladder, and twice as long while the last doubling has
// moved their mean energy by more than a nat or their mean square by more than a tenth (and three standard errors of
// the change). On 64-dimensional digits, ladder of 1,000 steps: log Z was 1.2 low with the ends of the pilot run
// itself, 0.6 low after 1,000 steps more, and right after 8,000.
constexpr std::int64_t kSettling = 4, kMostSettling = 16;
constexpr double kSettledEnergy = 1, kSettledSquare = 0.1, kSettledErrors = 3;
// A path so short (in the friction metric) needs no better base.
constexpr double kShortPath = 0.5;
constexpr std::int64_t kBurnInChunk = 50;
// Nats between the bounds that single-precision energies may account for, where the standard errors are next to
// nothing.
constexpr double kRoundingGap = 0.01;

void validate(const AisOptions& options, const Mlp& model, MatrixView data) {
  require(model.dim() <= 4096, "dim", model.dim(), "must be <= 4096: the base has a full covariance");
  require(options.temperatures >= 2 && options.temperatures <= 10'000'000, "temperatures", options.temperatures,
          "must be in 2 .. 10^7");
  require(options.chains >= 2 && options.chains <= 10'000'000, "chains", options.chains, "must be in 2 .. 10^7");
  require(options.steps_per_temperature >= 1 && options.steps_per_temperature <= 1'000'000, "steps_per_temperature",
          options.steps_per_temperature, "must be in 1 .. 10^6");
  require(options.target_acceptance > 0 && options.target_acceptance < 1, "target_acceptance",
          options.target_acceptance, "must be between 0 and 1");
  require(options.burn_in >= 0 && options.burn_in <= 1'000'000'000, "burn_in", options.burn_in, "must be in 0 .. 10^9");
  require(options.min_ess >= 0 && options.min_ess <= 1, "min_ess", options.min_ess, "must be in [0, 1]");
  require_non_negative("min_ess_chains", options.min_ess_chains);
  require_non_negative("max_gap_errors", options.max_gap_errors);
  require_non_negative("max_gap", options.max_gap);
  if (data.rows == 0) return;
  require(data.rows >= 2, "data", data.rows, "must hold at least two points");
  require_points("data", data, model.dim());
}

std::vector<std::uint64_t> ids_from(std::uint64_t first, std::int64_t n) {
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
}

AnnealingBase base_of_data(const Mlp& model, MatrixView data) {
  // A covariance is known well enough from this many points; the base only has to be near.
  const std::size_t most = std::max<std::size_t>(16384, 4 * data.cols), stride = (data.rows + most - 1) / most;
  Matrix chosen((data.rows + stride - 1) / stride, data.cols);
  for (std::size_t i = 0; i < chosen.rows(); ++i) std::ranges::copy(data.row(i * stride), chosen.row(i).begin());
  const Matrix points = model.to_model_space(chosen);
  return AnnealingBase(model.dim(), points);
}

struct Mean {
  double value, standard_error;
};

Mean mean_of(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, square = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) square += (v - mean) * (v - mean);
  return {mean, std::sqrt(square / (n * (n - 1)))};
}

// What settling is judged by, one value per chain.
struct ChainSummary {
  std::vector<double> energy, square;
};

ChainSummary look_at(const ChainSet& chains, std::span<float> x, std::size_t n) {
  std::vector<float> energies(n), base_energies(n);
  chains.energies(energies, base_energies);
  chains.positions(x);
  ChainSummary summary{{energies.begin(), energies.end()}, std::vector<double>(n)};
  for (std::size_t k = 0; k < x.size(); ++k) {
    summary.square[k / (x.size() / n)] += static_cast<double>(x[k]) * static_cast<double>(x[k]);
  }
  return summary;
}

bool has_moved(const std::vector<double>& before, const std::vector<double>& after, double tolerance) {
  std::vector<double> change(before.size());
  std::ranges::transform(after, before, change.begin(), std::minus<>());
  const Mean mean = mean_of(change);
  return !(std::abs(mean.value) <= tolerance + kSettledErrors * mean.standard_error);
}

// Runs chains on the model from `x` [n, D] until they have settled; false when they have not in the end, or the caller
// stopped. `ladder_steps`: what the annealing itself will take.
bool settle(const EnergyFunction& function, const AnnealingBase& base, std::uint64_t seed, float step_size,
            std::int64_t ladder_steps, std::vector<float>* x, const std::function<bool()>& report) {
  const std::size_t n = x->size() / base.gaussian().mean.size();
  const auto chains = function.chains(seed, ids_from(kSettlingChains, static_cast<std::int64_t>(n)),
                                      std::vector<std::uint64_t>(n, 0), base.gaussian());
  chains->set_positions(*x);
  Transition transition;
  transition.kind = SamplerKind::mala;
  transition.step_size = step_size;
  std::int64_t done = 0;
  ChainSummary before;
  for (std::int64_t until = kSettling * ladder_steps;; until *= 2) {
    while (done < until) {
      const std::int64_t steps = std::min(kBurnInChunk, until - done);
      chains->run(transition, steps);
      done += steps;
      if (!report()) return false;
    }
    ChainSummary now = look_at(*chains, *x, n);
    if (!before.energy.empty() && !has_moved(before.energy, now.energy, kSettledEnergy) &&
        !has_moved(before.square, now.square, kSettledSquare * mean_of(now.square).value)) {
      return true;
    }
    if (until >= kMostSettling * ladder_steps) return false;
    before = std::move(now);
  }
}

struct Path {
  AnnealingBase base;
  Ladder ladder;        // empty when the caller stopped
  bool settled = true;  // false: the model's own chains still moved when the base was fitted to them
};

// Where to start from, and the ladder from there. Without data the base is the model's own: a pilot run climbs from
// N(0, I), its chains settle on the model, and their Gaussian is the base of a second pilot run.
Path find_path(const EnergyFunction& function, const Mlp& model, const AisOptions& options, MatrixView data,
               const std::function<bool()>& report) {
  bool going = true;
  const auto going_on = [&] { return going = going && report(); };
  const auto pilot = [&](const AnnealingBase& base, std::uint64_t first, std::int64_t n) {
    return run_pilot(function, base, options.seed, ids_from(first, n), options.temperatures, options.target_acceptance,
                     going_on);
  };
  const std::int64_t chains = std::clamp(options.chains, std::int64_t{64}, kMostPilotChains);
  if (data.rows > 0) {
    AnnealingBase base = base_of_data(model, data);
    Ladder ladder = pilot(base, kPilotChains, chains).ladder;
    return {std::move(base), std::move(ladder)};
  }
  AnnealingBase standard(model.dim());
  Pilot first =
      pilot(standard, kBaseChains, std::clamp(2 * std::int64_t{model.dim()}, kFewestBaseChains, kMostBaseChains));
  if (!going || first.length <= kShortPath) return {std::move(standard), std::move(first.ladder)};
  const bool settled = settle(function, standard, options.seed, first.ladder.step_size.back(),
                              options.temperatures * options.steps_per_temperature, &first.ends, going_on);
  const auto dim = static_cast<std::size_t>(model.dim());
  AnnealingBase own(model.dim(), MatrixView{first.ends.data(), first.ends.size() / dim, dim});
  if (!going) return {std::move(own), {}};
  Ladder ladder = pilot(own, kPilotChains, chains).ladder;
  return {std::move(own), std::move(ladder), settled};
}

struct WeightSummary {
  double log_mean = 0, standard_error = 0, ess = 0;
};

// Of weights exp(log_weights): log of their mean, its standard error by the delta method, effective sample size.
WeightSummary summarize(const std::vector<double>& log_weights) {
  const auto n = static_cast<double>(log_weights.size());
  const double log_sum = log_sum_exp(log_weights);
  WeightSummary summary{log_sum - std::log(n), kNan, 0};
  if (!std::isfinite(log_sum)) return summary;
  double squares = 0;  // of the normalised weights, at least 1 / n
  for (const double w : log_weights) squares += std::exp(2 * (w - log_sum));
  summary.ess = 1 / squares;
  summary.standard_error = std::sqrt(std::max(n * squares - 1, 0.0) / (n - 1));
  return summary;
}

// Systematic resampling: chain i of the result is a copy of a forward end, in proportion to the weights.
std::vector<float> resample(const std::vector<float>& x, std::size_t dim, const std::vector<double>& log_weights,
                            std::uint64_t seed) {
  const std::size_t n = log_weights.size();
  const double log_sum = log_sum_exp(log_weights);
  const double u = unit_double(philox(seed, Purpose::evaluation, kReverseChains, 0, kResamplingBlock).r0);
  std::vector<float> result(x.size());
  double reached = 0;
  std::size_t source = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double target = (static_cast<double>(i) + u) / static_cast<double>(n);
    while (source + 1 < n && reached + std::exp(log_weights[source] - log_sum) < target) {
      reached += std::exp(log_weights[source++] - log_sum);
    }
    std::copy_n(x.begin() + static_cast<std::ptrdiff_t>(source * dim), dim,
                result.begin() + static_cast<std::ptrdiff_t>(i * dim));
  }
  return result;
}

// One pass over the ladder. Adds up log weights at the energies that the chains have between the moves.
class Anneal {
 public:
  Anneal(ChainSet* chains, const Ladder& ladder, std::int64_t steps, std::size_t n)
      : chains_(chains), ladder_(ladder), steps_(steps), energy_(n), base_energy_(n), log_weights_(n) {
    transition_.kind = SamplerKind::mala;
  }

  // beta[from] -> beta[to] at the present positions.
  void weigh(std::size_t from, std::size_t to) {
    chains_->energies(energy_, base_energy_);
    const double change = static_cast<double>(ladder_.beta[to]) - static_cast<double>(ladder_.beta[from]);
    for (std::size_t i = 0; i < log_weights_.size(); ++i) {
      log_weights_[i] += change * (static_cast<double>(base_energy_[i]) - static_cast<double>(energy_[i]));
    }
  }
  void move(std::size_t rung) { move(rung, steps_); }
  void move(std::size_t rung, std::int64_t steps) {
    transition_.step_size = ladder_.step_size[rung];
    chains_->run(transition_, steps, ladder_.beta[rung]);
  }

  // A chain that left the finite numbers was restarted, which no weight accounts for: its weight is zero, as that of
  // a point of infinite energy.
  const std::vector<double>& log_weights() {
    std::vector<std::uint8_t> restarted(log_weights_.size());
    chains_->restarted(restarted);
    for (std::size_t i = 0; i < restarted.size(); ++i) {
      if (restarted[i] != 0 || std::isnan(log_weights_[i])) {
        log_weights_[i] = -std::numeric_limits<double>::infinity();
      }
    }
    return log_weights_;
  }

 private:
  ChainSet* chains_;
  const Ladder& ladder_;
  std::int64_t steps_;
  Transition transition_;
  std::vector<float> energy_, base_energy_;
  std::vector<double> log_weights_;
};

// Why the estimate can't be trusted, or nothing.
std::string why_refused(const AisResult& result, const AisOptions& options, bool settled) {
  if (!std::isfinite(result.log_z_forward)) return "the energy is not finite where the chains went";
  const double share = options.min_ess * static_cast<double>(options.chains);
  if (!(result.ess >= std::max(share, options.min_ess_chains))) {
    return fmt::format("the effective sample size is {:.3g} of {} chains, below {:.3g}", result.ess, options.chains,
                       std::max(share, options.min_ess_chains));
  }
  if (!settled) return "the model's own chains had not settled when the annealing's start was fitted to them";
  if (!options.reverse) return {};
  const double gap = result.log_z_reverse - result.log_z_forward;
  if (!std::isfinite(gap)) return "the reverse run gave no upper bound";
  const double explained =
      options.max_gap_errors * std::hypot(result.stderr_forward, result.stderr_reverse) + kRoundingGap;
  if (!(std::abs(gap) <= std::min(explained, options.max_gap))) {
    return fmt::format("the lower and the upper bound are {:.3g} nats apart, more than {:.3g}", std::abs(gap),
                       std::min(explained, options.max_gap));
  }
  return {};
}

}  // namespace

AisResult ais_log_z(const Mlp& model, const AisOptions& options, MatrixView data, const Device& device) {
  validate(options, model, data);
  const auto started = std::chrono::steady_clock::now();
  const auto seconds = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count();
  };
  const auto report = [&](std::int64_t temperature, bool reverse) {
    return !options.progress || options.progress({temperature, options.temperatures, reverse, seconds()});
  };
  const auto engine = make_engine(device);
  const auto function = engine->load(model);
  const auto n = static_cast<std::size_t>(options.chains), dim = static_cast<std::size_t>(model.dim());
  const auto rungs = static_cast<std::size_t>(options.temperatures);

  AisResult result;
  result.log_z_forward = result.log_z_reverse = result.stderr_forward = result.stderr_reverse = kNan;
  const auto path = find_path(*function, model, options, data, [&] { return report(0, false); });
  const auto& base = path.base;
  const auto& ladder = path.ladder;
  const bool settled = path.settled;
  const double offset = base.log_z() + model.log_volume();
  result.refusal = "it was stopped before it was done";
  if (ladder.beta.empty()) {
    result.seconds = seconds();
    return result;
  }

  const auto new_chains = [&](std::uint64_t first) {
    return function->chains(options.seed, ids_from(first, options.chains), std::vector<std::uint64_t>(n, 0),
                            base.gaussian());
  };
  std::vector<float> x = base.draw(options.seed, ids_from(kForwardChains, options.chains));
  {
    const auto chains = new_chains(kForwardChains);
    chains->set_positions(x);
    Anneal forward(chains.get(), ladder, options.steps_per_temperature, n);
    for (std::size_t t = 1; t <= rungs; ++t) {
      forward.weigh(t - 1, t);
      forward.move(t);
      if (!report(static_cast<std::int64_t>(t), false) && t < rungs) {
        result.seconds = seconds();
        return result;
      }
    }
    chains->positions(x);
    result.log_weights = forward.log_weights();
    result.acceptance = chains->stats().acceptance();
  }
  const WeightSummary forward = summarize(result.log_weights);
  result.log_z_forward = offset + forward.log_mean;
  result.stderr_forward = forward.standard_error;
  result.ess = forward.ess;
  result.samples = model.to_data_units(Matrix(n, dim, x));

  if (options.reverse && std::isfinite(result.log_z_forward)) {
    const auto chains = new_chains(kReverseChains);
    chains->set_positions(resample(x, dim, result.log_weights, options.seed));
    Anneal reverse(chains.get(), ladder, options.steps_per_temperature, n);
    bool going = true;
    for (std::int64_t done = 0; going && done < options.burn_in; done += kBurnInChunk) {
      reverse.move(rungs, std::min(kBurnInChunk, options.burn_in - done));
      going = report(0, true);
    }
    for (std::size_t t = rungs; going && t >= 1; --t) {
      reverse.move(t);
      reverse.weigh(t, t - 1);
      going = report(static_cast<std::int64_t>(rungs - t + 1), true) || t == 1;
    }
    if (going) {
      const WeightSummary summary = summarize(reverse.log_weights());
      result.log_z_reverse = offset - summary.log_mean;
      result.stderr_reverse = summary.standard_error;
    } else {
      result.seconds = seconds();
      return result;
    }
  }
  result.refusal = why_refused(result, options, settled);
  if (result.refusal.empty()) result.log_z = result.log_z_forward;
  result.seconds = seconds();
  return result;
}

}  // namespace ebm
