#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "ebmcuda/log_z.hpp"
#include "host/core/check.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {
namespace {

// A box counts as grown when less than this share of the mass lies near each of its sides.
constexpr double kEmpty = 1e-9;
// Without a number of points of the caller's, the grid is doubled until halving it changes log Z by less than this.
constexpr double kTargetError = 1e-4;
constexpr int kDoublings = 2;
constexpr std::size_t kBatch = 65536;

// The sum of exp(v), v added one by one.
class LogSum {
 public:
  void add(double v) {
    if (v > largest_) {
      sum_ *= std::exp(largest_ - v);
      largest_ = v;
    }
    if (largest_ > -std::numeric_limits<double>::infinity()) sum_ += std::exp(v - largest_);
  }
  double value() const { return largest_ + std::log(sum_); }

 private:
  double largest_ = -std::numeric_limits<double>::infinity();
  double sum_ = 0;
};

struct Range {
  double lo, hi;
  double width() const { return hi - lo; }
};
using Region = std::vector<Range>;  // one range per dimension, model space

struct GridSum {
  double log_z = 0, log_z_half = 0;  // model space
  double border_mass = 0;
  std::array<std::vector<double>, 2> share;  // of the mass on each grid line across dimension d; empty for d >= D
};

// The trapezoid rule with `points` (odd) grid points per dimension, and with every second one of them.
GridSum integrate(const EnergyFunction& function, const Region& region, int points) {
  const std::size_t dim = region.size();
  const auto n = static_cast<std::size_t>(points), last = n - 1;
  const std::size_t total = dim == 1 ? n : n * n;
  const auto border_lines = static_cast<std::size_t>(std::max(1.0, std::floor(0.01 * static_cast<double>(last))));
  LogSum all, half, border;
  std::array<std::vector<LogSum>, 2> lines;
  for (std::size_t d = 0; d < dim; ++d) lines[d].resize(n);

  std::vector<float> x, energy;
  for (std::size_t begin = 0; begin < total; begin += kBatch) {
    const std::size_t end = std::min(begin + kBatch, total);
    x.resize((end - begin) * dim);
    energy.resize(end - begin);
    const auto index = [&](std::size_t i) { return std::array{i % n, i / n}; };
    for (std::size_t i = begin; i < end; ++i) {
      const auto at = index(i);
      for (std::size_t d = 0; d < dim; ++d) {
        const double fraction = static_cast<double>(at[d]) / static_cast<double>(last);
        x[(i - begin) * dim + d] = static_cast<float>(region[d].lo + fraction * region[d].width());
      }
    }
    function.evaluate(x, energy);
    for (std::size_t i = begin; i < end; ++i) {
      const auto at = index(i);
      double log_p = -static_cast<double>(energy[i - begin]);
      if (std::isnan(log_p) || log_p == std::numeric_limits<double>::infinity()) {
        throw Error(fmt::format("log Z by quadrature: the energy is {} at ({}) in model space", energy[i - begin],
                                fmt::join(x.begin() + static_cast<std::ptrdiff_t>((i - begin) * dim),
                                          x.begin() + static_cast<std::ptrdiff_t>((i - begin + 1) * dim), ", ")));
      }
      bool on_half = true, on_border = false;
      for (std::size_t d = 0; d < dim; ++d) {
        if (at[d] == 0 || at[d] == last) log_p -= std::log(2.0);
        on_half = on_half && at[d] % 2 == 0;
        on_border = on_border || at[d] < border_lines || at[d] > last - border_lines;
      }
      all.add(log_p);
      if (on_half) half.add(log_p);
      if (on_border) border.add(log_p);
      for (std::size_t d = 0; d < dim; ++d) lines[d][at[d]].add(log_p);
    }
  }

  GridSum result;
  double log_cell = 0;
  for (const Range& range : region) log_cell += std::log(range.width() / static_cast<double>(last));
  result.log_z = all.value() + log_cell;
  result.log_z_half = half.value() + log_cell + static_cast<double>(dim) * std::log(2.0);
  result.border_mass = std::exp(border.value() - all.value());
  for (std::size_t d = 0; d < dim; ++d) {
    for (const LogSum& line : lines[d]) result.share[d].push_back(std::exp(line.value() - all.value()));
  }
  return result;
}

// Three standard deviations around the data, or around the standardisation's mean. `extent` is what the grid has to
// cover in any case: the data themselves.
struct Start {
  Region box;
  Region extent;
};

Start start_region(const Mlp& model, MatrixView data) {
  const auto dim = static_cast<std::size_t>(model.dim());
  Start start{Region(dim, {-3, 3}), {}};
  if (data.rows == 0) return start;
  const Matrix points = model.to_model_space(data);
  const auto n = static_cast<double>(points.rows());
  for (std::size_t d = 0; d < dim; ++d) {
    double mean = 0, square = 0;
    Range extent{std::numeric_limits<double>::infinity(), -std::numeric_limits<double>::infinity()};
    for (std::size_t i = 0; i < points.rows(); ++i) {
      const auto x = static_cast<double>(points(i, d));
      mean += x / n;
      square += x * x / n;
      extent = {std::min(extent.lo, x), std::max(extent.hi, x)};
    }
    const double variance = square - mean * mean;
    const double std = variance > 0 ? std::sqrt(variance) : 1;
    start.box[d] = {mean - 3 * std, mean + 3 * std};
    start.extent.push_back(extent);
  }
  return start;
}

// Far from the data a network's head is close to linear along a ray, so that a wrong slope s against a weak confinement
// makes a mode far out, at -s / confinement. A step x - grad E / confinement from anywhere on that side lands on it.
// Widens the box to what such steps find from points on rays.
void include_far_modes(const EnergyFunction& function, const Region& start, float confinement, Region* region) {
  if (!(confinement > 0)) return;
  const std::size_t dim = start.size(), rays = dim == 1 ? 2 : 64;
  std::vector<float> x;
  for (double radius = 0.02; radius < 1e3; radius *= 1.3) {  // in half widths of the start
    for (std::size_t r = 0; r < rays; ++r) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(r) / static_cast<double>(rays);
      const std::array direction = {std::cos(angle), std::sin(angle)};
      for (std::size_t d = 0; d < dim; ++d) {
        const double centre = (start[d].lo + start[d].hi) / 2;
        x.push_back(static_cast<float>(centre + radius * direction[d] * start[d].width() / 2));
      }
    }
  }
  constexpr int kSteps = 3;
  const std::size_t n = x.size() / dim;
  std::vector<float> visited, energies, energy(n), gradient(x.size());
  for (int step = 0; step <= kSteps; ++step) {
    function.evaluate(x, energy, gradient);
    visited.insert(visited.end(), x.begin(), x.end());
    energies.insert(energies.end(), energy.begin(), energy.end());
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= gradient[i] / confinement;
  }
  float lowest = std::numeric_limits<float>::infinity();
  for (const float e : energies) lowest = std::min(lowest, e);
  for (std::size_t i = 0; i < energies.size(); ++i) {
    if (!(energies[i] < lowest + 25)) continue;
    for (std::size_t d = 0; d < dim; ++d) {
      const auto at = static_cast<double>(visited[i * dim + d]);
      (*region)[d] = {std::min((*region)[d].lo, at), std::max((*region)[d].hi, at)};
    }
  }
}

// Grows the box while there is mass near a side, and fits it to the mass once there is none: a grid spent on emptiness
// can't resolve what matters. The first look is wider than the start, as wide as the confinement lets mass spread
// within reason, so that a mode of the model's away from the data is not missed.
Region find_region(const EnergyFunction& function, const Start& start, float confinement) {
  const std::size_t dim = start.box.size();
  const int points = dim == 1 ? 4097 : 385;
  const double reach = confinement > 0 ? std::sqrt(60 / static_cast<double>(confinement)) : 0;
  Region region = start.box;
  for (Range& range : region) {
    const double centre = (range.lo + range.hi) / 2, half = std::clamp(reach, range.width(), 5 * range.width());
    range = {centre - half, centre + half};
  }
  include_far_modes(function, start.box, confinement, &region);
  for (int round = 0; round < 40; ++round) {
    const GridSum sum = integrate(function, region, points);
    bool grown = false, shrunk = false;
    Region next = region;
    for (std::size_t d = 0; d < dim; ++d) {
      const auto& share = sum.share[d];
      const double width = region[d].width(), step = width / (points - 1);
      if (width > 1e5 * start.box[d].width()) return region;  // no end to it: the caller sees the border
      // Grid lines that hold less than kEmpty / 10 up to there, from either side.
      std::size_t low = 0, high = share.size() - 1;
      for (double tail = share[low]; tail < kEmpty / 10 && low < high; tail += share[++low]) {
      }
      for (double tail = share[high]; tail < kEmpty / 10 && high > low; tail += share[--high]) {
      }
      double near_low = 0, near_high = 0;
      const auto near = static_cast<std::size_t>(points / 20);
      for (std::size_t i = 0; i < near; ++i) {
        near_low += share[i];
        near_high += share[share.size() - 1 - i];
      }
      if (near_low > kEmpty) next[d].lo -= width / 2;
      if (near_high > kEmpty) next[d].hi += width / 2;
      if (near_low > kEmpty || near_high > kEmpty) {
        grown = true;
        continue;
      }
      Range fit = {region[d].lo + step * (static_cast<double>(low) - 1),
                   region[d].lo + step * (static_cast<double>(high) + 1)};
      if (!start.extent.empty()) {
        fit = {std::min(fit.lo, start.extent[d].lo), std::max(fit.hi, start.extent[d].hi)};
      }
      // A tenth on either side keeps what lies near the sides empty in the next round too.
      fit = {fit.lo - 0.1 * fit.width(), fit.hi + 0.1 * fit.width()};
      if (fit.width() > 0.8 * width) continue;
      next[d] = fit;
      shrunk = true;
    }
    if (!grown && !shrunk) break;
    region = next;
  }
  return region;
}

Box to_data_units(const Region& region, const Mlp& model) {
  Matrix corners(2, region.size());
  for (std::size_t d = 0; d < region.size(); ++d) {
    corners(0, d) = static_cast<float>(region[d].lo);
    corners(1, d) = static_cast<float>(region[d].hi);
  }
  const Matrix mapped = model.to_data_units(corners);
  const auto side = [&](std::size_t i) { return std::vector<float>(mapped.row(i).begin(), mapped.row(i).end()); };
  return {side(0), side(1)};
}

Region region_of(const Box& box, const Mlp& model) {
  const Box mapped = to_model_space(box, model);
  Region region;
  for (std::size_t d = 0; d < mapped.lo.size(); ++d) {
    region.push_back({static_cast<double>(mapped.lo[d]), static_cast<double>(mapped.hi[d])});
  }
  return region;
}

}  // namespace

QuadratureResult quadrature_log_z(const Mlp& model, const QuadratureOptions& options, MatrixView data,
                                  const Device& device) {
  const int dim = model.dim();
  require(dim <= 2, "dim", dim, "a grid serves one or two dimensions; use AIS for more");
  const int most = dim == 1 ? 1 << 24 : 1 << 14;
  require(options.points == 0 || (options.points >= 32 && options.points <= most), "points", options.points,
          fmt::format("must be 0 (chosen) or in 32 .. {}", most));
  require(options.border_tolerance > 0 && options.border_tolerance <= 1, "border_tolerance", options.border_tolerance,
          "must be in (0, 1]");
  if (options.box) require_box("box", *options.box, dim);
  if (data.rows > 0) require_points("data", data, dim);

  const auto engine = make_engine(device);
  const auto function = engine->load(model);
  const Region region = options.box ? region_of(*options.box, model)
                                    : find_region(*function, start_region(model, data), model.shape().confinement);
  QuadratureResult result;
  result.box = options.box ? *options.box : to_data_units(region, model);
  int points = options.points > 0 ? options.points : dim == 1 ? 4096 : 608;
  points += 1 - points % 2;  // odd, so that every second point is a grid of the same box
  for (int doubling = 0;; ++doubling, points = 2 * points - 1) {
    const GridSum sum = integrate(*function, region, points);
    result.log_z = sum.log_z + model.log_volume();
    result.error = std::abs(sum.log_z - sum.log_z_half);
    result.border_mass = sum.border_mass;
    result.points = points;
    if (options.points > 0 || result.error <= kTargetError || doubling == kDoublings) break;
    if (!(result.border_mass <= options.border_tolerance)) break;  // no grid repairs that
  }
  if (!(result.border_mass <= options.border_tolerance)) {
    throw Error(fmt::format(
        "log Z by quadrature: {:.2g} of the mass lies in the outermost 1 % of the box "
        "[{}] .. [{}]: the box is too small, or the integral of exp(-E) does not converge "
        "(confinement {})",
        result.border_mass, fmt::join(result.box.lo, ", "), fmt::join(result.box.hi, ", "), model.shape().confinement));
  }
  return result;
}

LogLikelihood log_likelihood(const Mlp& model, MatrixView x, double log_z, const Device& device) {
  require(x.rows >= 1, "x", x.rows, "must hold at least one point");
  require(std::isfinite(log_z), "log_z", log_z, "must be finite");
  const std::vector<float> energies = energy(model, x, device);
  const auto n = static_cast<double>(energies.size());
  double mean = 0, square = 0;
  for (const float e : energies) mean -= static_cast<double>(e) / n;
  for (const float e : energies) square += (static_cast<double>(e) + mean) * (static_cast<double>(e) + mean);
  return {mean - log_z, std::sqrt(square / (n * (n - 1)))};
}

}  // namespace ebm
