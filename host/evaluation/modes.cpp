#include "ebmcuda/modes.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "ebmcuda/diagnostics.hpp"
#include "ebmcuda/energy.hpp"
#include "host/core/check.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/evaluation/descent.hpp"

namespace ebm {
namespace {

constexpr double kMostRhat = 1.2;    // about two independent visits in half a chain
constexpr double kLeastMass = 0.01;  // a mode below it may be visited by chance
constexpr int kBetween = 17;         // points on the line between two ends

void validate(const std::vector<Matrix>& trajectory, const ModesOptions& options) {
  require(!trajectory.empty() && trajectory.front().rows() > 0, "trajectory", "no point", "must hold at least one");
  for (const Matrix& x : trajectory) {
    require(x.rows() == trajectory.front().rows() && x.cols() == trajectory.front().cols(), "trajectory",
            fmt::format("{} x {}", x.rows(), x.cols()), "every position must hold the same chains and columns");
    for (const float v : x.values()) require(std::isfinite(v), "trajectory", v, "every value must be finite");
  }
  require_positive("tolerance", options.tolerance);
  require_positive("longest_step", options.longest_step);
  require_non_negative("barrier", options.barrier);
  require(options.evaluations >= 1, "evaluations", options.evaluations, "must be >= 1");
}

// How far E rises on the straight lines from x to each of the rows of `others`, above the higher end.
std::vector<double> barriers(const EnergyGradient& energy, std::span<const float> x, double at_x, const Matrix& others,
                             const std::vector<double>& at_others) {
  const std::size_t dim = x.size();
  Matrix line(others.rows() * kBetween, dim);
  for (std::size_t k = 0; k < others.rows(); ++k) {
    for (int j = 0; j < kBetween; ++j) {
      const float share = static_cast<float>(j + 1) / (kBetween + 1);
      for (std::size_t d = 0; d < dim; ++d) {
        line(k * kBetween + static_cast<std::size_t>(j), d) = x[d] + share * (others(k, d) - x[d]);
      }
    }
  }
  std::vector<float> values(line.rows()), gradients(line.values().size());
  energy(line, values, gradients);
  std::vector<double> result(others.rows());
  for (std::size_t k = 0; k < others.rows(); ++k) {
    const std::span<const float> own = std::span(values).subspan(k * kBetween, kBetween);
    result[k] = static_cast<double>(*std::ranges::max_element(own)) - std::max(at_x, at_others[k]);
  }
  return result;
}

struct Grouped {
  Matrix positions;  // of the modes, the lowest end of each
  std::vector<double> energies;
  std::vector<std::size_t> mode_of;  // of each end
};

Matrix with_row(const Matrix& x, std::span<const float> row) {
  std::vector<float> values(x.values().begin(), x.values().end());
  values.insert(values.end(), row.begin(), row.end());
  return {x.rows() + 1, row.size(), std::move(values)};
}

// Ends from the lowest up: each to the nearest mode within what ends differ by from rounding and tolerance, else to the
// nearest that no barrier keeps it from, else a mode of its own.
Grouped group(const EnergyGradient& energy, const Descents& ends, const ModesOptions& options) {
  const std::size_t n = ends.x.rows(), dim = ends.x.cols();
  std::vector<std::size_t> order(n);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return ends.energy[i]; });
  Grouped modes{Matrix(0, dim), {}, std::vector<std::size_t>(n)};
  const double same = 0.04 * options.longest_step * options.longest_step;  // a fifth of a step
  for (const std::size_t i : order) {
    const auto at = static_cast<double>(ends.energy[i]);
    std::vector<std::size_t> nearest(modes.energies.size());
    std::iota(nearest.begin(), nearest.end(), std::size_t{0});
    std::vector<double> distance;
    for (std::size_t k = 0; k < nearest.size(); ++k) {
      distance.push_back(square_distance(ends.x.row(i), modes.positions.row(k)));
    }
    std::ranges::sort(nearest, {}, [&](std::size_t k) { return distance[k]; });
    if (!nearest.empty() && distance[nearest[0]] <= same) {
      modes.mode_of[i] = nearest[0];
      continue;
    }
    std::size_t mode = modes.energies.size();
    if (!nearest.empty()) {
      const std::vector<double> rise = barriers(energy, ends.x.row(i), at, modes.positions, modes.energies);
      for (const std::size_t k : nearest) {
        if (!(rise[k] <= options.barrier)) continue;
        mode = k;
        break;
      }
    }
    if (mode == modes.energies.size()) {
      modes.positions = with_row(modes.positions, ends.x.row(i));
      modes.energies.push_back(at);
    }
    modes.mode_of[i] = mode;
  }
  return modes;
}

// Split R-hat of each mode's indicator; 1 where there is one mode.
std::vector<double> rhat_of(const ModeReport& report, std::size_t modes, std::size_t chains) {
  std::vector<double> result(modes, std::numeric_limits<double>::quiet_NaN());
  if (report.mode_of.size() < 4 || chains < 2) return result;
  std::vector<Matrix> inside(report.mode_of.size(), Matrix(chains, modes));
  for (std::size_t t = 0; t < inside.size(); ++t) {
    for (std::size_t i = 0; i < chains; ++i) inside[t](i, report.mode_of[t][i]) = 1;
  }
  result = split_rhat(inside);
  for (double& rhat : result) rhat = std::isnan(rhat) ? 1 : rhat;
  return result;
}

std::string disagreement_of(const ModeReport& report) {
  std::string text;
  for (std::size_t k = 0; k < report.modes.size(); ++k) {
    const Mode& mode = report.modes[k];
    if (!(mode.rhat > kMostRhat) || mode.mass < kLeastMass) continue;
    text += fmt::format("{}mode {} ({:.3g})", text.empty() ? "" : ", ", k, mode.rhat);
  }
  if (text.empty()) return text;
  return fmt::format(
      "chains disagree about the mass of {}: split R-hat above {}. They have not moved between modes "
      "often enough, and their shares are those of where they started",
      text, kMostRhat);
}

}  // namespace

ModeReport find_modes(const EnergyGradient& energy, const std::vector<Matrix>& trajectory,
                      const ModesOptions& options) {
  validate(trajectory, options);
  const std::size_t times = trajectory.size(), chains = trajectory.front().rows(), dim = trajectory.front().cols();
  Matrix all(times * chains, dim);
  for (std::size_t t = 0; t < times; ++t) std::ranges::copy(trajectory[t].values(), &all(t * chains, 0));
  const Descents ends = descend(energy, std::move(all), options);
  const Grouped grouped = group(energy, ends, options);

  const std::size_t modes = grouped.energies.size();
  std::vector<std::size_t> points(modes);
  for (const std::size_t k : grouped.mode_of) ++points[k];
  std::vector<std::size_t> by_mass(modes), rank(modes);
  std::iota(by_mass.begin(), by_mass.end(), std::size_t{0});
  std::ranges::stable_sort(by_mass, std::greater<>(), [&](std::size_t k) { return points[k]; });
  for (std::size_t r = 0; r < modes; ++r) rank[by_mass[r]] = r;

  ModeReport report;
  report.unfinished = static_cast<std::size_t>(std::ranges::count(ends.converged, false));
  report.mode_of.assign(times, std::vector<std::size_t>(chains));
  for (std::size_t i = 0; i < grouped.mode_of.size(); ++i) {
    report.mode_of[i / chains][i % chains] = rank[grouped.mode_of[i]];
  }
  const auto n = static_cast<double>(chains);
  std::vector<std::vector<double>> share(modes, std::vector<double>(chains));  // of each chain's time
  for (const auto& now : report.mode_of) {
    for (std::size_t i = 0; i < chains; ++i) share[now[i]][i] += 1 / static_cast<double>(times);
  }
  for (std::size_t r = 0; r < modes; ++r) {
    const std::size_t k = by_mass[r];
    const auto row = grouped.positions.row(k);
    Mode mode{{row.begin(), row.end()}, grouped.energies[k], points[k], 0, 0, 0};
    mode.mass = static_cast<double>(points[k]) / static_cast<double>(times * chains);
    double squares = 0;
    for (const double s : share[r]) squares += (s - mode.mass) * (s - mode.mass);
    mode.standard_error = chains > 1 ? std::sqrt(squares / (n - 1) / n) : std::numeric_limits<double>::quiet_NaN();
    report.modes.push_back(std::move(mode));
  }
  const std::vector<double> rhat = rhat_of(report, modes, chains);
  for (std::size_t r = 0; r < modes; ++r) report.modes[r].rhat = rhat[r];
  report.transitions.assign(modes, std::vector<std::uint64_t>(modes));
  for (std::size_t t = 1; t < times; ++t) {
    for (std::size_t i = 0; i < chains; ++i) ++report.transitions[report.mode_of[t - 1][i]][report.mode_of[t][i]];
  }
  report.disagreement = disagreement_of(report);
  return report;
}

ModeReport find_modes(const Mlp& model, const std::vector<Matrix>& trajectory, const ModesOptions& options,
                      const Device& device) {
  validate(trajectory, options);
  const auto dim = static_cast<std::size_t>(model.dim());
  require(trajectory.front().cols() == dim, "trajectory", trajectory.front().cols(),
          fmt::format("must hold D = {} columns", dim));
  Mlp plain(model.shape());  // the same network in its own space
  std::ranges::copy(model.parameters(), plain.parameters().begin());
  const Energy energy(plain, device);
  std::vector<Matrix> positions;
  for (const Matrix& x : trajectory) positions.push_back(model.to_model_space(x));
  ModeReport report = find_modes(
      [&](MatrixView x, std::span<float> values, std::span<float> gradients) { energy.gradient(x, gradients, values); },
      positions, options);
  for (Mode& mode : report.modes) {
    const Matrix x = model.to_data_units(Matrix(1, dim, mode.position));
    mode.position.assign(x.values().begin(), x.values().end());
  }
  return report;
}

}  // namespace ebm
