#include "host/core/linear_algebra.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ebm {

double Moments::mean_variance() const {
  const std::size_t n = mean.size();
  double trace = 0;
  for (std::size_t d = 0; d < n; ++d) trace += covariance[d * n + d];
  return trace / static_cast<double>(n);
}

Moments moments(MatrixView x, std::span<const double> weights) {
  const std::size_t n = x.cols;
  const auto weight = [&](std::size_t i) { return weights.empty() ? 1.0 : weights[i]; };
  Moments result{std::vector<double>(n), std::vector<double>(n * n)};
  double total = 0;
  for (std::size_t i = 0; i < x.rows; ++i) {
    const double w = weight(i);
    total += w;
    const auto row = x.row(i);
    for (std::size_t d = 0; d < n; ++d) result.mean[d] += w * static_cast<double>(row[d]);
  }
  for (double& m : result.mean) m /= total;

  std::vector<double> centred(n);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const double w = weight(i);
    if (w < total * 1e-14) continue;  // below rounding; in a mixture that is most points of most components
    const auto row = x.row(i);
    for (std::size_t d = 0; d < n; ++d) centred[d] = static_cast<double>(row[d]) - result.mean[d];
    for (std::size_t a = 0; a < n; ++a) {
      const double scaled = w * centred[a];
      double* out = result.covariance.data() + a * n;
      for (std::size_t b = a; b < n; ++b) out[b] += scaled * centred[b];
    }
  }
  for (std::size_t a = 0; a < n; ++a) {
    for (std::size_t b = a; b < n; ++b) {
      result.covariance[a * n + b] /= total;
      result.covariance[b * n + a] = result.covariance[a * n + b];
    }
  }
  return result;
}

void add_to_diagonal(std::span<double> a, std::size_t n, double value) {
  for (std::size_t d = 0; d < n; ++d) a[d * n + d] += value;
}

std::optional<std::vector<double>> cholesky(std::vector<double> a, std::size_t n) {
  for (std::size_t k = 0; k < n; ++k) {
    double* pivot_row = a.data() + k * n;
    if (!(pivot_row[k] > 0) || !std::isfinite(pivot_row[k])) return std::nullopt;
    const double pivot = std::sqrt(pivot_row[k]);
    for (std::size_t j = k; j < n; ++j) pivot_row[j] /= pivot;
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = pivot_row[i];
      double* row = a.data() + i * n;
      row[k] = 0;
      for (std::size_t j = i; j < n; ++j) row[j] -= factor * pivot_row[j];
    }
  }
  return a;
}

void solve_transposed(std::span<const double> u, std::span<double> b) {
  const std::size_t n = b.size();
  for (std::size_t k = 0; k < n; ++k) {
    const double* row = u.data() + k * n;
    b[k] /= row[k];
    for (std::size_t j = k + 1; j < n; ++j) b[j] -= row[j] * b[k];
  }
}

void solve_upper(std::span<const double> u, std::span<double> b) {
  const std::size_t n = b.size();
  for (std::size_t k = n; k-- > 0;) {
    const double* row = u.data() + k * n;
    double rest = b[k];
    for (std::size_t j = k + 1; j < n; ++j) rest -= row[j] * b[j];
    b[k] = rest / row[k];
  }
}

std::vector<double> inverse_from_cholesky(std::span<const double> u, std::size_t n) {
  std::vector<double> inverse(n * n), column(n);
  for (std::size_t k = 0; k < n; ++k) {
    std::fill(column.begin(), column.end(), 0.0);
    column[k] = 1;
    solve_transposed(u, column);
    solve_upper(u, column);
    for (std::size_t i = 0; i < n; ++i) inverse[i * n + k] = column[i];
  }
  return inverse;
}

double log_sum_exp(std::span<const double> values) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double v : values) largest = std::max(largest, v);
  if (!std::isfinite(largest)) return largest;
  double sum = 0;
  for (const double v : values) sum += std::exp(v - largest);
  return largest + std::log(sum);
}

double square_distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) {
    const double delta = static_cast<double>(a[d]) - static_cast<double>(b[d]);
    sum += delta * delta;
  }
  return sum;
}

}  // namespace ebm
