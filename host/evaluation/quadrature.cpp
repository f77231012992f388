#include <algorithm>
#include <array>
#include <cmath>
#include <compare>
#include <limits>
#include <map>
#include <numbers>
#include <optional>
#include <set>
#include <utility>

#include "ebmcuda/log_z.hpp"
#include "host/core/check.hpp"
#include "host/core/gauss_legendre.hpp"
#include "host/engine/engine.hpp"
#include "host/sampling/transition.hpp"

namespace ebm {
namespace {

// A box counts as grown when less than this share of the mass lies near each of its sides.
constexpr double kEmpty = 1e-9;
// Without a number of points of the caller's, the grid is doubled until halving it changes log Z by less than this.
constexpr double kTargetError = 1e-4;
constexpr int kDoublings = 2;
// The error of a grid that misses the mass altogether, instead of infinity: it goes to JSON.
constexpr double kHopeless = 1e3;
constexpr std::size_t kBatch = 65536;
// A grid that halving changes by less sees the border of the mass.
constexpr double kResolved = 0.5;

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
  double log_z = 0;  // model space
  double error = 0;  // largest difference to the log Z of an interleaved grid of twice the spacing
  double border_mass = 0;
  std::array<std::vector<double>, 2> share;  // of the mass on each grid line across dimension d; empty for d >= D
};

// The trapezoid rule with `points` (odd) grid points per dimension, and on the 2^D grids of twice the spacing that it
// is made of. One of them alone can agree by chance, for instance when all mass lies on one grid line; all of them do
// only when the spacing resolves the mass.
GridSum integrate(const EnergyFunction& function, const Region& region, int points) {
  const std::size_t dim = region.size();
  const auto n = static_cast<std::size_t>(points), last = n - 1;
  const std::size_t total = dim == 1 ? n : n * n;
  const auto border_lines = static_cast<std::size_t>(std::max(1.0, std::floor(0.01 * static_cast<double>(last))));
  LogSum all, border;
  std::array<LogSum, 4> interleaved;
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
        throw LogZError(fmt::format("log Z by quadrature: the energy is {} at ({}) in model space", energy[i - begin],
                                    fmt::join(x.begin() + static_cast<std::ptrdiff_t>((i - begin) * dim),
                                              x.begin() + static_cast<std::ptrdiff_t>((i - begin + 1) * dim), ", ")));
      }
      std::size_t parity = 0;
      bool on_border = false;
      for (std::size_t d = 0; d < dim; ++d) {
        if (at[d] == 0 || at[d] == last) log_p -= std::log(2.0);
        parity = 2 * parity + at[d] % 2;
        on_border = on_border || at[d] < border_lines || at[d] > last - border_lines;
      }
      all.add(log_p);
      interleaved[parity].add(log_p);
      if (on_border) border.add(log_p);
      for (std::size_t d = 0; d < dim; ++d) lines[d][at[d]].add(log_p);
    }
  }

  GridSum result;
  double log_cell = 0;
  for (const Range& range : region) log_cell += std::log(range.width() / static_cast<double>(last));
  result.log_z = all.value() + log_cell;
  for (std::size_t k = 0; k < (std::size_t{1} << dim); ++k) {
    const double log_z = interleaved[k].value() + log_cell + static_cast<double>(dim) * std::log(2.0);
    result.error = std::max(result.error, std::isfinite(log_z) ? std::abs(log_z - result.log_z) : kHopeless);
  }
  result.border_mass = std::exp(border.value() - all.value());
  for (std::size_t d = 0; d < dim; ++d) {
    for (const LogSum& line : lines[d]) result.share[d].push_back(std::exp(line.value() - all.value()));
  }
  return result;
}

struct Order {
  double lo, middle, hi;
};

Order quartiles(std::vector<double> values) {
  const auto at = [&](std::size_t quarters) {
    const auto k = static_cast<std::ptrdiff_t>(quarters * (values.size() - 1) / 4);
    std::ranges::nth_element(values, values.begin() + k);
    return values[static_cast<std::size_t>(k)];
  };
  return {at(1), at(2), at(3)};
}

// Three standard deviations around the standardisation's mean, or, where the caller has data to offer, around their
// median: only a place to start looking from, and no outlier moves it.
Region start_region(const Mlp& model, MatrixView data) {
  const auto dim = static_cast<std::size_t>(model.dim());
  Region start(dim, {-3, 3});
  if (data.rows == 0) return start;
  const Matrix points = model.to_model_space(data);
  for (std::size_t d = 0; d < dim; ++d) {
    std::vector<double> column;
    for (std::size_t i = 0; i < points.rows(); ++i) column.push_back(static_cast<double>(points(i, d)));
    const Order order = quartiles(std::move(column));
    const double std = order.hi > order.lo ? (order.hi - order.lo) / 1.349 : 1;  // 1.349: of a Gaussian
    start[d] = {order.middle - 3 * std, order.middle + 3 * std};
  }
  return start;
}

struct LowPoint {
  std::array<double, 2> x{};
  double energy = 0;
};

// Points of low energy wherever the model has them, from points on rays that start at the middle of `start`. Far out a
// network's head is close to linear along a ray, so that a wrong slope s against a weak confinement makes a mode at
// -s / confinement: a step x - grad E / confinement from anywhere on that side lands on it. Descent with a step length
// of each point's own finds the rest, and valleys too narrow for any grid to see.
std::vector<LowPoint> find_low_points(const EnergyFunction& function, const Region& start, float confinement) {
  constexpr int kLandings = 3, kDescents = 80;
  constexpr double kHigh = 25;  // nats above the lowest that hold no mass
  const std::size_t dim = start.size(), rays = dim == 1 ? 2 : 64;
  std::vector<float> rays_x;
  for (double radius = 0.02; radius < 1e3; radius *= 1.3) {  // in half widths of the start
    for (std::size_t r = 0; r < rays; ++r) {
      const double angle = 2 * std::numbers::pi * static_cast<double>(r) / static_cast<double>(rays);
      const std::array direction = {std::cos(angle), std::sin(angle)};
      for (std::size_t d = 0; d < dim; ++d) {
        const double centre = (start[d].lo + start[d].hi) / 2;
        rays_x.push_back(static_cast<float>(centre + radius * direction[d] * start[d].width() / 2));
      }
    }
  }
  const std::size_t n = rays_x.size() / dim;
  std::vector<LowPoint> found;
  const auto keep = [&](const std::vector<float>& x, const std::vector<float>& energy) {
    for (std::size_t i = 0; i < n; ++i) {
      if (!std::isfinite(energy[i])) continue;
      LowPoint point{{}, static_cast<double>(energy[i])};
      for (std::size_t d = 0; d < dim; ++d) point.x[d] = static_cast<double>(x[i * dim + d]);
      found.push_back(point);
    }
  };
  std::vector<float> x = rays_x, energy(n), gradient(x.size());
  if (confinement > 0) {
    for (int step = 0; step <= kLandings; ++step) {
      function.evaluate(x, energy, gradient);
      keep(x, energy);
      for (std::size_t i = 0; i < x.size(); ++i) x[i] -= gradient[i] / confinement;
    }
  }

  x = rays_x;
  function.evaluate(x, energy, gradient);
  const double reach = start[0].width() * 1e3;
  std::vector<double> length(n);  // of the next step
  for (std::size_t i = 0; i < n; ++i) length[i] = start[0].width() / 30;
  std::vector<float> next(x.size()), next_energy(n), next_gradient(x.size());
  for (int step = 0; step < kDescents; ++step) {
    for (std::size_t i = 0; i < n; ++i) {
      double norm = 0;
      for (std::size_t d = 0; d < dim; ++d) norm = std::hypot(norm, static_cast<double>(gradient[i * dim + d]));
      for (std::size_t d = 0; d < dim; ++d) {
        const double move = norm > 0 ? length[i] * static_cast<double>(gradient[i * dim + d]) / norm : 0;
        next[i * dim + d] = static_cast<float>(std::clamp(static_cast<double>(x[i * dim + d]) - move, -reach, reach));
      }
    }
    function.evaluate(next, next_energy, next_gradient);
    for (std::size_t i = 0; i < n; ++i) {
      if (!(next_energy[i] < energy[i])) {
        length[i] *= 0.4;
        continue;
      }
      length[i] *= 1.6;
      energy[i] = next_energy[i];
      std::copy_n(next.begin() + static_cast<std::ptrdiff_t>(i * dim), dim,
                  x.begin() + static_cast<std::ptrdiff_t>(i * dim));
      std::copy_n(next_gradient.begin() + static_cast<std::ptrdiff_t>(i * dim), dim,
                  gradient.begin() + static_cast<std::ptrdiff_t>(i * dim));
    }
  }
  keep(x, energy);
  double lowest = std::numeric_limits<double>::infinity();
  for (const LowPoint& point : found) lowest = std::min(lowest, point.energy);
  std::erase_if(found, [&](const LowPoint& point) { return point.energy > lowest + kHigh; });
  return found;
}

// Grows the box while there is mass near a side, and fits it to the mass once there is none: a grid spent on emptiness
// can't resolve what matters. The first look is wider than the start, as wide as the confinement lets mass spread
// within reason, so that a mode of the model's away from the start is not missed. Where the grid does not resolve the
// mass, its border is not known and the box is left as it is.
Region find_region(const EnergyFunction& function, const Region& start, const std::vector<LowPoint>& low,
                   float confinement) {
  const std::size_t dim = start.size();
  const int points = dim == 1 ? 4097 : 385;
  const double reach = confinement > 0 ? std::sqrt(60 / static_cast<double>(confinement)) : 0;
  Region region = start;
  for (Range& range : region) {
    const double centre = (range.lo + range.hi) / 2, half = std::clamp(reach, range.width(), 5 * range.width());
    range = {centre - half, centre + half};
  }
  for (const LowPoint& point : low) {
    for (std::size_t d = 0; d < dim; ++d) {
      region[d] = {std::min(region[d].lo, point.x[d]), std::max(region[d].hi, point.x[d])};
    }
  }
  for (int round = 0; round < 40; ++round) {
    const GridSum sum = integrate(function, region, points);
    bool grown = false, shrunk = false;
    Region next = region;
    for (std::size_t d = 0; d < dim; ++d) {
      const auto& share = sum.share[d];
      const double width = region[d].width(), step = width / (points - 1);
      if (width > 1e5 * start[d].width()) return region;  // no end to it: the caller sees the border
      // Grid lines that hold less than kEmpty / 10 up to there, from either side.
      std::size_t low_line = 0, high_line = share.size() - 1;
      for (double tail = share[low_line]; tail < kEmpty / 10 && low_line < high_line; tail += share[++low_line]) {
      }
      for (double tail = share[high_line]; tail < kEmpty / 10 && high_line > low_line; tail += share[--high_line]) {
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
      if (sum.error > kResolved) continue;
      Range fit = {region[d].lo + step * (static_cast<double>(low_line) - 1),
                   region[d].lo + step * (static_cast<double>(high_line) + 1)};
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

struct CellSum {
  double log_z = 0, error = 0, border_mass = 0;  // model space
  std::int64_t cells = 0;
};

// Adaptive Gauss-Legendre quadrature over a tree of cells, each halved in every dimension where the halves disagree
// with the whole. Neighbours differ by one halving at most, so that a ridge found in one cell is followed into the next
// even where the points of a coarse cell would straddle it.
class CellGrid {
 public:
  CellGrid(const EnergyFunction& function, const Region& region)
      : function_(function), region_(region), dim_(region.size()), roots_(dim_ == 1 ? 512 : 64) {}

  // `low`: points of low energy that the cells must have seen before an error is believed.
  CellSum integrate(const std::vector<LowPoint>& low, double target) {
    std::vector<Key> fresh;
    for (std::uint32_t i = 0; i < roots_; ++i) {
      for (std::uint32_t j = 0; j < (dim_ == 1 ? 1 : roots_); ++j) fresh.push_back({0, {i, j}});
    }
    evaluate(fresh);
    split(fresh);  // so that every leaf has an error
    for (int round = 0; round < kMostRounds && evaluations_ < kMostEvaluations; ++round) {
      std::vector<Key> chosen = unseen(low);
      const Totals totals = add_up();
      if (chosen.empty() && totals.error <= target) break;
      // Where most of the error is: a leaf that has a hundredth of the worst one's, or of its fair share of the target.
      double worst = 0;
      for (const auto& [key, leaf] : leaves_)
        worst = std::max(worst, leaf.log_error == kNone ? 0 : std::exp(leaf.log_error - totals.log_sum));
      const double least = std::max(0.01 * worst, 0.1 * target / static_cast<double>(leaves_.size()));
      for (const auto& [key, leaf] : leaves_) {
        if (key.level < kDeepest && std::exp(leaf.log_error - totals.log_sum) >= least) chosen.push_back(key);
      }
      if (chosen.empty()) break;
      split(std::move(chosen));
    }
    const Totals totals = add_up();
    // A valley that was known and not reached is an error of unknown size.
    return {totals.log_sum, unseen(low).empty() ? totals.error : kHopeless, totals.border,
            static_cast<std::int64_t>(leaves_.size())};
  }

 private:
  static constexpr std::size_t kOrder = 6;
  static constexpr int kMostRounds = 60;
  static constexpr std::uint8_t kDeepest = 20;
  static constexpr std::int64_t kMostEvaluations = std::int64_t{1} << 24;
  static constexpr double kNone = -std::numeric_limits<double>::infinity();

  struct Key {
    std::uint8_t level;
    std::array<std::uint32_t, 2> at;
    auto operator<=>(const Key&) const = default;
  };
  struct Leaf {
    double log_value = kNone, log_error = kNone, log_border = kNone;
    double log_peak = kNone;  // largest log density at its points
  };
  struct Totals {
    double log_sum, error, border;
  };

  std::uint32_t count(std::uint8_t level) const { return roots_ << level; }
  double width(std::size_t d, std::uint8_t level) const { return region_[d].width() / count(level); }

  void evaluate(const std::vector<Key>& cells) {
    const GaussLegendre<kOrder>& rule = gauss_legendre<kOrder>();
    const std::size_t per_cell = dim_ == 1 ? kOrder : kOrder * kOrder;
    const std::size_t batch = kBatch / per_cell;
    std::vector<float> x, energy;
    for (std::size_t begin = 0; begin < cells.size(); begin += batch) {
      const std::size_t end = std::min(begin + batch, cells.size());
      x.clear();
      energy.resize((end - begin) * per_cell);
      for (std::size_t c = begin; c < end; ++c) {
        for (std::size_t k = 0; k < per_cell; ++k) {
          for (std::size_t d = 0; d < dim_; ++d) x.push_back(static_cast<float>(coordinate(cells[c], k, d)));
        }
      }
      function_.evaluate(x, energy);
      evaluations_ += static_cast<std::int64_t>(energy.size());
      for (std::size_t c = begin; c < end; ++c) {
        double log_volume = 0;
        for (std::size_t d = 0; d < dim_; ++d) log_volume += std::log(width(d, cells[c].level) / 2);
        LogSum sum, border;
        Leaf leaf;
        for (std::size_t k = 0; k < per_cell; ++k) {
          const double log_p = -static_cast<double>(energy[(c - begin) * per_cell + k]);
          if (std::isnan(log_p)) throw LogZError("log Z by quadrature: the energy is nan in the box");
          const double weight = dim_ == 1 ? rule.weights[k] : rule.weights[k % kOrder] * rule.weights[k / kOrder];
          sum.add(log_p + std::log(weight));
          leaf.log_peak = std::max(leaf.log_peak, log_p);
          for (std::size_t d = 0; d < dim_; ++d) {
            const double share = (coordinate(cells[c], k, d) - region_[d].lo) / region_[d].width();
            if (share < 0.01 || share > 0.99) {
              border.add(log_p + std::log(weight));
              break;
            }
          }
        }
        leaf.log_value = sum.value() + log_volume;
        leaf.log_border = border.value() + log_volume;
        leaves_[cells[c]] = leaf;
      }
    }
  }

  double coordinate(const Key& cell, std::size_t k, std::size_t d) const {
    const double node = gauss_legendre<kOrder>().nodes[d == 0 ? k % kOrder : k / kOrder];
    return region_[d].lo + (cell.at[d] + (node + 1) / 2) * width(d, cell.level);
  }

  // Replaces these leaves by their halves, and coarser neighbours too.
  void split(std::vector<Key> wanted) {
    std::set<Key> chosen;
    while (!wanted.empty()) {
      const Key cell = wanted.back();
      wanted.pop_back();
      if (!leaves_.contains(cell) || !chosen.insert(cell).second) continue;
      for (int dx = -1; dx <= 1; ++dx) {
        for (int dy = dim_ == 1 ? 0 : -1; dy <= (dim_ == 1 ? 0 : 1); ++dy) {
          if (const auto near = coarser_neighbour(cell, dx, dy)) wanted.push_back(*near);
        }
      }
    }
    std::vector<Key> fresh;
    std::vector<std::pair<Key, double>> parents;
    for (const Key& cell : chosen) {
      parents.emplace_back(cell, leaves_.at(cell).log_value);
      leaves_.erase(cell);
      for (const Key& child : children(cell)) fresh.push_back(child);
    }
    evaluate(fresh);
    for (const auto& [cell, log_value] : parents) {
      LogSum halves;
      for (const Key& child : children(cell)) halves.add(leaves_.at(child).log_value);
      const double larger = std::max(halves.value(), log_value), smaller = std::min(halves.value(), log_value);
      const double log_difference = larger == kNone ? kNone : larger + std::log1p(-std::exp(smaller - larger));
      for (const Key& child : children(cell)) {
        leaves_.at(child).log_error = log_difference - static_cast<double>(dim_) * std::log(2.0);
      }
    }
  }

  std::vector<Key> children(const Key& cell) const {
    std::vector<Key> result;
    for (std::uint32_t k = 0; k < (1u << dim_); ++k) {
      result.push_back({static_cast<std::uint8_t>(cell.level + 1),
                        {2 * cell.at[0] + k % 2, dim_ == 1 ? 0 : 2 * cell.at[1] + k / 2}});
    }
    return result;
  }

  std::optional<Key> coarser_neighbour(const Key& cell, int dx, int dy) const {
    const std::int64_t i = std::int64_t{cell.at[0]} + dx, j = std::int64_t{cell.at[1]} + dy;
    const std::int64_t n = count(cell.level), n_second = dim_ == 1 ? 1 : n;
    if (i < 0 || j < 0 || i >= n || j >= n_second) return std::nullopt;
    for (int up = 1; up <= cell.level; ++up) {
      const Key above{static_cast<std::uint8_t>(cell.level - up),
                      {static_cast<std::uint32_t>(i >> up), static_cast<std::uint32_t>(j >> up)}};
      if (leaves_.contains(above)) return above;
    }
    return std::nullopt;
  }

  // Leaves that hold a known point whose density is well above anything that they saw, in a cell where it could matter.
  std::vector<Key> unseen(const std::vector<LowPoint>& low) const {
    constexpr double kAbove = 3;
    std::set<Key> result;
    double largest = kNone;
    for (const auto& [key, leaf] : leaves_) largest = std::max(largest, leaf.log_value);
    for (const LowPoint& point : low) {
      const auto leaf = leaf_at(point.x);
      if (!leaf || leaf->second.log_peak >= -point.energy - kAbove) continue;
      double log_volume = 0;
      for (std::size_t d = 0; d < dim_; ++d) log_volume += std::log(width(d, leaf->first.level));
      if (leaf->first.level < kDeepest && -point.energy + log_volume > largest - kNegligible)
        result.insert(leaf->first);
    }
    return {result.begin(), result.end()};
  }

  std::optional<std::pair<Key, Leaf>> leaf_at(const std::array<double, 2>& x) const {
    for (std::uint8_t level = 0; level <= kDeepest; ++level) {
      Key key{level, {0, 0}};
      for (std::size_t d = 0; d < dim_; ++d) {
        const double at = (x[d] - region_[d].lo) / width(d, level);
        if (!(at >= 0 && at < count(level))) return std::nullopt;
        key.at[d] = static_cast<std::uint32_t>(at);
      }
      if (const auto it = leaves_.find(key); it != leaves_.end()) return *it;
    }
    return std::nullopt;
  }

  Totals add_up() const {
    LogSum sum, error, border;
    for (const auto& [key, leaf] : leaves_) {
      sum.add(leaf.log_value);
      error.add(leaf.log_error);
      border.add(leaf.log_border);
    }
    return {sum.value(), std::exp(error.value() - sum.value()), std::exp(border.value() - sum.value())};
  }

  static constexpr double kNegligible = 16;  // nats below the largest cell: 1e-7 of it
  const EnergyFunction& function_;
  const Region region_;
  const std::size_t dim_;
  const std::uint32_t roots_;
  std::map<Key, Leaf> leaves_;
  std::int64_t evaluations_ = 0;
};

// The box of data units around the region's corners: the region itself where the transform is separable.
Box to_data_units(const Region& region, const Mlp& model) {
  Matrix corners(std::size_t{1} << region.size(), region.size());
  for (std::size_t i = 0; i < corners.rows(); ++i) {
    for (std::size_t d = 0; d < region.size(); ++d) {
      corners(i, d) = static_cast<float>((i >> d) % 2 == 0 ? region[d].lo : region[d].hi);
    }
  }
  const Matrix mapped = model.to_data_units(corners);
  Box box{{mapped.row(0).begin(), mapped.row(0).end()}, {mapped.row(0).begin(), mapped.row(0).end()}};
  for (std::size_t i = 1; i < mapped.rows(); ++i) {
    for (std::size_t d = 0; d < mapped.cols(); ++d) {
      box.lo[d] = std::min(box.lo[d], mapped(i, d));
      box.hi[d] = std::max(box.hi[d], mapped(i, d));
    }
  }
  return box;
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
  require_non_negative("max_error", options.max_error);
  if (options.box) {
    require_box("box", *options.box, dim);
    require_separable("box", model);
  }
  if (data.rows > 0) require_points("data", data, dim);

  const auto engine = make_engine(device);
  const auto function = engine->load(model);
  const Region start = start_region(model, data);
  std::vector<LowPoint> low;
  if (!options.box || options.points == 0) low = find_low_points(*function, start, model.shape().confinement);
  const Region region =
      options.box ? region_of(*options.box, model) : find_region(*function, start, low, model.shape().confinement);
  QuadratureResult result;
  result.box = options.box ? *options.box : to_data_units(region, model);
  int points = options.points > 0 ? options.points : dim == 1 ? 4096 : 608;
  points += 1 - points % 2;  // odd, so that every second point is a grid of the same box
  for (int doubling = 0;; ++doubling, points = 2 * points - 1) {
    const GridSum sum = integrate(*function, region, points);
    result.log_z = sum.log_z + model.log_volume();
    result.error = sum.error;
    result.border_mass = sum.border_mass;
    result.points = points;
    if (options.points > 0 || result.error <= kTargetError || doubling == kDoublings) break;
    if (sum.error > kResolved) break;                              // too narrow for an even grid
    if (!(result.border_mass <= options.border_tolerance)) break;  // no grid repairs that
  }
  if (options.points == 0 && result.error > kTargetError && result.border_mass <= options.border_tolerance) {
    const CellSum sum = CellGrid(*function, region).integrate(low, kTargetError);
    if (sum.error < result.error) {
      result.log_z = sum.log_z + model.log_volume();
      result.error = sum.error;
      result.border_mass = sum.border_mass;
      result.cells = sum.cells;
    }
  }
  if (!(result.border_mass <= options.border_tolerance)) {
    throw LogZError(fmt::format(
        "log Z by quadrature: {:.2g} of the mass lies in the outermost 1 % of the box "
        "[{}] .. [{}]: the box is too small, or the integral of exp(-E) does not converge "
        "(confinement {})",
        result.border_mass, fmt::join(result.box.lo, ", "), fmt::join(result.box.hi, ", "), model.shape().confinement));
  }
  if (!(result.error <= options.max_error)) {
    const std::string cells = result.cells > 0 ? fmt::format(", refined to {} cells,", result.cells) : "";
    const std::string by =
        result.error < kHopeless ? fmt::format("is known to {:.2g} nats only", result.error) : "is unknown";
    throw LogZError(
        fmt::format("log Z by quadrature {} on a grid of {} points per dimension{} which does not resolve the mass; "
                    "{} is allowed",
                    by, result.points, cells.empty() ? "," : cells, options.max_error));
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

bool inside(std::span<const float> row, const Box& box) {
  const auto side = [](const std::vector<float>& values, std::size_t d) {
    return values.size() == 1 ? values[0] : values[d];
  };
  for (std::size_t d = 0; d < row.size(); ++d) {
    if (!(row[d] >= side(box.lo, d) && row[d] <= side(box.hi, d))) return false;
  }
  return true;
}

}  // namespace ebm
