#include "host/evaluation/baselines/factor_analysis.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "host/core/linear_algebra.hpp"
#include "kernels/math/philox.hpp"

namespace ebm {
namespace {

constexpr int kOrthogonalIterations = 12;
constexpr std::uint32_t kStartBlock = 0xFFFC;  // a fixed start for the directions, under the purpose of evaluation

// a [n, m] times b [m, k].
std::vector<double> product(std::span<const double> a, std::span<const double> b, std::size_t n, std::size_t m,
                            std::size_t k) {
  std::vector<double> result(n * k);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t l = 0; l < m; ++l) {
      const double v = a[i * m + l];
      for (std::size_t j = 0; j < k; ++j) result[i * k + j] += v * b[l * k + j];
    }
  }
  return result;
}

std::vector<double> transposed(std::span<const double> a, std::size_t n, std::size_t m) {
  std::vector<double> result(n * m);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < m; ++j) result[j * n + i] = a[i * m + j];
  }
  return result;
}

// Gram and Schmidt on the columns of q [n, k]; returns their lengths before.
std::vector<double> orthonormalize(std::vector<double>& q, std::size_t n, std::size_t k) {
  std::vector<double> lengths(k);
  for (std::size_t j = 0; j < k; ++j) {
    for (std::size_t other = 0; other < j; ++other) {
      double dot = 0;
      for (std::size_t i = 0; i < n; ++i) dot += q[i * k + j] * q[i * k + other];
      for (std::size_t i = 0; i < n; ++i) q[i * k + j] -= dot * q[i * k + other];
    }
    double square = 0;
    for (std::size_t i = 0; i < n; ++i) square += q[i * k + j] * q[i * k + j];
    lengths[j] = std::sqrt(square);
    for (std::size_t i = 0; i < n && lengths[j] > 0; ++i) q[i * k + j] /= lengths[j];
  }
  return lengths;
}

// The inverse of a symmetric positive definite [n, n].
std::vector<double> inverse(std::vector<double> a, std::size_t n) {
  add_to_diagonal(a, n, 1e-12);
  const auto root = cholesky(std::move(a), n);
  return root ? inverse_from_cholesky(*root, n) : std::vector<double>(n * n);
}

}  // namespace

std::vector<double> FactorModel::covariance() const {
  std::vector<double> result = product(loadings, transposed(loadings, dim, factors), dim, factors, dim);
  for (std::size_t d = 0; d < dim; ++d) result[d * dim + d] += noise[d];
  return result;
}

FactorModel start_factors(std::span<const double> s, std::size_t dim, std::size_t factors, double least_noise) {
  std::vector<double> q(dim * factors);
  for (std::size_t i = 0; i < q.size(); ++i) {
    q[i] = unit_double(philox(0, Purpose::evaluation, i, 0, kStartBlock).r0) - 0.5;
  }
  orthonormalize(q, dim, factors);
  std::vector<double> variances;
  for (int step = 0; step < kOrthogonalIterations; ++step) {
    q = product(s, q, dim, dim, factors);
    variances = orthonormalize(q, dim, factors);
  }
  double rest = 0;
  for (std::size_t d = 0; d < dim; ++d) rest += s[d * dim + d];
  for (const double v : variances) rest -= v;
  rest = std::max(rest / static_cast<double>(dim - factors), least_noise);
  FactorModel model{dim, factors, std::move(q), std::vector<double>(dim)};
  for (std::size_t d = 0; d < dim; ++d) {
    double explained = 0;
    for (std::size_t j = 0; j < factors; ++j) {
      double& w = model.loadings[d * factors + j];
      w *= std::sqrt(std::max(variances[j] - rest, 1e-3));
      explained += w * w;
    }
    model.noise[d] = std::max(s[d * dim + d] - explained, least_noise);
  }
  return model;
}

void improve_factors(FactorModel& model, std::span<const double> s, double least_noise) {
  const std::size_t n = model.dim, q = model.factors;
  std::vector<double>& w = model.loadings;
  // B = (I + W^T N^-1 W)^-1 W^T N^-1: the mean of the factors is B x.
  std::vector<double> scaled(n * q);
  for (std::size_t d = 0; d < n; ++d) {
    for (std::size_t j = 0; j < q; ++j) scaled[d * q + j] = w[d * q + j] / model.noise[d];
  }
  const std::vector<double> scaled_t = transposed(scaled, n, q);
  std::vector<double> a = product(scaled_t, w, q, n, q);
  add_to_diagonal(a, q, 1);
  const std::vector<double> b = product(inverse(std::move(a), q), scaled_t, q, q, n);
  const std::vector<double> sb = product(s, transposed(b, q, n), n, n, q);
  // Their second moments: I - B W + B S B^T.
  std::vector<double> second = product(b, sb, q, n, q);
  const std::vector<double> bw = product(b, w, q, n, q);
  for (std::size_t i = 0; i < q * q; ++i) second[i] -= bw[i];
  add_to_diagonal(second, q, 1);
  // B S B^T - B W is symmetric but for rounding.
  for (std::size_t i = 0; i < q; ++i) {
    for (std::size_t j = 0; j < i; ++j) {
      second[i * q + j] = second[j * q + i] = (second[i * q + j] + second[j * q + i]) / 2;
    }
  }
  w = product(sb, inverse(std::move(second), q), n, q, q);
  for (std::size_t d = 0; d < n; ++d) {
    double explained = 0;
    for (std::size_t j = 0; j < q; ++j) explained += w[d * q + j] * sb[d * q + j];
    model.noise[d] = std::max(s[d * n + d] - explained, least_noise);
  }
}

}  // namespace ebm
