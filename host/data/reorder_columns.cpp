#include <algorithm>
#include <cmath>
#include <numeric>

#include "ebmcuda/mlp.hpp"
#include "host/core/check.hpp"
#include "host/data/transform_parts.hpp"

namespace ebm {
namespace {

template <class T>
std::vector<T> in_order(const std::vector<T>& values, std::span<const std::size_t> order) {
  std::vector<T> result;
  result.reserve(values.size());
  if (values.empty()) return result;
  for (const std::size_t from : order) result.push_back(values[from]);
  return result;
}

// P L = L' Q with L' lower triangular and Q orthogonal, row by row (Gram and Schmidt, twice for orthogonality to
// rounding). What was z is then Q^T z'.
struct Factors {
  std::vector<double> root, rotation;  // L', Q: [D, D] row-major
};

Factors factors_of(const std::vector<double>& root, std::span<const std::size_t> order) {
  const std::size_t dim = order.size();
  Factors f{std::vector<double>(dim * dim, 0.0), std::vector<double>(dim * dim, 0.0)};
  for (std::size_t a = 0; a < dim; ++a) {
    const std::span<double> row(&f.rotation[a * dim], dim);
    std::copy_n(&root[order[a] * dim], dim, row.begin());
    for (int pass = 0; pass < 2; ++pass) {
      for (std::size_t b = 0; b < a; ++b) {
        const double* const done = &f.rotation[b * dim];
        const double along = std::inner_product(row.begin(), row.end(), done, 0.0);
        f.root[a * dim + b] += along;
        for (std::size_t d = 0; d < dim; ++d) row[d] -= along * done[d];
      }
    }
    const double length = std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0));
    f.root[a * dim + a] = length;
    for (double& v : row) v /= length;
  }
  return f;
}

}  // namespace

Mlp reorder_columns(const Mlp& model, std::span<const std::size_t> order) {
  const auto dim = static_cast<std::size_t>(model.dim());
  require(order.size() == dim, "order", order.size(), fmt::format("must hold each of the {} columns once", dim));
  std::vector<bool> seen(dim, false);
  for (const std::size_t column : order) {
    require(column < dim && !seen[column], "order", column, fmt::format("must hold each of 0 .. {} once", dim - 1));
    seen[column] = true;
  }
  Mlp result(model.shape());
  std::ranges::copy(model.parameters(), result.parameters().begin());
  const Transform& transform = model.transform();
  // Row j of the rotation: new coordinate j of model space in the old ones.
  std::vector<double> rotation(dim * dim, 0.0);
  for (std::size_t j = 0; j < dim; ++j) rotation[j * dim + order[j]] = 1;
  if (const auto& standardization = transform.standardization()) {
    result.set_standardization(
        Standardization{in_order(standardization->mean, order), in_order(standardization->std, order)});
  } else if (const Transform::Parts* parts = transform.parts()) {
    Transform::Parts reordered{in_order(parts->marginals, order), {}};
    if (!parts->whitening.empty()) {
      Factors factors = factors_of(parts->whitening.root, order);
      reordered.whitening = {in_order(parts->whitening.mean, order), std::move(factors.root),
                             parts->whitening.shrinkage};
      rotation = std::move(factors.rotation);
    }
    result.set_transform(Transform(transform.kind(), std::make_shared<const Transform::Parts>(std::move(reordered))));
  }
  const std::span<const float> from = model.weight(0);
  const std::span<float> to = result.weight(0);
  for (std::size_t unit = 0; unit * dim < to.size(); ++unit) {
    for (std::size_t j = 0; j < dim; ++j) {
      double sum = 0;
      for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(from[unit * dim + d]) * rotation[j * dim + d];
      to[unit * dim + j] = static_cast<float>(sum);
    }
  }
  return result;
}

}  // namespace ebm
