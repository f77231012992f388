#include "host/evaluation/ais_path.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <tuple>
#include <utility>

#include "host/core/linear_algebra.hpp"
#include "host/core/normal_pair.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

// Share of the mean variance added to every direction of the base. On 64-dimensional digits the variance of the log
// weights was 5.8 with 0.01, 4.8 with 0.05, 4.2 with 0.1 to 0.2 and 4.3 with 0.4: a base that is too narrow in some
// direction costs more than one that is too wide.
constexpr double kRidge = 0.1;

// Pilot: stops of this many steps, of which the first half adapts the step size.
constexpr std::int64_t kHalfStop = 6;
// The pilot goes on to the next stop when beta has moved by this many standard deviations of U.
constexpr double kPilotLength = 0.5;
constexpr double kLargestMove = 0.05, kSmallestMove = 1e-6, kSmallestGrowth = 0.03;
constexpr double kAdaptation = 1.5;  // of log step size per unit of acceptance

double log_root_determinant(const std::vector<float>& root, std::size_t n) {
  double sum = 0;
  for (std::size_t d = 0; d < n; ++d) sum += std::log(static_cast<double>(root[d * n + d]));
  return sum;
}

struct Stop {
  double beta = 0, log_step_size = 0;
  double metric = 0;  // sqrt(Var(U) tau), per unit of beta
};

double mean_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

double variance_of(const std::vector<double>& values) {
  const double mean = mean_of(values);
  double sum = 0;
  for (const double v : values) sum += (v - mean) * (v - mean);
  return sum / static_cast<double>(values.size() - 1);
}

// Steps until U is forgotten, from its values `steps` apart: 1 - rho = E[(U' - U)^2] / (2 Var U), rho = exp(-steps /
// tau).
double forgetting_time(const std::vector<double>& before, const std::vector<double>& after, double steps) {
  const double variance = (variance_of(before) + variance_of(after)) / 2;
  double square = 0;
  for (std::size_t i = 0; i < before.size(); ++i) square += (after[i] - before[i]) * (after[i] - before[i]);
  square /= static_cast<double>(before.size());
  const double rho = std::clamp(1 - square / std::max(2 * variance, 1e-30), 0.01, 0.999);
  return -steps / std::log(rho);
}

// Linear between the stops, which are sorted by `key`.
template <class Key, class Value>
double interpolate(const std::vector<Stop>& stops, double at, Key key, Value value) {
  std::size_t next = 1;
  while (next + 1 < stops.size() && key(next) < at) ++next;
  const double lo = key(next - 1), hi = key(next);
  const double share = hi > lo ? std::clamp((at - lo) / (hi - lo), 0.0, 1.0) : 1.0;
  return (1 - share) * value(next - 1) + share * value(next);
}

struct Placement {
  Ladder ladder;
  double length;
};

Placement place_rungs(const std::vector<Stop>& stops, std::int64_t temperatures) {
  const std::size_t n = stops.size();
  // A running mean of five: single estimates scatter. A floor keeps a stretch that looks free from being leapt over.
  std::vector<double> metric(n);
  double total = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const std::size_t from = k < 2 ? 0 : k - 2, to = std::min(k + 3, n);
    for (std::size_t i = from; i < to; ++i) metric[k] += stops[i].metric / static_cast<double>(to - from);
    if (k > 0) total += (metric[k] + metric[k - 1]) / 2 * (stops[k].beta - stops[k - 1].beta);
  }
  std::vector<double> length(n);
  for (std::size_t k = 1; k < n; ++k) {
    const double speed = std::max((metric[k] + metric[k - 1]) / 2, 0.05 * total);
    length[k] = length[k - 1] + speed * (stops[k].beta - stops[k - 1].beta);
  }

  Ladder ladder;
  const auto beta = [&](std::size_t k) { return stops[k].beta; };
  for (std::int64_t t = 0; t <= temperatures; ++t) {
    const double share = static_cast<double>(t) / static_cast<double>(temperatures);
    const double b = interpolate(
        stops, share * length[n - 1], [&](std::size_t k) { return length[k]; }, beta);
    ladder.beta.push_back(static_cast<float>(b));
    ladder.step_size.push_back(static_cast<float>(
        std::exp(interpolate(stops, b, beta, [&](std::size_t k) { return stops[k].log_step_size; }))));
  }
  ladder.beta.front() = 0;
  ladder.beta.back() = 1;
  return {std::move(ladder), total};
}

}  // namespace

AnnealingBase::AnnealingBase(int dim) {
  const auto n = static_cast<std::size_t>(dim);
  gaussian_.mean.assign(n, 0.0f);
  gaussian_.root.assign(n * n, 0.0f);
  for (std::size_t d = 0; d < n; ++d) gaussian_.root[d * n + d] = 1;
  log_z_ = static_cast<double>(n) / 2 * std::log(2 * std::numbers::pi);
}

AnnealingBase::AnnealingBase(int dim, MatrixView points) : AnnealingBase(dim) {
  const auto n = static_cast<std::size_t>(dim);
  Moments fitted = moments(points);
  const double variance = fitted.mean_variance();
  add_to_diagonal(fitted.covariance, n, kRidge * (variance > 0 ? variance : 1));
  // The precision is what has the upper triangular root; the ridge makes both factorisations exist.
  const auto covariance_root = cholesky(std::move(fitted.covariance), n);
  if (!covariance_root) return;
  const auto root = cholesky(inverse_from_cholesky(*covariance_root, n), n);
  if (!root) return;
  gaussian_.mean.assign(fitted.mean.begin(), fitted.mean.end());
  gaussian_.root.assign(root->begin(), root->end());
  log_z_ -= log_root_determinant(gaussian_.root, n);
}

std::vector<float> AnnealingBase::draw(std::uint64_t seed, const std::vector<std::uint64_t>& ids) const {
  const std::size_t n = gaussian_.mean.size();
  const std::vector<double> root(gaussian_.root.begin(), gaussian_.root.end());
  std::vector<float> x(ids.size() * n);
  std::vector<double> z((n + 3) / 4 * 4);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    for (std::size_t d = 0; d < n; d += 4) {
      const PhiloxWords w = philox(seed, Purpose::evaluation, ids[i], 0, static_cast<std::uint32_t>(d / 4));
      std::tie(z[d], z[d + 1]) = double_normal_pair(w.r0, w.r1);
      std::tie(z[d + 2], z[d + 3]) = double_normal_pair(w.r2, w.r3);
    }
    solve_upper(root, std::span(z).first(n));
    for (std::size_t d = 0; d < n; ++d) x[i * n + d] = static_cast<float>(z[d] + gaussian_.mean[d]);
  }
  return x;
}

Ladder pilot_ladder(const EnergyFunction& function, const AnnealingBase& base, std::uint64_t seed,
                    std::vector<std::uint64_t> ids, std::int64_t temperatures, float target_acceptance,
                    const std::function<bool()>& report) {
  return run_pilot(function, base, seed, std::move(ids), temperatures, target_acceptance, report).ladder;
}

Pilot run_pilot(const EnergyFunction& function, const AnnealingBase& base, std::uint64_t seed,
                std::vector<std::uint64_t> ids, std::int64_t temperatures, float target_acceptance,
                const std::function<bool()>& report) {
  const std::size_t n = ids.size();
  const std::vector<float> start = base.draw(seed, ids);
  const auto chains = function.chains(seed, std::move(ids), std::vector<std::uint64_t>(n, 0), base.gaussian());
  chains->set_positions(start);

  Transition transition;
  transition.kind = SamplerKind::mala;
  double log_step_size = std::log(0.1), beta = 0;
  const auto run = [&] {
    transition.step_size = static_cast<float>(std::exp(log_step_size));
    chains->clear_stats();
    chains->run(transition, kHalfStop, static_cast<float>(beta));
    return chains->stats().acceptance();
  };
  const auto adapt = [&] {
    log_step_size += kAdaptation * (run() - static_cast<double>(target_acceptance));
    log_step_size = std::clamp(log_step_size, -20.0, 10.0);
  };
  std::vector<float> energy(n), base_energy(n);
  const auto differences = [&] {
    chains->energies(energy, base_energy);
    std::vector<double> u(n);
    for (std::size_t i = 0; i < n; ++i) u[i] = static_cast<double>(energy[i]) - static_cast<double>(base_energy[i]);
    return u;
  };

  // At the base the chains are in equilibrium whatever the step size: time to find one.
  for (int k = 0; k < 40; ++k) adapt();
  std::vector<Stop> stops;
  while (true) {
    if (report && !report()) return {};
    adapt();
    const std::vector<double> before = differences();
    run();
    const std::vector<double> after = differences();
    const double spread = std::sqrt((variance_of(before) + variance_of(after)) / 2);
    const double tau = forgetting_time(before, after, static_cast<double>(kHalfStop));
    stops.push_back({beta, log_step_size, spread * std::sqrt(tau)});
    if (beta >= 1) break;
    const double smallest = std::max(kSmallestMove, kSmallestGrowth * beta);
    const double move = spread > 0 ? kPilotLength / spread : kLargestMove;
    beta = std::min(1.0, beta + std::clamp(move, std::min(smallest, kLargestMove), kLargestMove));
  }
  Placement placed = place_rungs(stops, temperatures);
  Pilot pilot{std::move(placed.ladder), placed.length, std::vector<float>(start.size())};
  chains->positions(pilot.ends);
  return pilot;
}

}  // namespace ebm
