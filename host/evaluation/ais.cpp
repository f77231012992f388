#include <algorithm>
#include <chrono>
#include <cmath>
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

// The three runs have chains of their own, far from the ids that sampling uses, so that no noise is shared.
constexpr std::uint64_t kForwardChains = std::uint64_t{1} << 52;
constexpr std::uint64_t kPilotChains = std::uint64_t{2} << 52;
constexpr std::uint64_t kReverseChains = std::uint64_t{3} << 52;
constexpr std::uint32_t kResamplingBlock = 0xFFFE;
constexpr std::int64_t kMostPilotChains = 512;
constexpr std::int64_t kBurnInChunk = 50;

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
  if (data.rows == 0) return;
  require(data.rows >= 2, "data", data.rows, "must hold at least two points");
  require_points("data", data, model.dim());
}

AnnealingBase make_base(const Mlp& model, MatrixView data) {
  if (data.rows == 0) return AnnealingBase(model.dim());
  // A covariance is known well enough from this many points; the base only has to be near.
  const std::size_t most = std::max<std::size_t>(16384, 4 * data.cols), stride = (data.rows + most - 1) / most;
  Matrix chosen((data.rows + stride - 1) / stride, data.cols);
  for (std::size_t i = 0; i < chosen.rows(); ++i) std::ranges::copy(data.row(i * stride), chosen.row(i).begin());
  const Matrix points = model.to_model_space(chosen);
  return AnnealingBase(model.dim(), points);
}

std::vector<std::uint64_t> ids_from(std::uint64_t first, std::int64_t n) {
  std::vector<std::uint64_t> ids(static_cast<std::size_t>(n));
  std::iota(ids.begin(), ids.end(), first);
  return ids;
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
  const AnnealingBase base = make_base(model, data);
  const auto n = static_cast<std::size_t>(options.chains), dim = static_cast<std::size_t>(model.dim());
  const auto rungs = static_cast<std::size_t>(options.temperatures);
  const double offset = base.log_z() + model.log_volume();

  AisResult result;
  result.log_z_forward = result.log_z_reverse = result.stderr_forward = result.stderr_reverse = kNan;
  const Ladder ladder =
      pilot_ladder(*function, base, options.seed,
                   ids_from(kPilotChains, std::clamp(options.chains, std::int64_t{64}, kMostPilotChains)),
                   options.temperatures, options.target_acceptance, [&] { return report(0, false); });
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
  if (std::isfinite(result.log_z_forward) && result.ess >= options.min_ess * static_cast<double>(n)) {
    result.log_z = result.log_z_forward;
  }
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
    }
  }
  result.seconds = seconds();
  return result;
}

}  // namespace ebm
