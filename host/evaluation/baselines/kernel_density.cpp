#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "ebmcuda/dataset.hpp"
#include "host/core/linear_algebra.hpp"
#include "host/evaluation/baselines/fitting.hpp"

namespace ebm {
namespace {

constexpr std::size_t kMostKernels = 16384, kMostQueries = 512;
constexpr std::size_t kFewestToChoose = 10;  // rows; fewer have spherical kernels
constexpr double kRidge = 1e-6;
constexpr double kNegligible = 60;  // nats: a kernel so far below the nearest adds nothing to a double
// The bandwidth is looked for between these multiples of Scott's n^(-1 / (D + 4)). The lower end keeps equal rows from
// having infinite density.
constexpr double kNarrowest = 0.02, kWidest = 5;
constexpr int kGrid = 14, kGoldenSteps = 8;

// log of the sum of exp(-square / 2).
template <class Squares>
double log_kernel_sum(const Squares& squares, double scale) {
  const double nearest = static_cast<double>(*std::ranges::min_element(squares)) * scale;
  double sum = 0;
  for (const auto square : squares) {
    const double away = (static_cast<double>(square) * scale - nearest) / 2;
    if (away < kNegligible) sum += std::exp(-away);
  }
  return std::log(sum) - nearest / 2;
}

// Squared distances of some points to all others, for leave-one-out likelihoods at any bandwidth.
class LeaveOneOut {
 public:
  // points [n, dim], of which the rows `queries` are asked.
  LeaveOneOut(const std::vector<double>& points, std::size_t n, std::size_t dim, std::span<const std::size_t> queries)
      : n_(n), dim_(dim) {
    for (const std::size_t q : queries) {
      std::vector<float> row;
      row.reserve(n - 1);
      for (std::size_t i = 0; i < n; ++i) {
        if (i == q) continue;
        double square = 0;
        for (std::size_t d = 0; d < dim; ++d) {
          const double away = points[q * dim + d] - points[i * dim + d];
          square += away * away;
        }
        row.push_back(static_cast<float>(square));
      }
      squares_.push_back(std::move(row));
    }
  }

  // Without the volume of the coordinates.
  double likelihood(double bandwidth) const {
    double sum = 0;
    for (const auto& row : squares_) sum += log_kernel_sum(row, 1 / (bandwidth * bandwidth));
    return sum / static_cast<double>(squares_.size()) - std::log(static_cast<double>(n_ - 1)) -
           static_cast<double>(dim_) * (std::log(bandwidth) + 0.5 * std::log(2 * std::numbers::pi));
  }

  double best_bandwidth() const {
    const double scott = std::pow(static_cast<double>(n_), -1 / (static_cast<double>(dim_) + 4));
    const double low = std::log(kNarrowest * scott), step = std::log(kWidest / kNarrowest) / kGrid;
    const auto at = [&](double log_bandwidth) { return likelihood(std::exp(log_bandwidth)); };
    int best_k = 0;
    double best_value = -std::numeric_limits<double>::infinity();
    for (int k = 0; k <= kGrid; ++k) {
      const double value = at(low + k * step);
      if (value > best_value) {
        best_value = value;
        best_k = k;
      }
    }
    // Golden section about it.
    constexpr double kGolden = std::numbers::phi - 1;
    double a = low + std::max(best_k - 1, 0) * step, b = low + std::min(best_k + 1, kGrid) * step;
    double left = b - kGolden * (b - a), right = a + kGolden * (b - a), f_left = at(left), f_right = at(right);
    for (int k = 0; k < kGoldenSteps; ++k) {
      if (f_left > f_right) {
        b = right;
        right = left;
        left = b - kGolden * (b - a);
        f_right = std::exchange(f_left, at(left));
      } else {
        a = left;
        left = right;
        right = a + kGolden * (b - a);
        f_left = std::exchange(f_right, at(right));
      }
    }
    return std::exp((a + b) / 2);
  }

 private:
  std::size_t n_, dim_;
  std::vector<std::vector<float>> squares_;
};

}  // namespace

KernelDensityEstimate KernelDensityEstimate::fit(MatrixView x, std::uint64_t seed) {
  const ColumnScaling scaling = scaling_of(x, kRidge);
  const Matrix all = standardized(x, scaling);
  bool covariance = false;
  if (all.cols() > 1 && all.rows() >= kFewestToChoose) {
    // On rows that neither has seen: a covariance knows the rows that it is of.
    const auto order = shuffled_order(all.rows(), seed);
    const std::size_t part = all.rows() - all.rows() / 5;
    const Matrix fitted = select_rows(all, order, 0, part), judged = select_rows(all, order, part, all.rows());
    const auto likelihood = [&](bool with_covariance) {
      return with_kernels(fitted, with_covariance, seed).mean_of(judged);
    };
    covariance = likelihood(true) > likelihood(false);
  }
  KernelDensityEstimate result = with_kernels(all, covariance, seed);
  result.scaling_ = scaling;
  return result;
}

KernelDensityEstimate KernelDensityEstimate::with_kernels(MatrixView points, bool covariance, std::uint64_t seed) {
  KernelDensityEstimate result;
  const std::size_t dim = points.cols;
  result.n_ = std::min(points.rows, kMostKernels);
  if (covariance) {
    Moments shape = moments(points);
    add_to_diagonal(shape.covariance, dim, kRidge);
    if (auto root = cholesky(shape.covariance, dim)) {
      result.mean_ = shape.mean;
      result.root_ = *std::move(root);
      for (std::size_t d = 0; d < dim; ++d) result.log_normalizer_ -= std::log(result.root_[d * dim + d]);
    }
  }
  for (std::size_t i = 0; i < result.n_; ++i) {
    const auto row = points.row(i * points.rows / result.n_);
    const std::vector<double> at = result.coordinates(std::vector<double>(row.begin(), row.end()));
    result.kernels_.insert(result.kernels_.end(), at.begin(), at.end());
  }
  std::vector<std::size_t> queries = shuffled_order(result.n_, seed);
  queries.resize(std::min(queries.size(), kMostQueries));
  result.bandwidth_ = LeaveOneOut(result.kernels_, result.n_, dim, queries).best_bandwidth();
  for (double& v : result.kernels_) v /= result.bandwidth_;
  result.log_normalizer_ -=
      std::log(static_cast<double>(result.n_)) +
      static_cast<double>(dim) * (std::log(result.bandwidth_) + 0.5 * std::log(2 * std::numbers::pi));
  return result;
}

double KernelDensityEstimate::mean_of(MatrixView points) const {
  std::vector<double> squares;
  double sum = 0;
  for (std::size_t i = 0; i < points.rows; ++i) {
    const auto row = points.row(i);
    sum += log_sum(coordinates(std::vector<double>(row.begin(), row.end())), squares);
  }
  return sum / static_cast<double>(points.rows);
}

std::vector<double> KernelDensityEstimate::coordinates(std::span<const double> z) const {
  std::vector<double> at(z.begin(), z.end());
  if (!mean_.empty()) {
    for (std::size_t d = 0; d < at.size(); ++d) at[d] -= mean_[d];
    solve_transposed(root_, at);
  }
  for (double& v : at) v /= bandwidth_;
  return at;
}

double KernelDensityEstimate::log_sum(std::span<const double> at, std::vector<double>& squares) const {
  const std::size_t dim = at.size();
  squares.resize(n_);
  for (std::size_t i = 0; i < n_; ++i) {
    const double* kernel = kernels_.data() + i * dim;
    double square = 0;
    for (std::size_t d = 0; d < dim; ++d) square += (at[d] - kernel[d]) * (at[d] - kernel[d]);
    squares[i] = square;
  }
  return log_normalizer_ + log_kernel_sum(squares, 1);
}

double KernelDensityEstimate::log_density(std::span<const float> x) const {
  require(x.size() == scaling_.dim(), "x", x.size(), fmt::format("must hold {} values", scaling_.dim()));
  std::vector<double> z(scaling_.kept().size()), squares;
  scaling_.apply(x, z);
  return log_sum(coordinates(z), squares) - scaling_.log_volume();
}

double KernelDensityEstimate::mean_log_likelihood(MatrixView x) const {
  std::vector<double> squares;
  return mean_over_rows(x, scaling_, [&](std::span<const double> z) { return log_sum(coordinates(z), squares); });
}

}  // namespace ebm
