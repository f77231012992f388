#include "host/data/whitening.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

#include "host/core/linear_algebra.hpp"

namespace ebm {
namespace {

constexpr double kSmallestPivot = 1e-6;  // of a correlation matrix: what a column has of its own
constexpr double kLeastShrinkage = 1e-4;

// Ledoit and Wolf 2004: the intensity of shrinkage to the identity that is best in the mean square, estimated. `r` is
// the correlation matrix of the rows (x - mean) / std.
double ledoit_wolf(MatrixView x, const std::vector<double>& mean, const std::vector<double>& std,
                   const std::vector<double>& r) {
  const std::size_t dim = mean.size();
  double r_square = 0, distance = 0;
  for (std::size_t a = 0; a < dim; ++a) {
    for (std::size_t b = 0; b < dim; ++b) {
      const double v = r[a * dim + b], away = v - (a == b ? 1 : 0);
      r_square += v * v;
      distance += away * away;
    }
  }
  const auto n = static_cast<double>(x.rows);
  double scatter = 0;
  std::vector<double> z(dim);
  for (std::size_t i = 0; i < x.rows; ++i) {
    double square = 0, product = 0;
    for (std::size_t d = 0; d < dim; ++d) {
      z[d] = (static_cast<double>(x.row(i)[d]) - mean[d]) / std[d];
      square += z[d] * z[d];
    }
    for (std::size_t a = 0; a < dim; ++a) {
      double along = 0;
      for (std::size_t b = 0; b < dim; ++b) along += r[a * dim + b] * z[b];
      product += z[a] * along;
    }
    scatter += (square * square - 2 * product + r_square) / (n * n);
  }
  return distance > 0 ? std::clamp(scatter / distance, 0.0, 1.0) : 1.0;
}

// The factor of a correlation matrix, unless a column follows from those before it.
std::optional<std::vector<double>> factor(const std::vector<double>& r, std::size_t dim) {
  auto u = cholesky(r, dim);
  if (!u) return std::nullopt;
  for (std::size_t d = 0; d < dim; ++d) {
    if ((*u)[d * dim + d] * (*u)[d * dim + d] < kSmallestPivot) return std::nullopt;
  }
  return u;
}

}  // namespace

Whitening fit_whitening(MatrixView x, double noise_mean, double noise_variance) {
  const std::size_t dim = x.cols;
  Moments m = moments(x);
  add_to_diagonal(m.covariance, dim, noise_variance);
  std::vector<double> std(dim), r(dim * dim);
  for (std::size_t d = 0; d < dim; ++d) {
    const double s = std::sqrt(m.covariance[d * dim + d]);
    std[d] = s > 0 && std::isfinite(s) ? s : 1;  // a constant column is left as it is
  }
  for (std::size_t a = 0; a < dim; ++a) {
    for (std::size_t b = 0; b < dim; ++b) {
      r[a * dim + b] = a == b ? 1 : m.covariance[a * dim + b] / (std[a] * std[b]);
    }
  }
  Whitening result;
  std::optional<std::vector<double>> u;
  if (x.rows > dim) u = factor(r, dim);
  if (!u) {
    result.shrinkage = std::max(ledoit_wolf(x, m.mean, std, r), kLeastShrinkage);
    for (std::size_t a = 0; a < dim; ++a) {
      for (std::size_t b = 0; b < dim; ++b) r[a * dim + b] *= a == b ? 1 : 1 - result.shrinkage;
    }
    u = cholesky(r, dim);  // every eigenvalue is at least the shrinkage now
  }
  result.mean = std::move(m.mean);
  for (double& mean : result.mean) mean += noise_mean;
  result.root.assign(dim * dim, 0.0);
  for (std::size_t a = 0; a < dim; ++a) {
    for (std::size_t b = 0; b <= a; ++b) result.root[a * dim + b] = std[a] * (*u)[b * dim + a];
  }
  return result;
}

void Whitening::forward(std::span<double> x) const {
  const std::size_t dim = mean.size();
  for (std::size_t a = 0; a < dim; ++a) {
    const double* row = root.data() + a * dim;
    double rest = x[a] - mean[a];
    for (std::size_t b = 0; b < a; ++b) rest -= row[b] * x[b];
    x[a] = rest / row[a];
  }
}

void Whitening::inverse(std::span<double> z) const {
  const std::size_t dim = mean.size();
  for (std::size_t a = dim; a-- > 0;) {
    const double* row = root.data() + a * dim;
    double sum = mean[a];
    for (std::size_t b = 0; b <= a; ++b) sum += row[b] * z[b];
    z[a] = sum;
  }
}

void Whitening::pull_back(std::span<double> gradient) const {
  const std::size_t dim = mean.size();
  for (std::size_t a = dim; a-- > 0;) {
    const double* row = root.data() + a * dim;
    gradient[a] /= row[a];
    for (std::size_t b = 0; b < a; ++b) gradient[b] -= row[b] * gradient[a];
  }
}

double Whitening::log_volume() const {
  const std::size_t dim = mean.size();
  double sum = 0;
  for (std::size_t d = 0; d < dim; ++d) sum += std::log(root[d * dim + d]);
  return sum;
}

}  // namespace ebm
