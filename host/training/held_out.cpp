#include "host/training/held_out.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "ebmcuda/dataset.hpp"
#include "ebmcuda/log_z.hpp"
#include "host/core/check.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {
namespace {

constexpr std::size_t kMostRows = 4096;
// The checks' chain steps, as a share of the run's. One costs about twice a step of training, for its energies, and a
// pilot run as much as the annealing itself: a tenth of the run's time in all. Few chains and many temperatures,
// because the scatter of the weights falls exponentially with the second.
constexpr double kShare = 0.045;
constexpr std::int64_t kChains = 32, kFewestTemperatures = 20, kMostTemperatures = 1000;
constexpr std::int64_t kMostAnnealed = 4096;  // dimensions: ais_log_z's limit
// Standard errors of log Z beyond which a check says nothing: the best state is chosen by differences of a few tenths.
constexpr double kMostError = 0.5;
// The noise of the two sets is that of other seeds than the training's.
constexpr std::uint64_t kTrainNoise = 0x68656c64, kHeldOutNoise = 0x6f757421;

Matrix chosen_rows(MatrixView x) {
  const std::size_t stride = (x.rows + kMostRows - 1) / kMostRows;
  Matrix chosen((x.rows + stride - 1) / stride, x.cols);
  for (std::size_t i = 0; i < chosen.rows(); ++i) std::ranges::copy(x.row(i * stride), chosen.row(i).begin());
  return chosen;
}

Matrix noisy_rows(MatrixView x, const TrainerOptions& options, std::uint64_t noise) {
  const Matrix rows = chosen_rows(x);
  return options.dequantize > 0 ? dequantized(rows, options.dequantize, options.seed ^ noise) : rows;
}

double mean_of(const std::vector<float>& values) {
  double sum = 0;
  for (const float v : values) sum += static_cast<double>(v);
  return sum / static_cast<double>(values.size());
}

struct QuickLogZ {
  std::optional<double> value;
  double error = 0;
  std::string refusal;
};

// The trapezoid rule over [-6, 6]^D of model space, where a model of data with a unit scale has its mass; its error is
// the difference to the grid of twice the spacing. A few thousand energies: a check must not cost what evaluate may.
QuickLogZ grid_log_z(const Mlp& model, const Device& device) {
  Mlp bare = model;
  bare.set_transform({});
  const auto dim = static_cast<std::size_t>(model.dim());
  const std::size_t points = dim == 1 ? 2049 : 193, total = dim == 1 ? points : points * points;
  const double step = 12.0 / static_cast<double>(points - 1);
  Matrix x(total, dim);
  for (std::size_t i = 0; i < total; ++i) {
    std::size_t rest = i;
    for (std::size_t d = 0; d < dim; ++d, rest /= points) {
      x(i, d) = static_cast<float>(-6 + step * static_cast<double>(rest % points));
    }
  }
  std::vector<double> fine, coarse;
  const std::vector<float> energies = energy(bare, x, device);
  for (std::size_t i = 0; i < total; ++i) {
    const double log_p = -static_cast<double>(energies[i]);
    fine.push_back(log_p);
    if (i % points % 2 == 0 && i / points % 2 == 0) coarse.push_back(log_p);
  }
  const double cell = static_cast<double>(dim) * std::log(step);
  const double log_z = log_sum_exp(fine) + cell;
  const double error = std::abs(log_sum_exp(coarse) + cell + static_cast<double>(dim) * std::log(2.0) - log_z);
  if (!(error <= kMostError)) return {{}, error, "the grid does not resolve the mass"};
  return {log_z + model.log_volume(), error, {}};
}

QuickLogZ annealed_log_z(const Mlp& model, const TrainerOptions& options, MatrixView train, const Device& device) {
  if (model.dim() > kMostAnnealed) return {{}, 0, fmt::format("annealing serves D <= {}", kMostAnnealed)};
  const double steps = static_cast<double>(options.iterations) * static_cast<double>(options.batch_size) *
                       static_cast<double>(options.objective.n_steps) *
                       static_cast<double>(resolve(options.objective.sampler, model).evaluations);
  const double temperatures = kShare * steps / static_cast<double>(options.held_out.checks) / (2.0 * kChains);
  AisOptions ais;
  ais.chains = kChains;
  ais.temperatures =
      std::clamp(static_cast<std::int64_t>(std::min(temperatures, 1e6)), kFewestTemperatures, kMostTemperatures);
  ais.reverse = false;
  ais.min_ess = 0;
  ais.min_ess_chains = 1;
  ais.seed = options.seed;
  const AisResult result = ais_log_z(model, ais, train.rows >= 2 ? train : MatrixView{}, device);
  QuickLogZ quick{result.log_z, result.stderr_forward, result.refusal};
  if (quick.value && !(quick.error <= kMostError)) {
    quick.value.reset();
    quick.refusal = fmt::format("{} temperatures leave log Z uncertain by {:.2g}", ais.temperatures, quick.error);
  }
  return quick;
}

}  // namespace

HeldOut::HeldOut(const Mlp& model, const TrainerOptions& options, MatrixView data, MatrixView held_out,
                 const Device& device, HeldOutState state)
    : options_(options),
      train_(noisy_rows(data, options, kTrainNoise)),
      held_out_(noisy_rows(held_out, options, kHeldOutNoise)),
      device_(device),
      energy_(model, device),
      state_(std::move(state)) {}

bool HeldOut::due(std::int64_t iteration) const {
  const std::int64_t before = (iteration - 1) / options_.log_every * options_.log_every;
  const auto passed = [&](std::int64_t i) {
    return static_cast<std::int64_t>(static_cast<double>(i) / static_cast<double>(options_.iterations) *
                                     static_cast<double>(options_.held_out.checks));
  };
  return iteration == options_.iterations || passed(iteration) > passed(before);
}

HeldOutReport HeldOut::look(const Mlp& model, std::int64_t iteration) {
  energy_.set_parameters(model.parameters());
  const std::vector<float> energies = energy_.values(held_out_);
  const double mean_energy = mean_of(energies);
  HeldOutReport report;
  report.energy_gap = mean_energy - mean_of(energy_.values(train_));
  if (!due(iteration)) return report;
  measure(model, mean_energy, &report);
  if (!report.log_likelihood) return report;
  state_.last_log_likelihood = *report.log_likelihood;
  ++state_.checks_since_best;
  if (state_.best_iteration == 0 || *report.log_likelihood > state_.best_log_likelihood) {
    report.best = true;
    state_.best_iteration = iteration;
    state_.best_log_likelihood = *report.log_likelihood;
    state_.checks_since_best = 0;
    state_.best_parameters.assign(model.parameters().begin(), model.parameters().end());
  }
  return report;
}

void HeldOut::measure(const Mlp& model, double mean_energy, HeldOutReport* report) const {
  if (!std::isfinite(mean_energy)) {
    report->refusal = "a held-out point lies where the model's transform allows none";
    return;
  }
  const QuickLogZ log_z =
      model.dim() <= 2 ? grid_log_z(model, device_) : annealed_log_z(model, options_, train_, device_);
  report->log_z_error = log_z.error;
  report->refusal = log_z.refusal;
  if (log_z.value) report->log_likelihood = -mean_energy - *log_z.value;
}

}  // namespace ebm
