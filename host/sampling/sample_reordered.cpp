#include "host/sampling/sample_reordered.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ebm {
namespace {

bool same_columns(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(a, b, [](float u, float v) { return std::isnan(u) == std::isnan(v); });
}

// The fixed columns, then the free ones.
std::vector<std::size_t> fixed_first(std::span<const float> row) {
  std::vector<std::size_t> order(row.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_partition(order.begin(), order.end(), [&](std::size_t d) { return !std::isnan(row[d]); });
  return order;
}

// Rows first .. first + count - 1 of x with columns in this order.
Matrix reordered(MatrixView x, std::size_t first, std::size_t count, const std::vector<std::size_t>& order) {
  Matrix result(count, x.cols);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j < x.cols; ++j) result(i, j) = x.row(first + i)[order[j]];
  }
  return result;
}

// And back, into rows of `to`.
void put_back(const Matrix& x, const std::vector<std::size_t>& order, std::size_t first, Matrix* to) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) (*to)(first + i, order[j]) = x(i, j);
  }
}

}  // namespace

SampleResult sample_reordered(const Mlp& model, const Sampler& sampler, const SampleOptions& options,
                              const Device& device) {
  const Matrix& fixed = *options.fixed;
  const std::size_t n = fixed.rows(), dim = fixed.cols();
  SampleResult result;
  result.x = Matrix(n, dim);
  result.n_steps = options.n_steps;
  if (options.thin > 0) result.trajectory.assign(static_cast<std::size_t>(options.n_steps / options.thin), result.x);
  bool stopped = false;
  for (std::size_t first = 0, count = 0; first < n; first += count) {
    count = 1;
    while (first + count < n && same_columns(fixed.row(first), fixed.row(first + count))) ++count;
    const std::vector<std::size_t> order = fixed_first(fixed.row(first));
    SampleOptions part = options;
    part.first_chain += first;
    part.fixed = reordered(fixed, first, count, order);
    if (options.init) part.init = reordered(*options.init, first, count, order);
    if (stopped) part.n_steps = 0;
    if (options.progress) {
      part.progress = [&, first, count, before = result.seconds](const SampleProgress& now) {
        const auto steps = static_cast<std::int64_t>(first) * now.n_steps + static_cast<std::int64_t>(count) * now.step;
        stopped =
            stopped || !options.progress({steps / static_cast<std::int64_t>(n), now.n_steps, before + now.seconds});
        return !stopped;
      };
    }
    SampleResult done = sample(reorder_columns(model, order), sampler, part, device);
    put_back(done.x, order, first, &result.x);
    result.n_steps = std::min(result.n_steps, done.n_steps);
    for (std::size_t t = 0; t < std::min(done.trajectory.size(), result.trajectory.size()); ++t) {
      put_back(done.trajectory[t], order, first, &result.trajectory[t]);
    }
    result.energy.insert(result.energy.end(), done.energy.begin(), done.energy.end());
    result.restarted.insert(result.restarted.end(), done.restarted.begin(), done.restarted.end());
    result.stats += done.stats;
    result.seconds += done.seconds;
    result.engine = std::move(done.engine);
    if (options.tempering) {
      if (first == 0) {
        result.replicas = std::move(done.replicas);
      } else {
        for (std::size_t r = 0; r < done.replicas.swaps.size(); ++r) result.replicas.swaps[r] += done.replicas.swaps[r];
        result.replicas.round_trips += done.replicas.round_trips;
      }
    }
  }
  if (options.thin > 0) result.trajectory.resize(static_cast<std::size_t>(result.n_steps / options.thin));
  return result;
}

}  // namespace ebm
