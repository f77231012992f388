#include "ebmcuda/densities.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <tuple>
#include <utility>

#include "host/core/gauss_legendre.hpp"
#include "host/core/names.hpp"
#include "host/core/normal_pair.hpp"
#include "host/data/draw_limits.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

using std::numbers::pi;

constexpr std::array kNames = {
    Name<Density2d>{Density2d::two_moons, "two_moons"},
    Name<Density2d>{Density2d::eight_gaussians, "eight_gaussians"},
    Name<Density2d>{Density2d::twenty_five_gaussians, "twenty_five_gaussians"},
    Name<Density2d>{Density2d::rings, "rings"},
    Name<Density2d>{Density2d::spirals, "spirals"},
    Name<Density2d>{Density2d::checkerboard, "checkerboard"},
};

constexpr double kMoonsSigma = 0.1, kEightSigma = 0.15, kTwentyFiveSigma = 0.1, kRingsSigma = 0.08, kSpiralsSigma = 0.1;
constexpr std::array<double, 3> kRingRadii = {0.7, 1.4, 2.1};

struct Point {
  double x, y;
};

Point eight_centre(int k) { return {2 * std::cos(k * pi / 4), 2 * std::sin(k * pi / 4)}; }
Point first_moon(double t) { return {std::cos(t), std::sin(t)}; }
Point second_moon(double t) { return {1 - std::cos(t), 0.5 - std::sin(t)}; }
double spiral_angle(double u) { return 3 * pi * std::sqrt(u); }
// The first arm; the second is its negative.
Point spiral_arm(double t) {
  const double r = t / (1.5 * pi);
  return {r * std::cos(t), r * std::sin(t)};
}

double log_normal_factor(double sigma) { return -std::log(2 * pi * sigma * sigma); }

// exp(-z) I_0(z), z >= 0, to 1e-14 relative: the power series, whose terms are all positive, and beyond z = 30 the
// asymptotic series (Abramowitz and Stegun 9.7.1), whose smallest term is below exp(-2 z).
double scaled_bessel_i0(double z) {
  double term = 1, sum = 1;
  if (z < 30) {
    for (int k = 1; term > sum * 1e-17; ++k) {
      term *= (z / 2 / k) * (z / 2 / k);
      sum += term;
    }
    return sum * std::exp(-z);
  }
  for (int k = 1; term > 1e-17; ++k) {
    const double odd = 2 * k - 1;
    term *= odd * odd / (8 * z * k);
    sum += term;
  }
  return sum / std::sqrt(2 * pi * z);
}

// A density along a curve, convolved with N(0, sigma^2 I). The integral along the curve is a Gauss-Legendre rule of 16
// nodes on every panel; with panels of about one sigma, log p is good to 1e-9 relative up to 25 sigma off the curve.
class BlurredCurve {
 public:
  explicit BlurredCurve(double sigma) : sigma_(sigma) {}

  // Adds curve(t) with the density `weight(t)` with respect to t, for t from edge(0) to edge(1) in panels that end at
  // edge(p / panels).
  template <class Curve, class Weight, class Edge>
  void add(Curve curve, Weight weight, Edge edge, int panels) {
    const auto& rule = gauss_legendre<16>();
    for (int p = 0; p < panels; ++p) {
      const double begin = edge(static_cast<double>(p) / panels), end = edge(static_cast<double>(p + 1) / panels);
      const double half = (end - begin) / 2;
      for (std::size_t k = 0; k < rule.nodes.size(); ++k) {
        const double t = begin + half * (1 + rule.nodes[k]);
        const Point at = curve(t);
        x_.push_back(at.x);
        y_.push_back(at.y);
        weights_.push_back(half * rule.weights[k] * weight(t));
      }
    }
  }

  double log_density(double x, double y) const {
    // Nodes that lie more than sqrt(2 * 45) sigma farther than the nearest one add less than exp(-45) of it.
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < x_.size(); ++k) nearest = std::min(nearest, square_distance(k, x, y));
    const double scale = 1 / (2 * sigma_ * sigma_);
    const double farthest = nearest + 45 / scale;
    double sum = 0;
    for (std::size_t k = 0; k < x_.size(); ++k) {
      const double square = square_distance(k, x, y);
      if (square < farthest) sum += weights_[k] * std::exp((nearest - square) * scale);
    }
    return std::log(sum) - nearest * scale + log_normal_factor(sigma_);
  }

 private:
  double square_distance(std::size_t k, double x, double y) const {
    const double dx = x - x_[k], dy = y - y_[k];
    return dx * dx + dy * dy;
  }

  double sigma_;
  std::vector<double> x_, y_, weights_;
};

const BlurredCurve& moons() {
  static const BlurredCurve curve = [] {
    BlurredCurve result(kMoonsSigma);
    const auto weight = [](double) { return 1 / (2 * pi); };
    const auto angle = [](double u) { return pi * u; };
    result.add(first_moon, weight, angle, 32);
    result.add(second_moon, weight, angle, 32);
    return result;
  }();
  return curve;
}

const BlurredCurve& spirals() {
  static const BlurredCurve curve = [] {
    BlurredCurve result(kSpiralsSigma);
    // u = (t / 3 pi)^2 is uniform, so t has density 2 t / (3 pi)^2, half of it on either arm. Equal panels of u have
    // nearly equal lengths: an arm is 9.5 long.
    const auto weight = [](double t) { return t / (9 * pi * pi); };
    const auto opposite_arm = [](double t) { return Point{-spiral_arm(t).x, -spiral_arm(t).y}; };
    result.add(spiral_arm, weight, spiral_angle, 96);
    result.add(opposite_arm, weight, spiral_angle, 96);
    return result;
  }();
  return curve;
}

double log_eight_gaussians(double x, double y) {
  std::array<double, 8> squares{};
  for (int k = 0; k < 8; ++k) {
    const Point c = eight_centre(k);
    squares[static_cast<std::size_t>(k)] = (x - c.x) * (x - c.x) + (y - c.y) * (y - c.y);
  }
  const double scale = 1 / (2 * kEightSigma * kEightSigma);
  const double nearest = *std::min_element(squares.begin(), squares.end());
  double sum = 0;
  for (const double square : squares) sum += std::exp((nearest - square) * scale);
  return std::log(sum / 8) - nearest * scale + log_normal_factor(kEightSigma);
}

// The grid of 25 is the product of two rows of 5.
double log_five_gaussians(double x) {
  const double scale = 1 / (2 * kTwentyFiveSigma * kTwentyFiveSigma);
  const double nearest = x - std::clamp(std::round(x), -2.0, 2.0);
  double sum = 0;
  for (int i = -2; i <= 2; ++i) sum += std::exp((nearest * nearest - (x - i) * (x - i)) * scale);
  return std::log(sum / 5) - nearest * nearest * scale + log_normal_factor(kTwentyFiveSigma) / 2;
}

// A ring of radius R has density exp(-(r^2 + R^2) / 2 sigma^2) I_0(r R / sigma^2) / (2 pi sigma^2).
double log_rings(double x, double y) {
  const double r = std::hypot(x, y), variance = kRingsSigma * kRingsSigma;
  std::array<double, kRingRadii.size()> logs{};
  for (std::size_t k = 0; k < logs.size(); ++k) {
    const double gap = r - kRingRadii[k];
    logs[k] = std::log(scaled_bessel_i0(r * kRingRadii[k] / variance)) - gap * gap / (2 * variance);
  }
  const double largest = *std::max_element(logs.begin(), logs.end());
  double sum = 0;
  for (const double l : logs) sum += std::exp(l - largest);
  return std::log(sum / static_cast<double>(logs.size())) + largest + log_normal_factor(kRingsSigma);
}

double log_checkerboard(double x, double y) {
  const bool inside = x >= -2 && x < 2 && y >= -2 && y < 2;
  if (!inside || std::fmod(std::floor(x) + std::floor(y), 2.0) != 0) return -std::numeric_limits<double>::infinity();
  return -std::log(8.0);
}

// A uniform float in [lo, lo + 1): rounding must not carry it into the next square.
float inside_unit(double lo, std::uint32_t r) {
  const auto edge = static_cast<float>(lo + 1);
  return std::min(static_cast<float>(lo + unit_double(r)), std::nextafter(edge, static_cast<float>(lo)));
}

// Words: r0 the component, r1 the place on it, r2 and r3 the noise.
std::pair<float, float> draw_point(Density2d density, const PhiloxWords& w) {
  const double u = unit_double(w.r1);
  Point centre{};
  double sigma = 0;
  switch (density) {
    case Density2d::two_moons:
      centre = index_below(w.r0, 2) == 0 ? first_moon(pi * u) : second_moon(pi * u);
      sigma = kMoonsSigma;
      break;
    case Density2d::eight_gaussians:
      centre = eight_centre(static_cast<int>(index_below(w.r0, 8)));
      sigma = kEightSigma;
      break;
    case Density2d::twenty_five_gaussians: {
      const auto k = static_cast<int>(index_below(w.r0, 25));
      const int row = k / 5 - 2, column = k % 5 - 2;
      centre = {static_cast<double>(row), static_cast<double>(column)};
      sigma = kTwentyFiveSigma;
      break;
    }
    case Density2d::rings: {
      const double radius = kRingRadii[index_below(w.r0, kRingRadii.size())];
      centre = {radius * std::cos(2 * pi * u), radius * std::sin(2 * pi * u)};
      sigma = kRingsSigma;
      break;
    }
    case Density2d::spirals: {
      const double sign = index_below(w.r0, 2) == 0 ? 1 : -1;
      const Point arm = spiral_arm(spiral_angle(u));
      centre = {sign * arm.x, sign * arm.y};
      sigma = kSpiralsSigma;
      break;
    }
    case Density2d::checkerboard: {
      const auto k = static_cast<int>(index_below(w.r0, 8));
      const int column = k / 2, row = 2 * (k % 2) + column % 2;
      return {inside_unit(column - 2, w.r1), inside_unit(row - 2, w.r2)};
    }
  }
  const auto [a, b] = double_normal_pair(w.r2, w.r3);
  return {static_cast<float>(centre.x + sigma * a), static_cast<float>(centre.y + sigma * b)};
}

}  // namespace

std::vector<Density2d> all_densities_2d() {
  std::vector<Density2d> all;
  all.reserve(std::size(kNames));
  for (const auto& entry : kNames) all.push_back(entry.value);
  return all;
}

std::string_view to_string(Density2d density) { return name_of<Density2d>(kNames, density); }

Density2d parse_density_2d(std::string_view name, std::string_view field) {
  return parse_name<Density2d>(kNames, name, field);
}

Matrix draw(Density2d density, std::int64_t n, std::uint64_t seed, std::uint64_t first) {
  require_draws(n, first);
  Matrix x(static_cast<std::size_t>(n), 2);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    std::tie(x(i, 0), x(i, 1)) = draw_point(density, philox(seed, Purpose::density_draw, first + i, 0, 0));
  }
  return x;
}

double log_density(Density2d density, double x, double y) {
  switch (density) {
    case Density2d::two_moons:
      return moons().log_density(x, y);
    case Density2d::eight_gaussians:
      return log_eight_gaussians(x, y);
    case Density2d::twenty_five_gaussians:
      return log_five_gaussians(x) + log_five_gaussians(y);
    case Density2d::rings:
      return log_rings(x, y);
    case Density2d::spirals:
      return spirals().log_density(x, y);
    case Density2d::checkerboard:
      return log_checkerboard(x, y);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double entropy(Density2d density) {
  // By the trapezoid rule on -p log p; tests/data/densities_test.cpp computes them again.
  switch (density) {
    case Density2d::two_moons:
      return 1.0075848348;
    case Density2d::eight_gaussians:
      return 1.1230776272;
    case Density2d::twenty_five_gaussians:
      return 1.4515799432;
    case Density2d::rings:
      return 2.0687515167;
    case Density2d::spirals:
      return 2.0874569781;
    case Density2d::checkerboard:
      return std::log(8.0);
  }
  return std::numeric_limits<double>::quiet_NaN();
}

}  // namespace ebm
